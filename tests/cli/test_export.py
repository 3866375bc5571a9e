"""``qakit export --merge`` and ``--adapter-only``, and runs that keep only what was trained, as a user has them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForQuestionAnswering

from qakit.errors import UsageError
from qakit.inference.checkpoint import load_checkpoint
from qakit.inference.trained import TrainedRun
from qakit.runs import Run
from qakit.testing import made_up_batch

LORA = ["--set", "adapter.name=lora", "--set", "adapter.init=pissa", "--set", "train.layer_decay=0.8"]


def trained(invoke: Any, recipe: Path, folder: Path, *more: str) -> Path:
    result = invoke("train", recipe, "--output", folder, "--quiet", *LORA, *more)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def merged_run(small_recipe: Path, invoke: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that keeps the whole model."""
    return trained(invoke, small_recipe, tmp_path_factory.mktemp("merged") / "run")


@pytest.fixture(scope="module")
def adapter_run(small_recipe: Path, invoke: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same training, of which only the adapter is kept."""
    return trained(invoke, small_recipe, tmp_path_factory.mktemp("adapter") / "run", "--set", "train.keep=adapter")


def predicted(run: Path) -> list[dict[str, Any]]:
    lines = (run / "predictions" / "nbest.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def candidates(run: Path) -> list[list[tuple[str, int, int]]]:
    return [[(c["text"], c["start"], c["end"]) for c in line["candidates"]] for line in predicted(run)]


BATCH = made_up_batch(targets=False)
INPUTS = {name: getattr(BATCH, name) for name in ("input_ids", "attention_mask", "token_type_ids")}


@torch.inference_mode()
def logits(run: Path) -> dict[str, torch.Tensor]:
    """Start and end scores of the context's tokens, ``(N,)`` each."""
    scores = TrainedRun.load(run, device=torch.device("cpu")).assembled.model(BATCH).scores
    return {side: scores[side][BATCH.context_mask] for side in ("start", "end")}


def test_a_run_that_keeps_only_the_adapter_predicts_the_same(merged_run: Path, adapter_run: Path) -> None:
    assert not (adapter_run / "model" / "model.safetensors").exists()
    small, whole = (
        sum(f.stat().st_size for f in run.rglob("model/*.safetensors")) for run in (adapter_run, merged_run)
    )
    assert small < whole / 5
    assert candidates(adapter_run) == candidates(merged_run)
    torch.testing.assert_close(logits(adapter_run), logits(merged_run), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["merged", "adapter"])
def test_the_merged_export_is_for_transformers(
    kind: str, merged_run: Path, adapter_run: Path, invoke: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = {"merged": merged_run, "adapter": adapter_run}[kind]
    result = invoke("export", run, "--merge", "--output", tmp_path / "whole", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["kind"] == "merged"
    assert set(report["files"]) == {file.name for file in (tmp_path / "whole").iterdir()}
    assert "adapter.safetensors" not in report["files"]
    model, loading = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "whole", output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    with torch.inference_mode():
        output = model.eval()(**INPUTS)
    theirs = {side: output[f"{side}_logits"][BATCH.context_mask] for side in ("start", "end")}
    torch.testing.assert_close(theirs, logits(run), atol=1e-5, rtol=0)
    load_checkpoint(str(tmp_path / "whole"))
    assert "whole holds no recipe, so it answers with the default settings" in caplog.text


@pytest.mark.parametrize("kind", ["merged", "adapter"])
def test_the_adapter_export_is_a_small_run_and_a_folder_for_peft(
    kind: str, merged_run: Path, adapter_run: Path, invoke: Any, tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModel

    run = {"merged": merged_run, "adapter": adapter_run}[kind]
    result = invoke("export", run, "--adapter-only", "--output", tmp_path / "small")
    assert result.exit_code == 0, result.output
    torch.testing.assert_close(logits(tmp_path / "small"), logits(run), atol=1e-5, rtol=0)
    outputs = []
    for each in (run, tmp_path / "small"):
        done = invoke("predict", each, "--split", "validation", "--output", tmp_path / "predictions.json")
        assert done.exit_code == 0, done.output
        outputs.append((tmp_path / "predictions.json").read_bytes())
    assert outputs[0] == outputs[1]
    layout = json.loads((tmp_path / "small" / "model" / "qakit.json").read_text("utf-8"))
    plain = AutoModel.from_pretrained(layout["backbone"]["source"], add_pooling_layer=False)
    adapted = PeftModel.from_pretrained(plain, str(tmp_path / "small" / "lora")).eval()
    with torch.inference_mode():
        theirs = adapted(**INPUTS).last_hidden_state
        ours = TrainedRun.load(run, device=torch.device("cpu")).assembled.model.backbone(**INPUTS)
    torch.testing.assert_close(theirs, ours.last_hidden_state, atol=1e-5, rtol=0)


def test_a_notebook_for_kaggle_gets_the_whole_model(
    adapter_run: Path, invoke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("export", adapter_run, "--kaggle", "out", "--user", "ada", "--competition", "qa-cup")
    assert result.exit_code == 0, result.output
    model = tmp_path / "out" / "dataset" / "run" / "model"
    assert (model / "model.safetensors").is_file()
    assert json.loads((model / "qakit.json").read_text("utf-8"))["weights"] == "merged"
    data = Run(adapter_run).recipe().data
    recipe = (tmp_path / "out" / "dataset" / "run" / "recipe.yaml").read_text("utf-8")
    assert not [file for file in (data.train, data.validation, data.test) if str(file) in recipe]


@pytest.mark.parametrize("user", ["ada/other", "../ada", "é", "a b"])
def test_what_is_no_user_name_gets_into_no_notebook(adapter_run: Path, invoke: Any, tmp_path: Path, user: str) -> None:
    result = invoke("export", adapter_run, "--kaggle", tmp_path / "out", "--user", user, "-c", "qa-cup")
    assert result.exit_code == 2
    assert "is no user name of Kaggle's" in str(result.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "one of --merge, --adapter-only, --onnx, --offline, --kaggle FOLDER and --colab"),
        (["--merge", "--adapter-only", "--output", "x"], "one of --merge, --adapter-only, --onnx, --offline, --kaggle"),
        (["--merge"], "where to"),
        (["--merge", "--output", "x", "--user", "ada"], "go with --kaggle"),
        (["--kaggle", "x", "--output", "y"], "leave --output out"),
    ],
)
def test_options_that_do_not_go_together(
    options: list[str], reason: str, small_run: Path, invoke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("export", small_run, *options)
    assert result.exit_code == 2
    assert isinstance(result.exception, UsageError)
    assert reason in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(small_run: Path, invoke: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", "utf-8")
    result = invoke("export", small_run, "--merge", "--output", tmp_path)
    assert result.exit_code == 2
    assert "exists and is not empty" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_run_without_a_model_says_how_to_go_on(small_run: Path, invoke: Any, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    run.mkdir()
    (run / "recipe.yaml").write_bytes((small_run / "recipe.yaml").read_bytes())
    for command in (
        ("export", run, "--merge", "--output", out),
        ("export", run, "--adapter-only", "--output", out),
        ("export", run, "--offline", "--output", out),
        ("handin", run, "--output", out),
        ("ask", run, "Who?", "-c", "The king"),
        ("evaluate", run),
        ("predict", run, "--split", "test"),
        ("ensemble", run, small_run),
        ("compare", run, small_run),
        ("view", run),
    ):
        result = invoke(*command)
        assert result.exit_code == 2, command
        assert str(result.exception) == f"{run} is not finished; resume with: qakit train --resume --output {run}"
    (run / "metrics.json").write_text("{}")
    assert f"{run / 'model'} has no qakit.json: files were removed" in str(invoke("evaluate", run).exception)
    assert not out.exists()


@pytest.mark.parametrize("file", ["ensemble.json", "folds.json"])
def test_a_damaged_run_of_several_models_is_called_that(
    small_run: Path, invoke: Any, tmp_path: Path, file: str
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").write_bytes((small_run / "recipe.yaml").read_bytes())
    (run / file).write_text("{}", "utf-8")
    for command in (("ask", run, "who?", "--context", "Rollo."), ("evaluate", run)):
        result = invoke(*command)
        assert result.exit_code == 2
        assert "damaged" in str(result.exception)


def test_tables_of_parameters(small_recipe: Path, merged_run: Path, invoke: Any) -> None:
    dry = invoke("train", small_recipe, "--dry-run", "--quiet", *LORA)
    assert dry.exit_code == 0, dry.output
    summary = json.loads(invoke("train", small_recipe, "--dry-run", "--json", *LORA).stdout)
    rows = {row["module"]: row for row in summary["modules"]}
    assert list(rows) == ["embeddings", "layer 0", "layer 1", "head"]
    assert [rows[name]["trainable"] > 0 for name in rows] == [False, True, True, True]
    assert sum(row["total"] for row in rows.values()) == summary["parameters"]["all"]["total"]
    assert [(group["group"], group["learning_rate"]) for group in summary["groups"]] == [
        ("layer 0, decay", pytest.approx(1e-3 * 0.64)),
        ("layer 1, decay", pytest.approx(1e-3 * 0.8)),
        ("head, decay", 1e-3),
        ("head, no decay", 1e-3),
    ]
    shown = invoke("runs", "show", merged_run)
    for text in (dry.stdout, shown.stdout):
        assert "layers 0-1" in text
    assert json.loads(invoke("runs", "show", merged_run, "--json").stdout)["meta"]["modules"] == summary["modules"]


def test_an_export_has_the_modes_of_the_umask_whatever_the_run_has(
    merged_run: Path, adapter_run: Path, tmp_path: Path, invoke: Any
) -> None:
    weights = merged_run / "model" / "model.safetensors"
    before = weights.stat().st_mode
    weights.chmod(0o600)
    try:
        for run, *options in ((merged_run, "--merge"), (adapter_run, "--merge"), (adapter_run, "--adapter-only")):
            target = tmp_path / f"{run.parent.name}-{options[0]}"
            assert invoke("export", run, *options, "--output", target).exit_code == 0
            modes = {path.name: path.stat().st_mode & 0o777 for path in target.rglob("*") if path.is_file()}
            assert set(modes.values()) == {0o666 & ~umask()}, modes
    finally:
        weights.chmod(before)
    assert {
        path.stat().st_mode & 0o777 for path in merged_run.rglob("*") if path.name != ".lock" and path.is_file()
    } == {0o666 & ~umask()}, "of the run itself"


def umask() -> int:
    before = os.umask(0)
    os.umask(before)
    return before


def test_what_the_user_has_put_into_an_export_for_kaggle_stays(
    merged_run: Path, tmp_path: Path, invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_wheel(folder: Path, name: str) -> Path:
        (folder / f"{name}-1-py3-none-any.whl").touch()
        return folder / f"{name}-1-py3-none-any.whl"

    monkeypatch.setattr("qakit.submit.wheel.make_wheel", make_wheel)
    monkeypatch.setattr("qakit.submit.wheel.needs_of", lambda _: [])
    command = ("export", merged_run, "--kaggle", tmp_path / "out", "--user", "ada", "--competition", "qa-cup")
    assert invoke(*command).exit_code == 0
    first = {path.relative_to(tmp_path) for path in (tmp_path / "out").rglob("*")}
    for name in ("dataset/wheels/jieba-1-py3-none-any.whl", "notebook/notes.txt", "dataset/qakit-0-py3-none-any.whl"):
        (tmp_path / "out" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "out" / name).write_text("mine")
    assert invoke(*command).exit_code == 0
    again = {path.relative_to(tmp_path) for path in (tmp_path / "out").rglob("*")}
    assert again - first == {
        *map(Path, ("out/dataset/wheels", "out/dataset/wheels/jieba-1-py3-none-any.whl", "out/notebook/notes.txt"))
    }
    assert first <= again


def test_a_run_whose_adapter_cannot_be_merged_answers_with_it(small_recipe: Path, invoke: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    prompt = ("--set", "adapter={name: prompt, tokens: 4}")
    result = invoke("train", small_recipe, "--output", run, "--quiet", *prompt, "--set", "train.layer_decay=0.8")
    assert result.exit_code == 0, result.output
    assert (run / "model" / "adapter.safetensors").is_file()
    assert not (run / "model" / "model.safetensors").exists()
    assert "prompt" in "".join(name for name, _ in TrainedRun.load(run).assembled.model.named_parameters())
    measured = json.loads(invoke("evaluate", run, "--json").stdout)["figures"]
    assert measured == json.loads((run / "metrics.json").read_text())["validation"]
    for kind, said in (("--merge", "cannot be merged"), ("--onnx", "cannot be merged")):
        refused = invoke("export", run, kind, "--output", tmp_path / "whole")
        assert refused.exit_code == 2
        assert said in str(refused.exception)
        assert not (tmp_path / "whole").exists()
    assert invoke("export", run, "--adapter-only", "--output", tmp_path / "small").exit_code == 0
    asked = [
        json.loads(invoke("ask", each, "Where?", "--context", "It lies in Rome.", "--json").stdout)
        for each in (run, tmp_path / "small")
    ]
    assert asked[0] == asked[1]


def test_a_model_from_scratch_that_could_not_be_kept_is_refused_before_the_training(
    small_recipe: Path, invoke: Any, tmp_path: Path
) -> None:
    sets = ("--set", "adapter=prompt", "--set", "backbone.init=scratch")
    result = invoke("train", small_recipe, "--output", tmp_path / "run", "--quiet", *sets)
    assert result.exit_code == 2
    assert "the adapter Prompt cannot be merged into the backbone: a model that begins from scratch" in str(
        result.exception
    )
