"""Plays every fault at every step and prints what came of it, for ``docs/dev/submitting.md``.

``python tests/submit/fault_table.py`` prints the table; ``--write`` puts it into the document. ``test_faults.py``
compares each line of the document with what it sees.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from bench import Bench
from document import TABLE
from fault_cases import LOOK_UP, Case, Outcome, cases, play
from kaggle_server import KaggleServer
from processes import light_processes

HEADER = (
    "request",
    "fault",
    "played",
    "exit code",
    "ledger",
    "submissions",
    "tried",
    "next command",
    "submissions in the end",
)
BETWEEN = " / "

Figures = tuple[str, ...]


def figures(outcome: Outcome) -> Figures:
    """What a line of the table says about a case."""
    # An empty list is looked at again for some time: how often depends on the machine.
    tried = "some" if outcome.state == "UNKNOWN" else str(outcome.tried)
    return (
        str(outcome.code),
        outcome.state,
        str(outcome.submissions),
        tried,
        f"{outcome.next_code} {outcome.next_state}",
        str(outcome.next_submissions),
    )


def place(case: Case) -> tuple[str, str]:
    """The first and the third cell."""
    when = " (after a lost answer)" if case.method == LOOK_UP else ""
    return f"{case.method}{when}", "always" if case.always else "once"


def table(outcomes: dict[Case, Outcome]) -> str:
    """Markdown; faults of one request with the same outcome share a line."""
    lines: dict[tuple[str, str, Figures], list[str]] = {}
    for case, outcome in outcomes.items():
        request, played = place(case)
        lines.setdefault((request, played, figures(outcome)), []).append(case.fault.name)
    rows = [HEADER, ("---",) * len(HEADER)]
    for (request, played, values), faults in lines.items():
        rows.append((request, BETWEEN.join(faults), played, *values))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def written() -> dict[tuple[str, str, str], Figures]:
    """What the document says: request, fault and how often -> figures."""
    found: dict[tuple[str, str, str], Figures] = {}
    for line in TABLE.read().splitlines():
        if not line.startswith("|") or line.startswith(("| ---", f"| {HEADER[0]} ")):
            continue
        request, faults, played, *values = (cell.strip() for cell in line.strip("|").split("|"))
        for fault in faults.split(BETWEEN):
            found[request, fault, played] = tuple(values)
    return found


def main() -> None:
    """Play and print."""
    outcomes: dict[Case, Outcome] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with light_processes(folder) as processes:
            for number, case in enumerate(cases()):
                own = folder / f"case-{number}"
                own.mkdir()
                with KaggleServer() as server:
                    outcomes[case] = play(case, Bench(own, server, processes))
    text = table(outcomes)
    if "--write" in sys.argv[1:]:
        TABLE.write(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
