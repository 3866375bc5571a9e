"""qakit: extractive question answering and GLUE-style fine-tuning competitions from the command line."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if sys.version_info < (3, 11):  # noqa: UP036 - pip refuses it, but nobody asks pip in a source tree
    found = f"{sys.version_info[0]}.{sys.version_info[1]} ({sys.executable})"
    sys.stderr.write(f"error: qakit needs Python 3.11 or newer; this is {found}\n")
    sys.exit(2)

if TYPE_CHECKING:
    from qakit.hookspecs import hookimpl
    from qakit.workflows.public import compare, ensemble, evaluate, load, pipeline, predict, train, view

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "compare",
    "ensemble",
    "evaluate",
    "hookimpl",
    "load",
    "pipeline",
    "predict",
    "train",
    "view",
]


def __getattr__(name: str) -> Any:
    """The functions of :mod:`qakit.workflows.public` and ``hookimpl``, imported when they are asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("qakit.hookspecs" if name == "hookimpl" else "qakit.workflows.public"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
