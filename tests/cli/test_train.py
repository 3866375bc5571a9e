"""`qakit train`: what a user gets from one command."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from qakit.errors import OutputError, RunError
from qakit.registry import load_registry
from qakit.runs import Run, create_run, open_run
from qakit.training.events import Event, StepDone

pytestmark = pytest.mark.slow


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_run_is_a_folder_with_everything_in_it(small_run: Path) -> None:
    names = {str(path.relative_to(small_run)) for path in small_run.rglob("*") if path.is_file()}
    assert {
        "recipe.yaml",
        "meta.json",
        "metrics.jsonl",
        "metrics.json",
        "curves.png",
        "model/model.safetensors",
        "model/config.json",
        "model/tokenizer.json",
        "model/decision.json",
        "predictions/nbest.jsonl",
        "predictions/meta.json",
        "predictions/submission.csv",
        "predictions/validation/nbest.jsonl",
    } <= names
    assert {path.name for path in small_run.iterdir()} == {
        ".lock",
        "recipe.yaml",
        "meta.json",
        "metrics.jsonl",
        "metrics.json",
        "timings.jsonl",
        "curves.png",
        "seen.safetensors",
        "model",
        "predictions",
        "view.html",
    }  # nothing that only resuming needs
    assert (small_run / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_metrics_hold_steps_and_evaluations_before_and_after(small_run: Path) -> None:
    logged = lines(small_run / "metrics.jsonl")
    assert [line["step"] for line in logged if line["type"] == "train"] == [1, 2, 4, 6]
    assert [line["step"] for line in logged if line["type"] == "evaluation"] == [0, 6]
    final = json.loads((small_run / "metrics.json").read_text())
    assert final["before"]["step"] == 0
    assert final["validation"]["f1"] == logged[-1]["f1"]
    scoring = [line["seconds"] for line in lines(small_run / "timings.jsonl") if line["type"] == "scoring"]
    assert scoring and all(0 < seconds < final["seconds"] for seconds in scoring)


def test_the_submission_has_every_question_once(small_run: Path, small_data: Path) -> None:
    document = json.loads((small_data / "test.json").read_text())
    ids = [q["id"] for article in document["data"] for paragraph in article["paragraphs"] for q in paragraph["qas"]]
    with (small_run / "predictions" / "submission.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ids
    assert all(row["answer"] for row in rows)


def test_the_model_folder_loads_in_transformers_and_gives_the_same_scores(small_run: Path) -> None:
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    from qakit.inference.trained import TrainedRun
    from qakit.values import Example

    model, report = AutoModelForQuestionAnswering.from_pretrained(small_run / "model", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    tokenizer = AutoTokenizer.from_pretrained(small_run / "model")
    question, context = "Who were the Normans?", "The Normans were the people who gave their name to Normandy."
    with torch.inference_mode():
        theirs = model.eval()(**tokenizer(question, context, return_tensors="pt"))
    trained = TrainedRun.load(small_run)
    prepared, _ = trained.score([Example("q", question, (context,))])
    batch = prepared.collator.collate(prepared.batches[0], targets=False)
    with torch.inference_mode():
        ours = trained.assembled.model(batch).scores
    mask = batch.context_mask
    torch.testing.assert_close(ours["start"][mask], theirs.start_logits[mask], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours["end"][mask], theirs.end_logits[mask], atol=1e-5, rtol=1e-5)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def train_until(recipe_file: Path, folder: Path, overrides: list[str], *, killed_after: int | None) -> None:
    """Train in this process; ``killed_after`` breaks off in the middle of things after that step."""
    from qakit.recipe.load import load_recipe
    from qakit.training.finish import finish_run
    from qakit.training.fit import fit
    from qakit.training.launch import accelerator_for
    from qakit.training.prepare import prepare_training

    class KilledError(Exception):
        pass

    def listener(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == killed_after:
            raise KilledError

    registry = load_registry()
    resume = folder.exists()
    if resume:
        run = open_run(folder)
        recipe = run.recipe()
    else:
        recipe = load_recipe(recipe_file, overrides, registry=registry).recipe
        run = create_run(recipe, folder)
    try:
        accelerator = accelerator_for(recipe)
        prepared = prepare_training(recipe, registry, device=accelerator.device, listener=listener)
        fit(prepared, run, registry, accelerator=accelerator, resume=resume, listener=listener)
        finish_run(run, registry, seconds=0.0, listener=listener)
    except KilledError:
        assert killed_after is not None


READY = "a backbone with a ready head"


@pytest.mark.sweep(3)
@pytest.mark.parametrize(
    ("killed_after", "more"),
    [
        (1, []),
        (3, ["train.ema.decay=0.8"]),
        (3, ["adapter.name=lora", "adapter.init=pissa", "train.layer_decay=0.9", READY]),
        (5, []),
        (7, ["train.ema={}"]),
        (4, ["train.freezing={gradual: 0.2}", "backbone.reinit_layers=1", READY]),
        (4, ["train.swa={start: 0.2, every: 2, learning_rate: 5e-4}", "train.adversarial={method: awp}"]),
        (5, ["adapter.name=bitfit", "train.r_drop={}", "train.adversarial={method: fgm, start_epoch: 0.4}"]),
        (9, ["train.soup={candidates: 2}", "train.evaluate_every=2", "train.checkpoint_every=3", "train.ema={}"]),
        (7, ["train.freezing={gradual: 0.4}"]),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    small_recipe: Path, small_run: Path, tmp_path: Path, killed_after: int, more: list[str]
) -> None:
    more = [f"backbone.source={small_run}/model" if change == READY else change for change in more]
    changes = ["train.epochs=1.5", "train.log_every=3", "train.accumulation=2", "train.evaluate_every=4", *more]
    train_until(small_recipe, tmp_path / "whole", changes, killed_after=None)
    train_until(small_recipe, tmp_path / "broken", changes, killed_after=killed_after)
    train_until(small_recipe, tmp_path / "broken", changes, killed_after=None)
    for name in ("metrics.jsonl", "predictions/nbest.jsonl", "predictions/submission.csv", "model/model.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes(), name


def test_what_is_frozen_stays_what_the_rest_was_trained_over(
    small_recipe: Path, tiny_backbone: Path, tmp_path: Path
) -> None:
    base, run = shutil.copytree(tiny_backbone, tmp_path / "base"), tmp_path / "run"
    changes = ["adapter.name=bitfit", f"backbone.source={base}", "train.evaluate_before=false"]
    train_until(small_recipe, run, changes, killed_after=3)
    frozen = load_file(base / "model.safetensors")
    save_file({name: 1.5 * each for name, each in frozen.items()}, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(RunError, match=r"step-00000002 was trained over other weights of the backbone '.*/base' than"):
        train_until(small_recipe, run, changes, killed_after=None)
    save_file(frozen, base / "model.safetensors", {"format": "pt"})
    train_until(small_recipe, run, changes, killed_after=None)
    assert Run(run).finished


def test_accumulation_changes_nothing_but_the_memory(small_recipe: Path, tmp_path: Path, tiny_backbone: Path) -> None:
    still = ["backbone.overrides.hidden_dropout_prob=0.0", "backbone.overrides.attention_probs_dropout_prob=0.0"]
    large = "train.epsilon=0.01"  # AdamW would blow up the rounding of gradients that are zero in exact arithmetic
    for parts in (1, 3):
        train_until(
            small_recipe, tmp_path / str(parts), [*still, large, f"train.accumulation={parts}"], killed_after=None
        )
    one, three = weights(tmp_path / "1"), weights(tmp_path / "3")
    for name in one:
        torch.testing.assert_close(one[name], three[name], atol=1e-5, rtol=1e-4)


def test_the_best_weights_stay_not_the_last(small_recipe: Path, tmp_path: Path) -> None:
    changes = ["train.epochs=3", "train.evaluate_every=2", "train.learning_rate=5e-3"]
    train_until(small_recipe, tmp_path / "run", changes, killed_after=None)
    evaluations = [x for x in lines(tmp_path / "run" / "metrics.jsonl") if x["type"] == "evaluation" and x["step"] > 0]
    best = max(evaluations, key=lambda line: line["f1"])
    decision = json.loads((tmp_path / "run" / "model" / "decision.json").read_text())
    assert decision["step"] == best["step"]
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["validation"]["f1"] == best["f1"]


def test_early_stopping_ends_the_run(small_recipe: Path, tmp_path: Path) -> None:
    changes = ["train.epochs=20", "train.evaluate_every=1", "train.early_stopping=2", "train.learning_rate=1e-9"]
    train_until(small_recipe, tmp_path / "run", changes, killed_after=None)
    assert lines(tmp_path / "run" / "metrics.jsonl")[-1]["step"] == 3  # the first is the best, two are none better


def test_no_test_answers_no_test_file(small_recipe: Path, small_run: Path, tmp_path: Path, invoke: Any) -> None:
    short = ("--set", "train.max_steps=1", "--no-test", "--output", tmp_path / "run")
    result = invoke("train", small_recipe, *short)
    assert result.exit_code == 0, result.output
    assert (small_run / "predictions" / "nbest.jsonl").is_file()
    assert not (tmp_path / "run" / "predictions" / "nbest.jsonl").exists()
    assert invoke("train", "--resume", "--no-test", "--output", tmp_path / "run").exit_code == 2


def test_a_folder_in_use_is_not_overwritten(small_recipe: Path, small_run: Path, invoke: Any) -> None:
    result = invoke("train", small_recipe, "--output", small_run)
    assert result.exit_code == 2
    assert isinstance(result.exception, RunError)
    assert (
        str(result.exception)
        == f"{small_run} exists and is not empty: resume with --resume, or choose another --output"
    )


def test_resuming_a_finished_run_says_so_and_only_tidies_up(small_run: Path, invoke: Any) -> None:
    kept = {path: path.stat().st_mtime_ns for path in small_run.rglob("*") if path.is_file() and path.name != ".lock"}
    left = small_run / "checkpoints" / "step-00000004"  # killed while it removed them
    left.mkdir(parents=True)
    result = invoke("train", "--resume", "--output", small_run)
    assert result.exit_code == 0
    assert f"{small_run} is finished: there is nothing left to do" in " ".join(result.stderr.split())
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert not left.parent.exists()
    figures = json.loads(invoke("train", "--resume", "--output", small_run, "--json").stdout)
    assert figures == json.loads((small_run / "metrics.json").read_text("utf-8"))


def test_a_finished_run_whose_data_has_gone_is_finished(small_run: Path, tmp_path: Path, invoke: Any) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text("utf-8").replace("dev.json", "gone.json"), "utf-8")
    result = invoke("train", "--resume", "--output", run)
    assert result.exit_code == 0, result.exception
    assert "no answers are shown" in result.stderr and f"done: {run}" in " ".join(result.stderr.split())


def test_another_recipe_than_the_runs_own_is_refused_with_resume(
    small_recipe: Path, small_run: Path, tmp_path: Path, invoke: Any
) -> None:
    """The run's own counts, so another one must not seem to."""
    other = tmp_path / "other.yaml"
    other.write_text(f"extends: {small_recipe}\ntrain: {{epochs: 3}}\n", "utf-8")
    result = invoke("train", other, "--resume", "--output", small_run)
    assert result.exit_code == 2
    assert "was begun with train.epochs: 1.0, but the recipe now says train.epochs: 3.0" in str(result.exception)
    assert "other.yaml out: --resume uses the run's own recipe" in str(result.exception)
    assert invoke("train", tmp_path / "no.yaml", "--resume", "--output", small_run).exit_code == 2
    assert invoke("train", small_recipe, "--resume", "--output", small_run).exit_code == 0


