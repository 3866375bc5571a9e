"""What a training says on the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from qakit.cli.terminal.progress import TrainingDisplay
from qakit.training.events import Notice, Preparing, Remark, RunBegun


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


def test_the_folder_to_go_on_with_is_that_of_the_whole() -> None:
    display = TrainingDisplay(silent=True)
    assert display.folder is None
    for folder in ("run", "run/fold-1", "run/fold-2"):
        display(RunBegun(Path(folder)))
    assert display.folder == Path("run")
