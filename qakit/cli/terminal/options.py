"""Options that several commands have: of a trained run, and where trainings run, how many at once, how long."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from qakit.outputs import new_path


def _there(model: Path) -> Path:
    """The callback of MODEL: that a run is not there is said before seconds go into what would load it."""
    from qakit.runs import is_model_alone, open_run

    if not is_model_alone(model):
        open_run(model)
    return model


RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")]
ModelArgument = Annotated[
    Path,
    typer.Argument(
        metavar="RUN|MODEL",
        help="A run's folder; or a model that is trained to answer (AutoModelForQuestionAnswering), as a folder or by "
        "its name on the hub, such as deepset/roberta-base-squad2.",
        callback=_there,
    ),
]
ReaderOption = Annotated[
    str | None,
    typer.Option("--reader", metavar="NAME", help="The input's format; by default the recipe's, of a MODEL squad."),
]
ReaderSetOption = Annotated[
    list[str] | None,
    typer.Option("--reader-set", metavar="KEY=VALUE", help="A setting of the reader: question=q (repeatable)."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A value of the recipe; of a run one that only prediction looks at, such as predict.max_answer_length=50 "
        "(repeatable).",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")]
RecipeArgument = Annotated[
    Path | None, typer.Argument(help="A recipe file, or the name of one of qakit's own; not needed with --resume.")
]
RecipeSetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a recipe value, e.g. train.epochs=1.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
NbestOption = Annotated[
    Path | None,
    typer.Option("--nbest", help="Also write all candidates to this .jsonl file.", callback=new_path),
]


def overrides_of(
    settings: Sequence[str] | None,
    *,
    reader: str | None = None,
    reader_settings: Sequence[str] | None = None,
    metric: str | None = None,
) -> list[str]:
    """The options that change a recipe as ``a.b=value`` texts."""
    named = {"data.reader": reader, "metric": metric}
    chosen = [f"{key}={value}" for key, value in named.items() if value is not None]
    return [*chosen, *(f"data.reader.{text}" for text in reader_settings or ()), *(settings or ())]


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
