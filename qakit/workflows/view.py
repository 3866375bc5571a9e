"""One page on one run or several: figures, curves, and every validation question."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qakit.errors import UsageError


def view(runs: Sequence[Path], *, output: Path | None = None, members: bool = False) -> Path:
    """Write a page that opens from disk and fetches nothing.

    Args:
        runs: folders of runs that answered the same validation questions, of any kind: trainings, folds, pipelines,
            ensembles.
        output: ``NAME.html``; by default ``view.html`` in the run's folder, or here for several runs.
        members: show what each member of an ensemble said beside the ensemble.

    Returns:
        The page's path.

    Raises:
        UsageError: the runs cannot be shown together: other questions, another metric.
        RunError: a folder is no run, or has no validation predictions.
    """
    from qakit.files import write_text
    from qakit.outputs import check_beside_kept, check_reports
    from qakit.registry import load_registry
    from qakit.runs import Run, ensemble_members, open_run

    folders = list(runs)
    for run in map(open_run, runs):
        if members:
            found = ensemble_members(run)
            if not found:
                raise UsageError(f"--members: {run.folder} is no ensemble")
            folders += found
    if output is None:
        output = Run(folders[0]).page if len(runs) == 1 else Path("view.html")
        if len(runs) > 1:
            check_beside_kept(output)  # this may be the folder of a run, whose own page it would replace
            check_reports(output)
    if output.suffix != ".html" or output.is_dir():
        raise UsageError(f"{output} cannot be the page: give --output NAME.html")
    from qakit.report.compare_runs import read_answered
    from qakit.report.view import view_page

    registry = load_registry()
    write_text(output, view_page(read_answered(folders, registry), registry))
    return output
