"""The model hub: the files of a repository that are needed, fetched once, in one folder.

``huggingface_hub`` does the fetching and keeps the files in its own cache, so mirrors (``HF_ENDPOINT``), tokens
(``HF_TOKEN``), the offline mode (``HF_HUB_OFFLINE``) and the cache's place (``HF_HOME``) are as everywhere else.
Decided here: which files, whether they arrived whole, and what to say when they did not.
"""

from __future__ import annotations

import inspect
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

from qakit.errors import HubError
from qakit.hub_downloads import SHA256, DamagedError, bring, check
from qakit.names import few, plain_name

logger = logging.getLogger(__name__)

Kind = Literal["model", "dataset"]
DEFAULT_REVISION = "main"
SECONDS = 20
"""How long the hub may take to say which files it has, and what it knows of one; HF_HUB_ETAG_TIMEOUT raises it."""
COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"(?!.*\.\.)[\w][\w./+-]*")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long piece of work on files has come; ``done`` and ``total`` in bytes."""

    what: str
    done: int
    total: int


Report = Callable[[Progress], None]
_report: ContextVar[Report | None] = ContextVar("report", default=None)


@contextmanager
def reporting(report: Report) -> Iterator[None]:
    """Tell ``report`` how fetching and converting get on; outside, the hub client's own bars show it."""
    token = _report.set(report)
    try:
        yield
    finally:
        _report.reset(token)


def told(progress: Progress) -> None:
    """Pass progress on to whoever listens."""
    if (report := _report.get()) is not None:
        report(progress)


def snapshot(
    repository: str,
    *,
    choose: Callable[[Sequence[str]], Iterable[str]],
    kind: Kind = "model",
    revision: str | None = None,
    subject: str,
    complete: Callable[[Sequence[str]], bool] = bool,
) -> Path:
    """The folder of a repository on the hub with the files that ``choose`` picks from its listing.

    What the cache has is not fetched again. Without the hub the cache alone must do.

    Args:
        repository: ``OWNER/NAME`` or ``NAME``.
        choose: names of all files, relative to the repository -> those that are needed.
        kind: of the repository.
        revision: a branch, tag or commit; the default branch where it is None.
        subject: how the user named it, the beginning of the error's line: ``backbone 'hfl/x'``.
        complete: whether the chosen files suffice, asked of what the cache holds when the hub is out of reach.

    Returns:
        The cache's folder of one commit; its name is the commit.

    Raises:
        HubError: there is no such repository or revision, it asks for rights, a file arrived damaged, or neither the
            hub nor the cache has what is needed.
    """
    if revision is not None and not _REVISION.fullmatch(revision):
        raise HubError(f"{subject}: {revision!r} is no branch, tag or commit")
    wanted: dict[str, list[str]] = {}
    try:
        return _fetched(repository, choose, kind, revision, subject, wanted)
    except HubError:
        raise
    except Exception as caught:  # the hub client's HTTP library changes; whatever it raises, the hub did not answer
        error = _cause(caught)
        cached = held_snapshot(repository, kind, revision)
        held = [] if cached is None else list(choose(_names_in(cached)))
        why = why_not(error, repository, kind, revision)
        broke_off = cached is not None and not set(wanted.get(cached.name, ())) <= set(held)
        if cached is not None and held and complete(held) and not broke_off and not _is_final(error):
            if not _is_offline(error):
                _warn(f"{repository}: {why}; the copy in the cache is used")
            return cached
        raise HubError(f"{subject}: {why}", unreachable=not _is_final(error)) from error


def commit_of(folder: Path) -> str:
    """The commit of a folder that :func:`snapshot` gave."""
    return folder.name


