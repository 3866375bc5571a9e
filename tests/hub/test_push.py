"""``qakit push``: what is published, that others load it, and what is told where nothing is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hub import faults
from hub.http_side import TOKEN
from hub.server import HubServer
from hub.uploads import READ_ONLY
from huggingface_hub import ModelCard
from sample_questions import write_first_questions
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

import qakit
from qakit.errors import HubError, QakitError, RunError, UsageError

NAME = "ada/reads"
QUESTION, CONTEXT = "Who wrote it?", "Mary Shelley wrote it in 1818, it is said."


@pytest.fixture(scope="module")
def trained(
    samples: Path, tiny_backbone: Path, invoke: Any, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """A run with a head, trained once."""
    folder = tmp_path_factory.mktemp("pushed")
    write_first_questions(samples, folder, train=24, dev=12, test=4)
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        f"""\
about: {{language: en}}
data: {{reader: squad, train: train.json, validation: dev.json, test: test.json}}
backbone: {{source: {tiny_backbone}}}
windows: {{max_length: 96, max_question_length: 24}}
train: {{epochs: 1, batch_size: 8, precision: fp32}}
metric: squad_v1
predict: {{max_answer_length: 7}}
"""
    )

    def run(head: str) -> Path:
        target = folder / head
        if not target.is_dir():
            result = invoke("train", recipe, "--set", f"head={head}", "--output", target, "--quiet")
            assert result.exit_code == 0, result.output
        return target

    return run


@pytest.fixture
def signed_in(set_hub: Callable[..., None]) -> None:
    set_hub(HF_TOKEN=TOKEN)


@pytest.mark.usefixtures("signed_in")
def test_what_is_pushed_answers_in_transformers_and_in_qakit(
    trained: Callable[[str], Path], hub: HubServer, invoke: Any, tmp_path: Path
) -> None:
    run = trained("linear_span")
    result = invoke("push", run, NAME, "--json")
    assert result.exit_code == 0, result.output
    done = json.loads(result.stdout)
    assert done["commit"] == f"{hub.url}/{NAME}/commit/{hub.revision(NAME).sha}"
    held = hub.revision(NAME).files
    assert held.keys() == {".gitattributes", *done["files"]}
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json", "qakit.json", "decision.json"} <= set(
        held
    )
    assert not {"seen.safetensors", "recipe.yaml", "nbest.jsonl", "metrics.jsonl"} & set(held)
    ours, theirs = qakit.load(NAME).answer(QUESTION, CONTEXT, 3), qakit.load(run).answer(QUESTION, CONTEXT, 3)
    assert ours == theirs, "with the run's windows, lengths, threshold and temperature"
    model, report = AutoModelForQuestionAnswering.from_pretrained(NAME, output_loading_info=True)
    assert not report["missing_keys"]
    inputs = AutoTokenizer.from_pretrained(NAME)(QUESTION, CONTEXT, return_tensors="pt")
    with torch.inference_mode():
        assert model.eval()(**inputs).start_logits.shape == inputs["input_ids"].shape
    data = Path(str(run.parent / "dev.json"))
    judged = [invoke("evaluate", each, "--input", data, "--json") for each in (NAME, run)]
    assert json.loads(judged[0].stdout)["figures"] == json.loads(judged[1].stdout)["figures"]


@pytest.mark.usefixtures("signed_in")
def test_a_head_that_transformers_does_not_have_answers_in_qakit(
    trained: Callable[[str], Path], hub: HubServer, invoke: Any
) -> None:
    run = trained("crf")
    result = invoke("push", run, NAME)
    assert result.exit_code == 0, result.output
    assert "crf" in hub.revision(NAME).files["README.md"].content.decode()
    assert qakit.load(NAME).answer(QUESTION, CONTEXT, 3) == qakit.load(run).answer(QUESTION, CONTEXT, 3)


@pytest.mark.usefixtures("signed_in")
def test_the_card_has_figures_with_intervals_and_no_path_of_this_machine(
    trained: Callable[[str], Path], hub: HubServer, invoke: Any, tiny_backbone: Path
) -> None:
    run = trained("linear_span")
    result = invoke("push", run, NAME, "--dry-run", "--license", "mit")
    assert result.exit_code == 0, result.output
    assert not hub.repositories and not [each for each in hub.asked if each.method in ("POST", "PUT")]
    text = result.stdout
    card = ModelCard(text[: text.rindex("files (")])
    figures = json.loads((run / "metrics.json").read_text("utf-8"))["validation"]
    assert card.data.language == "en"
    assert card.data.license == "mit"
    assert card.data.pipeline_tag == "question-answering"
    assert {each.metric_type: each.metric_value for each in card.data.eval_results} == {
        key: round(value, 2) for key, value in figures.items()
    }
    assert f"| f1 | {figures['f1']:.2f} | " in text
    assert " to " in text.partition("| f1 |")[2].splitlines()[0]
    assert "of 12 questions" in text
    assert f"`{tiny_backbone.name}` has the licence unknown" in text
    pushed = invoke("push", run, NAME)
    assert "licence of the backbone" in pushed.stderr
    assert "--license" in pushed.stderr
    files = hub.revision(NAME).files
    assert b"license: other" in files["README.md"].content
    for path, blob in files.items():
        for private in (str(run.parent), str(tiny_backbone.parent)):
            assert private.encode() not in blob.content, path


@pytest.mark.usefixtures("signed_in")
def test_the_backbones_own_card_says_its_licence(
    trained: Callable[[str], Path], hub: HubServer, invoke: Any, tiny_backbone: Path, tmp_path: Path
) -> None:
    config = (tiny_backbone / "config.json").read_text("utf-8")
    hub.publish("org/small-bert", {"config.json": config, "README.md": "---\nlicense: apache-2.0\n---\n# BERT\n"})
    run = trained("linear_span")
    kept = (run / "recipe.yaml").read_text("utf-8")
    (run / "recipe.yaml").write_text(kept.replace(str(tiny_backbone), "org/small-bert"), "utf-8")
    try:
        result = invoke("push", run, NAME, "--dry-run")
    finally:
        (run / "recipe.yaml").write_text(kept, "utf-8")
    assert "license: apache-2.0" in result.stdout
    assert "base_model: org/small-bert" in result.stdout
    assert "licence" not in result.stderr


@pytest.mark.usefixtures("signed_in")
def test_a_second_push_replaces_the_first_in_one_commit(
    trained: Callable[[str], Path], hub: HubServer, invoke: Any
) -> None:
    assert invoke("push", trained("linear_span"), NAME).exit_code == 0
    first = hub.revision(NAME)
    hub.publish(NAME, {**{path: blob.content for path, blob in first.files.items()}, "old.safetensors": b"old"})
    commits = len(hub.repositories["models", NAME].history)
    assert invoke("push", trained("crf"), NAME, "--revision", "second").exit_code == 0
    assert hub.repositories["models", NAME].branches.keys() == {"main", "second"}
    assert "old.safetensors" in hub.revision(NAME).files
    assert "old.safetensors" not in hub.revision(NAME, "second").files
    assert len(hub.repositories["models", NAME].history) == commits + 1
    assert qakit.load(NAME, revision="second").trained.recipe.head.name == "crf"


@pytest.mark.usefixtures("signed_in")
def test_a_private_model_is_made_private(trained: Callable[[str], Path], hub: HubServer, invoke: Any) -> None:
    assert invoke("push", trained("linear_span"), NAME, "--private").exit_code == 0
    assert hub.repositories["models", NAME].private


def refused(result: Any, *said: str) -> None:
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, HubError)
    line = str(result.exception)
    assert "\n" not in line
    for each in said:
        assert each in line, line


def test_without_a_token_nothing_is_asked(trained: Callable[[str], Path], hub: HubServer, invoke: Any) -> None:
    refused(invoke("push", trained("linear_span"), NAME), NAME, "hf auth login", "HF_TOKEN")
    assert not [each for each in hub.asked if each.method in ("POST", "PUT")]


def test_a_token_that_may_not_write(
    trained: Callable[[str], Path], hub: HubServer, set_hub: Callable[..., None], invoke: Any
) -> None:
    set_hub(HF_TOKEN=READ_ONLY)
    refused(invoke("push", trained("linear_span"), NAME), NAME, "needs write access", "nothing is published")


@pytest.mark.usefixtures("signed_in")
def test_a_name_that_something_else_has(trained: Callable[[str], Path], hub: HubServer, invoke: Any) -> None:
    hub.taken.add(NAME)
    refused(invoke("push", trained("linear_span"), NAME), "the name is taken by something that is no model")
    hub.publish("ada/other", {"weights.bin": b"others'", "README.md": "mine"})
    refused(invoke("push", trained("linear_span"), "ada/other"), "holds something else (weights.bin)")
    assert hub.revision("ada/other").files.keys() == {"weights.bin", "README.md"}


@pytest.mark.usefixtures("signed_in")
def test_a_branch_that_holds_something_else_is_not_replaced(
    trained: Callable[[str], Path], hub: HubServer, invoke: Any
) -> None:
    assert invoke("push", trained("linear_span"), NAME).exit_code == 0
    hub.repositories["models", NAME].commit("onnx", {"model.onnx": b"made by hand"})
    refused(invoke("push", trained("linear_span"), NAME, "--revision", "onnx"), "holds something else (model.onnx)")
    assert hub.revision(NAME, "onnx").files.keys() == {"model.onnx"}
    hub.publish("ada/other", {"weights.bin": b"others'"})
    refused(invoke("push", trained("linear_span"), "ada/other", "--revision", "new"), "holds something else")
    assert hub.repositories["models", "ada/other"].branches.keys() == {"main"}, "no branch is made of it"


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize("step", ["preupload", "batch", "store", "commit"])
@pytest.mark.parametrize("fault", [faults.FORBIDDEN, faults.refusal(400, message="no")], ids=str)
def test_a_broken_upload_publishes_nothing(
    step: Any, fault: faults.Fault, trained: Callable[[str], Path], hub: HubServer, invoke: Any
) -> None:
    hub.inject(fault, step, times=None)
    refused(invoke("push", trained("linear_span"), NAME), NAME, "nothing is published")
    assert hub.revision(NAME).files.keys() <= {".gitattributes"}
    hub.heal()
    assert invoke("push", trained("linear_span"), NAME).exit_code == 0, "the same command again"


@pytest.mark.usefixtures("signed_in")
def test_a_commit_that_is_cut_off_publishes_nothing(
    trained: Callable[[str], Path], hub: HubServer, invoke: Any
) -> None:
    hub.inject(faults.DROPPED, "commit", times=None)
    refused(invoke("push", trained("linear_span"), NAME), "the connection broke", "nothing is published")
    assert hub.revision(NAME).files.keys() == {".gitattributes"}


@pytest.mark.parametrize("name", ["reads", "a/b/c", "ada/", "ada/re ads", "../x"])
def test_names_that_the_hub_does_not_take(
    name: str, trained: Callable[[str], Path], hub: HubServer, invoke: Any
) -> None:
    result = invoke("push", trained("linear_span"), name)
    assert isinstance(result.exception, UsageError)
    assert "OWNER/NAME" in str(result.exception)


def test_what_is_no_single_model_is_not_pushed(hub: HubServer, invoke: Any, tmp_path: Path) -> None:
    assert isinstance(invoke("push", tmp_path, NAME).exception, RunError)


@pytest.mark.usefixtures("signed_in")
def test_a_pushed_model_cannot_ask_for_more_than_how_it_reads(
    trained: Callable[[str], Path], hub: HubServer, invoke: Any
) -> None:
    assert invoke("push", trained("linear_span"), NAME).exit_code == 0
    files = {path: blob.content for path, blob in hub.revision(NAME).files.items()}
    layout = json.loads(files["qakit.json"])
    layout["recipe"]["backbone"] = {"trust_remote_code": True}
    hub.publish("eve/reads", {**files, "qakit.json": json.dumps(layout)})
    with pytest.raises(QakitError, match=r"is damaged: qakit\.json: recipe"):
        qakit.load("eve/reads")