def test_resuming_a_finished_run_that_can_only_be_read_says_so(
    small_run: Path, invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its folder is on another user's disk: root may write anywhere, so the system's answer is played."""

    def refuse(run: Run) -> None:
        raise OutputError(f"cannot write {run.folder}: Permission denied")

    monkeypatch.setattr("os.access", lambda path, mode: mode == os.R_OK or small_run not in (path, *Path(path).parents))
    monkeypatch.setattr("qakit.runs.alone_in", refuse)
    monkeypatch.setattr("qakit.training.finish.forget_training", refuse)
    result = invoke("train", "--resume", "--output", small_run)
    assert result.exit_code == 0, result.exception
    assert "is finished: there is nothing left to do" in " ".join(result.stderr.split())


def test_a_dry_run_says_what_would_be_trained_and_writes_nothing(
    small_recipe: Path, invoke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("train", small_recipe, "--dry-run", "--json")
    summary = json.loads(result.stdout)
    assert summary["steps"] == 6
    assert summary["train_examples"] == summary["train_windows"] == 48
    assert [group["group"] for group in summary["groups"]][-1] == "head, no decay"
    assert list(tmp_path.iterdir()) == []


def test_without_the_hub_one_line_says_how_to_point_at_a_folder(
    small_recipe: Path, invoke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import huggingface_hub

    def unreachable(*args: object, **kwargs: object) -> str:
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    result = invoke("train", small_recipe, "--set", "backbone.source=hfl/none", "--output", tmp_path / "run")
    assert result.exit_code == 2
    assert "point backbone.source at a folder" in str(result.exception)
    assert "\n" not in str(result.exception)


def test_a_run_that_stopped_early_stays_stopped_when_resumed(small_recipe: Path, tmp_path: Path) -> None:
    changes = ["train.epochs=20", "train.evaluate_every=1", "train.early_stopping=2", "train.learning_rate=1e-9"]
    train_until(small_recipe, tmp_path / "run", changes, killed_after=None)
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    train_until(small_recipe, tmp_path / "run", changes, killed_after=None)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_an_unknown_figure_to_select_by_is_found_before_training(
    small_recipe: Path, invoke: Any, tmp_path: Path
) -> None:
    result = invoke("train", small_recipe, "--set", "train.select_by=ff1", "--output", tmp_path / "run")
    assert result.exit_code == 2
    assert str(result.exception).endswith("train.select_by is 'ff1', but the metric gives exact_match, f1")
    assert not (tmp_path / "run").exists()


def test_an_output_that_cannot_be_made_is_one_line(small_recipe: Path, invoke: Any, tmp_path: Path) -> None:
    (file := tmp_path / "file").touch()
    result = invoke("train", small_recipe, "--output", file / "run", "--quiet")
    assert result.exit_code == 2
    assert str(result.exception) == f"cannot write {file / 'run'}: {file} is a file, no folder"


def test_a_training_that_blows_up_says_what_to_do(small_recipe: Path, invoke: Any, tmp_path: Path) -> None:
    explode = ("train.learning_rate=1e30", "train.max_grad_norm=null", "train.max_skipped=2", "train.log_every=1")
    changes = [word for change in explode for word in ("--set", change)]
    result = invoke("train", small_recipe, *changes, "--output", tmp_path / "run", "--quiet")
    assert result.exit_code == 2
    assert "were not finite numbers in 2 steps in a row" in str(result.exception)
    assert "lower train.learning_rate (now 1e+30); " in str(result.exception)
    batch = json.loads((tmp_path / "run" / "broken-batch.json").read_text("utf-8"))
    assert len(batch["windows"]) == 8
    assert batch["windows"][0].keys() == {"id", "question", "first_token", "stop_token"}


def test_training_examples_that_cannot_be_used_are_counted(
    small_recipe: Path, small_data: Path, invoke: Any, tmp_path: Path
) -> None:
    document = json.loads((small_data / "train.json").read_text("utf-8"))
    questions = [q for article in document["data"] for paragraph in article["paragraphs"] for q in paragraph["qas"]]
    questions[0]["answers"] = [{"text": "nowhere in the text", "answer_start": 0}]
    del questions[1]["answers"]
    (tmp_path / "train.json").write_text(json.dumps(document), "utf-8")
    result = invoke("train", small_recipe, "--set", f"data.train={tmp_path / 'train.json'}", "--dry-run")
    assert "warning: left out: 1 unlabelled training example\n" in result.stderr
    assert "warning: 1 of 47 training examples give no window to learn from" in result.stderr


def test_a_run_is_finished_when_all_is_there(
    small_run: Path, tmp_path: Path, invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path / "run")
    shutil.copytree(small_run, run.folder)
    run.metrics_file.unlink()
    run.curves_file.unlink()

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("qakit.report.curves.draw_curves", killed)
        assert invoke("train", "--resume", "--output", run.folder).exit_code == 130
    assert not run.metrics_file.exists()  # so a fold, a stage or a member is not skipped
    result = invoke("train", "--resume", "--output", run.folder)
    assert result.exit_code == 0
    assert "is finished" not in result.stderr
    assert run.curves_file.is_file()
    assert run.metrics_file.is_file()
    result = invoke("train", "--resume", "--output", run.folder)
    assert result.exit_code == 0
    assert "is finished: there is nothing left to do" in " ".join(result.stderr.split())
