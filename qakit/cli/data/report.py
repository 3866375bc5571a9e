"""The data doctor's report for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.text import Text

from qakit.cli.terminal.console import out, plain
from qakit.cli.terminal.tables import number, print_table

if TYPE_CHECKING:
    from qakit.data.check import DataReport, SplitReport
    from qakit.data.checks.ceiling import Ceiling
    from qakit.data.checks.findings import Finding, Lengths
    from qakit.data.checks.tokens import TokenReport

_STYLES = {
    "stops": "bold red",
    "skipped": "yellow",
    "repaired": "green",
    "kept": "yellow",
    "warning": "yellow",
    "note": "",
}
_LABELS_SHOWN = 10


def show_report(report: DataReport, *, window: Mapping[str, Any] | None) -> None:
    """Print the report: each split, what splits share, and the verdict."""
    for split in report.splits:
        _show_split(split, window)
    for overlap in report.overlaps:
        title = f"Shared by {overlap.first} and {overlap.second}"
        _show_findings(title, overlap.findings)
    out.print(_verdict(report))


def _show_split(split: SplitReport, window: Mapping[str, Any] | None) -> None:
    out.print(plain(f"{split.name}: {_counted(split)}", style="bold"))
    for message in split.unreadable:
        out.print(Text("  unreadable: ", style="bold red") + plain(message))
    if split.labels:
        shown = list(split.labels.items())[:_LABELS_SHOWN]
        out.print(plain("  labels: " + ", ".join(f"{label} {count:,}" for label, count in shown)))
    if split.problems:
        rows = [
            (
                each.kind,
                plain(each.outcome, _STYLES.get(each.outcome, "")),
                f"{each.count:,}",
                *(*each.examples, "")[:1],
            )
            for each in split.problems
        ]
        print_table(None, ("problem", "outcome", "count", "first"), rows, numbers=("count",))
    findings = (*split.findings, *(split.tokens.findings if split.tokens else ()))
    if findings:
        _show_findings(None, findings)
    if split.characters:
        _show_lengths(split)
    if split.tokens is not None:
        _show_windows(split.tokens, window or {})
    out.print()


def _show_windows(tokens: TokenReport, window: Mapping[str, Any]) -> None:
    if tokens.windows:
        laid = " ".join(f"{name}={value}" for name, value in window.items())
        share = f"{tokens.longer_inputs:.1f}% of inputs are longer than a window"
        out.print(plain(f"  {tokens.windows:,} windows; {share} ({laid})"))
    if tokens.ceiling is not None:
        _show_ceiling(tokens.ceiling)


def _counted(split: SplitReport) -> str:
    counts = split.counts
    parts = [f"{counts['examples']:,} examples"]
    parts += [f"{counts['contexts']:,} contexts"] if counts["contexts"] else []
    parts += [f"{counts[name]:,} {name}" for name in ("answered", "unanswerable", "unlabelled") if counts[name]]
    if counts["answers"]:
        parts.append(f"{counts['answers']:,} answers, {counts['placed']:,} of them placed")
    return ", ".join(parts)


def _show_findings(title: str | None, findings: Iterable[Finding]) -> None:
    rows = [
        (plain(each.level, _STYLES[each.level]), f"{each.count:,}", each.meaning, *(*each.examples, "")[:1])
        for each in findings
    ]
    print_table(title, ("", "count", "what", "for example"), rows, numbers=("count",))


def _show_lengths(split: SplitReport) -> None:
    columns = ("median", "95%", "longest")
    units: dict[str, Mapping[str, Lengths]] = {"characters": split.characters}
    if split.tokens is not None:
        units["tokens"] = split.tokens.lengths
    rows = [
        (name, unit, number(value.p50), number(value.p95), number(value.max))
        for unit, lengths in units.items()
        for name, value in lengths.items()
    ]
    print_table(None, ("length of", "unit", *columns), rows, numbers=columns)


def _show_ceiling(ceiling: Ceiling) -> None:
    long = f", {ceiling.too_long:,} longer than max_answer_length" if ceiling.too_long else ""
    answerable = ""
    if ceiling.answerable < ceiling.questions:
        answerable = f", {ceiling.of_answerable:.2f}% of the {ceiling.answerable:,} that have an answer"
    out.print(
        plain(f"  EM ceiling: {ceiling.of_questions:.2f}%", style="bold")
        + plain(
            f" of all questions ({ceiling.reachable_questions:,} of {ceiling.questions:,}){answerable}; "
            f"{ceiling.of_answers:.2f}% of placed answers ({ceiling.outside_windows:,} in no window as a whole, "
            f"{ceiling.inside_tokens:,} within tokens{long})"
        )
    )
    for example in ceiling.examples:
        out.print(plain(f"    {example}"))


def _verdict(report: DataReport) -> Text:
    unreadable = sum(len(split.unreadable) for split in report.splits)
    if unreadable:
        return Text(f"{unreadable} unreadable", style="bold red")
    stops = sum(problem.count for split in report.splits for problem in split.problems if problem.outcome == "stops")
    if stops:
        return Text(f"training would stop: {stops:,} problems (data.problems sets what to do)", style="bold red")
    reasons = [finding.name for split in report.splits for finding in split.findings if finding.level == "stops"]
    if reasons:
        return plain(f"training would stop: {', '.join(reasons)}", style="bold red")
    return Text("training can start", style="bold green")
