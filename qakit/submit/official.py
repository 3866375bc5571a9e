"""Loading Kaggle's official client: the only place that imports it.

Importing the package logs in over the network without a time limit, prints, and may end in ``SystemExit``. Here it is
loaded without that; the log-in happens when it is wanted.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from qakit.errors import SubmissionError
from qakit.submit.settings import KaggleSettings


def installed_version() -> str | None:
    """The client's version, without importing it."""
    try:
        return importlib.metadata.version("kaggle")
    except importlib.metadata.PackageNotFoundError:
        return None


def load_official(settings: KaggleSettings) -> Any:
    """An instance of the official client that is not logged in yet.

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
