"""What the page of ``qakit view`` shows: figures, curves, and every validation question with the runs' answers to it.

All of it comes from files: the runs' logs and stored predictions. Nothing is loaded or predicted. The page's script
(``assets/view.js``) draws from the value of ``view_data.py``.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

from qakit import __version__
from qakit.data.csv_rows import csv_rows, formula_cells, formula_notice
from qakit.entry_points import describe
from qakit.files import write_text
from qakit.inference.evaluation import Judge
from qakit.names import quoted
from qakit.protocols import DrawnMetric, PerExampleMetric
from qakit.registry import Registry
from qakit.report.compare import Plan, compare, labels_of
from qakit.report.compare_runs import Answered, members_of, read_answered
from qakit.report.compare_table import Grid, grids, method
from qakit.report.curves import NOT_CURVES
from qakit.report.html import heading, notes, page, paragraph, table
from qakit.report.view_data import Findings, view_data
from qakit.runs import Run

RESAMPLES = 1000
SHOWN_AT_THE_END = 1000
"""Questions on the page that a training leaves, evenly spread over the file."""


def write_run_page(run: Run, registry: Registry, *, notice: Callable[[str], object]) -> None:
    """Leave a page in a finished run's folder, where it has validation questions and no page since it finished.

    Nothing depends on the page, so whatever keeps it from being written is a notice.
    """
    try:
        if not (run.finished and run.validation_nbest.is_file()):
            return
        if run.page.is_file() and run.page.stat().st_mtime >= run.metrics_file.stat().st_mtime:
            return
        answered = read_answered([run.folder], registry)
        write_text(run.page, view_page(answered, registry, most=SHOWN_AT_THE_END))
    except Exception as error:
        notice(f"the page {run.page} was not written ({describe(error)}); qakit view {quoted(run.folder)} writes it")


def view_page(
    runs: Sequence[Answered], registry: Registry, *, most: int | None = None, findings: Findings | None = None
) -> str:
    """The page as HTML.

    Args:
        runs: one or more with the same questions, from :func:`qakit.report.compare_runs.read_answered`.
        most: questions that are listed at most; by default all.
        findings: of the evaluation that one run's answers come from; by default they are its validation answers.
    """
    judges = [Judge.of(run.recipe, registry) for run in runs]
    names = labels_of([run.run.folder for run in runs])
    examples = list(runs[0].examples.values())
    title = " · ".join(names)
    lead = runs[0].recipe.description if len(runs) == 1 else "Compared on the same questions"
    parts = [heading(title, 1), *([paragraph(lead, style="lead")] if lead else ())]
    parts += _tables(runs, names, judges, registry)
    step = 1 if most is None else -(-len(examples) // most) or 1
    if step > 1:
        text = f"Below is every {step}th of the questions: qakit view {quoted(runs[0].run.folder)} shows all."
        parts.append(paragraph(text, style="soft"))
    asked = (
        "the validation questions, those of the best weights"
        if findings is None
        else f"the questions of {findings.source}"
    )
    parts += [_CHARTS, paragraph(f"Answers to {asked}.", style="soft"), _QUESTIONS]
    parts.append(paragraph(f"qakit {__version__}", style="soft"))
    data = view_data(runs, names, judges, examples[::step], findings)
    return page(title, parts, script="view.js", data=data)


def write_questions(path: Path, run: Answered, registry: Registry, findings: Findings) -> str | None:
    """Every question with the answer and what is known of it: a page (``.html``), or a table (``.csv``).

    Returns:
        What to know before the table is opened in a spreadsheet, if anything.

    Raises:
        OutputError: the file cannot be written.
    """
    if path.suffix.lower() == ".html":
        write_text(path, view_page([run], registry, findings=findings))
        return None
    formulas = 0
    data = view_data([run], [run.run.name], [Judge.of(run.recipe, registry)], list(run.examples.values()), findings)
    text = io.StringIO()
    write = csv_rows(text)
    write(("id", "question", "right", "answer", "is_right", "confidence", "cause", *data["keys"]))
    for question, answer in zip(data["questions"], data["answers"][0], strict=True):
        gold = question["g"]
        right = " | ".join(dict.fromkeys(each[0] for each in gold)) if isinstance(gold, list) else gold
        texts = (question["i"], question["q"], right, answer["a"])
        formulas += formula_cells([[each for each in texts if isinstance(each, str)]])
        write((*texts, answer["r"], answer["p"], answer["c"], *answer["f"]))
    write_text(path, text.getvalue())
    return formula_notice(formulas)


_CHARTS = """\
<section id="charts-section"><h2>Curves</h2><div id="charts" class="charts"></div></section>
<section id="threshold"><h2>No-answer threshold</h2></section>
<section id="confusion"><h2>Confusion of classes</h2></section>
<h2>Questions</h2>"""
_QUESTIONS = """\
<div class="bar">
<input type="search" id="search" placeholder="Search questions, answers, ids" aria-label="search">
<select id="outcome" aria-label="which questions"></select>
<select id="order" aria-label="order"><option value="file">in the file's order</option>
<option value="unsure">least confident first</option><option value="sure">most confident first</option>
<option value="worst">worst figure first</option></select>
<span id="count" class="soft"></span></div>
<p class="soft legend"><span id="marks"><mark class="gold">right answer</mark> <mark class="said">the run's</mark>
<mark class="gold said">both</mark> </span>keys: <kbd>j</kbd> <kbd>k</kbd> next and previous, <kbd>/</kbd> search</p>
<div class="panes"><div id="list" class="list" role="listbox" tabindex="0" aria-label="questions">
<div id="rows"></div></div><div id="detail" class="detail" aria-live="polite"></div></div>"""


def _tables(runs: Sequence[Answered], names: Sequence[str], judges: Sequence[Judge], registry: Registry) -> list[str]:
    """The runs' figures with intervals, and their differences; without these where the metric cannot be resampled."""
    if isinstance(judges[0].metric, PerExampleMetric | DrawnMetric):
        plan = Plan(by_seed=False, resamples=RESAMPLES, seed=runs[0].recipe.seed)
        found = compare(members_of(runs, registry), plan)
        parts = [paragraph(method(found), style="soft")]
        for grid in grids(found):
            parts += [heading(grid.title), table(grid)]
        return [*parts, *notes(found.notes)]
    figures = [
        judge.metric.compute(list(run.examples.values()), [run.predictions[id_] for id_ in run.examples])
        for run, judge in zip(runs, judges, strict=True)
    ]
    keys = tuple(key for key in figures[0] if key not in NOT_CURVES)
    rows = [(name, *(f"{own[key]:.2f}" for key in keys)) for name, own in zip(names, figures, strict=True)]
    grid = Grid("Figures", ("run", *keys), tuple(rows), keys)
    return [heading(grid.title), table(grid)]
