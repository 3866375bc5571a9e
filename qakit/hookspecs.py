"""The hooks that a plugin may implement, one per kind of component. Each returns ``Component`` values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pluggy

from qakit.components import Component

hookspec = pluggy.HookspecMarker("qakit")
hookimpl = pluggy.HookimplMarker("qakit")
"""Marks a function as the implementation of one of these hooks."""


@hookspec
def qakit_register_readers() -> Iterable[Component[Any, Any, Any]]:
    """File formats: path -> examples."""
    return ()


@hookspec
def qakit_register_preprocessors() -> Iterable[Component[Any, Any, Any]]:
    """Where windows lie in a context, and where the answer lies in them."""
    return ()


@hookspec
def qakit_register_backbones() -> Iterable[Component[Any, Any, Any]]:
    """Encoders over token ids, trained from scratch."""
    return ()


@hookspec
def qakit_register_adapters() -> Iterable[Component[Any, Any, Any]]:
    """Which parameters of the backbone train."""
    return ()


@hookspec
def qakit_register_heads() -> Iterable[Component[Any, Any, Any]]:
    """Loss, scores and their decoding."""
    return ()


@hookspec
def qakit_register_postprocessors() -> Iterable[Component[Any, Any, Any]]:
    """A prediction -> a prediction (clean-up)."""
    return ()


@hookspec
def qakit_register_ensemblers() -> Iterable[Component[Any, Any, Any]]:
    """Several runs' predictions -> one list of predictions."""
    return ()


@hookspec
def qakit_register_writers() -> Iterable[Component[Any, Any, Any]]:
    """Predictions -> a submission file."""
    return ()


@hookspec
def qakit_register_metrics() -> Iterable[Component[Any, Any, Any]]:
    """Figures for predictions against gold examples."""
    return ()


@hookspec
def qakit_register_observers() -> Iterable[Component[Any, Any, Any]]:
    """What watches a training: its start, logged steps, evaluations, checkpoints, its end."""
    return ()
