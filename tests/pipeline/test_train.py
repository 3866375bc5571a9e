"""Training a pipeline, and what works on its folder afterwards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import qakit
from qakit.errors import ModelError, RunError, UsageError
from qakit.files import write_json
from qakit.inference.nbest_file import read_nbest
from qakit.outputs import new_path
from qakit.recipe.section import PluginRef
from qakit.runs import Run
from qakit.stages.trained import TrainedPipeline
from qakit.values import Example
from qakit.workflows.loading import load_trained


@pytest.fixture(scope="session")
def loaded(trained_pipeline: Path) -> TrainedPipeline:
    found = load_trained(trained_pipeline)
    assert isinstance(found, TrainedPipeline)
    return found


def test_the_folder_holds_the_whole_and_its_stages(trained_pipeline: Path) -> None:
    names = {path.relative_to(trained_pipeline).as_posix() for path in trained_pipeline.rglob("*")}
    assert {
        "pipeline.yaml",
        "recipe.yaml",
        "combine.json",
        "metrics.json",
        "meta.json",
        "span/recipe.yaml",
        "selection/model",
        "span/model",
        "predictions/nbest.jsonl",
        "predictions/meta.json",
        "predictions/submission.csv",
        "predictions/validation/nbest.jsonl",
    } <= names
    assert "selection/predictions/submission.csv" not in names  # a stage answers no test file


def test_the_figures_fit_together(trained_pipeline: Path) -> None:
    metrics = json.loads((trained_pipeline / "metrics.json").read_text("utf-8"))
    expected, stages = metrics["expected"], metrics["expected"]["stages"]
    assert expected["exact"]["value"] == pytest.approx(metrics["validation"]["exact_match"])
    assert stages["product"] == pytest.approx(stages["selection"]["value"] * stages["span_given_right"]["value"] / 100)
    assert stages["passed_on"]["value"] >= stages["selection"]["value"]
    selection = metrics["stages"]["selection"]["validation"]
    assert stages["selection"]["value"] == pytest.approx(selection["accuracy"])
    wrong = round(expected["questions"] * (1 - expected["exact"]["value"] / 100))
    assert sum(expected["errors"].values()) == expected["wrong"] == wrong
    best = max(each["figure"] for each in metrics["combine"]["tried"])
    assert best == pytest.approx(metrics["validation"]["exact_match"])


def test_predictions_point_into_the_questions_own_contexts(trained_pipeline: Path, adl_data: Path) -> None:
    contexts = json.loads((adl_data / "context.json").read_text("utf-8"))
    records = {record["id"]: record for record in json.loads((adl_data / "test.json").read_text("utf-8"))}
    predictions = read_nbest(trained_pipeline / "predictions" / "nbest.jsonl")
    assert [prediction.id for prediction in predictions] == list(records)
    for prediction in predictions:
        used = {candidate.context for candidate in prediction.candidates}
        assert 1 <= len(used) <= 2  # top_k
        for each in prediction.candidates:
            text = contexts[records[prediction.id]["paragraphs"][each.context]]
            assert text[each.start : each.end] == each.text


def test_the_submission_has_the_samples_ids(trained_pipeline: Path, adl_data: Path) -> None:
    written = (trained_pipeline / "predictions" / "submission.csv").read_text("utf-8").splitlines()
    sample = (adl_data / "sample_submission.csv").read_text("utf-8").splitlines()
    assert written[0] == sample[0]
    assert len(written) == len(sample)


def test_evaluation_repeats_what_training_said(trained_pipeline: Path, adl_data: Path, invoke) -> None:
    metrics = json.loads((trained_pipeline / "metrics.json").read_text("utf-8"))
    by_default = json.loads(invoke("evaluate", trained_pipeline, "--json").stdout)
    given = json.loads(invoke("evaluate", trained_pipeline, "--input", adl_data / "valid.json", "--json").stdout)
    assert by_default == given
    assert given["expected"] == metrics["expected"]
    assert given["figures"] == pytest.approx(metrics["validation"])
    shown = invoke("evaluate", trained_pipeline).stdout
    assert "expect this" in shown and "wrong paragraph" in shown


def test_predicting_the_test_file_again_gives_the_same_bytes(
    trained_pipeline: Path, adl_data: Path, tmp_path: Path, invoke
) -> None:
    result = invoke("predict", trained_pipeline, "--input", adl_data / "test.json", "--output", tmp_path / "p.csv")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "p.csv").read_bytes() == (trained_pipeline / "predictions" / "submission.csv").read_bytes()


def test_contexts_may_lie_elsewhere(trained_pipeline: Path, adl_data: Path, tmp_path: Path, invoke) -> None:
    (tmp_path / "a").mkdir()
    shutil.copy(adl_data / "test.json", tmp_path / "a" / "questions.json")
    shutil.copy(adl_data / "context.json", tmp_path / "texts.json")
    command = ["predict", trained_pipeline, "-i", tmp_path / "a" / "questions.json", "-o", tmp_path / "p.csv"]
    assert invoke(*command).exit_code == 2
    assert invoke(*command, "--contexts", tmp_path / "texts.json").exit_code == 0
    assert (tmp_path / "p.csv").read_bytes() == (trained_pipeline / "predictions" / "submission.csv").read_bytes()
    assert invoke("predict", trained_pipeline, "--split", "test", "--contexts", tmp_path / "texts.json").exit_code == 2


def test_many_files_go_through_a_pipeline_too(trained_pipeline: Path, adl_data: Path, tmp_path: Path, invoke) -> None:
    for name in ("a.json", "b.json"):
        shutil.copy(adl_data / "test.json", tmp_path / name)
    shutil.copy(adl_data / "context.json", tmp_path / "context.json")
    answers = tmp_path / "answers"
    result = invoke(
        "predict", trained_pipeline, "-i", tmp_path / "a.json", "-i", tmp_path / "b.json", "-o", f"{answers}/"
    )
    assert result.exit_code == 0, result.output
    assert len([path for path in answers.iterdir() if path.suffix == ".jsonl"]) == 2


def test_other_commands_know_the_folder(trained_pipeline: Path, tmp_path: Path, invoke) -> None:
    (row,) = json.loads(invoke("runs", "list", trained_pipeline.parent, "--json").stdout)
    assert row["state"] == "finished"
    assert invoke("runs", "show", trained_pipeline).exit_code == 0
    asked = invoke("ask", trained_pipeline, "what?", "-c", "This is that.", "-c", "That is this.", "--json")
    assert json.loads(asked.stdout)["candidates"]
    compared = invoke("compare", trained_pipeline, trained_pipeline / "span", "--json")
    assert compared.exit_code == 0, compared.output
    rehearsed = json.loads(invoke("submit", trained_pipeline, "-c", "some", "--dry-run", "--json").stdout)
    assert rehearsed["expected"]["low"] is not None
    assert rehearsed["expected"]["stages"]["product"] >= 0
    assert " = " in invoke("submit", trained_pipeline, "-c", "some", "--dry-run").stdout
    for option in ("--merge", "--adapter-only"):
        refused = invoke("export", trained_pipeline, option, "--output", tmp_path / "x")
        assert refused.exit_code == 2
        assert "--offline" in str(refused.exception)
    characters = invoke(
        "predict", trained_pipeline, "--split", "test", "--character-scores", trained_pipeline / "c.safetensors"
    )
    assert "its span stage has" in str(characters.exception)


def test_a_stage_that_was_trained_anew_is_told(trained_pipeline: Path, tmp_path: Path) -> None:
    folder, span = tmp_path / "whole", tmp_path / "span"
    shutil.copytree(trained_pipeline, folder)
    shutil.copytree(trained_pipeline / "span", span)
    text = (folder / "pipeline.yaml").read_text("utf-8")
    (folder / "pipeline.yaml").write_text(text.replace("span/recipe.yaml", f"{{from_run: {span}}}"), "utf-8")

    def told() -> list[str]:
        warned = list[str]()
        load_trained(folder, warn=warned.append)
        return warned

    assert told() == []
    run = Run(span)
    write_json(run.decision_file, run.read_json(run.decision_file) | {"step": 1})
    (warned,) = told()
    assert f"{span} has other weights than when {folder} was tuned" in warned
    meta = Run(folder).read_json(folder / "meta.json")
    del meta["decisions"]  # as of a version that did not note it
    write_json(folder / "meta.json", meta)
    assert told() == []


def test_one_context_and_fewer_than_top_k(loaded: TrainedPipeline) -> None:
    for contexts in (["One two three."], ["One two three.", "four five."], ["", "four five."]):
        (answer,) = loaded.answer([Example("q", "what is it?", tuple(contexts))], top_k=5)
        assert answer.candidates
        assert all(contexts[each.context][each.start : each.end] == each.text for each in answer.candidates)


def test_a_pipeline_widens_its_search_where_more_is_wanted(loaded: TrainedPipeline) -> None:
    example = Example("q", "what is it?", ("One two three four five six seven eight.", "nine ten eleven."))
    few = loaded.recipe.predict.n_best
    (answer,) = loaded.answer([example], top_k=few + 9)
    assert len({each.text for each in answer.candidates}) == len(answer.candidates) == few + 9


def test_the_answer_of_a_pipeline_is_the_same_however_many_are_wanted(loaded: TrainedPipeline) -> None:
    example = Example("q", "what is it?", ("One two three four five six seven eight.", "nine ten eleven."))
    prior = PluginRef.model_validate({"name": "length_prior", "median": 33, "spread": 0.1, "weight": 5})
    chosen = loaded.with_recipe(loaded.recipe.model_copy(update={"postprocess": [prior]}))
    (wanted,) = chosen.infer([example]).predictions
    answers = [chosen.answer([example], top_k=top_k)[0] for top_k in (1, 5, 60)]
    assert [each.answer for each in answers] == [wanted.final] * 3
    assert any(len(each.text) > len(wanted.final) for each in answers[-1].candidates), "the prior would choose it"


def test_a_plain_run_has_the_table_of_errors_too(trained_pipeline: Path, invoke) -> None:
    report = json.loads(invoke("evaluate", trained_pipeline / "span", "--errors", "--json").stdout)
    assert report["expected"]["stages"] is None
    assert sum(report["expected"]["errors"].values()) == report["expected"]["wrong"]
    refused = invoke("evaluate", trained_pipeline / "selection", "--errors")
    assert refused.exit_code == 2
    assert "does not answer with spans" in str(refused.exception)


def test_a_run_that_answers_with_contexts_is_not_loaded_to_be_asked(trained_pipeline: Path, invoke) -> None:
    said = r"selection \(head 'multiple_choice'\) answers with one of its contexts, .* give it a file: qakit\.predict"
    with pytest.raises(UsageError, match=said):
        qakit.load(trained_pipeline / "selection")
    refused = invoke("ask", trained_pipeline / "selection", "Who?", "-c", "It was Ann.")
    assert refused.exit_code == 2


def test_what_is_missing_is_trained_by_the_recipe(
    trained_pipeline: Path, pipeline_recipe: Path, tmp_path: Path, invoke
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained_pipeline, copy)
    stage = Run(copy / "selection")
    before = stage.metrics_file.stat().st_mtime_ns
    for file in (copy / "combine.json", copy / "metrics.json"):
        file.unlink()
    shutil.rmtree(copy / "span")
    with pytest.raises(RunError, match="is not finished; resume with"):
        load_trained(copy)
    result = invoke("train", "--resume", "--output", copy)
    assert "stages.span: file not found" in str(result.exception), "its recipe is gone with it"
    result = invoke("train", pipeline_recipe, "--output", copy, "--quiet")
    assert result.exit_code == 0, result.output
    assert stage.metrics_file.stat().st_mtime_ns == before
    submission = "predictions/submission.csv"
    assert (copy / submission).read_bytes() == (trained_pipeline / submission).read_bytes()
    assert invoke("train", "--resume", "--output", copy, "--set", "span.train.epochs=2").exit_code == 2


def test_an_interrupted_stage_goes_on_from_its_checkpoint(trained_pipeline: Path, tmp_path: Path, invoke) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained_pipeline, copy)
    for file in (copy / "combine.json", copy / "metrics.json", copy / "selection" / "metrics.json"):
        file.unlink()
    logged = (copy / "selection" / "timings.jsonl").read_text("utf-8").count('"train"')
    meta = copy / "span" / "meta.json"  # as if the contexts had been others then
    described = json.loads(meta.read_text("utf-8"))
    (contexts,) = described["data"]["train"]["beside"]
    described["data"]["train"]["beside"][contexts] = "0" * 64
    meta.write_text(json.dumps(described), "utf-8")
    result = invoke("train", "--resume", "--output", copy, "--quiet")
    assert result.exit_code == 0, result.output
    assert "context.json had other content when span was trained than for selection" in " ".join(result.output.split())
    assert (copy / "selection" / "timings.jsonl").read_text("utf-8").count('"train"') == logged  # no step again
    assert (copy / "selection" / "metrics.json").is_file()
    submission = "predictions/submission.csv"
    assert (copy / submission).read_bytes() == (trained_pipeline / submission).read_bytes()


def existing(pipeline: Path) -> str:
    """A recipe's stages: the runs of a trained pipeline."""
    stages = [f"{name}: {{from_run: {pipeline}/{name}}}" for name in ("selection", "span")]
    return f"stages: {{{', '.join(stages)}}}\n"


