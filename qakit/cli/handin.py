"""``qakit handin``: a run as a folder that a course's graders run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qakit.cli.terminal.console import out, plain, print_json, print_warning
from qakit.cli.terminal.options import JsonOption, QuietOption, RunArgument
from qakit.outputs import new_folder


def handin(
    run: RunArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where to write.", callback=new_folder)
    ],
    course: Annotated[
        str,
        typer.Option(
            "--course",
            metavar="adl2025|ml-hw7|plain|FILE",
            help="Whose rules: the arguments of run.sh, limits, forbidden backbones; or a YAML file like "
            "qakit/handin/courses/*.yaml.",
        ),
    ] = "plain",
    questions: Annotated[
        Path | None,
        typer.Option(
            "--questions",
            metavar="FILE",
            help="The file whose answers are compared with `qakit predict`; by default the recipe's validation file.",
        ),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """A folder that runs on the graders' machine, with torch and transformers alone: one readable predictor, scripts,
    training, curves, the report's tables.

    Nothing is written unless the predictor answers as `qakit predict` does, byte by byte. Ends with 1 if a rule of the
    course is broken. Also of a pipeline of two stages, an ensemble, or folds.

    Example: qakit handin runs/first --course adl2025 --output r12345678
    """
    from qakit.cli.export import tell_unfinished
    from qakit.cli.terminal.progress import TrainingDisplay
    from qakit.training.events import silence
    from qakit.workflows.handin import hand_in

    tell_unfinished(run)
    if quiet:
        done = hand_in(run, output, course=course, questions=questions, listener=silence)
    else:
        with TrainingDisplay() as display:
            done = hand_in(run, output, course=course, questions=questions, listener=display)
    broken = [rule for rule in done.rules if not rule.kept]
    if as_json:
        print_json(
            {
                "folder": str(done.folder),
                "command": done.command,
                "compared": {str(file): count for file, count in done.compared.items()},
                "rules": [{"rule": rule.rule, "found": rule.found, "kept": rule.kept} for rule in done.rules],
            }
        )
    else:
        count = sum(done.compared.values())
        out.print(plain(f"written: {done.folder}; its answers to {count:,} questions are those of qakit predict"))
        out.print(plain(f"graders run: bash {done.command}"))
        for rule in done.rules:
            if rule.kept:
                out.print(plain(f"kept: {rule.rule}: {rule.found}"))
    for rule in broken:
        print_warning(f"not kept: {rule.rule}: {rule.found}")
    if broken:
        raise typer.Exit(1)
