"""A study's trials and their run folders -> what its report shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qakit.errors import QakitError, UsageError
from qakit.names import few, one_line, quoted
from qakit.recipe.differences import differing_keys
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.report.compare import columns_of
from qakit.report.compare_runs import read_members
from qakit.report.curves import NOT_CURVES
from qakit.report.study import RowDifference, StudyResults, StudyRow, StudyRun, StudyTask
from qakit.report.training_data import mixed_training_data
from qakit.runs import Run, cut_short
from qakit.statistics import Sampling, Spread, mean_of
from qakit.study.folder import StudyFolder
from qakit.study.load import LoadedStudy
from qakit.study.plan import Load, plan
from qakit.study.trials import Trial, TrialRecord, noted_trials, records_of, selected_by

MOST_FIGURES = 3
"""That a table shows of a metric."""


def read_records(
    folder: StudyFolder, loaded: LoadedStudy | None, registry: Registry, load: Load[Any]
) -> list[TrialRecord]:
    """The study's trials: those that its file means now, or all where the file is gone.

    Args:
        load: reads the study's recipes.

    Raises:
        RunError: a folder is damaged.
        RecipeError: the study's file no longer fits its recipes.
    """
    trials = noted_trials(folder)
    if loaded is not None and loaded.study.search is None:
        noted = {trial.run: trial for trial in trials}
        trials = [noted.get(own.run, own) for own in map(Trial.of, plan(loaded, load))]
    return records_of(folder, trials, registry)


def read_results(
    folder: StudyFolder,
    loaded: LoadedStudy | None,
    registry: Registry,
    load: Load[Any],
    sampling: Sampling,
) -> StudyResults:
    """Everything a report shows; what cannot be read of one run becomes a note, and the others are shown.

    Raises:
        UsageError, RunError: see :func:`read_records`; or no trial is finished.
    """
    records, notes = read_records(folder, loaded, registry, load), list[str]()
    runs = [_run(record, folder, notes) for record in records]
    if not any(run.figures for run in runs):
        raise UsageError(f"no trial of {folder.path} is finished; see `qakit study show {quoted(folder.path)}`")
    names = list(dict.fromkeys(run.task for run in runs if run.figures))
    baseline = loaded.study.baseline if loaded is not None else None
    tasks = [_task(name, runs, registry, baseline, notes, sampling) for name in names]
    notes += mixed_training_data({run.name: Run(run.folder) for run in runs if run.figures and run.folder})
    about = folder.about()
    is_search = about.get("is_search") is True
    if is_search:
        notes.append(
            "The best of many trials was chosen on these same questions, which flatters it: train it with several "
            "seeds, and trust a test set."
        )
    if shared := [record.trial.run for record in records if record.result.get("shared")]:
        notes.append(f"{few(shared)}: time and memory include a training shared with other trials.")
    if any(len(row.runs) > 1 for task in tasks for row in task.rows):
        notes.append(
            "Rows are means over their seeds; ± is the standard deviation over the seeds. The intervals of differences "
            "take the seeds as fixed: they say what other questions might change, not what other seeds might."
        )
    return StudyResults(
        name=about["name"],
        description=str(about.get("description", "")),
        commands=tuple(tuple(map(str, command)) for command in about.get("commands", [])),
        runs=tuple(runs),
        tasks=tuple(tasks),
        is_search=is_search,
        sampling=sampling,
        notes=tuple(notes),
    )


def _run(record: TrialRecord, folder: StudyFolder, notes: list[str]) -> StudyRun:
    trial, result = record.trial, record.result
    run, recipe = Run(folder.runs / trial.run), None
    log: tuple[dict[str, Any], ...] = ()
    here = run.recipe_file.is_file()
    if here:
        try:
            recipe, log = run.recipe(), tuple(run.metrics())
            if short := cut_short(run):
                notes.append(f"{trial.run} has trained {short}.")
        except QakitError as error:
            notes.append(one_line(error))
    return StudyRun(
        name=trial.run,
        state=record.state,
        task=trial.task,
        row=trial.row,
        seed=trial.seed,
        figures=result.get("figures", {}),
        seconds=result.get("seconds"),
        peak_memory_mb=result.get("peak_memory_mb"),
        trainable=result.get("trainable"),
        total=result.get("total"),
        error=record.error,
        folder=run.folder if here else None,
        recipe=recipe,
        log=log,
    )


def _task(
    name: str,
    runs: Sequence[StudyRun],
    registry: Registry,
    baseline: str | None,
    notes: list[str],
    sampling: Sampling,
) -> StudyTask:
    finished = [run for run in runs if run.task == name and run.figures]
    recipes = [run.recipe for run in finished if run.recipe is not None]
    figure = selected_by(recipes[0], registry) if recipes else next(iter(finished[0].figures))
    keys = _keys(finished, figure)
    rows = tuple(_rows(finished, keys))
    where = f"{name}: " if name else ""
    if not all(figure in run.figures for run in finished):
        notes.append(f"{where}some runs have no figure {figure}")
    differences: list[RowDifference] = []
    questions = 0
    folders = {row.label: [run.folder for run in row.runs if run.folder is not None] for row in rows}
    here = {label: found for label, found in folders.items() if found}
    if len(here) > 1:
        base = baseline if baseline in here else next(iter(here))
        if baseline not in (None, base):
            notes.append(f"{where}the baseline {baseline} is not finished: {base} stands for it")
        try:
            differences, questions = _differences(here, base, keys, registry, sampling)
        except QakitError as error:
            notes.append(f"{where}no differences: {one_line(error)}")
    return StudyTask(name, figure, keys, rows, tuple(differences), questions)


def _differences(
    rows: Mapping[str, Sequence[Path]], baseline: str, keys: Sequence[str], registry: Registry, sampling: Sampling
) -> tuple[list[RowDifference], int]:
    """Each row's difference from the baseline in each figure, and the number of questions.

    A row's figure is the mean over its seeds, by question or by draw.

    Raises:
        UsageError, RunError, DataError: the runs did not answer the same questions, or lack predictions.
    """
    members = read_members([folder for of_row in rows.values() for folder in of_row], registry)
    columns = iter([columns_of(member, sampling) for member in members])
    of_rows = {label: [next(columns) for _ in of_row] for label, of_row in rows.items()}
    known = [key for key in keys if key in of_rows[baseline][0]]
    means = {label: {key: mean_of([run[key] for run in runs]) for key in known} for label, runs in of_rows.items()}
    found = [
        RowDifference(label, baseline, key, means[label][key].minus(means[baseline][key], sampling))
        for label in rows
        if label != baseline
        for key in known
    ]
    first = members[0]
    return found, first.questions or len(next(iter(first.figures.values())))


def _keys(runs: Sequence[StudyRun], figure: str) -> tuple[str, ...]:
    """The deciding figure and a few more that all runs have."""
    common = [key for key in runs[0].figures if all(key in run.figures for run in runs)]
    plain = [key for key in common if key not in NOT_CURVES and not key.startswith(("HasAns", "NoAns"))]
    return tuple(dict.fromkeys([*([figure] if figure in common else []), *plain]))[:MOST_FIGURES]


def _rows(runs: Sequence[StudyRun], keys: Sequence[str]) -> Iterator[StudyRow]:
    labels = list(dict.fromkeys(run.row for run in runs))
    of_rows = {label: tuple(run for run in runs if run.row == label) for label in labels}
    recipes = {label: _without_seed(of_row) for label, of_row in of_rows.items()}
    known = {label: recipe for label, recipe in recipes.items() if recipe is not None}
    differs = dict(zip(known, differing_keys(list(known.values())), strict=True))
    for label, of_row in of_rows.items():
        figures = {key: Spread.of([run.figures[key] for run in of_row]) for key in keys}
        yield StudyRow(label or "as in the recipe", differs.get(label, {}), of_row, figures)


def _without_seed(runs: Sequence[StudyRun]) -> Recipe | None:
    """The row's recipe; its seed says nothing about the row."""
    recipe = next((run.recipe for run in runs if run.recipe is not None), None)
    return None if recipe is None else recipe.model_copy(update={"seed": 0})