def test_without_validation_the_chain_rule_holds(trained_pipeline: Path, tmp_path: Path, invoke) -> None:
    recipe = tmp_path / "blind.yaml"
    recipe.write_text(
        existing(trained_pipeline) + "data: {validation: null}\n",
        "utf-8",
    )
    result = invoke("train", recipe, "--output", tmp_path / "blind", "--quiet")
    assert result.exit_code == 0, result.output
    metrics = json.loads((tmp_path / "blind" / "metrics.json").read_text("utf-8"))
    assert (metrics["combine"]["weight"], metrics["validation"], metrics["expected"]) == (1.0, None, None)
    refused = invoke("evaluate", tmp_path / "blind")
    assert "names no validation file" in str(refused.exception)


def test_stages_that_are_trained_already(trained_pipeline: Path, tmp_path: Path, invoke, adl_data: Path) -> None:
    recipe = tmp_path / "again.yaml"
    recipe.write_text(
        existing(trained_pipeline)
        + f"combine: {{top_k: 1, weight: 1}}\ndata: {{test: {adl_data}/test.json}}\npostprocess: [special_chars]\n",
        "utf-8",
    )
    result = invoke("train", recipe, "--output", tmp_path / "again", "--quiet", "--json")
    assert result.exit_code == 0, result.output
    metrics = json.loads(result.stdout)
    assert metrics["combine"]["tried"] == []
    assert metrics["submission"]["rows"] == 8
    # one context passed on: the classical pipeline, whatever the weight
    assert metrics["expected"]["exact"] == metrics["expected"]["stages"]["top_1"]
    assert metrics["expected"]["stages"]["passed_on"]["value"] == metrics["expected"]["stages"]["selection"]["value"]
    refused = invoke("evaluate", tmp_path / "again", "--set", "combine.weight=tune")
    assert "it is tuned at the end of a training" in str(refused.exception)


