"""qakit: extractive question answering and GLUE-style fine-tuning competitions from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    from qakit.stages.loading import load_trained

    return Answerer(load_trained(run))
