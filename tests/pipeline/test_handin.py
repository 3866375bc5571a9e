"""``qakit handin``: folders whose predictor answers as ``qakit predict`` does."""

from __future__ import annotations

import csv
import gzip
import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import Invoke
from PIL import Image
from tiny_handins import ADL, HEADS, MEMBERS, MULTI_SPAN, YES_NO, Train, run_script
from typer.testing import Result

from qakit import handin
from qakit.data.read import read_examples
from qakit.data.splits import build_reader
from qakit.errors import DataError
from qakit.handin.settings import describe, reader_settings
from qakit.handin.write import readable_by_all
from qakit.recipe.model import PluginRef
from qakit.registry import load_registry
from qakit.runs import open_run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_python")]


def check_answers_alike(result: Result) -> None:
    """The folder is there, and `predict.py` answers as `qakit predict`."""
    assert " questions are those of qakit predict" in " ".join(result.output.split()), result.output


def check_only_the_curve_is_short(result: Result) -> None:
    """Of what courses ask for nothing is missed but evaluations: these runs have one."""
    missed = [line for line in result.output.splitlines() if "not kept" in line]
    assert len(missed) == 1 and "curves of 5 points" in missed[0], result.output
    assert result.exit_code == 1


@pytest.mark.usefixtures("drawn_pictures")
def test_the_folder_holds_what_courses_ask_for(handed_in: Path, tmp_path: Path) -> None:
    assert {path.name for path in handed_in.iterdir()} == {
        "run.sh", "download.sh", "README.md", "report.md", "SHA256SUMS", "predict.py", "settings.json", "model",
        "train", "figures",
    }  # fmt: skip
    assert {path.name for path in (handed_in / "train").iterdir()} > {"train.sh", "training.yaml", "requirements.txt"}
    assert (handed_in / "figures" / "training.png").read_bytes().startswith(b"\x89PNG")
    shutil.copytree(handed_in / "figures", tmp_path / "drawn")
    runpy.run_path(str(tmp_path / "drawn" / "plot.py"), run_name="__main__")
    with Image.open(tmp_path / "drawn" / "training.png") as picture:
        assert picture.size == (1100, 440)
        assert len(picture.convert("RGB").getcolors(2**20) or ()) > 10
    curves = json.loads((handed_in / "figures" / "curves.json").read_text("utf-8"))["training"]
    assert len(curves["figures"]["exact_match"]) == len(curves["validation"]) >= 5


def test_the_script_answers_another_file(handed_in: Path, linear_run: Path, questions: Path, tmp_path: Path) -> None:
    done = run_script(handed_in, questions / "test.json", tmp_path / "answers.csv")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "answers.csv").read_bytes() == (linear_run / "predictions" / "submission.csv").read_bytes()


def test_the_script_wants_its_arguments(handed_in: Path) -> None:
    done = run_script(handed_in, "test.json")
    assert (done.returncode, done.stderr) == (2, "usage: run.sh TEST OUTPUT\n")


def test_what_is_downloaded_is_compared(handed_in: Path, tmp_path: Path) -> None:
    command = ["bash", str(handed_in / "download.sh")]
    assert subprocess.run(command, check=False).returncode == 0
    weights = handed_in / "model" / "model.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-1] + b"\0")
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
    weights.write_bytes(kept)


def test_the_report_has_what_was_measured(handed_in: Path, linear_run: Path) -> None:
    report = (handed_in / "report.md").read_text("utf-8")
    assert "| train: questions | 32 |" in report
    assert "| train: ceiling of exact match | 100.00% (32 of 32 questions) |" in report
    assert "| `train.learning_rate` | 0.002 |" in report
    figure = json.loads((linear_run / "metrics.json").read_text("utf-8"))["validation"]["f1"]
    assert f"{figure:.6g}" in report.partition("## Results")[2]
    assert report.count("Yours to write") == 5


def test_the_recipe_trains_on_files_beside_it(handed_in: Path) -> None:
    recipe = (handed_in / "train" / "training.yaml").read_text("utf-8").splitlines()
    backbone = next(line.split("data/")[1] for line in recipe if line.startswith("  source: data/"))
    assert (
        recipe[0] == f"# To be put beside this recipe: data/train.json, data/dev.json, data/test.json, data/{backbone}"
    )
    assert "  train: data/train.json" in recipe