def _fetched(
    repository: str,
    choose: Callable[[Sequence[str]], Iterable[str]],
    kind: Kind,
    revision: str | None,
    subject: str,
    wanted: dict[str, list[str]],
) -> Path:
    """``wanted`` gets the chosen files of the commit, for when some of them do not arrive."""
    from huggingface_hub import constants, hf_hub_download

    commit, names = _listing(str(constants.ENDPOINT), repository, kind, revision)
    wanted[commit] = chosen = list(choose(names))
    if not chosen:
        raise HubError(f"{subject}: the repository holds nothing that could be used ({few(names) or 'it is empty'})")
    folder = _repository_folder(repository, kind)
    snapshots = folder / "snapshots" / commit
    reference = folder / "refs" / (revision or DEFAULT_REVISION)
    known = reference.is_file() and reference.read_text("utf-8") == commit
    for position, name in enumerate(chosen):
        held = (snapshots / name).exists()
        if held and known:
            continue
        display = _display(f"fetching {name} of {repository}")
        try:
            with quiet():
                brought = not held and _brought(repository, name, kind, commit, folder, display)
                file = hf_hub_download(
                    repository,
                    name,
                    repo_type=kind,
                    # the first file notes in the cache what the branch stands for: so it is found without a network
                    revision=commit if position else revision,
                    **display,
                )
            known = True
            if not Path(file).is_relative_to(snapshots):  # the file's own answer named another commit
                raise HubError(f"{subject}: the hub ({constants.ENDPOINT}) changed while {name} was fetched; try again")
            blob = Path(file).resolve()
            if not held and not brought and SHA256.fullmatch(blob.name):
                check(blob, blob.name)
        except DamagedError as error:
            raise HubError(f"{subject}: {name} arrived damaged ({error}); give the command again") from None
    return snapshots


def _brought(repository: str, name: str, kind: Kind, commit: str, folder: Path, display: dict[str, Any]) -> bool:
    """Whether we have fetched a file ourselves.

    The hub is asked about each before the client does that, which tries a hub that does not answer for minutes.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repository, name, repo_type=kind, revision=commit)
    begun, patience = time.monotonic(), _patience()
    try:
        metadata = get_hf_file_metadata(url, timeout=patience)
    except Exception:
        if time.monotonic() - begun >= patience:
            raise
        return False  # the client tries again, or says why not
    return bring(url, metadata, folder, display)


def _patience() -> float:
    """Seconds that the hub may take to answer."""
    from huggingface_hub import constants

    return max(SECONDS, constants.HF_HUB_ETAG_TIMEOUT)


@lru_cache(maxsize=64)
def _listing(endpoint: str, repository: str, kind: Kind, revision: str | None) -> tuple[str, tuple[str, ...]]:
    """The commit behind a revision and the names of its files; asked once per process."""
    from huggingface_hub import HfApi

    with quiet():
        info = HfApi(endpoint=endpoint).repo_info(repository, repo_type=kind, revision=revision, timeout=_patience())
    commit = str(info.sha)
    siblings = getattr(info, "siblings", None) or ()  # not every kind of repository has them
    names = [str(sibling.rfilename) for sibling in siblings]
    if not COMMIT.fullmatch(commit):  # it becomes a part of paths
        raise HubError(f"the hub ({endpoint}) calls {commit[:80]!r} a commit of {repository}, which is none")
    for name in names:
        try:
            for part in name.split("/"):
                plain_name(part)
        except ValueError as error:
            raise HubError(f"the hub ({endpoint}) names a file of {repository} that leads elsewhere: {error}") from None
    return commit, tuple(sorted(names))


def _repository_folder(repository: str, kind: Kind) -> Path:
    """Where the hub's cache keeps a repository: refs/, snapshots/COMMIT/, blobs/."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / "--".join([f"{kind}s", *repository.split("/")])


def held_snapshot(repository: str, kind: Kind = "model", revision: str | None = None) -> Path | None:
    """The folder of a repository's commit, by default the newest, in the cache, whatever files it has; the hub is not
    asked."""
    folder = _repository_folder(repository, kind)
    reference = folder / "refs" / (revision or DEFAULT_REVISION)
    commit = reference.read_text("utf-8").strip() if reference.is_file() else revision
    snapshots = folder / "snapshots" / commit if commit and COMMIT.fullmatch(commit) else None
    return snapshots if snapshots is not None and snapshots.is_dir() else None


