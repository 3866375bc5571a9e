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

LINEAR_SPAN: Component[LinearSpanSettings, HeadRuntime, Head] = Component(
    name="linear_span",
    summary="Start and end scores from one linear layer, exact n-best spans (BERT, Devlin et al. 2019)",
    settings=LinearSpanSettings,
    build="qakit_heads.linear_span:LinearSpan",
)


JOINT_SPAN: Component[JointSpanSettings, HeadRuntime, Head] = Component(
    name="joint_span",
    summary="One softmax over all possible spans and no answer, exact n-best spans (Fajcik et al. 2021)",
    settings=JointSpanSettings,
    build="qakit_heads.joint_span:JointSpan",
)


CRF: Component[CrfSettings, HeadRuntime, Head] = Component(
    name="crf",
    summary="BIO tags as a linear chain, exact n-best answers (conditional random field, Lafferty et al. 2001)",
    settings=CrfSettings,
    build="qakit_heads.crf:Crf",
)


CLASSIFIER: Component[ClassifierSettings, HeadRuntime, Head] = Component(
    name="classifier",
    summary="One of several classes, or a number, for a text or a pair of texts (BERT, Devlin et al. 2019)",
    settings=ClassifierSettings,
    build="qakit_heads.classifier:Classifier",
)


MULTIPLE_CHOICE: Component[MultipleChoiceSettings, HeadRuntime, Head] = Component(
    name="multiple_choice",
    summary="Which of any number of contexts holds the answer: one softmax over them (Radford et al. 2018)",
    settings=MultipleChoiceSettings,
    build="qakit_heads.multiple_choice:MultipleChoice",
)


PARAGRAPH_SCORER: Component[ParagraphScorerSettings, HeadRuntime, Head] = Component(
    name="paragraph_scorer",
    summary="Span and context at once, one softmax over all contexts of a question (Clark and Gardner 2018)",
    settings=ParagraphScorerSettings,
    build="qakit_heads.paragraph_scorer:ParagraphScorer",
)


@hookimpl
def qakit_register_heads() -> Iterable[Component[Any, Any, Any]]:
    """The heads of this package."""
    return (LINEAR_SPAN, JOINT_SPAN, CRF, CLASSIFIER, MULTIPLE_CHOICE, PARAGRAPH_SCORER)
