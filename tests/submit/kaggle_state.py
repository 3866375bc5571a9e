"""What the stand-in for Kaggle remembers, and how it answers each request. Knows nothing of HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from competitions import Competition, Fate, RefusalError, Submission, score, small_competition
from kaggle_notebooks import Notebooks


class KaggleState:
    """All the stand-in's memory, safe for threads. Methods carry the wire protocol's names."""

    def __init__(self, *competitions: Competition, page_limit: int = 20) -> None:
        self.competitions = {competition.slug: competition for competition in competitions or (small_competition(),)}
        self.submissions: list[Submission] = []
        self.notebooks = Notebooks()
        self.blobs: dict[str, bytes | None] = {}
        self.blob_names: dict[str, str] = {}
        self.fates: list[Fate] = []
        """For the next submissions, in order; afterwards each is scored at once."""
        self.page_limit = page_limit
        self.lag = 0
        """How many listings a new submission is missing from."""
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.lock = threading.RLock()

    # ------------------------------------------------------------------------------------------------- the protocol
    def call(self, method: str, request: dict[str, Any], *, storage: str) -> dict[str, Any]:
        """Answer one RPC; ``storage`` is the address of uploads."""
        with self.lock:
            if method == "StartSubmissionUpload":
                self.participating(request)
                return self._start_upload(request.get("fileName", ""), storage)
            if method == "StartBlobUpload":
                return self._start_upload(request["name"], storage)
            if method == "ListKernelSessionOutput":
                return self.notebooks.listed(request, storage)
            uploaded = {token: (self.blob_names[token], content) for token, content in self.blobs.items() if content}
            if (answer := self.notebooks.call(method, request, uploaded)) is not None:
                return answer
            handler = {
                "CreateSubmission": self._create,
                "CreateCodeSubmission": self._create_code,
                "ListSubmissions": self._list,
                "GetSubmission": self._get,
                "GetSubmissionLimits": self._limits,
                "GetCompetition": self._competition,
                "GetLeaderboard": self._leaderboard,
                "ListDataFiles": self._files,
            }.get(method)
            if handler is None:
                raise RefusalError(404, f"no such method: {method}")
            return handler(request)

    def competition(self, request: dict[str, Any]) -> Competition:
        """The one that a request names."""
        slug = request.get("competitionName", "")
        if slug not in self.competitions:
            raise RefusalError(404, f"Competition '{slug}' was not found")
        return self.competitions[slug]

    def participating(self, request: dict[str, Any]) -> Competition:
        """The same, for what only participants may do."""
        competition = self.competition(request)
        if not competition.entered:
            raise RefusalError(403, "You must accept this competition's rules before you'll be able to continue")
        return competition

    def _open(self, request: dict[str, Any], *, code: bool) -> Competition:
        competition = self.participating(request)
        if competition.disabled or competition.deadline < self.now():
            raise RefusalError(400, "Submission not allowed: this competition is closed")
        if competition.kernels_only != code:
            raise RefusalError(400, "Submission not allowed: this competition only accepts Submissions from Notebooks")
        if self.today(competition.slug) >= competition.max_daily:
            raise RefusalError(400, f"You have used all {competition.max_daily} submissions of today")
        return competition

    def today(self, slug: str) -> int:
        """Submissions since midnight, UTC."""
        day = self.now().date()
        return sum(one.competition == slug and one.date.date() == day for one in self.submissions)

    def _start_upload(self, name: str, storage: str) -> dict[str, Any]:
        token = f"blob-{len(self.blobs) + 1}"
        self.blobs[token] = None
        self.blob_names[token] = name
        return {"token": token, "createUrl": f"{storage}/upload/{token}?signature=5ec7e7"}

    def _create(self, request: dict[str, Any]) -> dict[str, Any]:
        competition = self._open(request, code=False)
        token = request.get("blobFileTokens", "")
        content = self.blobs.get(token)
        if content is None:
            raise RefusalError(400, f"No file was uploaded for token '{token}'")
        description = request.get("submissionDescription", "")
        one = self.add(competition.slug, description, content, file_name=self.blob_names[token])
        return {"message": "Successfully submitted to " + competition.title, "ref": one.ref}

    def _create_code(self, request: dict[str, Any]) -> dict[str, Any]:
        competition = self._open(request, code=True)
        one = self.add(competition.slug, request.get("submissionDescription", ""), b"", code=request)
        return {"message": "Successfully submitted to " + competition.title, "ref": one.ref}

    def add(self, slug: str, description: str, content: bytes, **more: Any) -> Submission:
        """Put a submission into the list: also what a team mate does elsewhere."""
        with self.lock:
            fate = self.fates.pop(0) if self.fates else Fate()
            ref = 1000 + len(self.submissions)
            file_name = more.pop("file_name", "submission.csv")
            one = Submission(ref, slug, description, file_name, content, self.now(), fate, hidden=self.lag, **more)
            self.submissions.append(one)
            return one

    def _list(self, request: dict[str, Any]) -> dict[str, Any]:
        competition = self.participating(request)
        shown = []
        for one in reversed(self.submissions):
            if one.competition == competition.slug and one.hidden <= 0:
                shown.append(one)
            one.hidden -= not request.get("pageToken")
        page, token = self._page(shown, request)
        return {"submissions": [self._wire(one) for one in page], "nextPageToken": token}

    def _page(self, rows: list[Any], request: dict[str, Any]) -> tuple[list[Any], str]:
        size = min(int(request.get("pageSize") or self.page_limit), self.page_limit)
        start = int(request.get("pageToken") or 0)
        return rows[start : start + size], str(start + size) if start + size < len(rows) else ""

    def _get(self, request: dict[str, Any]) -> dict[str, Any]:
        for one in self.submissions:
            if one.ref == request.get("ref"):
                return self._wire(one)
        raise RefusalError(404, "Submission not found")

    def _wire(self, one: Submission) -> dict[str, Any]:
        """Defaults are left out, scores are strings, dates have no zone."""
        wire: dict[str, Any] = {
            "ref": one.ref,
            "totalBytes": len(one.content),
            "date": one.date.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z",
            "description": one.description,
            "fileName": one.file_name,
            "submittedBy": "tester",
            "teamName": "Testers",
            "url": f"https://www.kaggle.com/submissions/{one.ref}/{one.ref}.raw",
        }
        if one.fate.pending > 0:
            one.fate.pending -= 1
            return wire
        wire["status"] = one.fate.status
        if one.fate.status == "ERROR":
            wire["errorDescription"] = one.fate.error
        elif one.fate.status == "COMPLETE":
            competition = self.competitions[one.competition]
            public, private = score(one.content, competition.solution)
            wire["publicScore"] = public
            if competition.deadline < self.now():
                wire["privateScore"] = private
        return wire

    def _limits(self, request: dict[str, Any]) -> dict[str, Any]:
        competition = self.competition(request)
        if not competition.entered:
            return {}
        today = self.today(competition.slug)
        total = sum(one.competition == competition.slug for one in self.submissions)
        answer = {"numToday": today, "numTotal": total, "numAllowedNow": max(0, competition.max_daily - today)}
        return {key: value for key, value in answer.items() if value}

    def _competition(self, request: dict[str, Any]) -> dict[str, Any]:
        competition = self.competition(request)
        answer: dict[str, Any] = {
            "id": 7,
            "ref": f"https://www.kaggle.com/competitions/{competition.slug}",
            "title": competition.title,
            "url": f"https://www.kaggle.com/competitions/{competition.slug}",
            "deadline": competition.deadline.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z",
            "evaluationMetric": competition.metric,
            "maxDailySubmissions": competition.max_daily,
            "userHasEntered": competition.entered,
            "isKernelsSubmissionsOnly": competition.kernels_only,
            "submissionsDisabled": competition.disabled,
        }
        return {key: value for key, value in answer.items() if value}

    def _leaderboard(self, request: dict[str, Any]) -> dict[str, Any]:
        competition = self.competition(request)
        rows = [(team, points) for team, points in competition.teams]
        own = [one for one in self.submissions if one.competition == competition.slug and one.fate.pending <= 0]
        scores = [score(one.content, competition.solution)[0] for one in own if one.fate.status == "COMPLETE"]
        if scores:
            rows.append(("Testers", max(scores)))
        rows.sort(key=lambda row: -float(row[1]))
        page, token = self._page(rows, request)
        date = self.now().replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
        wire = [
            {"teamId": 100 + sum(map(ord, team)), "teamName": team, "submissionDate": date, "score": points}
            for team, points in page
        ]
        return {"submissions": wire, "nextPageToken": token}

    def _files(self, request: dict[str, Any]) -> dict[str, Any]:
        competition = self.participating(request)
        page, token = self._page(list(competition.files.items()), request)
        date = "2026-01-02T03:04:05.678Z"
        wire = [{"name": name, "totalBytes": len(content), "creationDate": date} for name, content in page]
        return {"files": wire, "nextPageToken": token}

    # --------------------------------------------------------------------------------------------------- for assertions
    def snapshot(self) -> dict[str, Any]:
        """What a test wants to see, as JSON."""
        with self.lock:
            return {
                "submissions": [
                    {
                        "ref": one.ref,
                        "competition": one.competition,
                        "description": one.description,
                        "file_name": one.file_name,
                        "sha256": one.sha256,
                        "date": one.date.isoformat(),
                        "code": one.code,
                    }
                    for one in self.submissions
                ],
                "today": {slug: self.today(slug) for slug in self.competitions},
                "uploads": sum(content is not None for content in self.blobs.values()),
            }
