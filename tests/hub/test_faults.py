"""What a user reads when the hub fails, and that nothing is spoilt by it: the next try succeeds."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Invoke
from crew import Crew
from hub import faults, models
from hub.faults import Fault
from hub.http_side import TOKEN
from hub.server import HubServer
from hub.texts import passages
from huggingface_hub import constants

from qakit.errors import ModelError
from qakit.modeling.sources import find_source

NAME = "hfl/chinese-lert-base"
FILES = ["added_tokens.json", "config.json", "pytorch_model.bin", "special_tokens_map.json", "tokenizer.json"]
FILES += ["tokenizer_config.json", "vocab.txt"]
SetHub = Callable[..., None]

EVERYWHERE: dict[Fault, str] = {
    faults.UNAUTHORISED: "refuses access (401); check HF_TOKEN",
    faults.BAD_TOKEN: "refuses access (401); check HF_TOKEN",
    faults.GATED: "asks for its conditions to be accepted: do that in a browser, then log in",
    faults.GATED_ANONYMOUS: "asks for its conditions to be accepted: do that in a browser, then log in",
    faults.FORBIDDEN: "refuses access (403); check HF_TOKEN",
    faults.NO_REPOSITORY: "has no public model of that name",
    faults.NO_REVISION: "the hub has no revision",
    faults.TOO_MANY: "is asked too often from here (429)",
    faults.SERVER_ERROR: "answers with an error (500); try again later",
    faults.UNAVAILABLE: "answers with an error (503); try again later",
    faults.DROPPED: "cannot be reached, or the connection broke",
    faults.HANG: "cannot be reached, or the connection broke",
}
"""Faults that any request may meet -> what is said."""
OF_FILES: dict[Fault, str] = {
    faults.NO_FILE: "answers with an error (404)",
    faults.TRUNCATED: "cannot be reached, or the connection broke",
    faults.CORRUPT: "pytorch_model.bin arrived damaged (sha256 ",
}
"""Faults of a file's content."""
CASES = [(fault, what, said) for fault, said in EVERYWHERE.items() for what in ("info", "head", "file")]
CASES += [(fault, "file", said) for fault, said in OF_FILES.items()]


@pytest.fixture
def lert(hub: HubServer) -> HubServer:
    """The hub with one model."""
    hub.publish(NAME, models.files_of(NAME))
    return hub


