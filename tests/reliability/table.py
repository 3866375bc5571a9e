"""Plays every fault at every moment, and hostile inputs, and writes what came of it into ``docs/dev/reliability.md``.

``python tests/reliability/table.py`` prints both tables; ``--write`` puts them into the document. With some words, only
the lines that hold them are played (``hostile``: the second table's); the others stay. ``test_reliability.py`` compares
each line with what it sees.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
sys.path.append(str(Path(__file__).parents[1] / "hostile"))

import damage
import disk_faults
import hostile_table
import kills
import power_cuts
import requests_to_stop
import training_faults
from crew import Crew
from fault import Fault
from hostile_table import Hostile
from trainings import Trainings
from workbench import Workbench
from written_part import DOCS, WrittenPart

DOCUMENT = DOCS / "dev" / "reliability.md"


@dataclass(frozen=True)
class Table:
    """A table in the document: the first cells of a line say what was tried, the last two how often and its outcome."""

    part: WrittenPart
    header: tuple[str, ...]

    def written(self) -> dict[tuple[str, ...], tuple[int, str]]:
        """What the document says: first cells -> (times tried, outcome)."""
        lines = [line.strip("|").split(" | ") for line in self.part.read().splitlines()[2:]]
        cells = [[cell.strip() for cell in line] for line in lines]
        return {tuple(what): (int(tried.replace(",", "")), outcome) for *what, tried, outcome in cells}

    def text(self, rows: Sequence[tuple[str, ...]], played: Mapping[tuple[str, ...], tuple[int, str]]) -> str:
        """The table with these lines; the document's where one was not played."""
        known = self.written() | played
        lines = [f"| {' | '.join(row)} | {known[row][0]:,} | {known[row][1]} |" for row in rows if row in known]
        return "\n".join([f"| {' | '.join(self.header)} |", f"|{'---|' * len(self.header)}", *lines])


FAULTS = Table(
    WrittenPart(
        DOCUMENT,
        "<!-- fault table: written by python tests/reliability/table.py --write -->",
        "<!-- end of the fault table -->",
    ),
    ("fault", "where", "tried", "outcome"),
)
HOSTILE = Table(
    WrittenPart(
        DOCUMENT,
        "<!-- hostile input table: written by python tests/reliability/table.py --write -->",
        "<!-- end of the hostile input table -->",
    ),
    ("input", "tried", "outcome"),
)

Played = dict[tuple[str, ...], tuple[int, str]]


def all_faults() -> list[Fault]:
    """Every line of the first table, in its order."""
    return [
        fault
        for module in (kills, power_cuts, requests_to_stop, disk_faults, damage, training_faults)
        for fault in module.faults()
    ]


def play_faults(faults: Sequence[Fault]) -> Played:
    """What came of them; two moments are played at a time, and equal outcomes are counted."""
    played: Played = {}
    with tempfile.TemporaryDirectory() as name, closing(Crew(Path(name))) as crew:
        bench = Workbench(Path(name), Trainings(Path(name), crew.server))
        with ThreadPoolExecutor(2) as pool:
            for fault in faults:
                for moment in fault.moments:
                    bench.whole(moment.split()[0])  # before two threads want it at once
                outcomes = list(pool.map(partial(_played, fault, bench), fault.moments))
                counts = sorted(Counter(outcomes).items())
                told = "; ".join(f"{outcome} ({count} of {len(outcomes)})" for outcome, count in counts)
                played[fault.group, fault.name] = len(outcomes), told
                print(f"{fault}: {told}", file=sys.stderr, flush=True)
    return played


def _played(fault: Fault, bench: Workbench, moment: str) -> str:
    try:
        return fault.play(bench, moment)
    except Exception as error:
        return f"**FAILED** at {moment}: {error}".replace("\n", " ")


def play_hostile(rows: Sequence[Hostile]) -> Played:
    """What came of them; whatever must not come of them is raised."""
    played: Played = {}
    with tempfile.TemporaryDirectory() as name:
        for row in rows:
            played[(row.name,)] = row.tried(), row.outcome(Path(name))
            print(f"{row}: {played[(row.name,)][1]}", file=sys.stderr, flush=True)
    return played


def main() -> None:
    """Play and print."""
    words = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "")
    faults, hostile = all_faults(), hostile_table.rows()
    chosen = [fault for fault in faults if words in str(fault)]
    played = play_faults(chosen) if chosen else {}
    if failed := [outcome for _, outcome in played.values() if "**FAILED**" in outcome]:
        sys.exit("\n".join(failed))
    texts = {
        FAULTS: FAULTS.text([(fault.group, fault.name) for fault in faults], played),
        HOSTILE: HOSTILE.text(
            [(row.name,) for row in hostile], play_hostile([row for row in hostile if words in str(row)])
        ),
    }
    for table, text in texts.items():
        if "--write" in sys.argv[1:]:
            table.part.write(text)
        else:
            print(text)


if __name__ == "__main__":
    main()
