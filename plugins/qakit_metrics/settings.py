"""What a recipe may say about each metric."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qakit.api import Settings


class SquadV1Settings(Settings):
    """SQuAD 1.1."""

    primary: Literal["exact_match", "f1"] = Field("f1", description="The figure that selects the weights.")


class SquadV2Settings(Settings):
    """SQuAD 2.0."""

    primary: Literal["exact", "f1"] = Field("f1", description="The figure that selects the weights.")
    no_answer_threshold: float = Field(
        1.0,
        description='Questions whose no-answer probability is above this count as answered with "", as with the '
        "official script's `--na-prob-thresh`. At 1 the answers are scored as they are.",
    )


class CmrcSettings(Settings):
    """CMRC 2018, DRCD."""

    primary: Literal["EM", "F1", "AVERAGE"] = Field("EM", description="The figure that selects the weights.")


class ExactMatchSettings(Settings):
    """Competitions that compare texts."""

    primary: Literal["exact_match", "f1"] = Field("exact_match", description="The figure that selects the weights.")
    remove_characters: str = Field(
        "", description='Characters taken out of gold and given answers; "," for NTU HW7, whose key lost its commas.'
    )
    strip: bool = Field(True, description="Remove white space around gold and given answers.")


class JaccardSettings(Settings):
    """Competitions that count shared words (Tweet Sentiment Extraction, chaii)."""

    primary: Literal["jaccard", "exact_match"] = Field("jaccard", description="The figure that selects the weights.")


class KappaSettings(Settings):
    """The ``quadratic_kappa`` metric has no settings."""


class AccuracySettings(Settings):
    """The ``accuracy`` metric has no settings."""


class MatthewsSettings(Settings):
    """The ``matthews`` metric has no settings."""


class ClassF1Settings(Settings):
    """Classes, by accuracy and F1."""

    primary: Literal["accuracy", "f1", "accuracy_f1"] = Field(
        default="accuracy_f1", description="The figure that selects the weights; `accuracy_f1` is the mean of both."
    )
    positive: str | None = Field(
        default=None, description="F1 is that of this class; by default the mean over all classes (macro F1)."
    )


class CorrelationSettings(Settings):
    """Numbers, by their correlations."""

    primary: Literal["pearson", "spearman", "pearson_spearman"] = Field(
        default="pearson_spearman",
        description="The figure that selects the weights; `pearson_spearman` is the mean of both.",
    )


class GlueMetricSettings(Settings):
    """GLUE's own figures."""

    task: Literal["CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI", "QNLI", "RTE", "WNLI", "AX"] = Field(
        description="Which of the ten tasks: it decides the figures. CoLA and AX: `matthews`; MRPC and QQP: "
        "`accuracy`, `f1` of class 1 and their mean `accuracy_f1`; STS-B: `pearson`, `spearman` and their mean "
        "`pearson_spearman`; MNLI: `accuracy`, also of the matched and the mismatched set; the others: `accuracy`."
    )


class SelectionSettings(Settings):
    """Choosing the context that holds the answer."""

    primary: Literal["accuracy", "mrr"] = Field("accuracy", description="The figure that selects the weights.")
    ranks: int = Field(3, ge=1, le=50, description="How far down `recall_at_2`, `recall_at_3` ... go.")
