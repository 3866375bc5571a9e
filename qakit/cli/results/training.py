"""What a training, or a dry run of one, shows: of a single run, of folds, of a pipeline, of an ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qakit.cli.terminal.console import err, out, plain, print_json
from qakit.cli.terminal.tables import modules_table, number, print_pairs, print_table

if TYPE_CHECKING:
    from qakit.runs import Run
    from qakit.workflows.train import PlannedTraining, TrainingResult


def show_dry_run(planned: PlannedTraining, summary: Mapping[str, Any], *, as_json: bool) -> None:
    """What would be trained."""
    if as_json:
        print_json(summary)
    elif planned.is_single:
        _show_one("Dry run", summary)
    else:
        rows = [(row["node"], row["work"]) for row in summary["nodes"]]
        rows += [(path, "exists") for path in summary.get("existing", ())]
        print_table(f"Dry run: {planned.graph.name}", ("run", ""), rows)
        for name, one in summary["trainings"].items():
            _show_one(f"Dry run: {name}", one)
        if "folds" in summary:
            rows = [(size["fold"], f"{size['examples']:,}", f"{size['groups']:,}") for size in summary["folds"]]
            print_table("Folds", ("fold", "questions", "groups"), rows, numbers=("questions", "groups"))


def show_training(result: TrainingResult, *, as_json: bool, quiet: bool) -> None:
    """The figures, the files, and what to do next; with ``as_json`` what ``metrics.json`` holds."""
    from qakit.cli.results.evaluation import show_result

    run, metrics = result.run, result.metrics
    if as_json:
        print_json({"run": str(run.folder), "missing": list(result.missing)} if result.missing else metrics)
        return
    if result.missing:
        if not quiet:
            folds, left = run.recipe().folds, ", ".join(map(str, result.missing))
            assert folds is not None
            again = f"qakit train --resume --output {run.folder}"
            err.print(plain(f"not trained yet: fold {left} of {folds.k}; go on with: {again}"))
        return
    if run.is_ensemble:
        _show_ensemble(result)
    elif run.is_folds:
        _show_folds(run, metrics)
    elif run.is_composed:
        _show_pipeline(result)
    else:
        show_result(run, metrics)
    err.print(plain(f"done: {run.folder}"))


def _show_one(title: str, summary: Mapping[str, Any]) -> None:
    """The tables of one training that would be."""
    tables = ("parameters", "modules", "groups")
    print_pairs(title, {key: value for key, value in summary.items() if key not in tables})
    out.print(modules_table(summary["modules"]))
    groups = [
        (group["group"], f"{group['parameters']:,}", f"{group['learning_rate']:.3g}", f"{group['weight_decay']:g}")
        for group in summary["groups"]
    ]
    numbers = ("parameters", "peak rate", "weight decay")
    print_table("Parameter groups", ("group", *numbers), groups, numbers=numbers)


def _show_folds(run: Run, metrics: Mapping[str, Any]) -> None:
    """The figures of each fold, their mean and spread, and those of all questions together."""
    found, pooled = metrics["folds"], metrics["validation"]
    names = [name for name in found["mean"] if isinstance(pooled.get(name), float)]
    total = sum(row["examples"] for row in found["folds"])
    rows = [
        *((row["fold"], f"{row['examples']:,}", *_chosen(row["figures"], names)) for row in found["folds"]),
        None,
        ("mean", "", *_chosen(found["mean"], names)),
        ("standard deviation", "", *_chosen(found["sd"], names)),
        ("all questions", f"{total:,}", *_chosen(pooled, names)),
    ]
    for name, value in (metrics.get("baselines") or {}).items():
        rows.append((f"baseline {name}", "", number(value), *[""] * (len(names) - 1)))
    print_table("Out of fold", ("fold", "questions", *names), rows, numbers=("questions", *names))
    files = {
        "run": run.folder,
        "out-of-fold predictions": run.validation_nbest,
        "picture": run.folder / "folds.png",
        "submission": run.submission_file(metrics),
    }
    print_pairs("Files", {name: file for name, file in files.items() if file is not None})


def _chosen(figures: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [number(figures[name]) for name in names]


def _show_pipeline(result: TrainingResult) -> None:
    from qakit.cli.results.pipeline import show_expectation, show_pipeline

    _show_figures(result.metrics)
    if result.expectation is not None:
        show_expectation(result.expectation)
    show_pipeline(result.run, result.metrics)


def _show_ensemble(result: TrainingResult) -> None:
    from qakit.cli.ensemble.display import report_of, show

    if result.ensemble is not None:  # not where it was made before, or in another process
        show(report_of(result.ensemble, None, result.folder), result.ensemble)
    _show_figures(result.metrics)
    submission = result.metrics.get("submission")
    if submission:
        out.print(plain(f"submission: {result.submission} ({submission['rows']:,} rows)"))


def _show_figures(metrics: Mapping[str, Any]) -> None:
    from qakit.cli.results.evaluation import show_figures

    if metrics.get("validation"):
        show_figures(metrics["validation"], baselines=metrics.get("baselines") or {})
