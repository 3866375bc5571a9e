"""A few questions for the command."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_questions import write_first_questions


@pytest.fixture(scope="session")
def small_data(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few questions of the sample: train.json (12), dev.json (2), test.json (2)."""
    folder = tmp_path_factory.mktemp("pretraining-data")
    write_first_questions(samples, folder, train=12, dev=2, test=2)
    return folder
