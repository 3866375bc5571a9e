"""Events as plain values, for those who listen in another process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.training.events import CheckpointWritten, Event, as_json, from_json

st.register_type_strategy(Path, st.text(st.characters(exclude_characters="\0")).map(Path))
st.register_type_strategy(float, st.floats(allow_nan=False))


@given(event=st.one_of([st.from_type(kind) for kind in get_args(Event)]))
def test_every_event_comes_back_from_json_as_it_was(event: Event) -> None:
    assert from_json(json.loads(json.dumps(as_json(event)))) == event


def test_a_path_that_is_no_text_comes_back_too() -> None:
    event = CheckpointWritten(3, Path("runs/\udcff"))
    assert from_json(json.loads(json.dumps(as_json(event)))) == event


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(ValueError, match="is no event"):
        from_json({"event": "Path"})
