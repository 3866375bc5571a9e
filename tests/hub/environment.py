"""Processes and this process, pointed at the stand-in for the hub.

huggingface_hub and datasets read their environment once, when they are imported. A new process needs no more than
:func:`variables`; in this process the two modules that hold what was read are read anew (:func:`pointed_at`).
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

Variables = Mapping[str, str | None]
"""Values to set; None: to remove."""


def variables(url: str, home: Path) -> dict[str, str | None]:
    """The environment of somebody who has never spoken to the hub.

    Args:
        url: of the stand-in.
        home: where the hub's cache and its token lie.
    """
    return {
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": None,
        "HF_HUB_CACHE": None,
        "HF_HUB_OFFLINE": None,
        "HF_DATASETS_CACHE": None,
        "HF_DATASETS_OFFLINE": None,
        "HF_TOKEN": None,
        "HF_TOKEN_PATH": None,
        "HUGGINGFACE_HUB_CACHE": None,
        "HUGGING_FACE_HUB_TOKEN": None,
        "TRANSFORMERS_OFFLINE": None,
        "HTTP_PROXY": None,
        "http_proxy": None,
        "ALL_PROXY": None,
        "all_proxy": None,
    }


def for_processes(settings: Variables) -> dict[str, str]:
    """A whole environment for a new process."""
    whole = {**os.environ, **settings}
    return {name: value for name, value in whole.items() if value is not None}


@contextmanager
def pointed_at(settings: Variables) -> Iterator[None]:
    """This process with these variables; afterwards as it was before."""
    before = {name: os.environ.get(name) for name in settings}
    put(settings)
    try:
        yield
    finally:
        put(before)


def put(settings: Variables) -> None:
    """Set variables, and let the libraries that have read them already read them again."""
    for name, value in settings.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    import huggingface_hub.constants
    import huggingface_hub.hf_api
    from huggingface_hub.utils import close_session

    close_session()
    constants = importlib.reload(huggingface_hub.constants)  # everybody asks the module, so its new values hold
    huggingface_hub.hf_api.api.endpoint = constants.ENDPOINT
    if "huggingface_hub.hf_file_system" in sys.modules:
        sys.modules["huggingface_hub.hf_file_system"].HfFileSystem.clear_instance_cache()
    if "datasets.config" in sys.modules:
        importlib.reload(sys.modules["datasets.config"])
    if "transformers.utils.hub" in sys.modules:
        sys.modules["transformers.utils.hub"].HF_MODULES_CACHE = os.path.join(constants.HF_HOME, "modules")  # noqa: PTH118