def test_nothing_tells_of_the_machine_that_wrote_it(handed_in: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    here = str(tmp_path_factory.getbasetemp())
    texts = [file for file in handed_in.rglob("*") if file.suffix in {".yaml", ".json", ".md", ".sh", ".py", ".txt"}]
    assert len(texts) >= 11
    assert not [file for file in texts if here in file.read_text("utf-8")]


@pytest.mark.sweep(3)
@pytest.mark.parametrize("name", HEADS)
def test_every_head_answers_alike(name: str, train_tiny: Any, invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("handin", train_tiny(name, *HEADS[name]), "--output", tmp_path / "folder")
    check_answers_alike(result)
    check_only_the_curve_is_short(result)


def test_classes_and_numbers_answer_alike(train_tiny: Any, glue_recipe: Any, invoke: Invoke, tmp_path: Path) -> None:
    for task in ("SST-2", "STS-B"):
        run = train_tiny(task, text=glue_recipe(task))
        result = invoke("handin", run, "--output", tmp_path / task)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize("form", ["hw7", "csv", "tsv", "json"])
def test_every_format_is_read_alike(
    form: str, linear_run: Path, questions: Path, invoke: Invoke, tmp_path: Path
) -> None:
    """The same weights, and the same questions in another form."""
    run, file = tmp_path / "run", tmp_path / f"dev.{form if form != 'hw7' else 'json'}"
    shutil.copytree(linear_run, run)
    asked = [
        (item["id"], item["question"], paragraph["context"])
        for article in json.loads((questions / "dev.json").read_text("utf-8"))["data"]
        for paragraph in article["paragraphs"]
        for item in paragraph["qas"]
    ]
    if form == "hw7":
        listed = [{"id": n, "paragraph_id": n, "question_text": text} for n, (_, text, _) in enumerate(asked)]
        held: Any = {"questions": listed, "paragraphs": [context for *_, context in asked]}
        file.write_text(json.dumps(held), "utf-8")
    elif form == "json":
        file.write_text(json.dumps([dict(zip(("id", "q", "c"), row, strict=True)) for row in asked]), "utf-8")
    else:
        rows = [("id", "q", "c"), *((name, q, " ".join(c.split())) for name, q, c in asked)]
        with file.open("w", encoding="utf-8", newline="") as opened:
            if form == "csv":
                csv.writer(opened).writerows(rows)
            else:
                opened.writelines("\t".join(row) + "\n" for row in rows)
    recipe = yaml.safe_load((run / "recipe.yaml").read_text("utf-8"))
    reader = {"name": "table", "id": "id", "question": "q", "context": "c"}
    recipe["data"] |= {"reader": {"name": "hw7"} if form == "hw7" else reader, "validation": str(file)}
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), "utf-8")
    course = "ml-hw7" if form == "hw7" else "plain"
    result = invoke("handin", run, "--course", course, "--output", tmp_path / "folder")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("name", "content", "ids"),
    [
        ("a.csv", "id,q,c\r\n13.0,Who?,By Ann.\r\n2.0,Who?,By Bob.\r\n", ["13", "2"]),
        ("a.csv", "id,q,c\n13.0,Who?,By Ann.\n2.1,Who?,By Bob.\n", ["13.0", "2.1"]),
        ("a.csv", f"id,q,c\n1,Who?,{'long ' * 40_000}\n", ["1"]),
        ("a.tsv", "id\tq\tc\n1\tWho?\tBy\rAnn.\n", ["1"]),
        ("a.json", '[{"id": "1\\ud83d", "q": "Who?", "c": "\\ud83d"}]', ["1\ufffd"]),
        ("a.csv", 'id,q,c\n1,Who?,"By Ann.\n2,Who?,By Bob.\n', "unexpected end of data"),
        ("a.csv", "id,q,c\n1,Who?,By Ann.\n2,Who?\n", "row 2 has 2 cells, not 3: id, q, c"),
        ("a.csv", "", "is empty"),
        (
            "a.json",
            '[{"id": 1, "q": "Who?", "c": "By Ann."}, {"id": 2, "q": "Who?"}]',
            "record 2 is not as table files",
        ),
        ("a.json", '[{"id": 1, "q": 3, "c": "By Ann."}]', "record 1 is not as table files have it"),
        ("a.json", '[{"id": 1, "q"', "is no JSON: "),
        ("a.csv", "number,q,c\n1,Who?,By Ann.\n", "has no column 'id', the ids"),
        ("a.csv", "id,q,c\n1,Who?,By Ann.\n1,Who?,By Bob.\n", "2 questions have 1 different ids"),
        ("a.json", '[{"id": null, "q": "Who?", "c": "By Ann."}]', "an id should be text or a whole number, not None"),
    ],
)
def test_other_files_than_the_compared_one_are_read_alike(
    name: str, content: str, ids: list[str] | str, linear_run: Path, tmp_path: Path
) -> None:
    """Ids as the reader of tables has them; what that refuses ends the predictor, too."""
    registry, file = load_registry(), tmp_path / name
    file.write_bytes(content.encode())
    reader = {"name": "table", "id": "id", "question": "q", "context": "c"}
    recipe = open_run(linear_run).recipe()
    recipe = recipe.model_copy(
        update={"data": recipe.data.model_copy(update={"reader": PluginRef.model_validate(reader)})}
    )
    settings = reader_settings(open_run(linear_run), recipe, registry)
    done = _reading(settings, file)
    built = build_reader(recipe, registry)
    if isinstance(ids, str):
        assert done.returncode == 2
        assert ids in done.stderr
        assert done.stderr.count("\n") == 1
        with pytest.raises(DataError):
            read_examples(built, file, predicted_only=True)
    else:
        assert done.stdout.strip() == ascii(ids), done.stderr
        assert [example.id for example in read_examples(built, file, predicted_only=True).examples] == ids


