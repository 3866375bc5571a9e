"""Contract checks for authors of plugins: plain functions that raise ``AssertionError`` and say what is wrong.

They need no test framework::

    from qakit.testing import check_head
    from my_plugin import MY_HEAD, MyHeadSettings

    def test_my_head() -> None:
        check_head(MY_HEAD, MyHeadSettings(dropout=0.2))

The checks run on small made-up inputs, on the CPU, with fixed seeds. qakit runs them on its own components too.
"""

from __future__ import annotations

from qakit.testing.adapters import check_adapter
from qakit.testing.backbones import check_backbone
from qakit.testing.components import check_component
from qakit.testing.ensemblers import check_ensembler
from qakit.testing.heads import check_head, made_up_batch
from qakit.testing.metrics import check_metric
from qakit.testing.observers import check_observer
from qakit.testing.postprocessors import check_postprocessor
from qakit.testing.preprocessors import check_preprocessor, made_up_examples
from qakit.testing.readers import check_reader
from qakit.testing.writers import check_writer

__all__ = [
    "check_adapter",
    "check_backbone",
    "check_component",
    "check_ensembler",
    "check_head",
    "check_metric",
    "check_observer",
    "check_postprocessor",
    "check_preprocessor",
    "check_reader",
    "check_writer",
    "made_up_batch",
    "made_up_examples",
]
