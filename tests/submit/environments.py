"""Environments for subprocesses, from which nothing can leave this machine."""

from __future__ import annotations

import os
from pathlib import Path

from kaggle_http import KEY, USER

NOWHERE = "http://127.0.0.1:9"
"""A port that nobody listens on: where HTTPS would go."""


def isolated(home: Path, **variables: str) -> dict[str, str]:
    """A whole environment: fake credentials, a home of its own, no way out over HTTPS."""
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "VIRTUAL_ENV") if name in os.environ}
    return {
        **kept,
        "HOME": str(home),
        "KAGGLE_CONFIG_DIR": str(home / "kaggle"),
        "KAGGLE_USERNAME": USER,
        "KAGGLE_KEY": KEY,
        "https_proxy": NOWHERE,
        "HTTPS_PROXY": NOWHERE,
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **variables,
    }