@pytest.mark.parametrize(
    ("reader", "name", "content", "told"),
    [
        ("table", "a.csv", gzip.compress(b"id,q,c\n", mtime=0), "is compressed: unpack it first (gunzip)"),
        ("table", "a.csv", b"sep=;\nid;q;c\n", "begins with a line for Excel, sep=;: take it out"),
        ("table", "a.csv", b"id,q,c\n1,Who?,By \xff.\n", "is no text in UTF-8"),
        ("table", "none.csv", None, "cannot be read: No such file"),
        (
            "hw7",
            "a.json",
            b'{"questions": [{"id": 1, "question_text": "Who?", "paragraph_id": -1}], "paragraphs": ["By Ann."]}',
            "record 1 is not as hw7 files have it: there is no paragraph -1 among 1",
        ),
        ("hw7", "a.json", b"[]", "record 1 is not as hw7 files have it"),
        ("adl", "a.json", b'[{"id": "1", "question": "Who?", "paragraphs": [-2]}]', "no paragraph -2 among 1"),
        ("squad", "a.json", b'{"data": [{"paragraphs": [{"qas": [{"id": "1"}]}]}]}', "'context' is missing"),
    ],
)
def test_a_file_that_is_none_is_told_in_a_line(
    reader: str, name: str, content: bytes | None, told: str, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"format": reader}
    if reader == "table":
        settings |= {"texts": ["q", "c"], "ids": ["id"], "form": "auto", "separator": None, "quotes": None}
        settings |= {"headless": None, "glue": False}
    if content is not None:
        (tmp_path / name).write_bytes(content)
    (tmp_path / "context.json").write_text('["By Ann."]', "utf-8")
    done = _reading(settings, tmp_path / name)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def _reading(settings: dict[str, Any], file: Path) -> subprocess.CompletedProcess[str]:
    """The predictor's own reading of a file, in a process of its own; it prints the ids."""
    program = "import json, sys; from pathlib import Path; from predict import read_questions as read; "
    program += "print(ascii([q.id for q in read(json.loads(sys.argv[1]), Path(sys.argv[2]), None)]))"
    return subprocess.run(
        [sys.executable, "-c", program, json.dumps(settings), str(file)],
        env={**os.environ, "PYTHONPATH": str(Path(handin.__file__).parent)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.exhaustive
def test_several_contexts_are_read_together_alike(
    adl_data: Path, tiny_backbone: Path, train_tiny: Any, invoke: Invoke, tmp_path: Path
) -> None:
    text = ADL.format(data=adl_data, backbone=tiny_backbone)
    result = invoke("handin", train_tiny("together", text=text), "--course", "adl2025", "--output", tmp_path / "folder")
    assert result.exit_code == 0, result.output


def test_two_stages_answer_alike(trained_pipeline: Path, invoke: Invoke, adl_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    result = invoke("handin", trained_pipeline, "--course", "adl2025", "--output", folder, "--json")
    assert result.exit_code == 1, result.output  # two evaluations are no curve
    told = json.loads(result.stdout)
    assert [rule["rule"] for rule in told["rules"] if not rule["kept"]] == ["curves of 5 points"]
    done = run_script(folder, adl_data / "context.json", adl_data / "test.json", tmp_path / "answers.csv")
    assert done.returncode == 0, done.stderr
    made = trained_pipeline / "predictions" / "submission.csv"
    assert (tmp_path / "answers.csv").read_bytes() == made.read_bytes()


def test_a_selection_stage_answers_alike(trained_pipeline: Path, invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("handin", trained_pipeline / "selection", "--output", tmp_path / "folder")
    check_answers_alike(result)


@pytest.mark.sweep(4)
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("voting", []),
        ("nbest", []),
        ("char_average", ["--learn-weights"]),
        ("char_average", ["--weights", "2,0,1", "--method-set", "mean=log", "--method-set", "max_answer_length=40"]),
    ],
)
def test_an_ensemble_answers_alike(
    method: str, options: list[str], train_tiny: Train, invoke: Invoke, tmp_path: Path
) -> None:
    members = [train_tiny(name, *HEADS[name]) for name in MEMBERS]
    made = invoke("ensemble", *members, "--method", method, *options, "--folder", tmp_path / "both", "--quiet")
    assert made.exit_code == 0, made.output
    result = invoke("handin", tmp_path / "both", "--output", tmp_path / "folder")
    check_answers_alike(result)
    check_only_the_curve_is_short(result)


@pytest.mark.parametrize("task", ["SST-2", "STS-B"])
def test_a_mean_answers_alike(task: str, train_tiny: Train, glue_recipe: Any, invoke: Invoke, tmp_path: Path) -> None:
    """Of classes, and of numbers."""
    text = glue_recipe(task)
    members = [train_tiny(task, text=text), train_tiny(f"{task}-other", "seed=5", text=text)]
    made = invoke("ensemble", *members, "--method", "mean", "--folder", tmp_path / "both", "--quiet")
    assert made.exit_code == 0, made.output
    result = invoke("handin", tmp_path / "both", "--output", tmp_path / "folder")
    assert result.exit_code == 0, result.output


def test_a_mean_of_contexts_answers_alike(trained_pipeline: Path, invoke: Invoke, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(trained_pipeline / "selection", tmp_path / name)
    members = [tmp_path / "one", tmp_path / "two"]
    made = invoke("ensemble", *members, "--method", "mean", "--folder", tmp_path / "both", "--quiet")
    assert made.exit_code == 0, made.output
    check_answers_alike(invoke("handin", tmp_path / "both", "--output", tmp_path / "folder"))


@pytest.mark.sweep(3)
@pytest.mark.parametrize("head", ["linear_span", "joint_span", "crf"])
def test_yes_and_no_are_answered_alike(
    head: str, questions: Path, tiny_backbone: Path, train_tiny: Train, invoke: Invoke, tmp_path: Path
) -> None:
    """A third of the questions has each answer, yes, no, and a span."""
    rows = []
    for n, (paragraph, item) in enumerate(_asked(questions / "train.json")):
        question, answer = (("yes yes yes", "yes"), ("no no no", "no"), (item["question"], item["answers"][0]["text"]))[
            n % 3
        ]
        context = paragraph["context"] if n % 3 == 2 else paragraph["context"][:200]
        rows.append({"id": str(n), "q": question, "c": context, "a": answer})
    (questions / "said.json").write_text(json.dumps(rows), "utf-8")
    text = YES_NO.format(data=questions, backbone=tiny_backbone)
    more = ", interaction: 2" if head == "joint_span" else ""
    run = train_tiny(f"said-{head}", f"head={{name: {head}, yes_no_weight: 1.0{more}}}", text=text)
    check_answers_alike(invoke("handin", run, "--output", tmp_path / "folder"))
    assert run_script(tmp_path / "folder", questions / "said.json", tmp_path / "answers.csv").returncode == 0
    with (tmp_path / "answers.csv").open(encoding="utf-8") as file:
        assert {"yes", "no"} & {row["answer"] for row in csv.DictReader(file)}


@pytest.mark.exhaustive
def test_several_answers_are_given_alike(
    questions: Path, tiny_backbone: Path, train_tiny: Train, invoke: Invoke, tmp_path: Path
) -> None:
    """The answers are all words with a capital letter."""
    rows = []
    for n, (paragraph, item) in enumerate(_asked(questions / "train.json")):
        words = paragraph["context"].split()[: 40 + 10 * (n % 7)]
        tags = ["B" if word[0].isupper() else "O" for word in words]
        rows.append({"id": str(n), "question": item["question"].split(), "context": words, "label": tags})
    (questions / "tagged.json").write_text(json.dumps({"data": rows}), "utf-8")
    run = train_tiny("several", text=MULTI_SPAN.format(data=questions, backbone=tiny_backbone))
    check_answers_alike(invoke("handin", run, "--output", tmp_path / "folder"))
    given = tmp_path / "answers.json"
    assert run_script(tmp_path / "folder", questions / "tagged.json", given).returncode == 0
    assert max(map(len, json.loads(given.read_text("utf-8")).values())) > 1


def _asked(file: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Paragraphs with their questions, one by one."""
    articles = json.loads(file.read_text("utf-8"))["data"]
    return [(part, item) for article in articles for part in article["paragraphs"] for item in part["qas"]]


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        (["postprocess=[trim_to_tokens]"], "has no postprocess: trim_to_tokens (it has special_chars, length_prior)"),
    ],
)
def test_what_the_predictor_lacks_is_refused(
    settings: list[str], missing: str, train_tiny: Any, invoke: Invoke, tmp_path: Path
) -> None:
    run = train_tiny(f"odd-{settings[0][:4]}", *settings)
    result = invoke("handin", run, "--output", tmp_path / "folder")
    assert result.exit_code == 2
    assert missing in str(result.exception)
    assert "qakit export" in str(result.exception)
    assert not (tmp_path / "folder").exists()


def test_other_answers_are_not_handed_in(
    linear_run: Path, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shorter(*arguments: Any) -> Any:
        found = describe(*arguments)
        found.answers["max_answer_length"] = 1
        return found

    monkeypatch.setattr("qakit.handin.write.describe", shorter)
    result = invoke("handin", linear_run, "--output", tmp_path / "folder")
    assert result.exit_code == 2
    assert "otherwise than `qakit predict" in str(result.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("title: x\ncurve_point: 3\n", "curve_point: Extra inputs are not permitted"),
        ("title: [\n", "no YAML"),
        ("title: x\narguments: [TEST]\n", "the script needs TEST and OUTPUT"),
    ],
)
def test_a_course_that_is_none_is_refused(
    text: str, told: str, linear_run: Path, invoke: Invoke, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(text, "utf-8")
    result = invoke("handin", linear_run, "--course", tmp_path / "mine.yaml", "--output", tmp_path / "folder")
    assert result.exit_code == 2
    assert told in str(result.exception)


def test_a_course_for_other_files_is_refused(linear_run: Path, invoke: Invoke, tmp_path: Path) -> None:
    for course, told in (("adl2025", "the files of NTU Applied Deep Learning 2025"), ("adl", "adl2025, ml-hw7, plain")):
        result = invoke("handin", linear_run, "--course", course, "--output", tmp_path / "folder")
        assert result.exit_code == 2
        assert told in str(result.exception)


def test_merges_are_written_as_older_releases_read_them() -> None:
    """As ``a b``, unless a part holds a blank."""
    from tokenizers import Tokenizer, models

    vocabulary = {"a": 0, "b": 1, "ab": 2, " ": 3, "a ": 4}
    for merges, written in (([("a", "b")], ["a b"]), ([("a", "b"), ("a", " ")], [["a", "b"], ["a", " "]])):
        state = json.loads(Tokenizer(models.BPE(vocabulary, merges)).to_str())
        found = readable_by_all(state)
        assert found["model"]["merges"] == written
        assert Tokenizer.from_str(json.dumps(found)).encode("ab").ids == [2]
