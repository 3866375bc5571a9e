"""``qakit init``: a recipe from data files that trains as it is."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from command_line import Invoke

from qakit.drafting.draft import Draft, Files, draft
from qakit.errors import DataError, UsageError
from qakit.registry import Registry, installed_entry_points, load_registry

WORDS = ("so", "sad", "that", "my", "dog", "is", "sick", "love", "it", "the", "gonna", "miss")
FEELINGS = ("positive", "negative", "neutral")
COLUMNS = ("textID", "text", "selected_text", "sentiment")


@pytest.fixture(scope="module")
def tweets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.csv (60), test.csv (6) and sample_submission.csv; some answers occur twice."""
    folder = tmp_path_factory.mktemp("tweets")
    rows = []
    for number in range(66):
        words = [WORDS[(number * 5 + step * (1 + number % 4)) % len(WORDS)] for step in range(4 + number % 5)]
        words.append(str(number))
        text = " ".join([*words, words[0]] if number % 4 == 0 else words)
        selected = words[0] if number % 4 == 0 else text if number % 3 == 2 else " ".join(words[1:3])
        rows.append((f"t{number}", text, selected, FEELINGS[number % 3]))
    for name, part, kept in (
        ("train", rows[:60], (0, 1, 2, 3)),
        ("test", rows[60:], (0, 1, 3)),
        ("sample_submission", rows[60:], (0, 2)),
    ):
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([[row[at] for at in kept] for row in [COLUMNS, *part]])
    return folder


def drafted(train: Path, **files: Any) -> Draft:
    return draft(Files(train, **files), load_registry(), recipe=train.parent / "recipe.yaml")