@pytest.mark.parametrize("setting", ["combine.top_k=1", "combine.weight=argmax"])
def test_the_stages_may_be_combined_otherwise_without_a_training(setting: str, trained_pipeline: Path, invoke) -> None:
    before = json.loads(invoke("evaluate", trained_pipeline, "--json").stdout)["expected"]
    found = json.loads(invoke("evaluate", trained_pipeline, "--json", "--set", setting).stdout)["expected"]
    assert found["exact"] == found["stages"]["top_1"] == before["stages"]["top_1"]
    assert found["stages"]["passed_on"]["top_k"] == (1 if setting == "combine.top_k=1" else 2)


def test_a_head_of_the_wrong_kind_is_told_before_anything_is_trained(
    pipeline_recipe: Path, trained_pipeline: Path, tmp_path: Path, invoke
) -> None:
    recipe, trained = tmp_path / "wrong.yaml", trained_pipeline / "span"
    file = pipeline_recipe.parent / "span.yaml"
    for stage, part in ((str(file), "selection"), (f"{{from_run: {trained}}}", f"selection stage {trained}")):
        recipe.write_text(f"stages: {{selection: {stage}, span: {file}}}\n", "utf-8")
        for how in ("--quiet", "--dry-run"):
            result = invoke("train", recipe, "--output", tmp_path / "out", how)
            assert result.exit_code == 2
            wanted = "the head 'linear_span' gives spans; this part needs one that gives contexts"
            assert f"{part}: {wanted}" in str(result.exception)
    recipe.write_text(f"stages: {{selection: {{from_run: {trained_pipeline}}}, span: {file}}}\n", "utf-8")
    whole = invoke("train", recipe, "--dry-run")
    said = f"selection stage {trained_pipeline} is made of several models, and a stage is one"
    assert (whole.exit_code, str(whole.exception)) == (2, said)
    assert not (tmp_path / "out").exists()


