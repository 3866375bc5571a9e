"""`qakit pretrain`: the loss falls, the output is a backbone, a stopped run continues exactly."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, BertConfig, BertForMaskedLM

from qakit.distributed import Workers
from qakit.errors import DataError, ModelError, RunError
from qakit.modeling.backbones import load_backbone, load_tokenizer
from qakit.pretraining.language_head import MaskedLanguageHead, mean_by_window
from qakit.pretraining.prepare import Pretraining, prepare_pretraining
from qakit.pretraining.pretrain import check_output, pretrain
from qakit.pretraining.settings import PretrainSettings
from qakit.recipe.model import BackboneSection
from qakit.training import checkpoints
from qakit.training.events import CheckpointWritten, Event, StepDone, silence

CPU = torch.device("cpu")
NAMES = ["Rollo", "William", "Robert", "Harald", "Emma"]
TEXTS = [
    f"{a} of {b} met {b} near the river , and {a} of {b} gave {c} the town of {b} ."
    for a in NAMES
    for b in NAMES
    for c in NAMES[:2]
]
FAST = {"max_length": 64, "batch_size": 10, "learning_rate": 3e-3, "log_every": 1, "precision": "fp32", "common": 1.0}
FAST_OPTIONS = [part for name, value in FAST.items() for part in ("--set", f"{name}={value}")]


def prepared(backbone: Path, texts: list[str] = TEXTS, **more: Any) -> Pretraining:
    init = more.pop("init", "pretrained")
    settings = PretrainSettings.model_validate(FAST | more)
    return prepare_pretraining(
        texts, BackboneSection(source=str(backbone), init=init), settings, device=CPU, listener=silence
    )


def run(pretraining: Pretraining, folder: Path, *, resume: bool = False, listener: Any = silence) -> dict[str, Any]:
    from qakit.training.launch import accelerator_for

    accelerator = accelerator_for(pretraining.recipe)
    return pretrain(pretraining, folder, files={}, accelerator=accelerator, resume=resume, listener=listener)


@pytest.mark.parametrize(
    ("objective", "init"), [("mlm", "pretrained"), ("mlm", "scratch"), ("recurring_spans", "pretrained")]
)
def test_the_loss_falls_and_the_output_is_a_backbone(
    tiny_backbone: Path, tmp_path: Path, objective: str, init: str
) -> None:
    pretraining = prepared(tiny_backbone, objective=objective, init=init, epochs=8)
    note = run(pretraining, tmp_path / "out")
    losses = [json.loads(line)["loss"] for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert note["steps"] == len(losses) == 40
    assert note["loss"] == {"first": losses[0], "last": losses[-1]}
    loaded = load_backbone(BackboneSection(source=str(tmp_path / "out")), attention="eager")
    trained = dict(pretraining.model.backbone.named_parameters())
    assert all(torch.equal(value, trained[name]) for name, value in loaded.module.named_parameters())
    assert all(name.startswith("cls.predictions.") for name in loaded.unexpected)
    assert not (tmp_path / "out" / "checkpoints").exists()
    assert json.loads((tmp_path / "out" / "pretrain.json").read_text())["made_of"]["settings"]["objective"] == objective


def test_a_killed_pretraining_goes_on_bit_for_bit(tiny_backbone: Path, tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 4:
            raise KilledError

    more = {"max_steps": 7, "checkpoint_every": 3, "accumulation": 2}
    run(prepared(tiny_backbone, **more), tmp_path / "whole")
    with pytest.raises(KilledError):
        run(prepared(tiny_backbone, **more), tmp_path / "broken", listener=kill)
    assert not (tmp_path / "broken" / "config.json").exists()  # no backbone yet
    with pytest.raises(ModelError, match=r"broken is a pretraining that was not finished: .* --resume"):
        load_tokenizer(str(tmp_path / "broken"))
    with pytest.raises(RunError, match="begun with other settings"):
        run(prepared(tiny_backbone, **more, rate=0.3), tmp_path / "broken", resume=True)
    check_output(tmp_path / "broken", resume=True)
    run(prepared(tiny_backbone, **more), tmp_path / "broken", resume=True)
    for name in ("model.safetensors", "metrics.jsonl", "config.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes(), name
    with pytest.raises(RunError, match="is finished"):
        check_output(tmp_path / "broken", resume=True)
    with pytest.raises(RunError, match="not empty"):
        check_output(tmp_path / "broken", resume=False)
    with pytest.raises(RunError, match=r"no pretrain\.json"):
        check_output(tmp_path / "elsewhere", resume=True)


def test_a_checkpoint_that_one_process_cannot_read_ends_the_others_too(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {"max_steps": 2, "checkpoint_every": 1}

    def kill(event: Event) -> None:
        if isinstance(event, CheckpointWritten):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(prepared(tiny_backbone, **more), tmp_path / "out", listener=kill)
    told: list[bool] = []
    monkeypatch.setattr(Workers, "_all_well", lambda _, well: told.append(well) or well)

    def damaged(*_: Any) -> None:
        raise RunError("damaged")

    monkeypatch.setattr(checkpoints, "load_file", damaged)
    with pytest.raises(RunError, match="damaged"):
        run(prepared(tiny_backbone, **more), tmp_path / "out", resume=True)
    assert told[-1] is False


@pytest.mark.parametrize("objective", ["mlm", "recurring_spans"])
def test_parts_of_a_step_add_up_to_the_step(tiny_backbone: Path, objective: str) -> None:
    pretraining = prepared(tiny_backbone, objective=objective)
    model, epoch = pretraining.model.eval(), pretraining.plan.first
    with torch.no_grad():
        rows = epoch.batches[0]
        whole = model(epoch.batch(rows)).loss
        parts = [(len(part), model(epoch.batch(part)).loss) for part in (rows[:3], rows[3:])]
    torch.testing.assert_close(sum(n * loss for n, loss in parts) / len(rows), whole)


def test_a_checkpoints_own_language_model_head_is_taken_up_and_kept(tiny_backbone: Path, tmp_path: Path) -> None:
    config = BertConfig.from_pretrained(tiny_backbone)
    torch.manual_seed(1)
    theirs = BertForMaskedLM(config).eval()
    torch.nn.init.normal_(theirs.cls.predictions.bias)
    theirs.save_pretrained(tmp_path / "bert")
    for file in tiny_backbone.glob("tokenizer*"):
        (tmp_path / "bert" / file.name).write_bytes(file.read_bytes())
    pretraining = prepared(tmp_path / "bert", max_steps=1)
    head = pretraining.model.head
    assert isinstance(head, MaskedLanguageHead)
    ids = torch.arange(6, 16)[None]
    with torch.no_grad():
        hidden = pretraining.model.backbone.eval()(input_ids=ids).last_hidden_state
        torch.testing.assert_close(head.logits(hidden), theirs(input_ids=ids).logits)
    run(pretraining, tmp_path / "out")
    again, report = AutoModelForMaskedLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not report["missing_keys"]
    with torch.no_grad():
        hidden = pretraining.model.backbone.eval()(input_ids=ids).last_hidden_state
        torch.testing.assert_close(again.eval()(input_ids=ids).logits, head.logits(hidden))


def test_the_input_table_is_trained_once_and_stored_once(tiny_backbone: Path, tmp_path: Path) -> None:
    pretraining = prepared(tiny_backbone, max_steps=1)
    table = pretraining.model.backbone.get_input_embeddings().weight  # type: ignore[operator]
    assert not any(parameter is table for parameter in pretraining.model.head.parameters())
    run(pretraining, tmp_path / "out")
    assert "cls.predictions.decoder.weight" not in load_file(tmp_path / "out" / "model.safetensors")


def test_each_window_counts_alike() -> None:
    loss = mean_by_window(torch.tensor([1.0, 3.0, 8.0]), torch.tensor([0, 0, 2]), 3)
    assert loss.item() == pytest.approx((2 + 0 + 8) / 3)


def test_texts_and_tokenizers_that_cannot_serve_are_refused(tiny_backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no span recurs"):
        prepared(tiny_backbone, ["all words differ here"], objective="recurring_spans")
    for file in tiny_backbone.iterdir():
        text = file.read_bytes()
        if file.name == "tokenizer_config.json":
            text = json.dumps({k: v for k, v in json.loads(text).items() if k != "mask_token"}).encode()
        (tmp_path / file.name).write_bytes(text)
    with pytest.raises(ModelError, match="has no mask token"):
        prepared(tmp_path)


def test_the_command_takes_a_recipes_contexts_and_a_recipe_takes_its_output(
    small_data: Path, tiny_backbone: Path, tmp_path: Path, invoke: Any
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"data: {{reader: squad, train: {small_data}/train.json}}\nbackbone: {{source: {tiny_backbone}}}\n"
        "windows: {max_length: 64, max_question_length: 16}\ntrain: {max_steps: 1, batch_size: 2, precision: fp32}\n"
        "predict: {n_best: 2}\n",
        "utf-8",
    )
    fast = ("--set", "precision=fp32", "--set", "max_steps=2", "--set", "batch_size=2", "--set", "max_length=48")
    result = invoke("pretrain", recipe, "--output", tmp_path / "out", *fast, "--json")
    assert result.exit_code == 0, result.output
    note = json.loads(result.stdout)
    assert note["steps"] == 2
    assert list(note["files"]) == [str(small_data / "train.json")]
    result = invoke("train", recipe, "--set", f"backbone.source={tmp_path / 'out'}", "--dry-run", "--json")
    assert result.exit_code == 0, result.output


def test_a_recipe_from_scratch_is_told_how_to_take_the_output(
    small_data: Path, tiny_backbone: Path, tmp_path: Path, invoke: Any
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"data: {{reader: squad, train: {small_data}/train.json}}\n"
        f"backbone: {{source: {tiny_backbone}, init: scratch}}\n",
        "utf-8",
    )
    result = invoke("pretrain", recipe, "--output", tmp_path / "out", *FAST_OPTIONS, "--set", "max_steps=1")
    assert result.exit_code == 0, result.output
    hint = f"use it with --set backbone.source={tmp_path / 'out'} --set backbone.init=pretrained"
    assert hint in " ".join(result.stderr.split())


def stopped(*_: Any, **__: Any) -> None:
    """Somebody kills the process."""
    raise KeyboardInterrupt


def test_a_stopped_command_says_how_to_go_on(
    tiny_backbone: Path, tmp_path: Path, invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS), "utf-8")
    command = ("pretrain", "--backbone", tiny_backbone, "--text", tmp_path / "texts.txt", "--output", tmp_path / "out")

    def stop(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr("qakit.pretraining.prepare.tokenizer_of", stop)
        result = invoke(*command, *FAST_OPTIONS)
    assert result.exit_code == 143
    assert "interrupted; nothing is written yet, give the same command again" in result.stderr
    with monkeypatch.context() as patch:
        patch.setattr("qakit.pretraining.pretrain.PretrainKeeper.combine_kept", stop)
        result = invoke(*command, *FAST_OPTIONS)
    assert result.exit_code == 143
    assert "a checkpoint is written, continue with the same command and --resume" in result.stderr
    with monkeypatch.context() as patch:
        patch.setattr("qakit.files.recover_files", stopped)  # when all is written and nothing is in its place
        assert invoke(*command, *FAST_OPTIONS, "--resume").exit_code == 130
    assert not (tmp_path / "out" / "config.json").exists()
    for left in ("nothing", "checkpoints"):
        (tmp_path / "out" / left).mkdir(exist_ok=True)
        result = invoke(*command, *FAST_OPTIONS, "--resume")
        assert result.exit_code == 0, result.output
        assert "out is finished: there is nothing left to do" in " ".join(result.stderr.split())
        assert f"use it with --set backbone.source={tmp_path / 'out'}" in " ".join(result.stderr.split())
        assert not (tmp_path / "out" / "checkpoints").exists()
        assert load_tokenizer(str(tmp_path / "out")).get_vocab() == load_tokenizer(str(tiny_backbone)).get_vocab()
        assert (tmp_path / "out" / "model.safetensors").is_file()


def test_a_folder_that_another_command_fills_meanwhile_stays_what_it_is(
    tiny_backbone: Path, tmp_path: Path, invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS), "utf-8")
    fast = [part for name, value in (FAST | {"max_steps": 1}).items() for part in ("--set", f"{name}={value}")]
    command = ("pretrain", "--backbone", tiny_backbone, "--text", tmp_path / "texts.txt", "--output", tmp_path / "out")

    def meanwhile(*arguments: Any, **options: Any) -> Pretraining:
        with monkeypatch.context() as patch:
            patch.setattr("qakit.pretraining.prepare.prepare_pretraining", prepare_pretraining)
            assert invoke(*command, *fast).exit_code == 0
        return prepare_pretraining(*arguments, **options)

    monkeypatch.setattr("qakit.pretraining.prepare.prepare_pretraining", meanwhile)
    result = invoke(*command, *fast, "--set", "seed=2")
    assert result.exit_code == 2
    assert "exists and is not empty" in str(result.exception)
    assert json.loads((tmp_path / "out" / "pretrain.json").read_text("utf-8"))["made_of"]["settings"]["seed"] != 2


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--backbone", "x"), "which texts?"),
        (("--text", "a.txt"), "which backbone?"),
        (("--backbone", "x", "--split", "test"), "name the recipe"),
        (("--backbone", "x", "--text", "a.txt", "--split", "all"), "--split all: there are train, validation, test"),
    ],
)
def test_a_command_that_says_too_little_is_told_what_is_missing(
    options: tuple[str, ...], problem: str, tmp_path: Path, invoke: Any
) -> None:
    result = invoke("pretrain", "--output", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert problem in str(result.exception)
    assert not (tmp_path / "out").exists()
