"""Tables as in Tweet Sentiment Extraction and chaii: answers are texts, and a "question" may be one of three words."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
from command_line import Invoke

WORDS = ("so", "sad", "that", "my", "dog", "is", "sick", "love", "it", "lol", "gonna", "miss")
FEELINGS = ("positive", "negative", "neutral")


@pytest.fixture(scope="module")
def recipe(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 tweets to train on, 6 to answer. Every fourth selected text occurs twice, some are cut within a word."""
    folder = tmp_path_factory.mktemp("tweets")
    rows = []
    for number in range(30):
        words = [WORDS[(number + step) % len(WORDS)] for step in range(6)]
        text = " ".join([*words, words[0]] if number % 4 == 0 else words)
        selected = words[0] if number % 4 == 0 else text if number % 3 == 2 else " ".join(words[1:3])[1:]
        rows.append((f"t{number}", text, selected, FEELINGS[number % 3]))
    columns = ("textID", "text", "selected_text", "sentiment")
    for name, part in (("train", rows[:24]), ("test", rows[24:]), ("sample", rows[24:])):
        kept = {"train": (0, 1, 2, 3), "test": (0, 1, 3), "sample": (0, 2)}[name]
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([[row[at] for at in kept] for row in [columns, *part]])
    path = folder / "tweets.yaml"
    path.write_text(
        f"""\
data:
  reader: {{name: table, id: textID, question: sentiment, context: text, answer_text: selected_text}}
  train: train.csv
  test: test.csv
  sample_submission: sample.csv
backbone: {{source: {tiny_backbone}}}
windows: {{max_length: 48, max_question_length: 8}}
preprocess: {{train: stride, predict: stride}}
predict: {{no_answer: false}}
train: {{max_steps: 2, batch_size: 8, learning_rate: 1e-3, precision: fp32}}
metric: jaccard
writer: {{name: csv, id_column: textID, answer_column: selected_text}}
""",
        "utf-8",
    )
    return path


def test_what_is_not_learnt_is_said_with_what_to_do(recipe: Path, invoke: Invoke) -> None:
    shown = invoke("data", "check", recipe, "--json")
    (train, _) = json.loads(shown.stdout)["splits"]
    assert train["counts"]["placed"] == 18
    top = train["tokens"]["ceiling"]
    assert top["reachable_questions"] == top["reachable"] + 6  # to a metric it does not matter where a text occurs
    (finding,) = (each for each in train["findings"] if each["name"] == "unplaced_answer")
    assert "set data.problems.answer_ambiguous to first or all" in finding["meaning"]


def test_a_head_that_cannot_learn_several_places_is_named(
    recipe: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = ("--set", "data.problems={answer_ambiguous: all}", "--dry-run")
    assert "cannot learn answers at any of several places" not in invoke("train", recipe, *every).output
    monkeypatch.delattr("qakit_heads.linear_span.LinearSpan.any_place")
    assert "the head 'linear_span' cannot learn answers at any of several places" in invoke(
        "train", recipe, *every
    ).output.replace("\n", " ")


def test_from_a_table_to_folds_and_a_submission(recipe: Path, invoke: Invoke, tmp_path: Path) -> None:
    folds = ("--set", "folds={k: 2, repeats: ignore, stratify_by: question}")
    run = tmp_path / "run"
    done = invoke("train", recipe, "--set", "data.problems={answer_ambiguous: all}", *folds, "--output", run, "--quiet")
    assert done.exit_code == 0, done.output
    with (run / "predictions" / "submission.csv").open(encoding="utf-8", newline="") as file:
        answers = list(csv.DictReader(file))
    assert [row["textID"] for row in answers] == [f"t{number}" for number in range(24, 30)]
    assert all(row["selected_text"] for row in answers)
    shares = Counter(json.dumps(fold["examples"]) for fold in json.loads((run / "folds.json").read_text())["folds"])
    assert shares == {"12": 2}


def test_practice_from_the_split_to_the_medal(recipe: Path, invoke: Invoke, tmp_path: Path) -> None:
    new, submission, board = tmp_path / "practice", tmp_path / "submission.csv", tmp_path / "board.csv"
    split = invoke("data", "split", recipe.parent, "--output", new, "--share", "0.25")
    assert split.exit_code == 0, split.output
    assert "18 rows to learn from and 6 held back" in split.stdout
    with (new / "answers.csv").open(encoding="utf-8", newline="") as file:
        right = [(row["textID"], row["selected_text"]) for row in csv.DictReader(file)]
    with submission.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("textID", "selected_text"), *right])
    board.write_text("score\n" + "".join(f"{score}\n" for score in (0.99, 0.98, 0.9, *[0.5] * 20)), "utf-8")
    given = ("--recipe", recipe, "--gold", new / "answers.csv", "--predictions", submission, "--leaderboard", board)
    shown = invoke("score", *given, "--json")
    assert shown.exit_code == 0, shown.output
    figures = json.loads(shown.stdout)
    assert figures["jaccard"] == 100.0
    assert figures["leaderboard"] | {"lines": None} == {"rank": 1, "teams": 23, "lines": None, "medal": "gold"}
    assert "place 1 of 23: gold (the last of each: gold 98, silver 50" in invoke("score", *given).stdout
    assert invoke("score", *given[2:]).exit_code == 2
