"""A training loses nothing, whatever happens: every line of the table in docs/dev/reliability.md is played, once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import hostile_table
import kills
import phases
import pytest
from fault import EVERY_ADAPTER, Fault
from hostile_table import Hostile
from table import FAULTS as FAULT_TABLE
from table import HOSTILE as HOSTILE_TABLE
from table import all_faults
from workbench import PRETRAINING, Workbench

FAULTS = all_faults()
MOMENTS = [(fault, moment) for fault in FAULTS for moment in fault.moments]
QUICK = {phases.STEP, phases.CHECKPOINT, phases.KEEPING}
"""Of these kills the first is played without the slow tests."""


def is_quick(fault: Fault, moment: str) -> bool:
    return fault.group == kills.GROUP and fault.name in QUICK and moment == "full 0"


def check(fault: Fault, moment: str, bench: Workbench) -> None:
    outcome = fault.play(bench, moment)
    assert f"{outcome} (" in FAULT_TABLE.written()[fault.group, fault.name][1], (
        "the table in docs/dev/reliability.md tells this"
    )


def ids(moments: list[tuple[Fault, str]]) -> list[str]:
    return [f"{fault}, {moment}" for fault, moment in moments]


def test_the_table_in_the_docs_has_a_line_for_every_fault() -> None:
    expected = {(fault.group, fault.name): len(fault.moments) for fault in FAULTS}
    assert len(expected) == len(FAULTS)
    assert {key: tried for key, (tried, _) in FAULT_TABLE.written().items()} == expected


def test_and_one_for_every_hostile_input() -> None:
    rows = hostile_table.rows()
    tried = {what: tried for what, (tried, _) in HOSTILE_TABLE.written().items()}
    assert tried == {(row.name,): row.tried() for row in rows}
    assert len(tried) == len(rows)


def test_each_adapter_is_killed_at_twenty_moments_in_every_phase() -> None:
    killed = [fault for fault in FAULTS if fault.group == kills.GROUP]
    adapters = Counter(moment.split()[0] for fault in killed for moment in fault.moments)
    assert adapters == dict.fromkeys(EVERY_ADAPTER, 20)
    assert {*phases.PHASES.values()} - {fault.name for fault in killed} == {phases.RESUMING, phases.PRETRAINED}


def test_every_phase_is_met(bench: Workbench) -> None:
    met = bench.whole("full").lines.keys() | bench.whole(PRETRAINING).lines.keys()
    assert {*phases.PHASES.values()} - met == {phases.RESUMING}


QUICKLY = [(fault, moment) for fault, moment in MOMENTS if is_quick(fault, moment)]
SLOWLY = [(fault, moment) for fault in FAULTS for moment in fault.moments[:1] if not is_quick(fault, moment)]
"""One moment of every line; writing the table plays them all, which takes some minutes."""


@pytest.mark.parametrize(("fault", "moment"), QUICKLY, ids=ids(QUICKLY))
def test_killed_and_gone_on(fault: Fault, moment: str, bench: Workbench) -> None:
    check(fault, moment, bench)


@pytest.mark.sweep(7)
@pytest.mark.slow
@pytest.mark.parametrize(("fault", "moment"), SLOWLY, ids=ids(SLOWLY))
def test_every_other_line_of_the_table(fault: Fault, moment: str, bench: Workbench) -> None:
    check(fault, moment, bench)


ELSEWHERE = (hostile_table._play_bomb, hostile_table._play_case)
"""Their inputs are tests of their own, in ``tests/hostile/``."""
REPLAYED = [row for row in hostile_table.rows() if row.play not in ELSEWHERE]


@pytest.mark.sweep(3)
@pytest.mark.slow
@pytest.mark.parametrize("row", REPLAYED, ids=str)
def test_hostile_input(row: Hostile, tmp_path: Path) -> None:
    told = HOSTILE_TABLE.written()[(row.name,)][1]
    assert row.outcome(tmp_path) == told, "the table in docs/dev/reliability.md tells this"
