"""Heads: loss, scores and decoding on top of a backbone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from qakit.api import Component, Head, HeadRuntime, Settings, hookimpl


class FeatureSettings(Settings):
    """What every head can be told of how it reads the backbone; everything is off by default."""

    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Dropout before the linear layer. None by default, as in BERT's own question answering: the "
        "backbone's last layer ends in dropout already.",
    )
    multi_sample_dropout: PositiveInt = Field(
        default=1,
        description="So many dropout masks over the same hidden states; the loss is the mean of theirs (Inoue 2019, "
        '"Multi-Sample Dropout"). More than 1 needs `dropout`.',
    )
    layer_pooling: Annotated[int, Field(ge=2)] | Literal["all"] | None = Field(
        default=None,
        description="Read a learned weighted mean (softmax) of the last N layers, or of `all` and the embeddings, in "
        'place of the last layer (Peters et al. 2018, "Deep contextualized word representations", without the scale). '
        "The weights start equal.",
    )

    @model_validator(mode="after")
    def _samples_need_dropout(self) -> Self:
        if self.multi_sample_dropout > 1 and self.dropout == 0:
            raise ValueError("multi_sample_dropout needs dropout above 0: without it all samples are the same")
        return self


class SpanSettings(FeatureSettings):
    """What every span head can be told; everything is off by default."""

    in_answer_weight: float = Field(
        default=0.0,
        ge=0,
        description="Weight of an additional loss: whether each context token lies inside the answer (binary "
        "cross-entropy, with a linear layer of its own). Not used for prediction.",
    )
    answerability_weight: float = Field(
        default=0.0,
        ge=0,
        description='Weight of an additional loss: whether a window has "no answer" (binary cross-entropy, from the '
        "hidden state of position 0, with a linear layer of its own; the internal front verifier of Zhang et al. 2021, "
        '"Retrospective Reader"). In prediction its log-odds are added to the window\'s null score.',
    )
    yes_no_weight: float = Field(
        default=0.0,
        ge=0,
        description="Weight of an additional loss: whether the answer is yes, no or neither (cross-entropy, from the "
        'hidden state of position 0, with a linear layer of its own; the answer type of Alberti et al. 2019, "A BERT '
        'Baseline for the Natural Questions"). Above 0, yes and no stand among the candidates: each scores as much as '
        'all spans of its window and "no answer" together, times its odds against neither.',
    )


class SoftTargetSettings(SpanSettings):
    """For heads with a softmax over places: how far the target is spread. All off by default."""

    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="This share of the target is spread evenly over all that is possible: positions of the context and "
        'position 0, or spans and "no answer" (Szegedy et al. 2016, "Rethinking the Inception architecture").',
    )
    soft_labels: Literal["jaccard"] | None = Field(
        default=None,
        description="`jaccard`: the target is spread over places by how much the span they give overlaps the answer: "
        "tokens in both over tokens in either, as in winning solutions of Kaggle's Tweet Sentiment Extraction (2020). "
        "Windows without the answer keep their target. `label_smoothing` is applied to the result.",
    )
    soft_label_sharpness: float = Field(
        default=4.0,
        gt=0,
        description="The power that the overlaps are raised to before they are normalised: larger is closer to the "
        "plain target. Only with `soft_labels`.",
    )


class LinearSpanSettings(SoftTargetSettings):
    """Settings of ``linear_span``."""


class JointSpanSettings(SoftTargetSettings):
    interaction: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description='Rank of a bilinear term between first and last token, "end conditioned on start"; 0 for none. '
        "It takes memory for every span within the length limit.",
    )


class CrfSettings(SpanSettings):
    mode: Literal["bio", "single_span"] = Field(
        default="bio",
        description="Which tag paths share the probability in training: `bio` all legal ones, with any number of "
        "answers; `single_span` only those with at most one answer. Decoding looks for one answer, unless `spans` is "
        "`many`.",
    )
    spans: Literal["one", "many"] = Field(
        default="one",
        description="`many`: a question may have any number of answers, which are right together (the reader "
        "multispanqa): the target is the whole tag path, and all spans of the best path are predicted (Segal et al. "
        '2020, "A Simple and Effective Model for Answering Multi-span Questions").',
    )

    @model_validator(mode="after")
    def _many_is_bio(self) -> Self:
        if self.spans == "many" and (self.mode != "bio" or self.yes_no_weight or self.answerability_weight):
            raise ValueError(
                "spans: many needs mode: bio, and neither yes_no_weight nor answerability_weight: a path without a "
                "span says that there is no answer"
            )
        return self


class ClassifierSettings(FeatureSettings):
    pooling: Literal["cls", "mean"] = Field(
        default="cls",
        description="What stands for the text: the hidden state of position 0 (`cls`, as in BERT), or the `mean` over "
        "all its tokens, special ones included, as sentence encoders are trained.",
    )
    dense: bool = Field(
        default=True,
        description="A linear layer and tanh before the last linear layer, as in BERT (its pooler) and RoBERTa.",
    )
    dropout: float = Field(
        default=0.1, ge=0, lt=1, description="Dropout before the last linear layer; 0.1 as in BERT and RoBERTa."
    )
    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description='This share of the target is spread evenly over all classes (Szegedy et al. 2016, "Rethinking the '
        'Inception architecture"). Not for regression.',
    )
    loss: Literal["mse", "binary_cross_entropy"] = Field(
        default="mse",
        description="Of numbers; classes have their cross-entropy. `mse`: the squared error. `binary_cross_entropy`: "
        "for targets from 0 to 1, such as shares of raters or labels of which several may hold; predictions are "
        "sigmoids, from 0 to 1, too.",
    )


class MultipleChoiceSettings(FeatureSettings):
    pooling: Literal["cls", "mean"] = Field(
        default="cls",
        description="What stands for question and context: the hidden state of position 0 (`cls`), or the `mean` over "
        "all tokens, special ones included.",
    )


class ParagraphScorerSettings(FeatureSettings):
    paragraph_weight: float = Field(
        default=0.1, ge=0, description="Weight of the loss of choosing the context, beside that of the span."
    )
    span_paragraph_weight: float = Field(
        default=1.0,
        ge=0,
        description="How much a context's score adds to the scores of its spans in prediction; 0 leaves it out.",
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
    summary="One of several classes, or numbers, for a text or a pair of texts (BERT, Devlin et al. 2019)",
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
