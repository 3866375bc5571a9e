"""Every option that writes: no file of a run is written over, and no run is begun in another one."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from command_line import Invoke

from qakit import outputs
from qakit.cli import build_app
from qakit.errors import UsageError

WRITES = {"--output", "--nbest", "--character-scores", "--curve", "--folder", "--kaggle", "--colab"}
"""Every option that names a file or folder to be written; ``--ledger`` is looked at where the ledger is opened."""
CALLBACKS = {outputs.new_path, outputs.new_folder, outputs.folder_to_fill}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def options(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Each option of each command, with the command's name."""
    for name, each in getattr(command, "commands", {}).items():
        yield from options(each, (*path, name))
    for parameter in command.params:
        for declared in parameter.opts:
            yield " ".join((*path, declared)), parameter


def test_every_option_that_writes_is_looked_at() -> None:
    found = [(name, each) for name, each in options(typer.main.get_command(build_app())) if name.split()[-1] in WRITES]
    assert len(found) >= 20
    for name, parameter in found:
        closure = inspect.getclosurevars(parameter.callback).nonlocals if parameter.callback else {}
        assert closure.get("callback") in CALLBACKS, name


@pytest.fixture
def run(small_run: Path, tmp_path: Path) -> Path:
    """A finished run."""
    return Path(shutil.copytree(small_run, tmp_path / "runs" / "one"))


def refused(done: Any) -> str:
    assert done.exit_code == 2, done.output
    assert isinstance(done.exception, UsageError)
    assert "\n" not in str(done.exception)
    return str(done.exception)


def test_every_file_of_a_finished_run_is_refused_as_an_output(run: Path, small_data: Path, invoke: Invoke) -> None:
    (run / "checkpoints" / "step-00000004").mkdir(parents=True)
    (run / "checkpoints" / "step-00000004" / "state.json").write_text("{}", "utf-8")
    before = contents(run)
    assert len(before) > 15
    for name in before:
        message = refused(invoke("predict", run, "--input", small_data / "test.json", "--output", run / name))
        assert "a part of the " in message, name
    assert contents(run) == before


@pytest.mark.parametrize(
    "command",
    [
        ("predict", "RUN", "-i", "TEST", "-o", "answers.csv", "--nbest", "RUN/predictions/nbest.jsonl"),
        ("predict", "RUN", "-i", "TEST", "-o", "answers.csv", "--character-scores", "RUN/model/model.safetensors"),
        ("predict", "RUN", "-i", "TEST", "-i", "DEV", "-o", "RUN/predictions/"),
        ("evaluate", "RUN", "--curve", "RUN/curves.png"),
        ("evaluate", "RUN", "--nbest", "RUN/metrics.jsonl"),
        ("ensemble", "RUN", "RUN", "-o", "RUN/metrics.json"),
        ("ensemble", "RUN", "RUN", "--folder", "RUN/both"),
        ("export", "RUN", "--merge", "-o", "RUN/model/merged"),
        ("export", "RUN", "--adapter-only", "-o", "RUN/adapter"),
        ("export", "RUN", "--offline", "-o", "RUN/offline"),
        ("export", "RUN", "--onnx", "-o", "RUN/graph"),
        ("export", "RUN", "--kaggle", "RUN/kaggle", "--user", "me"),
        ("pretrain", "RECIPE", "-o", "RUN/backbone"),
        ("train", "RECIPE", "-o", "RUN/more"),
        ("ladder", "RECIPE", "-o", "RUN"),
        ("ladder", "RECIPE", "-o", "RUN/ladder"),
        ("compare", "RUN", "RUN", "-o", "RUN/predictions/compared"),
        ("tune-postprocess", "RUN", "-o", "RUN/recipe.yaml"),
        ("recipes", "reference", "-o", "RUN/metrics.jsonl"),
        ("recipes", "schema", "-o", "RUN/model/qakit.json"),
        ("study", "reference", "-o", "RUN/meta.json"),
        ("study", "report", "STUDY", "-o", "RUN/model"),
        ("init", "TEST", "--overwrite", "-o", "RUN/recipe.yaml"),
        ("data", "convert", "TEST", "--reader", "squad", "--to", "jsonl", "-o", "RUN"),
        ("data", "convert", "TEST", "--reader", "squad", "--to", "jsonl", "-o", "RUN/converted"),
        ("kaggle", "submissions", "--ledger", "RUN"),
    ],
    ids=lambda command: " ".join(command[:1] + command[-2:]),
)
def test_no_command_writes_into_a_run(
    command: tuple[str, ...], run: Path, small_data: Path, small_recipe: Path, tmp_path: Path, invoke: Invoke
) -> None:
    places = {"RUN": run, "TEST": small_data / "test.json", "DEV": small_data / "dev.json", "RECIPE": small_recipe}
    places |= {"answers.csv": tmp_path / "answers.csv", "STUDY": tmp_path}
    given = []
    for part in command:
        head, slash, rest = part.partition("/")
        given.append(f"{places[head]}{slash}{rest}" if head in places else part)
    before = contents(run)
    message = refused(invoke(*given))
    assert any(words in message for words in ("a part of the ", "lies in the run", "holds a run")), message
    assert contents(run) == before
    assert not (tmp_path / "answers.csv").exists()


