"""qakit: extractive question answering and GLUE-style fine-tuning competitions from the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if sys.version_info < (3, 11):  # noqa: UP036 - pip refuses it, but nobody asks pip in a source tree
    found = f"{sys.version_info[0]}.{sys.version_info[1]} ({sys.executable})"
    sys.stderr.write(f"error: qakit needs Python 3.11 or newer; this is {found}\n")
    sys.exit(2)

import pluggy

if TYPE_CHECKING:
    from os import PathLike

    from qakit.inference.answerer import Answerer

__version__ = "0.1.0"
__all__ = ["__version__", "hookimpl", "load"]

hookimpl = pluggy.HookimplMarker("qakit")
"""Marks a function as the implementation of one of the hooks in :mod:`qakit.hookspecs`."""


def load(run: str | PathLike[str]) -> Answerer:
    """Load a finished run or pipeline, ready for ``.answer(question, context, top_k=...)``.

    Torch is imported here, not at ``import qakit``.

    Raises:
        RunError: the folder is not a run, or has no trained model.
    """
    from qakit.inference.answerer import Answerer
    from qakit.pipeline.loading import load_trained

    return Answerer(load_trained(run))
