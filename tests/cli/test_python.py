"""The Python API: what a notebook does, and that the commands do the same."""

from __future__ import annotations

import json
import re
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import Invoke

import qakit
from qakit.errors import QakitError, RecipeError, RunError, UsageError
from qakit.recipe.load import load_recipe
from qakit.training.events import CheckpointWritten, Evaluated, Event, Notice, Predicting, RunBegun, Started, StepDone
from qakit.training.interrupts import InterruptedTrainingError, StopRequest, stopping
from qakit.training.launch import accelerator_for
from qakit.workflows.given import texts

pytestmark = pytest.mark.slow
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "python.md"


@pytest.fixture(scope="module")
def notebook(small_recipe: Path, small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the document's cells leave, run from top to bottom beside the files that they name."""
    folder = tmp_path_factory.mktemp("notebook")
    shutil.copy(small_recipe, folder)
    for name in ("dev.json", "test.json"):
        shutil.copy(small_data / name, folder)
    names: dict[str, Any] = {"folder": folder}
    cells = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    assert len(cells) == 7
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for cell in cells:
            exec(cell, names)
    return names


def test_the_document_runs_from_top_to_bottom(notebook: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    run, answers, folder = notebook["run"], notebook["answers"], notebook["folder"]
    monkeypatch.chdir(folder)
    assert run.metrics == json.loads((folder / "runs" / "first" / "metrics.json").read_text())
    assert run.metrics["evaluations"][-1]["epoch"] == 2
    assert [each.id for each in run.predictions()] == [each.id for each in notebook["result"].predictions]
    assert notebook["result"].figures == pytest.approx(run.figures)
    assert [each.answer for each in answers.predictions] == [each.answer for each in run.predictions("test")]
    assert (folder / "answers.csv").read_bytes() == (folder / run.submission).read_bytes()
    assert notebook["comparison"].questions == 12
    assert notebook["both"].predictions[0].id == answers.predictions[0].id
    assert "HasAns_f1" in notebook["longer"].figures
    assert notebook["whole"].figures == pytest.approx(notebook["both"].figures)
    assert len(notebook["reply"].candidates) == 3
    assert [step for step, _ in notebook["losses"]] == [1, 2, 4, 6]
    assert "train.epochs" in notebook["message"]


def test_the_command_and_the_function_give_the_same(small_run: Path, small_data: Path, invoke: Invoke) -> None:
    told = json.loads(invoke("evaluate", small_run, "--input", small_data / "dev.json", "--json").stdout)
    counts: list[Event] = []
    result = qakit.evaluate(small_run, small_data / "dev.json", on_event=counts.append)
    assert result.report.as_json() == told
    assert counts[-1] == Predicting(counts[-1].total, counts[-1].total)  # type: ignore[union-attr]


def test_trainings_of_one_process_may_differ_in_precision(small_recipe: Path) -> None:
    for precision in ("fp32", "bf16", "fp32"):
        recipe = load_recipe(small_recipe, [f"train.precision={precision}"]).recipe
        assert accelerator_for(recipe).mixed_precision == precision.replace("fp32", "no")


def test_train_says_how_many_validation_questions_it_trains_on(
    small_recipe: Path, small_data: Path, invoke: Invoke, tmp_path: Path
) -> None:
    both = tmp_path / "both.json"
    articles = [json.loads((small_data / name).read_text("utf-8"))["data"] for name in ("train.json", "dev.json")]
    both.write_text(json.dumps({"data": articles[0] + articles[1]}), "utf-8")
    said = "12 of 12 validation questions are among the training questions, too"
    leaking = invoke("train", small_recipe, "--dry-run", "--json", "--set", f"data.train={both}")
    assert said in leaking.stderr
    assert "warning" not in invoke("train", small_recipe, "--dry-run", "--json").stderr


def test_train_says_which_weights_stay_random(small_recipe: Path, invoke: Invoke) -> None:
    scratch = ("train", small_recipe, "--dry-run", "--json", "--set", "backbone.init=scratch")
    frozen = invoke(*scratch, "--set", "adapter=bitfit").stderr
    assert "the adapter 'bitfit' does not train 9" in frozen and "these stay random: set adapter: full" in frozen
    assert "warning" not in invoke(*scratch).stderr


def test_a_callback_stops_a_training_in_another_thread_which_is_gone_on_with(
    small_recipe: Path, small_run: Path, tmp_path: Path
) -> None:
    before, heard, raised = signal.getsignal(signal.SIGINT), list[Event](), list[BaseException]()

    def stop(event: Event) -> None:
        heard.append(event)
        assert signal.getsignal(signal.SIGINT) is before
        if isinstance(event, StepDone) and event.step == 3:
            raise KeyboardInterrupt

    def work() -> None:
        try:
            qakit.train(small_recipe, tmp_path / "run", on_event=stop)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    (error,) = raised
    assert isinstance(error, InterruptedTrainingError)
    assert any("resume=True" in note for note in error.__notes__)
    assert heard[-1] == CheckpointWritten(3, tmp_path / "run" / "checkpoints" / "step-00000003")
    again = list[Event]()
    result = qakit.train(output=tmp_path / "run", resume=True, on_event=again.append)
    assert again[0] == RunBegun(tmp_path / "run")
    assert next(event.first_step for event in again if isinstance(event, Started)) == 3
    model = Path("model", "model.safetensors")
    assert (result.folder / model).read_bytes() == (small_run / model).read_bytes()


@pytest.mark.parametrize(("moment", "step"), [(Started, 1), (CheckpointWritten, None), (Evaluated, None)])
def test_a_callback_stops_a_training_whatever_it_hears(
    moment: type[Event], step: int | None, small_recipe: Path, tmp_path: Path
) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, moment):
            raise KeyboardInterrupt

    with pytest.raises(InterruptedTrainingError) as caught:
        qakit.train(small_recipe, tmp_path / "run", on_event=stop)
    assert any("a checkpoint is written" in note for note in caught.value.__notes__)
    assert any((tmp_path / "run" / "checkpoints").glob(f"step-*{'' if step is None else step}"))


def test_where_there_is_no_step_to_finish_a_callback_interrupts_as_it_is(small_recipe: Path, tmp_path: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, RunBegun):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        qakit.train(small_recipe, tmp_path / "run", on_event=stop)
    (note,) = caught.value.__notes__
    assert note == f"continue with qakit.train(output={str(tmp_path / 'run')!r}, resume=True)"
    assert qakit.train(output=tmp_path / "run", resume=True).figures


def test_a_second_interruption_ends_at_once() -> None:
    def interrupted(event: Event) -> None:
        raise KeyboardInterrupt

    request = StopRequest()
    hear = stopping(interrupted, request)
    hear(StepDone(1, 0.1, 8))
    assert request.signal == signal.SIGINT
    with pytest.raises(KeyboardInterrupt):
        hear(StepDone(2, 0.2, 8))


def test_what_is_wrong_is_an_exception(small_recipe: Path, small_run: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"train\.epochs"):
        qakit.train(small_recipe, set={"train.epochs": "many"})
    with pytest.raises(UsageError, match="is no value of a recipe"):
        qakit.train(small_recipe, set={"train.epochs": object()})
    with pytest.raises(UsageError, match=r"set: train\.learning_rate: nan is not allowed: numbers must be finite"):
        qakit.train(small_recipe, set={"train.learning_rate": float("nan")})
    with pytest.raises(RunError, match="not empty"):
        qakit.train(small_recipe, small_run)
    with pytest.raises(UsageError, match="at least two runs"):
        qakit.compare([small_run])
    with pytest.raises(UsageError, match="at least two members"):
        qakit.ensemble([small_run])
    with pytest.raises(QakitError):
        qakit.predict(small_run, tmp_path / "missing.json")


def test_numbers_of_numpy_and_torch_are_numbers() -> None:
    given = {"a": np.int64(3), "b": [np.float32(0.5), np.bool_(True)], "c": np.arange(2), "d": torch.tensor(1.5)}
    assert texts(given | {"e": Path("f")}) == ["a=3", "b=[0.5, true]", "c=[0, 1]", "d=1.5", 'e="f"']


def test_one_figure_may_be_a_text(small_run: Path, tmp_path: Path) -> None:
    other = shutil.copytree(small_run, tmp_path / "other")
    assert qakit.compare([small_run, other], figures="f1").keys == ("f1",)


def test_warnings_are_logged_unless_somebody_listens(
    small_recipe: Path, small_data: Path, small_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    document = json.loads((small_data / "dev.json").read_text("utf-8"))
    question = document["data"][0]["paragraphs"][0]["qas"][0]
    question["answers"][0]["answer_start"] += 1
    moved = tmp_path / "moved.json"
    moved.write_text(json.dumps(document), "utf-8")
    heard: list[Event] = []
    with caplog.at_level("WARNING", "qakit"):
        qakit.evaluate(small_run, moved)
        told = caplog.messages.copy()
        caplog.clear()
        qakit.evaluate(small_run, moved, on_event=heard.append)
    assert told
    assert told == [event.message for event in heard if isinstance(event, Notice)]
    assert not caplog.messages


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: qakit.train(5), "5 is no file or folder"),  # type: ignore[arg-type]
        (lambda: qakit.train("x.yaml", set=["train.epochs=1"]), "is no mapping"),  # type: ignore[arg-type]
        (lambda: qakit.load(None), "None is no file or folder"),  # type: ignore[arg-type]
        (lambda: qakit.load(""), "'' is no file or folder"),
        (lambda: qakit.evaluate({}, "dev.json"), "{} is no file or folder"),  # type: ignore[arg-type]
        (lambda: qakit.compare("runs/a"), "'runs/a' is no list of runs"),
    ],
)
def test_what_is_no_path_is_one_line(call: Any, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        call()


def test_trainings_in_several_threads_are_each_what_they_would_be_alone(
    small_recipe: Path, small_run: Path, tmp_path: Path
) -> None:
    """A process has one generator for dropout and fresh weights: they take turns."""

    def work(name: str) -> None:
        qakit.train(small_recipe, tmp_path / name, on_event=lambda _: None)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in "abc":
        for file in ("metrics.jsonl", "model/model.safetensors"):
            assert (tmp_path / name / file).read_bytes() == (small_run / file).read_bytes()


def test_a_program_may_go_to_another_folder(
    small_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it trains, and afterwards: a run stays where it was to be, and so does what stands for it."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    run = qakit.train(small_recipe, "runs/one", on_event=lambda _: monkeypatch.chdir(there))
    assert not any(there.iterdir())
    assert run.folder == here / "runs" / "one"
    assert run.submission is not None and run.submission.is_file()
    assert len(run.predictions()) == 12
    monkeypatch.chdir(here)
    other = qakit.train(small_recipe, set={"seed": 1}, on_event=lambda _: None)
    both = qakit.ensemble([run, other], folder="runs/both", on_event=lambda _: None)
    monkeypatch.chdir(there)
    assert other.folder.parent == here / "runs"
    assert both.folder == here / "runs" / "both"
    assert qakit.compare([run, other]).questions == 12


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda run: qakit.predict(run, split="dev"), "no split 'dev'"),  # type: ignore[arg-type]
        (lambda run: qakit.predict(run, ["a.json"]), "is no file or folder"),  # type: ignore[arg-type]
        (lambda run: qakit.train(run / "recipe.yaml", max_hours="1"), "give hours above 0"),  # type: ignore[arg-type]
        (lambda run: qakit.train(run / "recipe.yaml", devices=1.5), "devices: 1.5 is neither"),  # type: ignore[arg-type]
        (lambda run: qakit.compare([run, run], resamples=-1), "resamples: -1 is no whole number from 100 up"),
        (lambda run: qakit.compare([run, run], seed="0"), "seed: '0' is no whole number"),  # type: ignore[arg-type]
        (lambda run: qakit.ensemble([run, run], weights="learned"), "weights: 'learned' is neither"),  # type: ignore[arg-type]
        (lambda run: qakit.ensemble([run, run], weights=[1, "a"]), "is neither 'learn' nor a number"),  # type: ignore[list-item]
        (lambda run: qakit.ensemble([run, run], weights=1), "is neither 'learn' nor a number"),  # type: ignore[arg-type]
        (lambda run: qakit.ensemble([run, run], settings=[1]), r"settings: \[1\] is no mapping"),  # type: ignore[arg-type]
        (lambda run: qakit.load(str(run / "recipe.yaml")), "there is no run .*recipe.yaml"),
        (lambda run: qakit.ensemble(run / "whole.yaml", weights="learn"), "what .*whole.yaml says: change it there"),
    ],
)
def test_values_of_wrong_types_or_without_use_are_named(
    small_run: Path, call: Callable[[Path], Any], says: str
) -> None:
    with pytest.raises(QakitError, match=says):
        call(small_run)
