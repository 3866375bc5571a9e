"""Heads: loss, scores and decoding on top of a backbone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qakit.api import Component, Head, HeadRuntime, hookimpl
from qakit_heads.settings import (
    ClassifierSettings,
    CrfSettings,
    JointSpanSettings,
    LinearSpanSettings,
    MultipleChoiceSettings,
    ParagraphScorerSettings,
)


def build_linear_span(settings: LinearSpanSettings, runtime: HeadRuntime) -> Head:
    """Independent scores for the answer's first and last token."""
    from qakit_heads.linear_span import LinearSpan

    return LinearSpan(settings, runtime)


LINEAR_SPAN: Component[LinearSpanSettings, HeadRuntime, Head] = Component(
    name="linear_span",
    summary="Start and end scores from one linear layer, exact n-best spans (BERT, Devlin et al. 2019)",
    settings=LinearSpanSettings,
    build=build_linear_span,
)


def build_joint_span(settings: JointSpanSettings, runtime: HeadRuntime) -> Head:
    """Scores normalised over whole spans."""
    from qakit_heads.joint_span import JointSpan

    return JointSpan(settings, runtime)


JOINT_SPAN: Component[JointSpanSettings, HeadRuntime, Head] = Component(
    name="joint_span",
    summary="One softmax over all possible spans and no answer, exact n-best spans (Fajcik et al. 2021)",
    settings=JointSpanSettings,
    build=build_joint_span,
)


def build_crf(settings: CrfSettings, runtime: HeadRuntime) -> Head:
    """A BIO chain over the context tokens."""
    from qakit_heads.crf import Crf

    return Crf(settings, runtime)


CRF: Component[CrfSettings, HeadRuntime, Head] = Component(
    name="crf",
    summary="BIO tags as a linear chain, exact n-best answers (conditional random field, Lafferty et al. 2001)",
    settings=CrfSettings,
    build=build_crf,
)


def build_classifier(settings: ClassifierSettings, runtime: HeadRuntime) -> Head:
    """Classes, or a number, for whole texts."""
    from qakit_heads.classifier import Classifier

    return Classifier(settings, runtime)


CLASSIFIER: Component[ClassifierSettings, HeadRuntime, Head] = Component(
    name="classifier",
    summary="One of several classes, or a number, for a text or a pair of texts (BERT, Devlin et al. 2019)",
    settings=ClassifierSettings,
    build=build_classifier,
)


def build_multiple_choice(settings: MultipleChoiceSettings, runtime: HeadRuntime) -> Head:
    """Which context holds the answer."""
    from qakit_heads.multiple_choice import MultipleChoice

    return MultipleChoice(settings, runtime)


MULTIPLE_CHOICE: Component[MultipleChoiceSettings, HeadRuntime, Head] = Component(
    name="multiple_choice",
    summary="Which of any number of contexts holds the answer: one softmax over them (Radford et al. 2018)",
    settings=MultipleChoiceSettings,
    build=build_multiple_choice,
)


def build_paragraph_scorer(settings: ParagraphScorerSettings, runtime: HeadRuntime) -> Head:
    """The answer's span and its context at once."""
    from qakit_heads.paragraph_scorer import ParagraphScorer

    return ParagraphScorer(settings, runtime)


PARAGRAPH_SCORER: Component[ParagraphScorerSettings, HeadRuntime, Head] = Component(
    name="paragraph_scorer",
    summary="Span and context at once, one softmax over all contexts of a question (Clark and Gardner 2018)",
    settings=ParagraphScorerSettings,
    build=build_paragraph_scorer,
)


@hookimpl
def qakit_register_heads() -> Iterable[Component[Any, Any, Any]]:
    """The heads of this package."""
    return (LINEAR_SPAN, JOINT_SPAN, CRF, CLASSIFIER, MULTIPLE_CHOICE, PARAGRAPH_SCORER)
