"""Where an answer lies: clean-up that looks at what stands beside it must know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from qakit.api import YES_NO, Candidate, Example, SpanPrediction


@dataclass(frozen=True, slots=True)
class Place:
    """A piece of one of the example's contexts."""

    context: str
    """The context's text."""
    start: int
    """First character."""
    end: int
    """One past the last character."""

    @property
    def text(self) -> str:
        """What stands there."""
        return self.context[self.start : self.end]

    @property
    def before(self) -> str:
        """The character before it; empty at the context's beginning."""
        return self.context[self.start - 1 : self.start] if self.start else ""

    def at(self, start: int, end: int) -> Place:
        """Another piece of the same context."""
        return replace(self, start=start, end=end)


def place_of(prediction: SpanPrediction, example: Example) -> Place | None:
    """Where the final answer lies; None if no context has it, and for a yes or no that is said without a place.

    A candidate with this very text knows it. Earlier clean-up may have made the answer shorter or longer than the
    candidate that it came from; then the nearest place that touches the best candidate counts, else the first one.
    """
    answer = prediction.answer
    if not answer or any(each.text == answer and is_said(each) for each in prediction.candidates):
        return None
    known = list(candidate_places(prediction, example))
    for place in known:
        if place.text == answer:
            return place
    for place in known[:1]:
        if found := _touching(answer, place):
            return found
    for context in example.contexts:
        if (start := context.find(answer)) >= 0:
            return Place(context, start, start + len(answer))
    return None


def is_said(candidate: Candidate) -> bool:
    """Whether it is yes or no without a place, as heads give these that learn them."""
    return candidate.text in YES_NO and candidate.start is None


def source_of(prediction: SpanPrediction) -> Candidate | None:
    """The candidate that the answer came from: the one with its text, else the best one."""
    return next((each for each in prediction.candidates if each.text == prediction.answer), prediction.best)


def candidate_places(prediction: SpanPrediction, example: Example) -> Iterator[Place]:
    """The candidates' places, best first, where the contexts have them."""
    for each in prediction.candidates:
        if each.start is None or each.context >= len(example.contexts):
            continue
        context = example.contexts[each.context]
        if context.startswith(each.text, each.start):
            yield Place(context, each.start, each.start + len(each.text))


def _touching(answer: str, place: Place) -> Place | None:
    """The occurrence of ``answer`` that shares characters with ``place`` and begins nearest to it."""
    low, high = max(0, place.start - len(answer)), place.end + len(answer)
    starts, start = [], place.context.find(answer, low, high)
    while start >= 0:
        starts.append(start)
        start = place.context.find(answer, start + 1, high)
    shared = [start for start in starts if start < place.end and place.start < start + len(answer)]
    if not shared:
        return None
    nearest = min(shared, key=lambda start: (abs(start - place.start), start))
    return place.at(nearest, nearest + len(answer))
