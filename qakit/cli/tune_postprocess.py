"""``qakit tune-postprocess``: which clean-up helps a run's answers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qakit.cli.terminal.console import out, plain, print_json, print_warning
from qakit.cli.terminal.options import JsonOption
from qakit.errors import UsageError
from qakit.names import shortened
from qakit.outputs import new_path

if TYPE_CHECKING:
    from qakit.report.postprocess import Figure, Tried, Tuning
    from qakit.report.postprocess_steps import Step

_TEXT_SHOWN = 40
"""Characters of an answer in a table."""

_OTHER_KEY = re.compile(r"^(?!postprocess:|[\s#\]-]|$)", re.MULTILINE)
"""What a file has that is more than such a block: a recipe, which would be lost."""


def tune_postprocess(
    run: Annotated[Path, typer.Argument(help="A run's folder, or that of an ensemble, with validation predictions.")],
    candidates: Annotated[
        str | None,
        typer.Option(
            "--candidates",
            metavar="NAME,NAME",
            help="Postprocessors to try; by default all that are installed (`qakit plugins --kind postprocessors`).",
        ),
    ] = None,
    holdout: Annotated[
        float,
        typer.Option("--holdout", min=0.0, max=0.9, help="Share of the questions that only judge what was found."),
    ] = 0.0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the `postprocess` block to this file (.yaml).", callback=new_path),
    ] = None,
    resamples: Annotated[
        int, typer.Option("--resamples", min=1000, help="Resamples of the bootstrap, and draws of the test.")
    ] = 10_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap and of the questions held out.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Search for clean-up steps on the validation predictions that a run keeps. No model is needed.

    A step is kept only where a paired sign-flip test, corrected for all that was tried, says that it helps.

    Example: qakit tune-postprocess runs/first --holdout 0.5 -o steps.yaml
    """
    from qakit.files import write_text
    from qakit.registry import load_registry
    from qakit.runs import open_run

    open_run(run)
    if output is not None and output.suffix.lower() not in (".yaml", ".yml"):
        raise UsageError(f"--output {output} should end in .yaml: it is a piece of a recipe")
    if output is not None and output.is_file() and _OTHER_KEY.search(output.read_text("utf-8", "replace")):
        raise UsageError(f"--output {output} is there and holds more than a `postprocess` block: name another file")
    registry = load_registry()
    names = None if candidates is None else _names(candidates)
    for name in names or ():
        registry.get("postprocessors", name)
    from qakit.report.compare_runs import read_answered
    from qakit.report.postprocess import tune
    from qakit.statistics import Sampling

    (answered,) = read_answered([run], registry)
    tuning = tune(answered, registry, names=names, holdout=holdout, sampling=Sampling(resamples, seed))
    for name, fault in tuning.left_out.items():
        print_warning(f"the postprocessor {name!r} is left out: it {fault} (--candidates NAME,NAME names those to try)")
    block = _block(tuning.chain)
    if output is not None:
        write_text(output, block)
    if as_json:
        print_json(_as_json(tuning) | {"run": str(run), "holdout": holdout, "yaml": block})
        return
    _show_tried(tuning)
    _show_changes(tuning)
    _show_worth(tuning)
    out.print(plain("For the recipe:"))
    out.print(plain(block.rstrip("\n")))
    if output is not None:
        out.print(plain(f"written to {output}"))


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise UsageError("--candidates names no postprocessor")
    return names


def _block(chain: Sequence[Step]) -> str:
    from qakit.recipe.dump import yaml_lines

    return "".join(line + "\n" for _, line in yaml_lines({"postprocess": [step.block for step in chain]}))


def _show_tried(tuning: Tuning) -> None:
    from qakit.cli.terminal.tables import print_table

    numbers = ("gain", "changed", "better", "worse", "p (Holm)")
    rows: list[list[object] | None] = []
    for number, each in enumerate(tuning.tried):
        if number and tuning.tried[number - 1].round != each.round:
            rows.append(None)
        gain = str(each.gain) if each.changed else "-"
        label = each.step.label + (" (first)" if len(each.chain) > 1 and each.chain[0] is each.step else "")
        counts = (f"{each.changed:,}", f"{each.better:,}", f"{each.worse:,}", f"{each.p:.3f}")
        row = (each.round, label, gain, *counts, "kept" if each.taken else "")
        rows.append([plain(cell, "green" if each.taken else "") for cell in row])
    print_table(f"What was tried: {tuning.figure}", ("round", "step", *numbers, ""), rows, numbers=numbers)
    if not tuning.chain:
        out.print(plain("No step helps beyond chance."))


def _show_changes(tuning: Tuning) -> None:
    """Answers that the kept steps changed; where none was kept, those of the most promising one."""
    from qakit.cli.terminal.tables import print_table

    for tried in [each for each in tuning.tried if each.taken] or [each for each in tuning.tried[:1] if each.changed]:
        rows = []
        for each in tried.changes:
            style = "green" if each.gain > 0 else "red" if each.gain < 0 else ""
            verdict = "better" if each.gain > 0 else "worse" if each.gain < 0 else "neither"
            cells = [
                shortened(" ".join(text.split()), _TEXT_SHOWN) or "(no answer)"
                for text in (each.before, each.after, " / ".join(each.gold))
            ]
            rows.append([plain(cell, style) for cell in (*cells, verdict)])
        print_table(f"Answers that {tried.step.label} changes", ("before", "after", "gold", ""), rows)


def _show_worth(tuning: Tuning) -> None:
    from qakit.cli.terminal.tables import print_table

    for judged, which in ((tuning.on_search, "searched on"), (tuning.on_holdout, "held out")):
        if judged is None:
            continue
        rows: list[tuple[object, ...]] = [("none", _figure(judged.raw), judged.over_raw)]
        if tuning.own:
            label = f"the recipe's: {', '.join(step.name for step in tuning.own)}"
            rows.append((label, _figure(judged.own), judged.over_own))
        rows.append(("found", _figure(judged.found), ""))
        title = f"{tuning.figure} on the {judged.questions:,} questions {which}"
        print_table(title, ("clean-up", "figure", "found steps against it"), rows, numbers=("figure",))
    where = "training answers" if tuning.learnt_from == "train" else "the gold answers of the questions searched on"
    out.print(plain(f"Learnt settings come from {where}."))
    if tuning.on_holdout is None:
        out.print(
            plain(
                "The figures are of the questions that chose the steps, and so optimistic; --holdout 0.5 judges them "
                "on others."
            )
        )


def _figure(value: Figure) -> str:
    return f"{value.value:.2f} [{value.low:.2f}, {value.high:.2f}]"


def _as_json(tuning: Tuning) -> dict[str, Any]:
    return {
        "figure": tuning.figure,
        "steps": [step.block for step in tuning.chain],
        "own_steps": [step.block for step in tuning.own],
        "learnt_from": tuning.learnt_from,
        "optimistic": tuning.on_holdout is None,
        "searched_on": asdict(tuning.on_search),
        "held_out": None if tuning.on_holdout is None else asdict(tuning.on_holdout),
        "left_out": dict(tuning.left_out),
        "tried": [_tried_json(each) for each in tuning.tried],
    }


def _tried_json(tried: Tried) -> Mapping[str, Any]:
    return {
        "round": tried.round,
        "step": tried.step.block,
        "position": next(place for place, step in enumerate(tried.chain) if step is tried.step),
        "gain": asdict(tried.gain),
        "changed": tried.changed,
        "better": tried.better,
        "worse": tried.worse,
        "p": tried.p,
        "kept": tried.taken,
        "examples": [asdict(each) for each in tried.changes],
    }
