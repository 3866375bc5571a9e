"""``benchmarks/device.py`` on a CPU, with toy sizes: what it does on a GPU is only worth the time there if it works."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from crew import Crew
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel, BertConfig, DebertaV2Config

from qakit.errors import UsageError
from qakit.modeling.model import ReadingModel

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
MODELS = ("bert-base", "bert-large", "deberta-v3-base")


@pytest.fixture(scope="module")
def device() -> Iterator[Any]:
    """The script as a module. Its folder is not on the path for longer: others there have common names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        patch.syspath_prepend(Path(__file__).resolve().parents[1] / "benchmarks")
        import device

        yield device


@pytest.fixture(scope="module")
def bench(device: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return device.Bench.of(CPU, device.tiny_sizes(), tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def written(crew: Crew, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the whole script writes; in a process of its own, whose loggers and environment it may change."""
    file = tmp_path_factory.mktemp("device") / "device.json"
    script = Path(__file__).resolve().parents[1] / "benchmarks" / "device.py"
    command = [str(crew.server.python), str(script), "--device", "cpu", "--tiny", "--output", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def numbers(value: Any) -> Iterator[float]:
    """All that lie in it."""
    if isinstance(value, dict):
        for each in value.values():
            yield from numbers(each)
    elif isinstance(value, int | float):
        yield value


def test_every_section_is_done_and_gives_sound_figures(written: dict[str, Any]) -> None:
    sections, precisions = written["sections"], written["precisions"]
    assert set(sections) == {
        *("matmul", "run_qa", "scoring", "kernels", "resume", "decode"),
        *(f"train {name} {precision}" for name in MODELS for precision in precisions),
        *(f"waits {precision}" for precision in precisions),
    }
    assert {name: each.get("reason") for name, each in sections.items() if each["status"] != "done"} == {}
    assert all(math.isfinite(value) and value >= 0 for value in numbers(sections))
    positive = {
        "train": ("windows_per_second", "tflops", "share_of_matmul", "peak_gb"),
        "run_qa": ("qakit", "run_qa", "ratio"),
        "scoring": ("qakit", "serial", "naive", "ratio", "to_serial"),
        "matmul": precisions,
    }
    for name, each in sections.items():
        for figure in positive.get(name.split()[0], ()):
            assert each[figure] > 0, f"{name}: {figure}"
    assert all(each["full_windows"] == 1 for name, each in sections.items() if name.startswith("train"))
    assert set(sections["decode"]) >= {"linear_span", "joint_span", "crf"}
    assert written["goals"] == {}  # on a CPU they say nothing


def test_an_encoder_is_compared_with_itself_under_another_attention(device: Any, bench: Any) -> None:
    """Here by one that runs on a CPU; without a GPU there are no kernels to compare."""
    found = device.device_sections.compared(replace(bench, until=math.inf), "modernbert-base", "sdpa")
    assert found["without"] > 0 and found["with"] > 0
    assert found["ratio"] == found["with"] / found["without"]
    assert 0 <= found["largest_difference"] < 1e-5 < found["largest"]
    assert set(device.device_sections.kernels(bench, {}).values()) == {"for CUDA only"}


def test_on_a_gpu_a_kernel_that_is_not_installed_is_named(
    device: Any, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(_: Any, name: str, kernel: str) -> Any:
        if kernel == "flash_deberta":
            raise UsageError("not installed")
        return {"encoder": name}

    monkeypatch.setattr(device.device_sections, "compared", lacks)
    found = device.device_sections.kernels(replace(bench, device=torch.device("cuda")), {})
    assert found == {"flash_deberta": "not installed", "flash_attention_2": {"encoder": "modernbert-base"}}


def test_a_resumed_training_ends_with_the_same_bits(written: dict[str, Any]) -> None:
    found = written["sections"]["resume"]
    assert (found["repeat_identical"], found["resume_identical"], found["largest_difference"]) == (True, True, 0)


def test_one_other_bit_is_another_training(device: Any) -> None:
    weights = {"weight": torch.ones(3)}
    assert device.device_sections.same(weights, {"weight": torch.ones(3)})
    assert not device.device_sections.same(weights, {"weight": torch.tensor([1.0, 1.0, math.nextafter(1, 2) + 1e-7])})
    assert not device.device_sections.same(weights, {})


def test_a_number_that_a_step_reads_is_counted(device: Any, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = device.device_sections.waits("fp32", bench, {})
    forward = ReadingModel.forward

    def reads_its_loss(self: ReadingModel, batch: Any) -> Any:
        output = forward(self, batch)
        assert output.loss is not None
        output.loss.item()
        return output

    monkeypatch.setattr(ReadingModel, "forward", reads_its_loss)
    after = device.device_sections.waits("fp32", bench, {})
    assert after["waits"] == before["waits"] + 1
    assert after["by"]["aten::item"] == before["by"].get("aten::item", 0) + 1


def event(name: str, inside: Any = None) -> Any:
    return SimpleNamespace(name=name, cpu_parent=inside)


def test_on_a_gpu_what_cuda_reports_counts(device: Any) -> None:
    """Without one: from the names that PyTorch's profiler gives there."""
    waits_in, gpu = device.device_sections.waits_in, torch.device("cuda")
    read = event("aten::_local_scalar_dense", event("aten::item", event("clip")))
    seen = [
        *(event("cudaLaunchKernel"), read, event("cudaMemcpyAsync", read), event("cudaStreamSynchronize", read)),
        *(event("Memcpy DtoH (Device -> Pageable)"), event("cudaDeviceSynchronize"), event("cudaEventSynchronize")),
    ]
    found = waits_in(SimpleNamespace(events=lambda: seen), gpu, units=2)
    assert found == {
        "waits": 1.0,
        "by": {"clip": 0.5, "cudaEventSynchronize": 0.5},
        "reads_by": {"clip": 0.5},
        "copies_to_host": 0.5,
    }
    with pytest.raises(RuntimeError, match="no launch of a kernel"):
        waits_in(SimpleNamespace(events=lambda: [read]), gpu, units=2)


@pytest.mark.parametrize(
    ("name", "millions"), [("bert-base", 108.9), ("bert-large", 334.1), ("deberta-v3-base", 183.8)]
)
def test_the_encoders_are_as_large_as_those_that_are_published(device: Any, name: str, millions: float) -> None:
    """Without their poolers."""
    model = device.full_sizes().models[name]
    model.config.vocab_size = model.entries
    with torch.device("meta"):
        encoder = AutoModel.from_config(model.config)
    held = sum(each.numel() for part, each in encoder.named_parameters() if not part.startswith("pooler"))
    assert held / 1e6 == pytest.approx(millions, abs=0.1)


@pytest.mark.parametrize("name", ["bert-base", "deberta-v3-base"])
def test_the_flops_are_those_that_pytorch_counts(device: Any, bench: Any, name: str, tmp_path: Path) -> None:
    """Its counter knows of products of matrices alone, and so does a wide model, nearly. What DeBERTa computes once for
    each batch, the projections of its relative places, is left out of a window's share."""
    work, model = device.device_sections, bench.sizes.models[name]
    wide = BertConfig if name == "bert-base" else DebertaV2Config
    config = wide.from_dict({**model.config.to_dict(), "hidden_size": 128, "intermediate_size": 512})
    shutil.copytree(bench.folder / name, tmp_path / name)
    config.save_pretrained(tmp_path / name)
    for file in bench.folder.glob("*.jsonl"):
        shutil.copy(file, tmp_path)
    prepared = replace(bench, folder=tmp_path).prepared(name, "long", "fp32")
    epoch, built = prepared.plan.first, prepared.assembled.model
    batch = epoch.collator.collate(epoch.batches[0], targets=True)
    with FlopCounterMode(display=False) as counter:
        built(batch).loss.backward()
    windows, tokens = batch.input_ids.shape
    ours = windows * work.window_flops(config, work.dense_parameters(built), tokens)
    places = 2 * getattr(config, "position_buckets", 0)
    once = 12 * config.num_hidden_layers * places * config.hidden_size**2
    assert ours + once == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_what_fails_or_comes_too_late_is_recorded_and_ends_nothing_else(
    device: Any, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("CUDA error: something\nand much more")

    def works(_: Any, found: Any) -> Any:
        return {"seen": list(found)}

    monkeypatch.setattr(device, "sections", lambda _: [("one", 1, works), ("two", 1, fails), ("three", 1, works)])
    noted: dict[str, Any] = {}
    device.measure(bench, budget=60, note=noted.__setitem__)
    told = {name: {key: value for key, value in each.items() if key != "seconds"} for name, each in noted.items()}
    assert told == {
        "one": {"status": "done", "seen": []},
        "two": {"status": "failed", "reason": "RuntimeError: CUDA error: something"},
        "three": {"status": "done", "seen": ["one"]},
    }
    noted.clear()
    device.measure(bench, budget=60, note=noted.__setitem__, only=["three"])
    assert list(noted) == ["three"]
    device.measure(bench, budget=0, note=noted.__setitem__)
    assert {each["status"] for each in noted.values()} == {"skipped"}


def test_goals_are_judged_on_a_gpu(device: Any, bench: Any) -> None:
    on_gpu = replace(bench, device=torch.device("cuda"), precisions=("bf16", "fp16"))
    found = {"run_qa": {"ratio": 2.6}, "train bert-large bf16": {"share_of_matmul": 0.4}}
    assert list(device.goals(found, on_gpu).values()) == ["reached (2.60)", "missed (0.40)"]
    assert list(device.goals({"run_qa": {"status": "skipped"}}, on_gpu).values()) == ["not measured"] * 2
    assert device.goals(found, bench) == {}
