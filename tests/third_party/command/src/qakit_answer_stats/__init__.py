"""A command for qakit: counts the answers in a file."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Annotated

import typer

from qakit.api import DataError


def answer_stats(path: Annotated[Path, typer.Argument(help="JSON file: id -> answer.")]) -> None:
    """Count the answers in a prediction file."""
    try:
        answers = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read as JSON: {error}", path=path) from error
    if not isinstance(answers, dict) or not all(isinstance(answer, str) for answer in answers.values()):
        raise DataError("must hold one JSON object that gives each id its answer", path=path)
    lengths = [len(answer) for answer in answers.values() if answer]
    mean = fmean(lengths) if lengths else 0.0
    typer.echo(f"{len(answers)} answers, {len(answers) - len(lengths)} empty, mean length {mean:.1f} characters")
