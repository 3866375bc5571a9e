"""First-party metrics: SQuAD 1.1 and 2.0, CMRC 2018 (also for DRCD), exact match as competitions count it; classes,
numbers, contexts; GLUE's, Natural Questions'."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field

from qakit.api import Component, Metric, NoRuntime, NoSettings, Settings, hookimpl


class SquadV1Settings(Settings):
    primary: Literal["exact_match", "f1"] = Field("f1", description="The figure that selects the weights.")


class SquadV2Settings(Settings):
    primary: Literal["exact", "f1", "raw_exact"] = Field("f1", description="The figure that selects the weights.")
    raw: bool = Field(
        False,
        description="Also `raw_exact`: answers that equal a gold answer character by character, as assignments on "
        "SQuAD 2.0 count them.",
    )
    no_answer_threshold: float = Field(
        1.0,
        description='Questions whose no-answer probability is above this count as answered with "", as with the '
        "official script's `--na-prob-thresh`. At 1 the answers are scored as they are.",
    )


class CmrcSettings(Settings):
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


class ProbabilitySettings(Settings):
    """Classes, by their probabilities."""

    labels: Annotated[list[str], Field(min_length=2)] | None = Field(
        default=None,
        description="All classes in the order of `data.labels`. Only needed where that is not the sorted one, or where "
        "the validation data do not have every class.",
    )


class MultiSpanSettings(Settings):
    """Several answers that are right together (MultiSpanQA)."""

    primary: Literal["exact_match_f1", "overlap_f1"] = Field(
        "exact_match_f1", description="The figure that selects the weights."
    )


class MicroF1Settings(Settings):
    """Long and short answers."""

    primary: Literal["micro_f1", "long_f1", "short_f1"] = Field(
        default="micro_f1", description="The figure that selects the weights."
    )
    long_threshold: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="A question without a short answer gets the long one of its best candidate where the probability "
        "of no answer is at most this.",
    )


class SelectionSettings(Settings):
    """Choosing the context that holds the answer."""

    primary: Literal["accuracy", "mrr"] = Field("accuracy", description="The figure that selects the weights.")
    ranks: int = Field(3, ge=1, le=50, description="How far down `recall_at_2`, `recall_at_3` ... go.")


SQUAD_V1: Component[SquadV1Settings, NoRuntime, Metric] = Component(
    name="squad_v1",
    summary="SQuAD 1.1: exact match and token F1 as the official script gives them",
    settings=SquadV1Settings,
    build="qakit_metrics.span:build_squad_v1",
)
SQUAD_V2: Component[SquadV2Settings, NoRuntime, Metric] = Component(
    name="squad_v2",
    summary="SQuAD 2.0: the official figures with HasAns, NoAns and best thresholds",
    settings=SquadV2Settings,
    build="qakit_metrics.span:SquadV2",
)
CMRC2018: Component[CmrcSettings, NoRuntime, Metric] = Component(
    name="cmrc2018",
    summary="CMRC 2018 and DRCD: Chinese exact match and longest-common-run F1",
    settings=CmrcSettings,
    build="qakit_metrics.span:build_cmrc2018",
)
EXACT_MATCH: Component[ExactMatchSettings, NoRuntime, Metric] = Component(
    name="exact_match",
    summary="Equal texts, as Kaggle compares them, and F1 over characters",
    settings=ExactMatchSettings,
    build="qakit_metrics.span:build_exact_match",
)
JACCARD: Component[JaccardSettings, NoRuntime, Metric] = Component(
    name="jaccard",
    summary="Shared words, as Tweet Sentiment Extraction and chaii count them, and equal texts",
    settings=JaccardSettings,
    build="qakit_metrics.span:build_jaccard",
)
QUADRATIC_KAPPA: Component[NoSettings, NoRuntime, Metric] = Component(
    name="quadratic_kappa",
    summary="Grades: Cohen's kappa with quadratic weights",
    settings=NoSettings,
    build="qakit_metrics.classification:build_kappa",
)
ACCURACY: Component[NoSettings, NoRuntime, Metric] = Component(
    name="accuracy",
    summary="Classes: share of the right ones",
    settings=NoSettings,
    build="qakit_metrics.classification:Accuracy",
)
ACCURACY_F1: Component[ClassF1Settings, NoRuntime, Metric] = Component(
    name="accuracy_f1",
    summary="Classes: accuracy, F1 (of one class, or macro) and their mean",
    settings=ClassF1Settings,
    build="qakit_metrics.classification:build_f1",
)
MATTHEWS: Component[NoSettings, NoRuntime, Metric] = Component(
    name="matthews",
    summary="Classes: Matthews' correlation, for two classes or more",
    settings=NoSettings,
    build="qakit_metrics.classification:build_matthews",
)
LOG_LOSS: Component[ProbabilitySettings, NoRuntime, Metric] = Component(
    name="log_loss",
    summary="Classes: logarithmic loss of their probabilities; its negative selects the weights",
    settings=ProbabilitySettings,
    build="qakit_metrics.probabilities:build_log_loss",
)
AUC: Component[ProbabilitySettings, NoRuntime, Metric] = Component(
    name="auc",
    summary="Classes: area under the ROC curve; of more than two the mean of each against the rest",
    settings=ProbabilitySettings,
    build="qakit_metrics.probabilities:build_auc",
)
PEARSON_SPEARMAN: Component[CorrelationSettings, NoRuntime, Metric] = Component(
    name="pearson_spearman",
    summary="Numbers: Pearson's and Spearman's correlation and their mean",
    settings=CorrelationSettings,
    build="qakit_metrics.classification:build_correlations",
)
COLUMNWISE_SPEARMAN: Component[NoSettings, NoRuntime, Metric] = Component(
    name="columnwise_spearman",
    summary="Several numbers: mean of the columns' Spearman correlations (QUEST); constant columns are left out",
    settings=NoSettings,
    build="qakit_metrics.columnwise:build_spearman",
)
COLUMNWISE_AUC: Component[NoSettings, NoRuntime, Metric] = Component(
    name="columnwise_auc",
    summary="Several numbers that are 0 or 1: mean of the columns' ROC AUC (Jigsaw); constant columns are left out",
    settings=NoSettings,
    build="qakit_metrics.columnwise:build_auc",
)
COLUMNWISE_RMSE: Component[NoSettings, NoRuntime, Metric] = Component(
    name="columnwise_rmse",
    summary="Several numbers: mean of the columns' root mean squared errors (MCRMSE), negative",
    settings=NoSettings,
    build="qakit_metrics.columnwise:build_rmse",
)
GLUE: Component[GlueMetricSettings, NoRuntime, Metric] = Component(
    name="glue",
    summary="The official figures of the ten GLUE tasks",
    settings=GlueMetricSettings,
    build="qakit_metrics.classification:build_glue",
)

MICRO_F1: Component[MicroF1Settings, NoRuntime, Metric] = Component(
    name="micro_f1",
    summary="Natural Questions: F1 over long and short answers together, as Kaggle counts them",
    settings=MicroF1Settings,
    build="qakit_metrics.natural_questions:MicroF1",
)
MULTI_SPAN: Component[MultiSpanSettings, NoRuntime, Metric] = Component(
    name="multi_span",
    summary="Precision, recall and F1 over all answers of questions with several, whole and in part (MultiSpanQA)",
    settings=MultiSpanSettings,
    build="qakit_metrics.multi_span:MultiSpan",
)


SELECTION: Component[SelectionSettings, NoRuntime, Metric] = Component(
    name="selection",
    summary="Contexts: how often the one with the answer is chosen, its reciprocal rank, and recall",
    settings=SelectionSettings,
    build="qakit_metrics.selection:Selection",
)


@hookimpl
def qakit_register_metrics() -> Iterable[Component[Any, Any, Any]]:
    """The metrics of this package."""
    return (
        SQUAD_V1,
        SQUAD_V2,
        CMRC2018,
        EXACT_MATCH,
        JACCARD,
        QUADRATIC_KAPPA,
        ACCURACY,
        ACCURACY_F1,
        MATTHEWS,
        LOG_LOSS,
        AUC,
        PEARSON_SPEARMAN,
        COLUMNWISE_SPEARMAN,
        COLUMNWISE_AUC,
        COLUMNWISE_RMSE,
        GLUE,
        MICRO_F1,
        MULTI_SPAN,
        SELECTION,
    )
