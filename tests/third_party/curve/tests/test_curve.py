"""The observer keeps qakit's contract."""

from __future__ import annotations

import json
from pathlib import Path

from qakit_curve import CURVE, CurveSettings

from qakit.testing import check_component, check_observer


def test_the_component_is_declared_well() -> None:
    check_component("observers", CURVE)


def test_the_observer(tmp_path: Path) -> None:
    check_observer(CURVE, CurveSettings(file="figures.jsonl"), tmp_path)
    (file,) = tmp_path.rglob("figures.jsonl")
    *lines, last = map(json.loads, file.read_text().splitlines())
    assert lines and all("step" in line for line in lines)
    assert last == {"ended": "done"}
