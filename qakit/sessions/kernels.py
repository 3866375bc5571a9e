"""Notebooks and datasets at Kaggle, through the official client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from qakit.errors import SubmissionError
from qakit.submit.client import CHUNK, MOST_PAGES, PAGE_SIZE, KaggleClient
from qakit.submit.faults import KaggleError

T = TypeVar("T")
ABSENT = frozenset({403, 404})
"""How Kaggle answers for what the user does not have."""


@dataclass(frozen=True, slots=True)
class Push:
    """A notebook that is to run."""

    kernel: str
    """``owner/name``."""
    text: str
    """The notebook (nbformat 4), as JSON."""
    datasets: Sequence[str]
    competitions: Sequence[str]
    kernels: Sequence[str]
    """Notebooks whose output it reads."""
    machine: str | None
    """Kaggle's name of the accelerator; None for none."""
    internet: bool
    seconds: int
    """After which Kaggle ends it."""


@dataclass(frozen=True, slots=True)
class Quota:
    """Hours of GPU in this week."""

    used: float
    allowed: float

    @property
    def left(self) -> float:
        return max(0.0, self.allowed - self.used)


class Kernels:
    """What this package asks of Kaggle. Every method raises :class:`KaggleError`; ``push`` alone never tries again."""

    def __init__(self, kaggle: KaggleClient) -> None:
        self._kaggle = kaggle

    @property
    def user(self) -> str:
        """The user's name.

        Raises:
            SubmissionError: Kaggle's client does not know it.
        """
        if self._kaggle.user is None:
            raise SubmissionError("Kaggle does not say whose credentials these are; set KAGGLE_USERNAME")
        return self._kaggle.user

    def quota(self) -> Quota | None:
        """What there is of GPU time; None where Kaggle does not say."""

        def once() -> Quota | None:
            found = self._call("get_accelerator_quota_statistics").gpu_quota
            return None if found is None else Quota(_hours(found.time_used), _hours(found.total_time_allowed))

        return self._kaggle.retried(once, None)

    def dataset(self, owner: str, slug: str) -> str | None:
        """The state of a dataset, such as READY; None where there is none."""
        call = partial(self._kaggle.call, "get_dataset_status", "datasets", owner_slug=owner, dataset_slug=slug)
        return self._unless_absent(lambda: str(call().status.name))

    def create_dataset(self, owner: str, slug: str, files: Sequence[Path]) -> None:
        """Make a private dataset of these files. Whether it came to be, :meth:`dataset` tells."""
        blobs, types = self._kaggle.types("blobs"), self._kaggle.types("datasets")
        tokens = []
        for file in files:
            start = partial(self._kaggle.call, "start_blob_upload", "blobs", name=file.name)
            token = types.ApiDatasetNewFile()
            token.token = self._kaggle.upload_by(partial(start, type=blobs.ApiBlobType.DATASET), file)
            tokens.append(token)
        about = {"title": slug.replace("-", " "), "license_name": "other", "is_private": True}
        create = partial(self._kaggle.call, "create_dataset", "datasets", owner_slug=owner, slug=slug, **about)
        made = self._kaggle.guarded(lambda: create(files=tokens), None)
        if made.error:
            raise SubmissionError(f"Kaggle made no dataset {owner}/{slug}: {made.error}")

    def push(self, push: Push) -> tuple[int, str]:
        """Start a session; returns the notebook's version, 0 where Kaggle gave none, and what is wrong with it.

        Raises:
            KaggleError: it is refused, or nobody knows.
            SubmissionError: Kaggle says what is wrong, and has started nothing.
        """
        saved = self._kaggle.guarded(
            lambda: self._call(
                "save_kernel",
                slug=push.kernel,
                new_title=push.kernel.partition("/")[2].replace("-", " "),
                text=push.text,
                language="python",
                kernel_type="notebook",
                is_private=True,
                enable_gpu=push.machine is not None,
                enable_internet=push.internet,
                dataset_data_sources=list(push.datasets),
                competition_data_sources=list(push.competitions),
                kernel_data_sources=list(push.kernels),
                machine_shape=push.machine,
                session_timeout_seconds=push.seconds,
            ),
            None,
        )
        if saved.error:
            raise SubmissionError(f"Kaggle did not start the notebook: {saved.error}")
        invalid = [*saved.invalid_dataset_sources, *saved.invalid_competition_sources, *saved.invalid_kernel_sources]
        return int(saved.version_number or 0), ", ".join(invalid)

    def find(self, kernel: str) -> int | None:
        """The newest version of a notebook; None where there is no such notebook.

        Kaggle refuses what is not there as it refuses what may not be seen, so the list of the user's notebooks, the
        newest ones first, has to be without it, too.
        """
        named = _named(kernel)
        version = self._unless_absent(
            lambda: int(self._call("get_kernel", **named).metadata.current_version_number or 1)
        )
        return version if version is not None else 1 if kernel in self.own() else None

    def text(self, kernel: str) -> str:
        """The newest version of a notebook (nbformat 4), as JSON."""
        return str(self._kaggle.retried(lambda: self._call("get_kernel", **_named(kernel)).blob.source or "", None))

    def own(self) -> list[str]:
        """The user's latest notebooks, the newest first."""
        from kagglesdk.kernels.types.kernels_enums import KernelsListSortType, KernelsListViewType

        order = {"group": KernelsListViewType.PROFILE, "sort_by": KernelsListSortType.DATE_CREATED}
        call = partial(self._call, "list_kernels", page_size=PAGE_SIZE, **order)
        return self._kaggle.retried(lambda: [str(each.ref) for each in call().kernels or ()], None)

    def status(self, kernel: str) -> tuple[str, str]:
        """What its newest session does, such as RUNNING or COMPLETE; and what went wrong."""

        def once() -> tuple[str, str]:
            found = self._call("get_kernel_session_status", **_named(kernel))
            return found.status.name, found.failure_message or ""

        return self._kaggle.retried(once, None)

    def log(self, kernel: str) -> Iterator[str]:
        """What its newest session has said, from the beginning; while it runs, what it says.

        Raises:
            KaggleError: the connection is lost: ask again, it begins anew.
        """
        stream = self._kaggle.official.kernels_logs_stream(kernel)
        while (event := self._kaggle.guarded(lambda: next(stream, None), None)) is not None:
            yield str(event.get("data", ""))

    def outputs(self, kernel: str) -> Mapping[str, str]:
        """Its newest session's files: name -> address."""
        found, token = dict[str, str](), ""

        def page() -> Any:
            return self._call("list_kernel_session_output", **_named(kernel), page_size=PAGE_SIZE, page_token=token)

        for _ in range(MOST_PAGES):
            answer = self._kaggle.retried(page, None)
            found |= {each.file_name: each.url for each in answer.files or () if each.file_name}
            if not (answer.next_page_token and answer.next_page_token != token):
                break
            token = answer.next_page_token
        return found

    def download(self, address: str, target: Path) -> None:
        """Fetch a file of :meth:`outputs`; one that breaks off begins again."""

        def once() -> None:
            with self._kaggle.plain_session() as session, session.get(address, stream=True) as response:
                response.raise_for_status()
                with target.open("wb") as file:
                    for chunk in response.iter_content(CHUNK):
                        file.write(chunk)

        self._kaggle.retried(once, None)

    def delete(self, kernel: str) -> None:
        """Remove a notebook: its session ends, and all that it has made is gone."""
        self._kaggle.retried(lambda: self._call("delete_kernel", **_named(kernel)), None)

    def _call(self, method: str, **values: Any) -> Any:
        return self._kaggle.call(method, "kernels", **values)

    def _unless_absent(self, call: Callable[[], T]) -> T | None:
        try:
            return self._kaggle.retried(call, None)
        except KaggleError as problem:
            if problem.fault.status in ABSENT:
                return None
            raise


def _named(kernel: str) -> dict[str, str]:
    owner, _, name = kernel.partition("/")
    return {"user_name": owner, "kernel_slug": name}


def _hours(time: timedelta | None) -> float:
    return 0.0 if time is None else time.total_seconds() / 3600