def test_a_users_own_name_in_a_run_is_taken_again_and_again(run: Path, small_data: Path, invoke: Invoke) -> None:
    for _ in range(2):
        done = invoke("predict", run, "--input", small_data / "test.json", "--output", run / "mine.csv")
        assert done.exit_code == 0, done.output
    assert (run / "mine.csv").read_bytes() == (run / "predictions" / "submission.csv").read_bytes()


@pytest.mark.parametrize("name", ["train", "dev", "test"])
def test_the_files_that_the_recipe_names_are_no_outputs(
    name: str, small_run: Path, small_data: Path, tmp_path: Path, invoke: Invoke
) -> None:
    data = Path(shutil.copytree(small_data, tmp_path / "data"))
    run = Path(shutil.copytree(small_run, tmp_path / "run"))
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text("utf-8").replace(str(small_data), str(data)), "utf-8")
    before = contents(data)
    shutil.copyfile(data / "test.json", tmp_path / "input.json")
    done = invoke("predict", run, "--input", tmp_path / "input.json", "--output", data / f"{name}.json")
    assert "is the recipe's data." in refused(done)
    done = invoke("evaluate", run, "--nbest", data / f"{name}.json")
    assert ("is the recipe's data." in refused(done)) or name == "dev"
    assert contents(data) == before


def test_python_refuses_the_same(run: Path, small_data: Path) -> None:
    import qakit

    before = contents(run)
    with pytest.raises(UsageError, match="a part of the run"):
        qakit.predict(run, small_data / "test.json", output=run / "metrics.json")
    with pytest.raises(UsageError, match="lies in the run"):
        qakit.train("quickstart", run / "more")
    with pytest.raises(UsageError, match="lies in the run"):
        qakit.ensemble([run, run], folder=run / "both")
    assert contents(run) == before


def test_reports_take_the_place_of_reports_alone(
    run: Path, small_recipe: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their names are the command's, so what else is called like that was not meant."""
    monkeypatch.chdir(tmp_path)
    other = shutil.copytree(run, tmp_path / "runs" / "two")
    commands = {
        ("view", run, other): tmp_path / "view.html",
        ("compare", run, other, "--output", tmp_path / "report"): tmp_path / "report" / "compare.md",
    }
    for command, report in commands.items():
        for _ in range(2):
            assert invoke(*command).exit_code == 0
            assert report.is_file()
    commands |= {
        ("ladder", small_recipe, small_recipe, "--output", tmp_path / "steps"): tmp_path / "steps" / "ladder.html"
    }
    for command, report in commands.items():
        report.parent.mkdir(exist_ok=True)
        report.write_text("my own notes", "utf-8")
        before = contents(report.parent)
        assert f"{report.name} is there already, and no report of qakit's" in refused(invoke(*command))
        assert contents(report.parent) == before
    assert invoke("view", run, other, "--output", "view.html").exit_code == 0  # as it was named
