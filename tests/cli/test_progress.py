"""What a training says on the terminal."""

from __future__ import annotations

import pytest

from qakit.cli.progress import TrainingDisplay
from qakit.training.events import Notice, Preparing, Remark


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, ["reading data", "frozen until epoch 1", "warning: no dropout"]),
        ({"quiet": True}, ["warning: no dropout"]),
        ({"silent": True}, []),
    ],
)
def test_only_a_silent_display_keeps_warnings_to_itself(
    capsys: pytest.CaptureFixture[str], options: dict[str, bool], shown: list[str]
) -> None:
    with TrainingDisplay(**options) as display:
        for event in (Preparing("reading data"), Remark("frozen until epoch 1"), Notice("no dropout")):
            display(event)
    assert capsys.readouterr().err.splitlines() == shown
