"""A dry run: everything that is checked before a submission, and nothing sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from qakit.errors import SubmissionError
from qakit.submit.client import connect
from qakit.submit.credentials import find_credentials
from qakit.submit.flow import DUPLICATE, NOT_KNOWN, check_remote, duplicate_message
from qakit.submit.ledger import Ledger
from qakit.submit.pending import FileSubmission, description_line
from qakit.submit.reconcile import unknown_message
from qakit.submit.record import SUBMITTED
from qakit.submit.remote import Competition, Limits


@dataclass(frozen=True, slots=True)
class DryRun:
    """What would be sent, and whether it would be."""

    pending: FileSubmission
    competition: Competition | None
    """None when Kaggle was not asked."""
    limits: Limits | None
    refusal: str | None
    exit_code: int

    def to_dict(self) -> dict[str, Any]:
        pending, checked = self.pending, self.pending.checked
        return {
            "dry_run": True,
            "competition": pending.competition,
            "file": str(checked.path),
            "sha256": checked.sha256,
            "bytes": checked.bytes,
            "rows": checked.rows,
            "sample": None if checked.sample is None else str(checked.sample),
            "notices": list(checked.notices),
            "message": description_line(pending.message),
            "run_id": pending.run_id,
            "expected": asdict(pending.score) | ({} if pending.stages is None else {"stages": pending.stages}),
            "kaggle": None if self.competition is None else asdict(self.competition) | {"deadline": self._deadline()},
            "limits": None if self.limits is None else asdict(self.limits),
            "refusal": self.refusal,
            "exit_code": self.exit_code,
        }

    def shown(self) -> dict[str, Any]:
        """What people want to see."""
        pending, checked, score = self.pending, self.pending.checked, self.pending.score
        facts: dict[str, Any] = {
            "competition": pending.competition,
            "file": f"{checked.path} ({checked.rows:,} rows, {checked.bytes:,} bytes)",
            "compared with": checked.sample or "nothing: no sample submission is known",
            "sha256": checked.sha256,
            "description": f"{description_line(pending.message)} [qk:...]",
        }
        if pending.run_id is not None:
            facts["run"] = pending.run_id
        if score.mean is not None:
            about = "" if score.low is None else f", 95% interval {score.low:.2f} to {score.high:.2f}"
            facts["expected"] = f"{score.metric} {score.mean:.2f}{about} (on validation data)"
        if pending.stages is not None:
            selection, span = (pending.stages[name]["value"] for name in ("selection", "span_given_right"))
            product = pending.stages["product"]
            facts["its stages"] = (
                f"selection {selection:.2f} x span {span:.2f} (given the right paragraph) = {product:.2f}"
            )
        if self.competition is None:
            facts["kaggle"] = "not asked: there are no credentials"
        else:
            facts["kaggle"] = f"{self.competition.title}, metric {self.competition.metric or 'not told'}"
            facts["deadline"] = self._deadline() or "none"
        if self.limits is not None:
            facts["submissions left today"] = self.limits.allowed_now
        return facts

    def _deadline(self) -> str | None:
        deadline = self.competition.deadline if self.competition is not None else None
        return None if deadline is None else deadline.strftime("%Y-%m-%d %H:%M UTC")


def dry_run(pending: FileSubmission, ledger: Ledger, *, say: Callable[[str], None]) -> DryRun:
    """Look at the ledger and, when there are credentials, ask Kaggle; write and send nothing."""
    refusal = _from_ledger(pending, ledger, say=say)
    competition, limits = None, None
    if find_credentials().used is not None:
        try:
            competition, limits = check_remote(pending.competition, connect(say=say), say=say)
        except SubmissionError as problem:
            refusal = refusal or (str(problem), problem.exit_code)
    message, code = refusal or (None, 0)
    return DryRun(pending, competition, limits, message, code)


def _from_ledger(pending: FileSubmission, ledger: Ledger, *, say: Callable[[str], None]) -> tuple[str, int] | None:
    for record in reversed([each for each in ledger.read() if pending.matches(each)]):
        if record.state in SUBMITTED:
            return duplicate_message(record), DUPLICATE
        if record.state == "UNKNOWN":
            return unknown_message(record), NOT_KNOWN
        if record.state != "REJECTED":
            say(f"a submission of this file was cut off ({record.state}): without --dry-run it is gone on with")
            return None
    return None
