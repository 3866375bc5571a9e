"""A previous run's predictions for the training file, as a source of hard negatives."""

from __future__ import annotations

from qakit.api import EncodedExamples
from qakit_preprocess.candidates_file import nbest_file, read_candidates
from qakit_preprocess.wrong_candidates import WrongCandidates, wrong_candidates


class PreviousRun:
    """Reads the predictions once, and finds their places in the examples once for all epochs."""

    def __init__(self, source: str, min_probability: float) -> None:
        """Args:
            source: a run folder or an nbest.jsonl.
            min_probability: candidates below it don't count.

        Raises:
            DataError: the file is missing or damaged.
        """
        self._path = nbest_file(source)
        self._table = read_candidates(self._path, min_probability=min_probability)
        self._found: tuple[EncodedExamples, WrongCandidates] | None = None

    def wrong(self, encoded: EncodedExamples) -> WrongCandidates:
        """The wrong candidates of ``encoded``.

        Raises:
            DataError: the predictions are not of these examples.
        """
        if self._found is None or self._found[0] is not encoded:
            self._found = (encoded, wrong_candidates(self._table, encoded, self._path))
        return self._found[1]
