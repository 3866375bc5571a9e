"""``qakit export --onnx``: a graph that answers like the run that it was made from, and what it costs."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import qakit
from qakit.errors import RunError, UsageError


def exported(invoke: Any, run: Path, folder: Path, *more: str) -> tuple[Path, dict[str, Any]]:
    pytest.importorskip("onnx", reason="the extra is not installed: pip install 'qakit[onnx]'")
    pytest.importorskip("onnxruntime", reason="the extra is not installed: pip install 'qakit[onnx]'")
    result = invoke("export", run, "--onnx", "--output", folder, "--json", *more)
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout)


@pytest.fixture(scope="module")
def graph(small_run: Path, invoke: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    return exported(invoke, small_run, tmp_path_factory.mktemp("onnx") / "graph")


def test_the_graph_answers_every_question_as_the_run_does(
    graph: tuple[Path, dict[str, Any]], small_run: Path, small_data: Path, invoke: Any, tmp_path: Path
) -> None:
    folder, _ = graph
    written = {}
    for run in (small_run, folder):
        target = tmp_path / f"{run.name}.csv"
        assert invoke("predict", run, "--input", small_data / "test.json", "--output", target).exit_code == 0
        judged = invoke("evaluate", run, "--json")
        assert judged.exit_code == 0, judged.output
        written[run] = target.read_bytes(), json.loads(judged.stdout)["figures"]
    assert written[folder] == written[small_run]
    question, context = "Who wrote it?", "Mary Shelley wrote it in 1818."
    assert qakit.load(folder).answer(question, context).answer == qakit.load(small_run).answer(question, context).answer
    asked = [qakit.pipeline(model=run)(question=question, context=context) for run in (folder, small_run)]
    assert asked[0]["score"] == pytest.approx(asked[1].pop("score"), abs=1e-5)
    assert asked[0].items() > asked[1].items()


def test_the_price_is_printed_and_kept_in_the_folder(graph: tuple[Path, dict[str, Any]], small_run: Path) -> None:
    folder, report = graph
    assert report["questions"] == 12
    assert report["same_answers"] == 100.0
    figures = json.loads((small_run / "metrics.json").read_text("utf-8"))["validation"]
    assert report["figures"]["f1"]["original"] == pytest.approx(report["figures"]["f1"]["exported"])
    assert report["figures"]["f1"]["original"] == pytest.approx(figures["f1"])
    assert report["differences"]["f1"]["low"] == report["differences"]["f1"]["high"] == 0
    assert report["speedup"] == pytest.approx(
        report["windows_per_second"]["exported"] / report["windows_per_second"]["original"]
    )
    kept = json.loads((folder / "price.json").read_text("utf-8"))
    assert kept == {key: value for key, value in report.items() if key != "folder"}
    page = (folder / "README.md").read_text("utf-8")
    assert "100.00% of 12 validation questions have the same answer" in page
    assert f"{report['windows_per_second']['exported']:.1f} (ONNX Runtime, fp32)" in page
    assert not (folder / "model" / "model.safetensors").exists()


def test_8_bit_weights_multiply_as_integers_and_their_price_is_told(
    small_run: Path, invoke: Any, tmp_path: Path
) -> None:
    folder, report = exported(invoke, small_run, tmp_path / "small", "--int8")
    assert report["int8"]
    import onnx

    products = [each.op_type for each in onnx.load(folder / "model" / "encoder.onnx").graph.node]
    assert products.count("MatMulInteger") == 12, "six of each layer"
    assert invoke("evaluate", folder, "--json").exit_code == 0
    assert "(ONNX Runtime, int8)" in (folder / "README.md").read_text("utf-8")


@pytest.mark.parametrize("kind", [["--merge"], ["--adapter-only"], ["--onnx"], ["--offline"]], ids="".join)
def test_a_graph_is_not_exported_again(
    kind: list[str], graph: tuple[Path, dict[str, Any]], invoke: Any, tmp_path: Path
) -> None:
    result = invoke("export", graph[0], *kind, "--output", tmp_path / "again")
    assert isinstance(result.exception, RunError)
    assert "holds an ONNX graph, which only answers: name the run that it was made from" in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_nothing_trains_on_from_a_graph(graph: tuple[Path, dict[str, Any]], small_recipe: Path, invoke: Any) -> None:
    result = invoke("train", small_recipe, "--set", f"backbone.from_run={graph[0]}", "--dry-run")
    assert "holds an ONNX graph" in str(result.exception)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_the_extra_one_line_says_how_to_get_it(
    package: str, small_run: Path, invoke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None if name == package else sys)  # type: ignore[arg-type]
    result = invoke("export", small_run, "--onnx", "--output", tmp_path / "graph")
    assert isinstance(result.exception, UsageError)
    assert str(result.exception) == f"ONNX needs the package {package!r}: pip install 'qakit[onnx]'"
    assert not list(tmp_path.iterdir())


def test_a_folder_without_the_extra_says_so(
    graph: tuple[Path, dict[str, Any]], invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # type: ignore[arg-type]
    result = invoke("ask", graph[0], "Who?", "-c", "Mary Shelley wrote it.")
    assert str(result.exception) == "ONNX needs the package 'onnxruntime': pip install 'qakit[onnx]'"


def test_a_run_without_validation_questions_has_no_price(small_run: Path, invoke: Any, tmp_path: Path) -> None:
    for name in ("onnx", "onnxruntime"):
        pytest.importorskip(name, reason="the extra is not installed: pip install 'qakit[onnx]'")
    run = shutil.copytree(small_run, tmp_path / "run")
    text = (run / "recipe.yaml").read_text("utf-8")
    (run / "recipe.yaml").write_text(
        "\n".join(line for line in text.splitlines() if not line.startswith("  validation:")), "utf-8"
    )
    result = invoke("export", run, "--onnx", "--output", tmp_path / "graph")
    assert "names no validation file" in str(result.exception)
    assert not (tmp_path / "graph").exists()


def test_8_bits_are_for_graphs(small_run: Path, invoke: Any, tmp_path: Path) -> None:
    result = invoke("export", small_run, "--merge", "--int8", "--output", tmp_path / "x")
    assert str(result.exception) == "--int8 goes with --onnx"
