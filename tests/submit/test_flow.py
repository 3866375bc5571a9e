"""At most once, whatever happens: the order of steps against a Kaggle made of plain objects."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from fake_kaggle import PAUSE, Desk, FakeKaggle, Killed, fault
from hypothesis import given, settings
from hypothesis import strategies as st

from qakit.errors import OutputError, SubmissionError
from qakit.submit.flow import Outcome, Patience, submit
from qakit.submit.ledger import Ledger
from qakit.submit.pending import NotebookOutput
from qakit.submit.record import Record
from qakit.submit.remote import RemoteSubmission


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_whole_way(desk: Desk) -> None:
    outcome = desk.start()
    assert (outcome.exit_code, outcome.record.state, outcome.record.public) == (0, "COMPLETE", 0.5)
    record = desk.record
    assert list(record.times) == ["INTENT", "CREATING", "CREATED", "COMPLETE"]
    assert desk.kaggle.made[0].description == f"hello [qk:{record.submit_id}]"
    assert (desk.ledger.folder / record.folder / "answers.csv").read_text() == "id,answer\n1,a\n"


def test_the_same_file_again_is_a_duplicate(desk: Desk) -> None:
    desk.start()
    outcome = desk.start()
    assert outcome.exit_code == 3
    assert outcome.message.startswith("identical file already submitted as ref 100 on ")
    assert outcome.message.endswith("public 0.5; --force to repeat")
    assert desk.start(force=True).exit_code == 0
    assert len(desk.kaggle.made) == 2


def test_another_file_or_competition_is_none(desk: Desk) -> None:
    desk.start()
    assert desk.start("id,answer\n1,b\n").exit_code == 0


def test_without_waiting_it_is_pending_and_then_a_duplicate_with_its_score(desk: Desk) -> None:
    outcome = desk.start(wait=0)
    assert (outcome.exit_code, outcome.record.state) == (0, "CREATED")
    assert desk.start().message.endswith("public 0.5; --force to repeat")


def test_a_score_that_does_not_come(desk: Desk) -> None:
    desk.kaggle.scores = [RemoteSubmission(1, "PENDING")] * 1000
    assert desk.start(wait=0.01).record.state == "CREATED"


def test_what_kaggle_cannot_score(desk: Desk) -> None:
    desk.kaggle.scores = [RemoteSubmission(1, "PENDING"), RemoteSubmission(1, "ERROR", error="row 3\nis odd")]
    outcome = desk.start()
    assert outcome.exit_code == 6
    assert outcome.message == "Kaggle could not score ref 100: row 3 is odd"
    assert desk.start().exit_code == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"entered": False}, "accept the rules at https://www.kaggle.com/competitions/qa-cup/rules"),
        ({"code_only": True}, "takes notebooks only: `qakit export RUN --kaggle FOLDER`"),
        ({"closed": True}, "takes no submissions any more"),
    ],
)
def test_competitions_that_take_nothing(desk: Desk, change: dict[str, bool], words: str) -> None:
    desk.kaggle.info = replace(desk.kaggle.info, **change)  # type: ignore[arg-type]
    problem = desk.refused()
    assert problem.exit_code == 4
    assert words in str(problem)
    assert desk.states == []


def test_a_late_submission_is_told(desk: Desk) -> None:
    desk.kaggle.info = replace(desk.kaggle.info, deadline=datetime.now(UTC) - timedelta(days=1))
    assert desk.start().exit_code == 0
    assert any("late submission" in line for line in desk.said)


def test_no_submissions_left(desk: Desk) -> None:
    desk.kaggle.elsewhere = 5
    problem = desk.refused()
    assert problem.exit_code == 4
    assert "(5 of 5 used); the next day begins at 00:00 UTC" in str(problem)


def test_the_first_submission_of_a_user_without_a_team(desk: Desk) -> None:
    desk.kaggle.left = 0
    assert desk.start().exit_code == 0


def test_a_refusal_is_no_submission_and_may_be_tried_again(desk: Desk) -> None:
    desk.kaggle.creating = ["refused"]
    outcome = desk.start()
    assert (outcome.exit_code, outcome.record.state) == (4, "REJECTED")
    assert desk.start().exit_code == 0
    assert desk.states == ["REJECTED", "COMPLETE"]


def test_an_upload_that_fails_leaves_the_intent(desk: Desk) -> None:
    desk.kaggle.uploading = [fault(503)]
    assert "nothing was submitted" in str(desk.refused())
    assert desk.record.state == "INTENT"
    assert desk.start().exit_code == 0
    assert desk.states == ["COMPLETE"]


@pytest.mark.parametrize("what", ["lost after", "no reference after"])
def test_an_answer_that_is_lost_is_looked_up(desk: Desk, what: str) -> None:
    desk.kaggle.creating = [what]
    assert desk.start().exit_code == 0
    assert desk.kaggle.asked == 1


@pytest.mark.parametrize("what", ["lost before", "busy", "never sent", "no reference before"])
def test_what_certainly_did_not_arrive_is_sent_again(desk: Desk, what: str) -> None:
    desk.kaggle.creating = [what]
    assert desk.start().exit_code == 0
    assert desk.kaggle.asked == 2
    assert desk.states == ["COMPLETE"]


def test_a_request_that_is_carried_out_late_is_not_repeated(desk: Desk) -> None:
    """Neither list nor count show it, so the file is sent again; it turns up during the upload."""
    desk.kaggle.creating = ["held up"]
    outcome = desk.start()
    assert (outcome.exit_code, outcome.record.ref, desk.states) == (0, 100, ["COMPLETE"])
    assert desk.kaggle.asked == len(desk.kaggle.made) == 1
    assert any("an earlier request was carried out late, as ref 100" in line for line in desk.said)


def test_nothing_is_sent_again_while_the_list_cannot_be_read(desk: Desk) -> None:
    desk.kaggle.creating, desk.kaggle.listing = ["never sent"], [fault(503)]
    assert desk.refused().exit_code == 4
    assert (desk.states, desk.kaggle.asked) == (["INTENT"], 1)
    assert desk.start().exit_code == 0
    assert len(desk.kaggle.made) == 1


def test_sending_ends(desk: Desk) -> None:
    desk.kaggle.creating = ["busy"] * 10
    outcome = desk.start()
    assert (outcome.exit_code, outcome.record.state, desk.kaggle.asked) == (4, "INTENT", 3)


@pytest.mark.parametrize("what", ["killed before", "killed after"])
def test_killed_while_asking(desk: Desk, what: str) -> None:
    desk.kaggle.creating = [what]
    with pytest.raises(Killed):
        desk.start()
    assert desk.record.state == "CREATING"
    outcome = desk.start()
    assert (outcome.exit_code, outcome.record.state) == (0, "COMPLETE")
    assert len(desk.kaggle.made) == 1


def test_not_in_the_list_and_more_submissions_than_before_is_unknown(desk: Desk) -> None:
    desk.kaggle.creating = ["killed before"]
    with pytest.raises(Killed):
        desk.start()
    desk.kaggle.elsewhere = 1
    outcome = desk.start()
    assert (outcome.exit_code, outcome.record.state) == (5, "UNKNOWN")
    assert "/competitions/qa-cup/submissions" in outcome.message
    assert desk.start().exit_code == 5
    assert desk.kaggle.asked == 1
    assert desk.start(force=True).exit_code == 0
    assert desk.states == ["UNKNOWN", "COMPLETE"]


def test_an_unknown_one_that_turns_up_is_adopted(desk: Desk) -> None:
    desk.kaggle.creating = ["killed before"]
    with pytest.raises(Killed):
        desk.start()
    desk.kaggle.elsewhere = 1
    desk.start()
    desk.kaggle.made.append(RemoteSubmission(7, "PENDING", description=f"hello {desk.record.tag}"))
    outcome = desk.start(force=True)
    assert (outcome.exit_code, outcome.record.ref) == (0, 7)


def test_kaggle_that_cannot_be_asked_leaves_it_open(desk: Desk) -> None:
    desk.kaggle.creating, desk.kaggle.listing = ["lost after"], [fault(503), fault(503)]
    outcome = desk.start()
    assert (outcome.exit_code, outcome.record.state) == (5, "CREATING")
    assert desk.refused().exit_code == 5
    assert desk.start().exit_code == 0
    assert len(desk.kaggle.made) == 1


def test_force_does_not_repeat_what_was_cut_off(desk: Desk) -> None:
    desk.kaggle.creating = ["killed after"]
    with pytest.raises(Killed):
        desk.start()
    assert desk.start(force=True).exit_code == 0
    assert len(desk.kaggle.made) == 1


def test_a_repetition_that_was_cut_off_is_a_duplicate_unless_forced(desk: Desk) -> None:
    desk.start()
    desk.kaggle.uploading = [Killed()]
    with pytest.raises(Killed):
        desk.start(force=True)
    assert desk.states == ["COMPLETE", "INTENT"]
    assert desk.start().exit_code == 3
    assert desk.start(force=True).exit_code == 0
    assert desk.states == ["COMPLETE", "COMPLETE"]
    assert len(desk.kaggle.made) == 2


def test_another_file_settles_what_was_cut_off_and_sends_only_itself(desk: Desk) -> None:
    desk.kaggle.creating, other = ["killed after"], "id,answer\n1,b\n"
    with pytest.raises(Killed):
        desk.start()
    assert desk.start(other).exit_code == 0
    assert desk.states == ["CREATED", "COMPLETE"]
    desk.kaggle.uploading = [Killed()]
    with pytest.raises(Killed):
        desk.start("id,answer\n1,c\n")
    assert desk.start("id,answer\n1,d\n").exit_code == 0
    assert desk.states == ["CREATED", "COMPLETE", "INTENT", "COMPLETE"]
    assert any("has not been submitted; to send it: qakit submit" in line for line in desk.said)


def test_the_output_of_a_notebook(desk: Desk) -> None:
    desk.kaggle.info = replace(desk.kaggle.info, code_only=True)

    def start(version: int) -> Outcome:
        output = NotebookOutput("qa-cup", "ada/nb", version, "hello")
        return submit(output, desk.ledger, lambda: desk.kaggle, patience=Patience(1.0, PAUSE), say=desk.said.append)

    desk.kaggle.creating = ["killed after"]
    with pytest.raises(Killed):
        start(1)
    assert start(1).exit_code == 0
    assert start(1).exit_code == 3
    assert start(2).exit_code == 0
    assert [record.notebook for record in desk.ledger.read()] == ["ada/nb@1", "ada/nb@2"]
    assert len(desk.kaggle.made) == 2


def test_a_lost_folder_is_made_again(desk: Desk) -> None:
    desk.kaggle.uploading = [Killed()]
    with pytest.raises(Killed):
        desk.start()
    kept = desk.ledger.folder / desk.record.folder / "answers.csv"
    kept.write_text("something else")
    assert desk.start().exit_code == 0
    assert kept.read_text() == "id,answer\n1,a\n"


def test_a_full_disk_after_submitting_tells_the_reference(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    append = Ledger.append

    def full(self: Ledger, record: Record) -> Record:
        if record.state == "CREATED":
            raise OutputError("cannot write ledger.jsonl: No space left on device")
        return append(self, record)

    monkeypatch.setattr(Ledger, "append", full)
    with pytest.raises(OutputError, match="submitted as ref 100, but") as caught:
        desk.start()
    assert caught.value.exit_code == 5, "2 would say that nothing was sent"
    monkeypatch.undo()
    assert desk.start().record.ref == 100
    assert len(desk.kaggle.made) == 1


@pytest.mark.parametrize(
    ("problem", "words"),
    [(OutputError("disk full"), "cannot be written down"), (SubmissionError("locked"), "cannot be asked for")],
)
def test_a_score_that_cannot_be_kept_is_no_failure(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, problem: Exception, words: str
) -> None:
    append = Ledger.append

    def failing(self: Ledger, record: Record) -> Record:
        if record.state == "COMPLETE":
            raise problem
        return append(self, record)

    monkeypatch.setattr(Ledger, "append", failing)
    outcome = desk.start()
    assert (outcome.exit_code, outcome.record.state) == (0, "CREATED")
    assert any(words in line for line in desk.said)


def test_a_submission_is_dated_by_when_kaggle_was_asked(desk: Desk) -> None:
    times = {"CREATING": "2026-03-01T23:59:00.000+00:00", "CREATED": "2026-03-04T08:00:00.000+00:00"}
    assert desk.start().exit_code == 0
    assert replace(desk.record, times=times).submitted_at == "2026-03-01 23:59 UTC"


def test_the_ledger_knows_kaggles_metric(desk: Desk) -> None:
    assert desk.start().record.kaggle_metric == "EM"


WAYS = ["well", "killed before", "killed after", "lost before", "lost after", "busy", "never sent", "refused"]
WAYS += ["no reference before", "no reference after", "held up"]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(WAYS), max_size=6), st.lists(st.booleans(), max_size=4))
def test_never_twice_and_never_lost(
    tmp_path_factory: pytest.TempPathFactory, ways: list[str], list_fails: list[bool]
) -> None:
    """Whatever happens to the requests: starting often enough submits the file once."""
    desk = Desk(tmp_path_factory.mktemp("desk"), FakeKaggle(left=100))
    desk.kaggle.creating = list(ways)
    desk.kaggle.listing = [fault(503) for fails in list_fails if fails]
    for _ in range(20):
        try:
            if desk.start().exit_code in (0, 3):
                break
        except (Killed, SubmissionError):
            pass
    assert len(desk.kaggle.made) == 1
    assert desk.start().exit_code == 3


STARTS = st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), st.sampled_from(WAYS)), max_size=7)


@settings(deadline=None, max_examples=30)
@given(STARTS)
def test_kaggle_and_the_ledger_know_the_same_submissions(
    tmp_path_factory: pytest.TempPathFactory, starts: list[tuple[str, bool, str]]
) -> None:
    """Two files, repeated or not, whatever happens: each of Kaggle's submissions has one record, and was wanted."""
    desk = Desk(tmp_path_factory.mktemp("desk"), FakeKaggle(left=100))
    for name, force, way in starts:
        desk.kaggle.creating = [way]
        try:
            outcome = desk.start(f"id,answer\n1,{name}\n", force=force)
        except (Killed, SubmissionError):
            continue
        assert outcome.exit_code != 0 or outcome.record.state == "COMPLETE"
    desk.kaggle.creating = []
    for name in "ab":
        desk.start(f"id,answer\n1,{name}\n")
        assert desk.start(f"id,answer\n1,{name}\n").exit_code == 3
    records = [record for record in desk.ledger.read() if record.ref is not None]
    assert sorted(record.ref for record in records) == sorted(each.ref for each in desk.kaggle.made)
    forced = [name for name, force, _ in starts if force]
    for name in "ab":
        sent = [each for each in records if each.sha256 == sha256(f"id,answer\n1,{name}\n".encode()).hexdigest()]
        assert 1 <= len(sent) <= 1 + forced.count(name)
