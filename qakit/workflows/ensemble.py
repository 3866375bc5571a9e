"""One answer from several runs or files of answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.errors import UsageError
from qakit.names import quoted
from qakit.protocols import NoRuntime, Writer
from qakit.training.events import Listener, Notice, Remark

if TYPE_CHECKING:
    from qakit.ensembling.combine import Ensemble
    from qakit.ensembling.kept import Source
    from qakit.ensembling.load import EnsemblePlan, Weights
    from qakit.inference.output import Submission
    from qakit.registry import Registry
    from qakit.values import Prediction

_WRITERS = {".csv": "csv", ".json": "squad_json", ".jsonl": "jsonl", ".tsv": "glue"}
"""Writer by the ending of the file of answers."""
_RECIPES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class EnsembleResult:
    """An ensemble, and where it was written to."""

    ensemble: Ensemble
    """Members, weights, agreement, and what each member adds on validation."""
    folder: Path | None
    """The ensemble as a run; None where it is not kept."""

    @property
    def figures(self) -> Mapping[str, float]:
        """The metric's figures on validation; empty where the members have no validation predictions in common."""
        return {} if self.ensemble.validation is None else self.ensemble.validation.figures

    @property
    def predictions(self) -> tuple[Prediction, ...]:
        """The answers to the test file; to validation where not all members have answered one."""
        made = self.ensemble
        if made.test is not None:
            return made.test
        return () if made.validation is None else tuple(made.validation.predictions)


def is_recipe(members: Sequence[Path]) -> bool:
    """Whether an ensemble recipe is meant, rather than its members."""
    return len(members) == 1 and members[0].suffix in _RECIPES


def combine_recipe(path: Path, *, output: Path | None, folder: Path | None, listener: Listener) -> EnsembleResult:
    """Combine the members that an ensemble recipe names; by default into ``runs/NAME-TIME``.

    Raises:
        RecipeError: with every problem of the recipe.
        UsageError: it is none, or wants its members trained.
    """
    from qakit.ensembling.load import is_ensemble, load_ensemble
    from qakit.registry import load_registry
    from qakit.runs import RUNS

    if not is_ensemble(path):
        raise UsageError(f"{path} is no ensemble recipe: it has no block `ensemble` with members")
    registry = load_registry()
    plan = load_ensemble(path, registry)
    if plan.train is not None:
        raise UsageError(f"{path} has members that are to be trained: qakit train {quoted(path)}")
    folder = folder or RUNS / f"{plan.name}-{datetime.now():%Y%m%d-%H%M%S}"
    return _combine(plan, registry, output, folder, listener)


def combine_members(
    members: Sequence[Path],
    *,
    method: str,
    settings: Mapping[str, Any],
    weights: Weights,
    seed: int,
    output: Path | None,
    folder: Path | None,
    listener: Listener,
) -> EnsembleResult:
    """Combine runs, or files of answers; see :func:`qakit.ensemble`."""
    from qakit.ensembling.load import EnsemblePlan
    from qakit.registry import load_registry

    plan = EnsemblePlan("ensemble", tuple(members), method, settings, weights, seed)
    return _combine(plan, load_registry(), output, folder, listener)


def _combine(
    plan: EnsemblePlan, registry: Registry, output: Path | None, folder: Path | None, listener: Listener
) -> EnsembleResult:
    from qakit.ensembling.combine import combine
    from qakit.ensembling.folder import check_target, write_ensemble
    from qakit.inference.output import choice_names, sample_submission, write_checked

    _check_paths(plan.members, output)
    if folder is not None:
        check_target(folder, plan.members)
    made = combine(plan, registry, want_test=output is not None, say=lambda text: listener(Remark(text)))
    _warn_of_other_columns(made.sources, listener)
    written: list[Submission] = []
    if folder is not None:
        written += [each for each in [write_ensemble(made, folder, registry)] if each is not None]
    if output is not None and made.test is not None:
        sample, choices = (
            (None, ()) if made.recipe is None else (sample_submission(made.recipe), choice_names(made.recipe))
        )
        writer = _writer(output, made.sources, registry)
        written.append(write_checked(output, made.test, writer, sample=sample, choices=choices))
    for line in dict.fromkeys(line for each in written for line in each.told()):
        listener(Notice(line))
    return EnsembleResult(made, folder)


def _check_paths(members: Sequence[Path], output: Path | None) -> None:
    if len(members) < 2:
        raise UsageError("an ensemble needs at least two members")
    seen = [member.resolve() for member in members]
    twice = next((member for member in members if seen.count(member.resolve()) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice} is given twice; --weights makes a member count more")
    if output is None:
        return
    if output.suffix.lower() not in _WRITERS:
        raise UsageError(f"--output {output} should end in {', '.join(_WRITERS)}")
    if output.resolve() in seen:
        raise UsageError(f"--output {output} is one of the members; write to another file")


def _warn_of_other_columns(members: Sequence[Source], listener: Listener) -> None:
    named = [(each.path, each.answers.columns) for each in members if each.answers and each.answers.columns]
    for path, columns in named[1:]:
        if columns != named[0][1]:
            here, there = ",".join(columns), ",".join(named[0][1])
            listener(Notice(f"{path}: the columns are {here}, those of {named[0][0]} {there}"))


def _writer(output: Path, members: Sequence[Source], registry: Registry) -> Writer:
    """For a CSV file with the header and line ends of the first member that is one; else as the runs write it."""
    from qakit.ensembling.combine import first_recipe
    from qakit.inference.output import build_writer

    name = _WRITERS[output.suffix.lower()]
    settings: dict[str, Any] = {}
    style = next(
        (each.answers for each in members if each.answers and (each.answers.columns or each.answers.headless)), None
    )
    recipe = first_recipe(members)
    if name == "csv" and style is not None:
        settings = {"header": not style.headless, "line_end": style.line_end}
        if style.columns is not None:
            settings |= {"id_column": style.columns[0], "answer_column": style.columns[1]}
    elif style is None and recipe is not None and recipe.writer.name == name:
        return build_writer(recipe, registry)
    writer: Writer = registry.build("writers", name, settings, NoRuntime())
    return writer