def test_a_figure_that_the_metric_of_the_whole_lacks_is_told_before_anything_is_trained(
    pipeline_recipe: Path, tmp_path: Path, invoke
) -> None:
    """The span stage's own metric has it."""
    changes = ("--set", "span.train.select_by=exact_match", "--set", "metric=cmrc2018")
    result = invoke("train", pipeline_recipe, *changes, "--output", tmp_path / "out")
    assert isinstance(result.exception, UsageError)
    assert "train.select_by is 'exact_match', but the metric gives AVERAGE, EM, F1" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_a_dry_run_shows_both_stages(pipeline_recipe: Path, invoke) -> None:
    report = json.loads(invoke("train", pipeline_recipe, "--dry-run", "--json", "--set", "data.train_limit=9").stdout)
    assert [report["trainings"][name]["train_examples"] for name in ("selection", "span")] == [9, 9]


def test_a_selection_from_joined_contexts_is_refused_before_it_is_trained(
    pipeline_recipe: Path, invoke, tmp_path: Path
) -> None:
    changes = ("--set", "preprocess.predict={name: concatenate, overlap: 16}")
    result = invoke("train", pipeline_recipe.with_name("selection.yaml"), *changes, "--output", tmp_path / "run")
    assert isinstance(result.exception, ModelError)
    assert "contexts are scored one by one: use a preprocessor in preprocess.predict" in str(result.exception)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_no_file_of_it_is_an_output_of_another_command(trained_pipeline: Path) -> None:
    files = [path for path in trained_pipeline.rglob("*") if path.is_file()]
    assert len(files) > 30
    for file in files:
        with pytest.raises(UsageError, match="a part of the"):
            new_path(file)
