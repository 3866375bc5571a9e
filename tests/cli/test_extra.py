"""What a reader puts on an example beside its texts arrives wherever the example is looked at: the guide's plugin."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command_line import Invoke
from crew import Crew

from qakit import api, testing
from qakit.plugin_code import PluginCode, load_code
from qakit.stages.trained import TrainedPipeline

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "plugins" / "extra.md"
TELLS = """

from qakit.api import SpanPrediction


def tell(prediction: Prediction, example: Example) -> Prediction:
    assert isinstance(prediction, SpanPrediction)
    return prediction.with_answer(f"{example.extra['level']}: {prediction.answer}")


@hookimpl
def qakit_register_postprocessors() -> list[Component[NoSettings, NoRuntime, Any]]:
    return [Component(name="tell", summary="The level", settings=NoSettings, build=lambda _settings, _runtime: tell)]
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin of the guide, and a postprocessor that says the level."""
    (source,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), flags=re.DOTALL)
    file = tmp_path_factory.mktemp("levels") / "levels.py"
    file.write_text(source.replace("import annotations\n", "import annotations\n\nfrom typing import Any\n", 1) + TELLS)
    return file


@pytest.fixture(scope="module")
def recipe(small_recipe: Path, small_data: Path, plugin: Path) -> Path:
    """Questions of two levels, one file of each for prediction."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for name in ("train", "dev"):
        document = json.loads((small_data / f"{name}.json").read_text("utf-8"))
        questions = [
            {"id": asked["id"], "question": asked["question"], "context": paragraph["context"], **answer}
            for article in document["data"]
            for paragraph in article["paragraphs"]
            for asked in paragraph["qas"]
            for answer in [{"answer": each["text"]} for each in asked["answers"][:1]]
        ]
        rows[name] = [{**row, "level": ("easy", "hard")[number % 2]} for number, row in enumerate(questions)]
        (plugin.parent / f"{name}.json").write_text(json.dumps(rows[name][:16]))
    (plugin.parent / "asked").mkdir()
    for level in ("easy", "hard"):
        asked = [row for row in rows["dev"] if row["level"] == level]
        (plugin.parent / "asked" / f"{level}.json").write_text(json.dumps(asked))
    path = plugin.parent / "levels.yaml"
    path.write_text(
        f"extends: {small_recipe}\n"
        "data: {reader: levels, train: train.json, validation: dev.json, test: null}\n"
        "head: level_spans\nmetric: by_level\npostprocess: [tell]\n"
        "train: {max_steps: 1, log_every: 1}\npredict: {null_threshold: 0}\n"
    )
    return path


def first_loss(run: Path) -> float:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    return next(float(line["loss"]) for line in lines if "loss" in line)


def test_heads_metrics_and_postprocessors_see_it_in_any_number_of_processes(
    crew: Crew, invoke: Invoke, recipe: Path, plugin: Path, tmp_path: Path
) -> None:
    plain, heavy = tmp_path / "plain", tmp_path / "heavy"
    trained = invoke("--plugin", plugin, "train", recipe, "--output", plain, "--set", "train.accumulation=2")
    assert trained.exit_code == 0, trained.output
    weights = ("--set", "head.weights={easy: 3.0, hard: 3.0}")
    ended = crew.run(2, "--plugin", plugin, "train", recipe, "--output", heavy, *weights)
    assert ended.codes == [0, 0], ended.said
    assert first_loss(heavy) == pytest.approx(3 * first_loss(plain), rel=1e-4)
    figures = json.loads((heavy / "metrics.json").read_text("utf-8"))["validation"]
    assert figures.keys() >= {"exact", "exact_easy", "exact_hard"}
    many = invoke("--plugin", plugin, "predict", heavy, "-i", plugin.parent / "asked", "-o", tmp_path / "out")
    assert many.exit_code == 0, many.output
    for level in ("easy", "hard"):
        lines = (tmp_path / "out" / f"{level}.jsonl").read_text("utf-8").splitlines()
        assert lines
        assert all(json.loads(line)["answer"].startswith(f"{level}: ") for line in lines)


def test_what_is_no_json_value_is_one_line(recipe: Path, plugin: Path, invoke: Invoke, tmp_path: Path) -> None:
    odd = tmp_path / "odd.py"
    source = plugin.read_text("utf-8").replace('record.text("level")}', '{record.text("level")}}')
    odd.write_text(source)
    line = source[: source.index("yield Example(")].count("\n") + 1
    result = invoke("--plugin", odd, "train", recipe, "--output", tmp_path / "run")
    assert result.exit_code == 2
    assert re.fullmatch(
        r"in reader 'levels' of plugin odd\.py@\w+ file: read fails: TypeError: extra\['level'\] is set; it must be "
        rf"text, a finite number, true, false, None, a list or a mapping \(odd\.py:{line}\)",
        str(result.exception),
    ), str(result.exception)
    assert not (tmp_path / "run" / "recipe.yaml").exists()


def test_both_stages_of_a_pipeline_see_it() -> None:
    seen: list[api.Example] = []

    def raw_answers(pairs: list[api.Example], **_: object) -> tuple[None, list[api.SpanPrediction]]:
        seen.extend(pairs)
        return None, [api.SpanPrediction(pair.id, "") for pair in pairs]

    chosen = SimpleNamespace(predictions=[api.ContextPrediction("a", 1, (0.2, 0.8))])
    stages = SimpleNamespace(
        selection=SimpleNamespace(infer=lambda _examples, **_options: chosen),
        span=SimpleNamespace(raw_answers=raw_answers),
        top_k=2,
        _reading=lambda *_: None,
    )
    asked = api.Example("a", "?", ("one", "two"), extra={"level": "hard"})
    TrainedPipeline.read(stages, [asked])  # type: ignore[arg-type]
    assert [(each.contexts, each.extra) for each in seen] == [(("two",), asked.extra), (("one",), asked.extra)]


def test_the_plugin_of_the_guide_keeps_its_contracts(plugin: Path, recipe: Path) -> None:
    components = dict(load_code(PluginCode.read(plugin), path=plugin).components)
    for kind, component in components.items():
        testing.check_component(kind, component)
    read = testing.check_reader(components["readers"], api.NoSettings(), recipe.parent / "dev.json")
    assert {example.extra["level"] for example in read} == {"easy", "hard"}
    testing.check_head(components["heads"], components["heads"].settings())
    testing.check_metric(components["metrics"], api.NoSettings())
