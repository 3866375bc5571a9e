"""What authors of postprocessors are told about tries and learning."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qakit.testing import check_component, check_postprocessor
from qakit_postprocess import LENGTH_PRIOR, NUMBER_UNITS, SPECIAL_CHARS, TRIM_TO_TOKENS, LengthPriorSettings
from qakit_postprocess.lengths import LengthPrior


@pytest.mark.parametrize("component", [SPECIAL_CHARS, TRIM_TO_TOKENS, NUMBER_UNITS, LENGTH_PRIOR])
def test_ours_keep_the_contract_with_all_their_tries(component) -> None:
    check_component("postprocessors", component)
    for given in component.tries or ({},):
        check_postprocessor(component, component.settings.model_validate(given))


def test_tries_must_be_settings() -> None:
    with pytest.raises(AssertionError, match=r"of the tries .*wight"):
        check_component("postprocessors", replace(LENGTH_PRIOR, tries=({"wight": 1},)))


def test_what_is_learnt_must_be_settings() -> None:
    class Bad(LengthPrior):
        def learn(self, examples):
            return {"median": -1}

    component = replace(LENGTH_PRIOR, build=lambda settings, _: Bad(settings))
    with pytest.raises(AssertionError, match="learn, or taking what it learnt"):
        check_postprocessor(component, LengthPriorSettings())
