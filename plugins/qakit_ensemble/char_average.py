"""Character-level averages of start and end probabilities: models with different tokenizers on one axis."""

from __future__ import annotations

from collections.abc import Sequence

from qakit.api import EnsembleMember, Example, Pool, Prediction, SpanPrediction, UsageError
from qakit_ensemble.axis import Axis
from qakit_ensemble.character_pool import CharacterPool
from qakit_ensemble.settings import CharAverageSettings


class CharAverage:
    """Each member's probabilities that the answer starts, and ends, at a character are averaged, "no answer" among
    them; then the best spans are searched exactly, once in each context.

    A character counts where a member's token starts (ends). A span's score is the logarithm of the averages of its
    start and its end, less those of "no answer". Source: how teams combine tokenizers in span extraction, e.g. the
    first solution of Kaggle's Tweet Sentiment Extraction, 2020.
    """

    reads_characters = True
    decodes = True

    def __init__(self, settings: CharAverageSettings) -> None:
        self._settings = settings

    def combine(self, members: Sequence[Sequence[Prediction]]) -> list[Prediction]:
        """Not from predictions alone.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"char_average cannot combine {len(members)} members by their answers alone: it needs runs with "
            "`predict: {character_scores: true}`; nbest needs candidates, and voting answers"
        )

    def pool(self, members: Sequence[EnsembleMember], examples: Sequence[Example] | None) -> Pool:
        """The members' characters on one axis.

        Raises:
            UsageError: a member has no character scores or no answers, or the examples are not known.
            DataError: character scores are of other examples.
        """
        if not members:
            raise UsageError("an ensemble needs at least one member")
        if examples is None:
            raise UsageError("char_average needs the questions with their contexts; only runs know them")
        scores = []
        for member in members:
            if member.characters is None:
                raise UsageError(
                    f"{member.name} has no character scores: predict with `predict: {{character_scores: true}}`"
                )
            odd = next((each for each in member.predictions if not isinstance(each, SpanPrediction)), None)
            if odd is not None:
                raise UsageError(f"{member.name} does not answer with spans: id {odd.id!r} is {odd.final!r}")
            scores.append(member.characters)
        scores[0].check(examples)
        for other in scores[1:]:
            other.check(examples)
        return CharacterPool.of(Axis.of(scores), members, examples, self._settings)