def test_the_recipe_is_checked_and_trains_to_a_submission(
    tweets: Path, tiny_backbone: Path, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = ("--test", tweets / "test.csv", "--sample-submission", tweets / "sample_submission.csv")
    shown = invoke("init", tweets / "train.csv", *files, "--backbone", tiny_backbone, "--name", "mine")
    assert shown.exit_code == 0, shown.output
    assert "is not on this machine" not in shown.output
    assert "next:\n  qakit data check recipes/mine.yaml\n  qakit train recipes/mine.yaml\n" in shown.output
    text = Path("recipes/mine.yaml").read_text("utf-8")
    assert "answer_text: selected_text # 100% of its texts are in the column 'text'" in text
    assert "repeats: ignore # texts that come again" in text
    assert "metric: jaccard # " in text
    assert invoke("recipes", "validate", "recipes/mine.yaml", "--check-files").exit_code == 0
    checked = invoke("data", "check", "recipes/mine.yaml", "--json")
    assert checked.exit_code == 0, checked.output
    train = json.loads(checked.stdout)["splits"][0]
    assert train["counts"]["placed"] == 60  # answers that occur twice are learnt
    assert train["tokens"]["ceiling"]["of_questions"] > 95
    assert invoke("train", "recipes/mine.yaml", "--dry-run").exit_code == 0
    less = ("--set", "train.max_steps=2", "--set", "train.precision=fp32", "--output", "run", "--quiet")
    trained = invoke("train", "recipes/mine.yaml", *less)
    assert trained.exit_code == 0, trained.output
    with Path("run/predictions/submission.csv").open(encoding="utf-8", newline="") as file:
        assert next(tuple(row) for row in csv.reader(file)) == ("textID", "selected_text")
    refused = invoke("init", tweets / "train.csv", "--name", "mine")
    assert isinstance(refused.exception, UsageError) and "--overwrite" in str(refused.exception)
    again = invoke("init", tweets / "train.csv", "--name", "mine", "--overwrite", "--json")
    told = json.loads(again.stdout)
    assert told["values"]["backbone"] == {"source": "FacebookAI/xlm-roberta-base"} or told["values"]["backbone"]
    assert "an assumption" in told["reasons"]["windows"] or "tokens of" in told["reasons"]["windows"]


def test_a_backbone_that_a_training_would_fetch_is_noted(tweets: Path) -> None:
    found = draft(Files(tweets / "train.csv"), load_registry(), recipe=tweets / "r.yaml", backbone="nobody/nothing")
    fetched = "nobody/nothing is not on this machine: a training fetches it from the hub (--backbone names another)"
    assert fetched in found.notes


def test_data_files_are_never_replaced(tweets: Path, invoke: Invoke) -> None:
    file = tweets / "train.csv"
    before = file.read_bytes()
    refused = invoke("init", file, "--output", file, "--overwrite")
    assert isinstance(refused.exception, UsageError) and "ends with .yaml" in str(refused.exception)
    assert file.read_bytes() == before


def test_chaii(tmp_path: Path) -> None:
    """Contexts of several lines in two languages, offsets of the first occurrence, a sample with a name of its own."""
    places = ("दिल्ली", "मुंबई", "चेन्नई")
    rows = []
    for number in range(40):
        place = places[number % 3]
        context = f"यह पंक्ति संख्या {number} है।\n\n{place} एक नगर है, और {place} बड़ा है।"
        question = f"संख्या {number} किस नगर की है?"
        rows.append((f"c{number}", context, question, place, context.index(place), ("hindi", "tamil")[number % 2]))
    columns = ("id", "context", "question", "answer_text", "answer_start", "language")
    for name, part, kept in (("train", rows[:36], range(6)), ("test", rows[36:], (0, 1, 2, 5))):
        with (tmp_path / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([[row[at] for at in kept] for row in [columns, *part]])
    sample = tmp_path / "sample_submission.csv"
    sample.write_text("id,PredictionString\n" + "".join(f"{row[0]},\n" for row in rows[36:]))
    found = drafted(tmp_path / "train.csv", test=tmp_path / "test.csv", sample_submission=sample)
    assert found.values["data"]["reader"] == {
        "name": "table",
        "id": "id",
        "question": "question",
        "context": "context",
        "answer_text": "answer_text",
        "answer_start": "answer_start",
    }
    assert "problems" not in found.values["data"]  # the offsets are right
    assert found.values["metric"] == "jaccard"
    assert found.values["writer"] == {"name": "csv", "id_column": "id", "answer_column": "PredictionString"}
    assert "not used: 'language'" in found.notes


@pytest.mark.parametrize("way", ["the file", "a link"])
def test_not_even_one_that_is_called_as_a_recipe(invoke: Invoke, tmp_path: Path, way: str) -> None:
    """JSON in a file of that name is read as what it is."""
    file, output = tmp_path / "train.yaml", tmp_path / "train.yaml"
    file.write_text(json.dumps([{"id": n, "text": f"a text {n}", "label": "ab"[n % 2]} for n in range(30)]), "utf-8")
    before = file.read_bytes()
    if way == "a link":
        output = tmp_path / "recipe.yaml"
        output.symlink_to(file)
    refused = invoke("init", file, "--output", output, "--overwrite")
    assert isinstance(refused.exception, UsageError) and "is one of the data files" in str(refused.exception)
    assert file.read_bytes() == before


@pytest.mark.parametrize("name", ["${HOME}/train.csv", "${X:-train}.csv"])
def test_a_name_that_a_recipe_would_read_otherwise_is_refused(tweets: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / "data" / name
    file.parent.mkdir(parents=True)
    shutil.copy(tweets / "train.csv", file)
    (tmp_path / "data" / "train.csv").write_text("another file", "utf-8")
    with pytest.raises(DataError, match=r"a recipe takes .* for an environment variable"):
        draft(Files(file), load_registry(), recipe=tmp_path / "recipe.yaml")


@pytest.mark.parametrize(
    ("row", "says"),
    [("t60,so sad\n", "the row has 2 cells"), ("t60,so sad,neutral\n", "the id of example 7 was there")],
)
def test_a_test_file_in_which_a_record_cannot_be_answered_is_refused(
    tweets: Path, tmp_path: Path, row: str, says: str
) -> None:
    """No policy helps: each needs an answer, under its own id."""
    test = tmp_path / "test.csv"
    test.write_text((tweets / "test.csv").read_text("utf-8") + row, "utf-8")
    with pytest.raises(DataError, match=f"{says}.*mend it: each record of a file that is predicted"):
        drafted(tweets / "train.csv", test=test)


def test_questions_without_an_answer(samples: Path, tmp_path: Path) -> None:
    articles = json.loads((samples / "squad-dev.json").read_text("utf-8"))
    for question in articles["data"][0]["paragraphs"][0]["qas"]:
        question |= {"answers": [], "is_impossible": True}
    file = tmp_path / "train.json"
    file.write_text(json.dumps(articles), "utf-8")
    found = drafted(file, validation=samples / "squad-dev.json")
    assert found.values["predict"]["no_answer"] is True and found.values["metric"] == "squad_v2"
    assert found.values["data"]["reader"] == "squad" and "folds" not in found.values
    assert "questions have no answer" in found.reasons["predict.no_answer"]
    assert any("validation examples are training examples" in note for note in found.notes)


def test_classes_numbers_and_contexts(tiny_backbone: Path, invoke: Invoke, tmp_path: Path) -> None:
    def table(name: str, *columns: str, row: Callable[[int], tuple[Any, ...]]) -> Draft:
        with (tmp_path / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter=";").writerows([columns, *map(row, range(40))])
        return tried(drafted(tmp_path / name))

    def tried(found: Draft) -> Draft:
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(found.text(), "utf-8")
        small = ("--set", f"backbone.source={tiny_backbone}", "--set", "windows.max_length=96")
        shown = invoke("train", recipe, "--dry-run", *small)
        assert shown.exit_code == 0, shown.output
        return found

    classes = table("a.csv", "text", "label", row=lambda n: (f"the text {n} of many, is it?", "no" if n % 5 else "yes"))
    assert classes.values["head"] == "classifier" and classes.values["metric"] == "accuracy_f1"
    assert classes.values["folds"] == {"k": 5, "stratify_by": "label", "fold": 1}
    assert classes.values["writer"] == {"name": "csv", "id_column": "id", "answer_column": "label"}
    numbers = table("b.csv", "text", "target", row=lambda n: (f"the text {n} of many, is it?", n * 0.7))
    assert numbers.values["metric"] == "pearson_spearman" and "stratify_by" not in numbers.values["folds"]
    titles = ("text_id", "full_text", "cohesion", "grammar", "words")
    scores = table("e.csv", *titles, row=lambda n: (f"t{n}", f"the text {n} of many", 1 + n % 9 / 2, 5 - n % 7 / 2, 6))
    reader = {"name": "table", "separator": ";", "id": "text_id", "text_a": "full_text"}
    assert scores.values["data"]["reader"] == reader | {"label": ["cohesion", "grammar"], "label_type": "number"}
    assert scores.values["folds"]["combine"] == numbers.values["folds"]["combine"] == "mean"
    assert scores.values["head"] == {"name": "classifier"} and scores.values["metric"] == "columnwise_spearman"
    assert scores.values["writer"] == {"name": "csv", "id_column": "text_id"}
    marks = table(
        "f.csv", "id", "comment", "rude", "kind", row=lambda n: (f"t{n}", f"the text {n}", n % 2, int(n % 3 > 0))
    )
    assert marks.values["head"] == {"name": "classifier", "loss": "binary_cross_entropy"}
    assert marks.values["metric"] == "columnwise_auc"
    names = ("question", "A", "B", "C", "answer")
    texts = ("it is", "that is", "none is")
    choice = table(
        "c.csv", *names, row=lambda n: (f"which is {n}?", *(f"{each} {n}" for each in texts), "ABC"[n % 3])
    ).values
    assert choice["head"] == "multiple_choice" and choice["metric"] == "selection" and "predict" not in choice
    adl = tmp_path / "train.json"
    records = [
        {
            "id": f"q{n}",
            "question": f"where is {n}?",
            "paragraphs": [0, 1],
            "relevant": 1,
            "answer": {"text": "a place", "start": 0},
        }
        for n in range(20)
    ]
    adl.write_text(json.dumps(records))
    (tmp_path / "texts.json").write_text(json.dumps(["nothing is here", "a place is here"]))
    with pytest.raises(DataError, match=r"context\.json of this data is missing.*--contexts"):
        drafted(adl)
    several = tried(drafted(adl, contexts=tmp_path / "texts.json")).values
    assert several["data"]["reader"] == {"name": "adl", "contexts": "texts.json"}
    assert several["head"] == "paragraph_scorer" and several["preprocess"]["train"] == "every_context"


def test_answers_are_measured_where_the_recipe_places_them(tiny_backbone: Path, tmp_path: Path) -> None:
    """None of them has a place by the defaults."""
    file = tmp_path / "train.csv"
    rows = [f"i{n},Who?,the old king {n} and the old king {n} there,the old king {n}" for n in range(30)]
    file.write_text("\n".join(["id,question,context,answer", *rows]) + "\n", "utf-8")
    found = draft(Files(file), load_registry(), recipe=tmp_path / "recipe.yaml", backbone=str(tiny_backbone))
    assert found.values["data"]["problems"] == {"answer_ambiguous": "all"}
    assert found.values["predict"]["max_answer_length"] >= 4


def test_records_that_would_stop_a_training_get_a_policy(tmp_path: Path) -> None:
    file = tmp_path / "train.csv"
    rows = [(f"i{n // 2 if n < 2 else n}", f"the text {n} of many", "ab"[n % 2]) for n in range(60)]
    file.write_text("id,text,label\n" + "".join(",".join(row) + "\n" for row in rows) + "odd\n")
    found = drafted(file)
    assert found.values["data"]["problems"] == {"duplicate_id": "repair", "bad_row": "skip"}
    assert found.reasons["data.problems.bad_row"].startswith("1 records: a table row with too many or too few cells")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train.json", '{"data": [', "the JSON stops short at line 1"),
        ("train.csv", "a,b\n1.5,2\n", "none of the columns 'a', 'b' looks like"),
        ("train.json", '[{"id": "1", "context": "c", "question": "q?"}]',
         "the reader 'squad' understands the file, but no record has an answer or a label"),
        ("train.csv", "", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_line(name: str, content: str, message: str, tmp_path: Path, invoke: Invoke) -> None:
    (tmp_path / name).write_text(content)
    refused = invoke("init", tmp_path / name, "-o", tmp_path / "recipe.yaml")
    assert refused.exit_code == 2 and isinstance(refused.exception, DataError)
    assert message in str(refused.exception) and "\n" not in str(refused.exception)
    assert not (tmp_path / "recipe.yaml").exists()


CARDS = """
from qakit.api import Answer, Component, DataError, Example, NoSettings, hookimpl

class Cards:
    def read(self, path, problems):
        lines = path.read_text().splitlines()
        if not lines[0].startswith("cards"):
            raise DataError("is no card file", path=path)
        for number, line in enumerate(lines[1:]):
            question, context, text = line.split("|")
            yield Example(str(number), question, (context,), (Answer(text, context.index(text)),))

CARDS = Component(name="cards", summary="Cards", settings=NoSettings, build=lambda settings, runtime: Cards())

@hookimpl
def qakit_register_readers():
    return [CARDS]
"""


def test_a_reader_of_anybodys_is_tried(install: Callable[..., tuple[EntryPoint, ...]], tmp_path: Path) -> None:
    points = install("init_cards", init_cards=CARDS)
    file = tmp_path / "cards.txt"
    file.write_text("cards\n" + "".join(f"where is {n}?|number {n} is here|here\n" for n in range(40)))
    registry = Registry.from_entry_points([*installed_entry_points(), *points])
    found = draft(Files(file), registry, recipe=tmp_path / "recipe.yaml")
    assert found.values["data"]["reader"] == "cards"


SHARED = {
    "squad2/train.json": ("squad", "linear_span", "squad_v2"),
    "drcd/DRCD_dev.json": ("squad", "linear_span", "cmrc2018"),
    "cmrc2018/cmrc2018_trial.json": ("squad", "linear_span", "cmrc2018"),
    "hw7/hw7_dev.json": ("hw7", "linear_span", "exact_match"),
    "adl/valid.json": ("adl", "paragraph_scorer", "exact_match"),
    "glue/SST-2/dev.tsv": ("glue", "classifier", "glue"),
    "glue/STS-B/dev.tsv": ("glue", "classifier", "glue"),
    "glue/CoLA/dev.tsv": ("glue", "classifier", "glue"),
}


@pytest.mark.shared_data
@pytest.mark.parametrize("file", SHARED)
def test_real_files(file: str, shared_data: Path, tmp_path: Path) -> None:
    found = draft(Files(shared_data / file), load_registry(), recipe=tmp_path / "recipe.yaml").values
    reader, metric = found["data"]["reader"], found["metric"]
    names = [each["name"] if isinstance(each, dict) else each for each in (reader, found["head"], metric)]
    assert tuple(names) == SHARED[file]
