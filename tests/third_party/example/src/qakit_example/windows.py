"""Windows spread evenly over each context."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qakit.api import EncodedExamples, UsageError, WindowRuntime, Windows

if TYPE_CHECKING:
    from qakit_example import EvenWindowsSettings


class EvenWindows:
    """As few full windows as cover a context with the wanted overlap, the first at its start, the last at its end."""

    redraws = False

    def __init__(self, settings: EvenWindowsSettings, runtime: WindowRuntime) -> None:
        self.room = runtime.max_length - runtime.special_tokens
        self.max_question_length = runtime.max_question_length
        self.overlap = settings.overlap
        if self.room <= self.max_question_length:
            raise UsageError(
                f"even_windows: windows.max_length {runtime.max_length} leaves no room for a context beside "
                f"{runtime.max_question_length} question tokens and {runtime.special_tokens} special ones"
            )

    def windows(self, encoded: EncodedExamples, *, epoch: int) -> Windows:
        """All windows, for training and prediction alike."""
        query_stop = np.minimum(encoded.query_lengths, self.max_question_length)
        length = encoded.context_lengths  # (P,) and so are the next four
        room = self.room - query_stop[encoded.pair_example]
        beyond = np.maximum(length - room, 0)  # tokens that the first window does not hold
        step = room - np.minimum(self.overlap, room - 1)
        count = 1 + -(-beyond // step)
        pair = np.repeat(np.arange(len(length)), count)  # (W,) from here on
        number = np.arange(len(pair)) - np.repeat(np.cumsum(count) - count, count)
        first = number * beyond[pair] // np.maximum(count[pair] - 1, 1)
        stop = np.minimum(first + room[pair], length[pair])
        answer_first, answer_stop = encoded.answer_first[pair], encoded.answer_stop[pair]
        held = (answer_first >= first) & (answer_stop <= stop) & (answer_first >= 0)
        example = encoded.pair_example[pair]
        return Windows.single(
            example=example,
            query_stop=query_stop[example],
            pair=pair,
            first=first,
            stop=stop,
            answer_first=np.where(held, answer_first, -1),
            answer_stop=np.where(held, answer_stop, -1),
        )
