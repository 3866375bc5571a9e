"""Pipeline recipes: what they become, and what is said about wrong ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qakit.errors import RecipeError
from qakit.recipe.model import Recipe
from qakit.stages.load import is_pipeline, load_pipeline
from qakit.stages.model import COMMON, OF_THE_WHOLE, PipelineRecipe

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def write(pipeline_recipe: Path, tmp_path: Path):
    """Write a pipeline recipe; its stages are those of the fixture."""

    def write_pipeline(text: str, *, name: str = "some.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text.replace("STAGES", str(pipeline_recipe.parent)), "utf-8")
        return path

    return write_pipeline


BOTH = "stages: {selection: STAGES/selection.yaml, span: STAGES/span.yaml}\n"


def test_the_stages_get_what_is_common_and_the_whole_gets_the_rest(write) -> None:
    loaded = load_pipeline(
        write(BOTH + "seed: 7\ndata: {train_limit: 5}\nmetric: squad_v1\npostprocess: [special_chars]\n")
    )
    assert loaded.pipeline.name == "some"
    for stage in loaded.stages.values():
        assert (stage.recipe.seed, stage.recipe.data.train_limit) == (7, 5)
        assert stage.recipe.data.test is None  # the test file is the whole's
        assert stage.recipe.postprocess == []
    assert [stage.recipe.name for stage in loaded.stages.values()] == ["some-selection", "some-span"]
    assert loaded.stages["span"].recipe.metric.name == "exact_match"
    assert loaded.whole.metric.name == "squad_v1"
    assert [step.name for step in loaded.whole.postprocess] == ["special_chars"]
    assert loaded.whole.data.test is not None


def test_overrides_reach_the_stages_and_the_whole(write) -> None:
    loaded = load_pipeline(
        write(BOTH), ["span.train.epochs=3", "selection.head={name: multiple_choice}", "combine.weight=argmax"]
    )
    assert loaded.stages["span"].recipe.train.epochs == 3
    assert loaded.stages["selection"].recipe.train.epochs == 1
    assert loaded.pipeline.combine.weight == "argmax"


def test_a_pipeline_extends_another(write) -> None:
    write(BOTH + "combine: {top_k: 4}\n", name="parent.yaml")
    child = write("extends: parent.yaml\nname: child\ncombine: {weight: 0.5}\n", name="child.yaml")
    assert is_pipeline(child)
    loaded = load_pipeline(child)
    assert (loaded.pipeline.combine.top_k, loaded.pipeline.combine.weight) == (4, 0.5)


def test_all_problems_come_at_once_with_their_places(write, tmp_path: Path) -> None:
    path = write(
        "stages:\n"
        "  selection: STAGES/selektion.yaml\n"
        "  span: {from_run: nowhere}\n"
        "  third: x.yaml\n"
        "combine: {top_k: 0, weight: tuned}\n"
        "writter: csv\n"
    )
    with pytest.raises(RecipeError) as caught:
        load_pipeline(path, ["combine.topk=1"])
    issues = {issue.message: issue for issue in caught.value.issues}
    lines = [(issue.line, issue.hint) for issue in caught.value.issues]
    assert (2, "did you mean 'selection.yaml'?") in lines
    assert (6, "did you mean 'writer'?") in lines
    assert (5, "did you mean 'tune'?") in lines
    assert issues[f"stages.span.from_run: there is no run {tmp_path / 'nowhere'}"].line == 3
    assert any("'third'" in message for message in issues)
    assert any(issue.file == "--set combine.topk=1" for issue in caught.value.issues)


def test_what_a_pipeline_puts_into_recipes_is_blamed_on_it(write) -> None:
    path = write(BOTH + "metric: exakt_match\ndata: {tran_limit: 3}\n")
    with pytest.raises(RecipeError) as caught:
        load_pipeline(path, ["span.train.epoch=1"])
    assert [(issue.file, issue.line, issue.hint) for issue in caught.value.issues] == [
        (str(path), 2, "did you mean 'exact_match'?"),
        (str(path), 3, "did you mean 'train_limit'?"),
        ("--set span.train.epoch=1", None, "did you mean 'epochs'?"),
    ]


def test_a_stages_block_is_sent_to_its_stage(write) -> None:
    with pytest.raises(RecipeError) as caught:
        load_pipeline(write(BOTH + "head: joint\n"), ["train.epochs=1"])
    hints = {issue.path: issue.hint for issue in caught.value.issues}
    assert hints["head"].startswith("it belongs to a stage")
    assert "`--set span.train...`" in hints["train"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages: {selection: STAGES/selection.yaml}\n", "missing key 'span' in stages"),
        ("stages: {selection: STAGES/two-stage.yaml, span: STAGES/span.yaml}\n", "is a pipeline"),
        ("stages: 3\n", "stages should be a mapping"),
        (BOTH + "combine: {weight: -1}\n", "combine.weight should be"),
    ],
)
def test_what_cannot_be_a_pipeline_is_said(write, text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_pipeline(write(text))
    assert message in str(caught.value)


def test_an_existing_run_cannot_be_changed(write, tmp_path: Path, pipeline_recipe: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text((pipeline_recipe.parent / "selection.yaml").read_text("utf-8"), "utf-8")
    path = write("stages: {selection: {from_run: run}, span: STAGES/span.yaml}\n")
    assert load_pipeline(path).stages["selection"].run == run
    with pytest.raises(RecipeError, match="existing run"):
        load_pipeline(path, ["selection.train.epochs=2"])


def test_the_commands_of_recipes_know_pipelines(write, invoke) -> None:
    path = write(BOTH + "description: both\n")
    assert invoke("recipes", "validate", path).stdout.strip() == f"ok  {path}"
    (row,) = json.loads(invoke("recipes", "list", path.parent, "--json").stdout)["recipes"]
    assert row["description"] == "Pipeline: both"
    shown = json.loads(invoke("recipes", "show", path, "--json", "--set", "span.train.epochs=9").stdout)
    assert shown["stages"]["span"]["recipe"]["train"]["epochs"] == 9
    assert "# stage span:" in invoke("recipes", "show", path).stdout
    assert invoke("recipes", "validate", write(BOTH + "combin: {}\n")).exit_code == 2


def test_every_key_of_the_whole_is_one_of_a_recipe() -> None:
    assert set(COMMON) | set(OF_THE_WHOLE) <= set(Recipe.model_fields) & set(PipelineRecipe.model_fields)


def test_the_guide_names_every_key() -> None:
    guide = (ROOT / "docs" / "pipelines.md").read_text("utf-8")
    for name in PipelineRecipe.model_fields:
        assert f"`{name}`" in guide, name
