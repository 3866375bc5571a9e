"""Kaggle's official client, made to keep to time limits, to try again where that is safe, and to keep quiet.

Its requests have no time limits, and its ``competition_submit`` uploads and submits in one go, so nothing could be
written down between the two. Here every session gets time limits, and the steps are taken one by one through the
client's own request objects.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from qakit.errors import SubmissionError
from qakit.names import shortened
from qakit.submit import remote
from qakit.submit.credentials import HELP, Credentials, Redactor, find_credentials
from qakit.submit.faults import LONGEST, Fault, KaggleError, UploadError, explain, fault_of
from qakit.submit.remote import Competition, Download, LeaderboardRow, Limits, RemoteFile, RemoteSubmission
from qakit.submit.settings import KaggleSettings, settings_from


def installed_version() -> str | None:
    """The client's version, without importing it."""
    try:
        return importlib.metadata.version("kaggle")
    except importlib.metadata.PackageNotFoundError:
        return None


def load_official(settings: KaggleSettings) -> Any:
    """An instance of the official client that is not logged in yet.

    Importing the package would log in over the network without a time limit, print, and perhaps end in ``SystemExit``.

    Raises:
        SubmissionError: it is not installed, or cannot be loaded.
    """
    for name in ("VERBOSE", "VERBOSE_OUTPUT"):
        os.environ.pop(name, None)  # the client would print the Authorization header
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            _prepare_package()
            from kaggle.api.kaggle_api_extended import KaggleApi
            from kagglesdk.kaggle_env import KaggleEnv
    except ModuleNotFoundError as error:
        raise SubmissionError(
            f"Kaggle's client is not installed ({error.name} is missing): pip install 'qakit[kaggle]'", exit_code=2
        ) from None
    except OSError as error:
        raise SubmissionError(
            f"Kaggle's client cannot make its settings folder ({error.strerror}: {error.filename}); set"
            " KAGGLE_CONFIG_DIR to a folder that can be written"
        ) from None

    class Api(KaggleApi):  # type: ignore[misc]
        """With time limits, another endpoint where one is asked for, and no printing."""

        newest_version: str | None = None

        def build_kaggle_client(self) -> Any:
            client = super().build_kaggle_client()
            http = client.http_client()
            if settings.endpoint is not None:
                http._endpoint, http._env = settings.endpoint, KaggleEnv.PROD
            http._init_session()
            limit_time(http._session, settings)
            return client

        def get_response_processor(self) -> Callable[[Any], None]:
            return self._note_version

        def _note_version(self, response: Any) -> None:
            type(self).newest_version = response.headers.get("X-Kaggle-APIVersion") or self.newest_version

    return Api()


def _prepare_package() -> None:
    """Put the package ``kaggle`` in its place without running it: its one act is to log in, without a time limit."""
    if "kaggle" in sys.modules:
        return
    spec = importlib.util.find_spec("kaggle")
    if spec is None:
        raise ModuleNotFoundError("No module named 'kaggle'", name="kaggle")
    package = importlib.util.module_from_spec(spec)
    package.__dict__["__version__"] = installed_version() or "0"
    sys.modules["kaggle"] = package


def limit_time(session: Any, settings: KaggleSettings) -> None:
    """Give every request of a session time limits."""
    from requests.adapters import HTTPAdapter

    class Limited(HTTPAdapter):
        def send(self, request: Any, *args: Any, **options: Any) -> Any:
            if options.get("timeout") is None:
                options["timeout"] = (settings.connect_timeout, settings.timeout)
            return super().send(request, *args, **options)

    for scheme in ("http://", "https://"):
        session.mount(scheme, Limited())


T = TypeVar("T")
Say = Callable[[str], None]

ATTEMPTS = 5
"""Tries of a reading, the first one included."""
LONGEST_WAIT = 60.0
"""Seconds that a server may ask us to wait before another try; when it asks for more, the command ends."""
PAGE_SIZE = 100
MOST_PAGES = 200
CHUNK = 1 << 20
SERVICES = {
    "competitions": "competition_api",
    "kernels": "kernels_api",
    "datasets": "dataset_api",
    "blobs": "blob_api",
}
"""Kaggle's services and what the official client calls their parts."""


