"""The options that say on which devices trainings run, how many at once, and how long."""

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
MaxHoursOption = Annotated[
    float | None,
    typer.Option(
        "--max-hours",
        metavar="H",
        help="Be done within H hours from now, test predictions included: what does not fit is left out, and the "
        "schedule still reaches its end. Several trainings share the time.",
    ),
]