@pytest.fixture
def impatient(lert: HubServer, set_hub: SetHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client waits a second for an answer, and not at all between its tries."""
    set_hub(HF_HUB_DOWNLOAD_TIMEOUT="1", HF_HUB_ETAG_TIMEOUT="1")
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("qakit.hub.SECONDS", 1)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A training that begins with the model."""
    paragraphs = []
    for number, one in enumerate(passages(4, han=True)):
        answers = [{"text": one.answer, "answer_start": one.start}]
        question = {"id": str(number), "question": one.question, "answers": answers}
        paragraphs.append({"context": one.context, "qas": [question]})
    squad = {"data": [{"title": "", "paragraphs": paragraphs}]}
    (tmp_path / "train.json").write_text(json.dumps(squad), "utf-8")
    file = tmp_path / "recipe.yaml"
    file.write_text(f"data: {{reader: squad, train: train.json}}\nbackbone: {{source: {NAME}}}\n", "utf-8")
    return file


def leftovers() -> list[str]:
    """What a broken download may have left in the hub's cache."""
    return [file.name for file in Path(constants.HF_HUB_CACHE).rglob("*.incomplete")]


@pytest.mark.sweep(3)
@pytest.mark.parametrize(("fault", "what", "said"), CASES, ids=[f"{fault.name}-{what}" for fault, what, _ in CASES])
@pytest.mark.usefixtures("impatient")
def test_a_fault_is_told_in_one_line_and_the_next_try_succeeds(
    fault: Fault, what: faults.What, said: str, lert: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault is faults.HANG:  # each of the client's six tries takes as long
        for place in ("constants.HF_HUB_DOWNLOAD_TIMEOUT", "constants.HF_HUB_ETAG_TIMEOUT"):
            monkeypatch.setattr(f"huggingface_hub.{place}", 0.2)
        monkeypatch.setattr("huggingface_hub.file_download._ETAG_RETRY_TIMEOUT", 0.2)
    lert.inject(fault, what, path=None if what == "info" else "pytorch_model.bin", times=None)
    with pytest.raises(ModelError) as caught:
        find_source(NAME)
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert message.startswith(f"backbone {NAME!r}: ") and said in message and "\n" not in message
    assert leftovers() == []
    lert.heal()
    monkeypatch.undo()
    folder = find_source(NAME).folder
    assert sorted(file.name for file in folder.iterdir()) == FILES
    assert (folder / "pytorch_model.bin").read_bytes() == models.files_of(NAME)["pytorch_model.bin"]


@pytest.mark.parametrize("fault", [faults.GATED, faults.CORRUPT, faults.SERVER_ERROR], ids=lambda fault: fault.name)
@pytest.mark.usefixtures("impatient")
def test_a_training_that_cannot_begin_leaves_nothing_behind(
    fault: Fault, lert: HubServer, recipe: Path, invoke: Invoke, tmp_path: Path
) -> None:
    lert.inject(fault, "file", path="pytorch_model.bin", times=None)
    result = invoke("train", recipe, "--output", tmp_path / "run", "--quiet")
    assert result.exit_code == 2
    assert str(result.exception).startswith(f"backbone {NAME!r}: ")
    assert not (tmp_path / "run").exists()


def test_a_process_ends_with_one_line_and_no_traceback(
    lert: HubServer, hub_environment: Callable[..., dict[str, str]], recipe: Path, crew: Crew, tmp_path: Path
) -> None:
    lert.inject(faults.GATED, "head", times=None)
    command = [
        str(crew.server.python),
        "-m",
        "qakit",
        "train",
        str(recipe),
        "--output",
        str(tmp_path / "run"),
        "--quiet",
    ]
    done = subprocess.run(command, env=hub_environment(COLUMNS="1000"), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: backbone {NAME!r}: {lert.url}/{NAME} asks for its conditions to be accepted")


@pytest.mark.usefixtures("impatient")
def test_what_breaks_once_is_tried_again_by_itself(lert: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    lert.inject(faults.TRUNCATED, "file", path="pytorch_model.bin")
    lert.inject(faults.TOO_MANY, "file", path="pytorch_model.bin")
    assert find_source(NAME).folder.is_dir()
    first, second, third = (one for one in lert.asked if (one.what, one.path) == ("file", "pytorch_model.bin"))
    assert (first.fault, second.fault, third.fault) == (faults.TRUNCATED.name, faults.TOO_MANY.name, None)
    assert first.first == 0 and second.first == third.first > 100_000  # it goes on where it broke


@pytest.mark.usefixtures("impatient")
def test_a_broken_download_is_taken_up_again_with_what_is_missing(lert: HubServer) -> None:
    lert.inject(faults.DROPPED, "file", path="pytorch_model.bin", times=None)
    with pytest.raises(ModelError):
        find_source(NAME)
    before = lert.fetched(NAME)
    lert.heal()
    find_source(NAME)
    assert before == [name for name in FILES if name != "pytorch_model.bin"]
    assert lert.fetched(NAME) == FILES  # nothing twice


def test_what_is_in_the_cache_is_not_fetched_again(lert: HubServer) -> None:
    for _ in range(2):
        find_source(NAME)
        find_source(NAME, needs="tokenizer")
    assert lert.fetched(NAME) == FILES
    assert sum(one.what == "info" for one in lert.asked) == 1


# -------------------------------------------------------------------------------------------------------- no network
def test_without_network_the_cache_does(lert: HubServer, caplog: pytest.LogCaptureFixture) -> None:
    folder = find_source(NAME).folder
    lert.stop()
    qakit_hub_forgets()
    assert find_source(NAME).folder == folder
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{NAME}: the hub ({lert.url}) cannot be reached")
    assert record.getMessage().endswith("the copy in the cache is used")


def test_offline_the_cache_does_and_nobody_is_asked(
    lert: HubServer, set_hub: SetHub, caplog: pytest.LogCaptureFixture
) -> None:
    folder = find_source(NAME).folder
    set_hub(HF_HUB_OFFLINE="1")
    qakit_hub_forgets()
    lert.forget()
    assert find_source(NAME).folder == folder
    assert (lert.asked, caplog.records) == ([], [])


def test_without_network_and_cache_one_line_says_so(lert: HubServer) -> None:
    lert.stop()
    with pytest.raises(ModelError) as caught:
        find_source(NAME)
    assert f"backbone {NAME!r}: the hub ({lert.url}) cannot be reached" in str(caught.value)
    assert "point backbone.source at a folder" in str(caught.value)


def test_offline_without_cache_one_line_says_so(lert: HubServer, set_hub: SetHub) -> None:
    set_hub(HF_HUB_OFFLINE="1")
    with pytest.raises(
        ModelError, match=r"offline mode is on \(HF_HUB_OFFLINE\), and the cache does not hold all of it"
    ):
        find_source(NAME)
    assert lert.asked == []


@pytest.mark.usefixtures("impatient")
def test_half_a_cache_is_no_copy(lert: HubServer) -> None:
    lert.inject(faults.DROPPED, "file", path="pytorch_model.bin", times=None)
    with pytest.raises(ModelError):
        find_source(NAME)
    lert.stop()
    qakit_hub_forgets()
    with pytest.raises(ModelError, match="cannot be reached"):
        find_source(NAME)
    assert find_source(NAME, needs="tokenizer").folder.is_dir()  # this much is there


# ------------------------------------------------------------------------------------------------------- rights, names
def test_a_token_opens_gated_and_private_models(hub: HubServer, set_hub: SetHub) -> None:
    hub.publish("owner/gated", models.files_of(NAME), gated=True)
    hub.publish("owner/private", models.files_of(NAME), private=True)
    with pytest.raises(ModelError, match="asks for its conditions to be accepted"):
        find_source("owner/gated")
    with pytest.raises(ModelError, match="has no public model of that name"):
        find_source("owner/private")
    set_hub(HF_TOKEN=TOKEN)
    for name in ("owner/gated", "owner/private"):
        assert (find_source(name).folder / "pytorch_model.bin").is_file()


def test_a_revision_is_taken_by_branch_pull_request_or_commit(hub: HubServer) -> None:
    files = models.files_of(NAME)
    old = hub.publish(NAME, {**files, "vocab.txt": "old"})
    hub.publish(NAME, {**files, "vocab.txt": "main"})
    hub.publish(NAME, {**files, "vocab.txt": "request"}, branch="refs/pr/1")
    found = [find_source(NAME, revision=one).folder / "vocab.txt" for one in (old, None, "refs/pr/1")]
    assert [file.read_text() for file in found] == ["old", "main", "request"]
    with pytest.raises(ModelError, match=f"backbone {NAME!r}: the hub has no revision 'v9' of {NAME}"):
        find_source(NAME, revision="v9")


def qakit_hub_forgets() -> None:
    """As in a new process."""
    from qakit import hub as qakit_hub

    qakit_hub._listing.cache_clear()
