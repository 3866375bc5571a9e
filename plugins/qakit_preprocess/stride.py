"""Windows at even distances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qakit.api import EncodedExamples, UsageError, WindowRuntime, Windows
from qakit_preprocess.pairs import Int64, Pairs, all_pairs, training_pairs
from qakit_preprocess.settings import DEFAULT_OVERLAP, StrideSettings


@dataclass(frozen=True, slots=True)
class Stride:
    """Windows from the context's start to its end, as ``tokenizer(..., return_overflowing_tokens=True)`` lays them.

    The last window is the first one that reaches the end; it is as short as it comes out. A context that fits is one
    window, an empty context one window without context tokens.
    """

    settings: StrideSettings
    runtime: WindowRuntime

    @property
    def redraws(self) -> bool:
        return False

    def windows(self, encoded: EncodedExamples, *, epoch: int) -> Windows:  # noqa: ARG002
        """Every window, sorted by example, context and place.

        Raises:
            UsageError: ``overlap`` leaves no step forward.
            DataError: nothing to train on, or an example without a context.
        """
        if not self.runtime.training:
            return self._lay(all_pairs(encoded, self.runtime), encoded)
        pairs = training_pairs(encoded, self.runtime, only_answer=self.settings.contexts == "answer")
        return self._lay(pairs, encoded)

    def _lay(self, pairs: Pairs, encoded: EncodedExamples) -> Windows:
        step = self._steps(pairs)
        beyond = np.maximum(pairs.length - pairs.room, 0)
        counts = 1 + -(-beyond // step)
        ordinal = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        of = np.repeat(np.arange(len(pairs)), counts)  # which pair each window is of

        first = ordinal * step[of]
        stop = np.minimum(first + pairs.room[of], pairs.length[of])
        holds = (pairs.answer_first[of] >= first) & (pairs.answer_stop[of] <= stop)  # -1 is never >= first
        keep = np.ones(len(of), bool)
        if self.runtime.training and self.settings.negatives == "none":
            keep = holds | (encoded.answerable == 0)[pairs.example[of]]
        return Windows.single(
            example=pairs.example[of][keep],
            query_stop=pairs.query_stop[of][keep],
            pair=pairs.pair[of][keep],
            first=first[keep],
            stop=stop[keep],
            answer_first=np.where(holds, pairs.answer_first[of], -1)[keep],
            answer_stop=np.where(holds, pairs.answer_stop[of], -1)[keep],
        )

    def _steps(self, pairs: Pairs) -> Int64:
        """(K,) tokens from one window's start to the next one's."""
        if self.settings.step is not None:
            return np.minimum(self.settings.step, pairs.room)
        if self.settings.overlap is None:
            return pairs.room - np.minimum(DEFAULT_OVERLAP, pairs.room // 2)
        several = pairs.length > pairs.room
        least = int(pairs.room[several].min(initial=self.settings.overlap + 1))
        if self.settings.overlap >= least:
            raise UsageError(
                f"preprocessor 'stride': an overlap of {self.settings.overlap} tokens leaves no step forward, since "
                f"beside the longest question a window of {self.runtime.max_length} tokens holds only {least} of the "
                "context; choose a smaller `overlap` or `max_question_length`, or a larger `max_length`"
            )
        return np.maximum(pairs.room - self.settings.overlap, 1)
