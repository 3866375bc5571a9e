"""Forks ``qakit`` in an environment into which plugins were installed. Used by ``test_third_party.py``."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from fork_server import enter, import_all, run_qakit, serve, warm_up

from qakit.registry import load_registry


def work(job: dict[str, Any]) -> int:
    """In the child: the job's whole life; the package ``anew`` is imported from its files as they are now."""
    enter(job)
    for name in [name for name in sys.modules if name.partition(".")[0] == job["anew"]]:
        del sys.modules[name]
    importlib.invalidate_caches()
    load_registry.cache_clear()
    return run_qakit()


if __name__ == "__main__":
    import_all()
    warm_up()
    serve(work)
