"""The options that say on which devices trainings run, and how many at once."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

DevicesOption = Annotated[
    str | None,
    typer.Option(
        "--devices",
        metavar="N|I,J|cpu|cpu:N",
        help="How many GPUs, or their numbers from 0 with a comma (1, is GPU 1): one process for each of a training's "
        "own, one training on each of several. By default $QAKIT_DEVICES, else all.",
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option("--jobs", "-j", help="Of several trainings: how many at once; by default one on each GPU."),
]
EngineOption = Annotated[
    Literal["local", "ray"],
    typer.Option("--engine", help="Of several trainings: on this machine, or on a Ray cluster ($RAY_ADDRESS)."),
]