def _names_in(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def why_not(error: Exception, repository: str, kind: Kind, revision: str | None) -> str:
    """What is wrong, and what to do about it."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, GatedRepoError):
        page = f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{repository}"
        return (
            f"{page} asks for its conditions to be accepted: do that in a browser, then log in (`hf auth login`, or "
            "the environment variable HF_TOKEN)"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"the hub has no revision {revision!r} of {repository}"
    if isinstance(error, HFValidationError):
        return f"{repository!r} is no name of a repository on the hub (OWNER/NAME)"
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"the hub ({constants.ENDPOINT}) has no public {kind} of that name (for a private one log in: "
            "`hf auth login`, or the environment variable HF_TOKEN)"
        )
    if isinstance(error, OfflineModeIsEnabled):
        return (
            "offline mode is on (HF_HUB_OFFLINE), and the cache does not hold all of it; "
            "give the command once with a network (`--dry-run` fetches what a training needs)"
        )
    if status in (401, 403):
        return f"the hub ({constants.ENDPOINT}) refuses access ({status}); check HF_TOKEN or log in: `hf auth login`"
    if status == 429:
        return f"the hub ({constants.ENDPOINT}) is asked too often from here (429); wait a few minutes, or log in"
    if status is not None:
        return f"the hub ({constants.ENDPOINT}) answers with an error ({status}); try again later"
    if isinstance(error, ValueError | TypeError | KeyError | AttributeError):
        return f"the hub ({constants.ENDPOINT}) gives an answer that makes no sense ({type(error).__name__})"
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return f"cannot write {error.filename}: {error.strerror}"
    return (
        f"the hub ({constants.ENDPOINT}) cannot be reached, or the connection broke "
        f"({type(error).__name__}); what has arrived is kept"
    )


@cache
def _warn(message: str) -> None:
    """Once per process: tokenizer, configuration and weights are asked for one after the other."""
    logger.warning(message)


def _cause(error: Exception) -> Exception:
    """What went wrong: the client says of a file only that it is neither to be had nor in the cache."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    cause = error.__cause__
    return cause if isinstance(error, LocalEntryNotFoundError) and isinstance(cause, Exception) else error


def _is_final(error: Exception) -> bool:
    """Whether the hub has answered, and the answer is no."""
    from huggingface_hub.errors import HFValidationError, RevisionNotFoundError

    return isinstance(error, RevisionNotFoundError | HFValidationError)


def _is_offline(error: Exception) -> bool:
    from huggingface_hub.errors import OfflineModeIsEnabled

    return isinstance(error, OfflineModeIsEnabled)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the client's own warnings: what matters of them is said here."""
    client = logging.getLogger("huggingface_hub")
    level = client.level
    client.setLevel(logging.ERROR)
    try:
        yield
    finally:
        client.setLevel(level)


def _display(what: str) -> dict[str, Any]:
    """The argument that brings progress to our listener, where there is one and the client lets it."""
    from huggingface_hub import hf_hub_download

    if _report.get() is None or "tqdm_class" not in inspect.signature(hf_hub_download).parameters:
        return {}

    class Bar:
        """As much of a tqdm bar as the client uses."""

        def __init__(self, *_: object, total: int | None = None, initial: int = 0, **__: object) -> None:
            self.total, self.n = total, initial

        def update(self, count: float | None = 1) -> None:
            self.n += int(count or 0)
            told(Progress(what, self.n, int(self.total or self.n)))

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def __getattr__(self, name: str) -> Callable[..., None]:
            if name.startswith("__"):
                raise AttributeError(name)
            return lambda *_, **__: None

    return {"tqdm_class": Bar}