def connect(settings: KaggleSettings | None = None, *, say: Say = lambda _: None) -> KaggleClient:
    """The official client, logged in.

    Raises:
        SubmissionError: it is not installed, there are no credentials, or Kaggle does not take them.
    """
    settings = settings or settings_from()
    credentials = find_credentials()
    if credentials.used is None:
        raise SubmissionError("; ".join((*credentials.problems, HELP)))
    client = KaggleClient(load_official(settings), settings, credentials, say=say)
    client.log_in()
    return client


class KaggleClient:
    """What this package asks of Kaggle, through the official client. Every method raises :class:`KaggleError`.

    Reading methods try again by themselves; ``create`` and ``create_from_notebook`` never do. For other services
    there are ``call``, which makes one request, and ``retried`` and ``guarded``, which say what becomes of a failure.
    """

    def __init__(self, api: Any, settings: KaggleSettings, credentials: Credentials, *, say: Say) -> None:
        self.official = api
        """Kaggle's own client, for what it has no requests for."""
        self._settings = settings
        self._credentials = credentials
        self._redact: Redactor = credentials.redactor()
        self._say = say

    @property
    def user(self) -> str | None:
        """The user's name, once logged in."""
        name = self.official.config_values.get(self.official.CONFIG_NAME_USER)
        return str(name) if name else None

    @property
    def newest_version(self) -> str | None:
        """The client version that the server recommends, when it said so."""
        value = self.official.newest_version
        return str(value) if value else None

    def log_in(self) -> None:
        """Let the client choose and check the credentials."""

        def authenticate() -> None:
            try:
                self.official.authenticate()
            except SystemExit:
                raise SubmissionError(
                    f"Kaggle's client does not accept the credentials from {self._credentials.source}; make new ones at"
                    " https://www.kaggle.com/settings/api (an invalid KAGGLE_API_TOKEN overrides kaggle.json)"
                ) from None

        self.retried(authenticate, None)

    # ------------------------------------------------------------------------------------------------------ readings
    def competition(self, slug: str) -> Competition:
        call = partial(self.call, "get_competition", competition_name=slug)
        return self.retried(lambda: remote.competition(slug, call()), slug)

    def limits(self, slug: str) -> Limits:
        return self.retried(lambda: remote.limits(self.call("get_submission_limits", competition_name=slug)), slug)

    def submissions(self, slug: str) -> Iterator[RemoteSubmission]:
        """All of the team's submissions, the latest first."""
        return self._listed("list_submissions", slug, "submissions", self._submission)

    def submission(self, slug: str, ref: int) -> RemoteSubmission:
        return self.retried(lambda: self._submission(self.call("get_submission", ref=ref)), slug)

    def leaderboard(self, slug: str) -> Iterator[LeaderboardRow]:
        return self._listed("get_leaderboard", slug, "submissions", remote.leaderboard_row)

    def data_files(self, slug: str) -> list[RemoteFile]:
        return list(self._listed("list_data_files", slug, "files", remote.data_file))

    @contextmanager
    def download(self, slug: str) -> Iterator[Download]:
        """All data files in one archive."""
        call = partial(self.call, "download_data_files", competition_name=slug)
        response = self.retried(call, slug)
        length = response.headers.get("Content-Length", "")
        known = length.isdigit() and not response.headers.get("Content-Encoding")

        def chunks() -> Iterator[bytes]:
            try:
                yield from response.iter_content(CHUNK)
            except Exception as error:
                raise self._fault(error, slug) from None

        try:
            yield Download(chunks(), int(length) if known else None, Path(urlsplit(response.url).path).name)
        finally:
            response.close()

    # ---------------------------------------------------------------------------------------------------- submitting
    def upload(self, slug: str, file: Path) -> str:
        """Bring a file to Kaggle, which is no submission yet; returns the token that stands for it."""
        return self.upload_by(
            partial(self.call, "start_submission_upload", competition_name=slug, file_name=file.name), file, slug
        )

    def upload_by(self, start: Callable[..., Any], file: Path, slug: str | None = None) -> str:
        """Bring a file to where the answer to ``start`` says; returns the token that stands for it."""
        facts = file.stat()
        size, changed = facts.st_size, int(facts.st_mtime)

        def once() -> str:
            started = start(content_length=size, last_modified_epoch_seconds=changed)
            if not (started.token and started.create_url):
                raise ValueError("no place to upload to")
            self._put(file, started.create_url)
            return str(started.token)

        return self.retried(once, slug)

    def create(self, slug: str, token: str, description: str) -> int:
        """Submit an uploaded file; returns its reference, or 0 when Kaggle gave none."""
        facts = {"competition_name": slug, "blob_file_tokens": token, "submission_description": description}
        return self.guarded(lambda: int(self.call("create_submission", **facts).ref or 0), slug)

    def create_from_notebook(self, slug: str, notebook: str, version: int, file_name: str, description: str) -> int:
        """Submit the output of a notebook's version (``owner/name``)."""

        def once() -> int:
            found = self.official.competition_submit_code(file_name, description, slug, notebook, version, quiet=True)
            return int(found.ref or 0)

        return self.guarded(once, slug)

    # ------------------------------------------------------------------------------------------------------- beneath
    def _listed(self, method: str, slug: str, field: str, item_of: Callable[[Any], T]) -> Iterator[T]:
        """The items of all pages; ends when a page names no next one, or one that was there before."""
        token, seen = "", {""}

        def page() -> tuple[list[T], str]:
            found = self.call(method, competition_name=slug, page_size=PAGE_SIZE, page_token=token)
            items = [item_of(item) for item in getattr(found, field) or () if item is not None]
            return items, found.next_page_token or ""

        for _ in range(MOST_PAGES):
            items, token = self.retried(page, slug)
            yield from items
            if token in seen:
                return
            seen.add(token)

    def _submission(self, found: Any) -> RemoteSubmission:
        submission = remote.submission(found)
        return replace(submission, error=self._redact(submission.error))

    def call(self, method: str, service: str = "competitions", **values: Any) -> Any:
        """The answer to a request: that of ``get_competition`` is an ``ApiGetCompetitionRequest`` with these values."""
        asked = getattr(self.types(service), f"Api{method.title().replace('_', '')}Request")()
        for name, value in values.items():
            setattr(asked, name, value)
        with self.official.build_kaggle_client() as kaggle:
            return getattr(getattr(getattr(kaggle, service), f"{SERVICES[service]}_client"), method)(asked)

    @staticmethod
    def types(service: str) -> Any:
        """The module of a service's requests."""
        return import_module(f"kagglesdk.{service}.types.{SERVICES[service]}_service")

    def _put(self, file: Path, address: str) -> None:
        """Upload the bytes. The client's own way has no time limit and hides the reason of a failure."""
        with self.plain_session() as session, file.open("rb") as content:
            response = session.put(address, data=content)
        if response.status_code not in (200, 201):
            raise UploadError(response.status_code)

    def plain_session(self) -> Any:
        """A session with time limits and without credentials: for addresses that are valid by themselves."""
        import requests

        session = requests.Session()
        limit_time(session, self._settings)
        return session

    def retried(self, call: Callable[[], T], slug: str | None) -> T:
        """The result of a call that may be repeated, tried again while its failure looks temporary."""
        delay = self._settings.first_delay
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self.guarded(call, slug)
            except KaggleError as problem:
                wait = max(delay, problem.fault.retry_after or 0.0)
                if not problem.fault.temporary or attempt == ATTEMPTS or wait > LONGEST_WAIT:
                    raise
                self._say(f"{problem} (trying again in {wait:.0f} s)" if wait >= 1 else f"{problem} (trying again)")
            time.sleep(wait)
            delay *= 2
        raise AssertionError("unreachable")

    def guarded(self, call: Callable[[], T], slug: str | None) -> T:
        """The result of a call; the client's chatter is swallowed and its exceptions become faults."""
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                return call()
        except SubmissionError:
            raise
        except SystemExit:
            raise self._fault(ValueError("the client gave up"), slug) from None
        except Exception as error:
            raise self._fault(error, slug) from None

    def _fault(self, error: Exception, slug: str | None) -> KaggleError:
        raw = fault_of(error)
        fault = Fault(raw.status, shortened(self._redact(raw.detail), LONGEST), raw.sent, raw.retry_after)
        return KaggleError(
            explain(fault, slug=slug, source=self._credentials.source, address=self._settings.address), fault
        )
