"""What the commands on a trained run share: its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from qakit.outputs import new_path

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")]
ModelArgument = Annotated[
    Path,
    typer.Argument(
        metavar="RUN|MODEL",
        help="A run's folder; or a model that is trained to answer (AutoModelForQuestionAnswering), as a folder or by "
        "its name on the hub, such as deepset/roberta-base-squad2.",
    ),
]
ReaderOption = Annotated[
    str | None, typer.Option("--reader", help="The input's format; by default the recipe's, of a MODEL squad.")
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
