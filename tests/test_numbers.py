"""Numbers out of a document that somebody else wrote."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.numbers import finite, finite_or_none, load_json


@pytest.mark.parametrize("value", [0, -1, 0.5, 2**63, -1e308])
def test_numbers(value: float) -> None:
    assert finite(value) == value


@pytest.mark.parametrize("value", [True, None, "1", [], {}, math.nan, math.inf, -math.inf, 10**400, -(10**19)], ids=str)
def test_what_is_none(value: object) -> None:
    with pytest.raises(ValueError, match=r"is no (finite )?number"):
        finite(value)
    assert finite_or_none(value) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers(-(2**63), 2**63) | st.text(), st.lists
    )
)
def test_documents_of_ours_are_read_as_json_reads_them(value: object) -> None:
    assert load_json(json.dumps(value)) == value


@pytest.mark.parametrize("digits", [str(2**63 + 1), "-" + "9" * 20, "1" * 400, "1" * 5000])
def test_an_integer_that_overflows_is_refused(digits: str) -> None:
    with pytest.raises(ValueError, match=r"has .* digits"):
        load_json(f'{{"step": {digits}}}')
