"""All that a plugin may import from qakit.

Names load on first use, so importing ``qakit.api`` at the top of a plugin imports neither numpy nor torch, and in the
module of a command next to nothing: ``qakit --help`` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qakit.components import *
    from qakit.data.batch import *
    from qakit.data.encode import *
    from qakit.data.store import *
    from qakit.data.windows import *
    from qakit.ensembling.load import *
    from qakit.errors import *
    from qakit.files import *
    from qakit.hookspecs import *
    from qakit.inference.characters import *
    from qakit.inference.nbest_file import *
    from qakit.inference.spans import *
    from qakit.metrics.classification import *
    from qakit.metrics.cmrc import *
    from qakit.metrics.columnwise import *
    from qakit.metrics.per_example import *
    from qakit.metrics.squad import *
    from qakit.metrics.text import *
    from qakit.modeling.assemble import *
    from qakit.modeling.layers import *
    from qakit.numbers import *
    from qakit.outputs import *
    from qakit.problems import *
    from qakit.protocols import *
    from qakit.randomness import *
    from qakit.recipe.section import *
    from qakit.registry import *
    from qakit.runs import *
    from qakit.training.events import *
    from qakit.values import *

__all__ = [
    "BROKEN_SCORES",
    "PROBLEM_KINDS",
    "YES_NO",
    "Adapter",
    "Answer",
    "Backbone",
    "BackboneOutput",
    "BackboneRuntime",
    "Batch",
    "Candidate",
    "CharacterScores",
    "CheckpointWritten",
    "Component",
    "ContextPrediction",
    "ContextScores",
    "DataError",
    "Decoded",
    "Distributions",
    "DrawnMetric",
    "EncodedExamples",
    "EnsembleMember",
    "Ensembler",
    "Evaluated",
    "Example",
    "ExportsAdapter",
    "Gives",
    "GivesDistributions",
    "GivesOtherThanSpans",
    "Guess",
    "Head",
    "HeadOutput",
    "HeadRuntime",
    "LabelPrediction",
    "LabelScores",
    "LearnsAnyPlace",
    "LearnsNumbers",
    "LearnsSettings",
    "LearnsYesNo",
    "MergesAdapter",
    "Metric",
    "ModelError",
    "NoAnswer",
    "NoRuntime",
    "NoSettings",
    "Notice",
    "Observer",
    "ObserverRuntime",
    "OfficialFormat",
    "ParameterRule",
    "PerExampleMetric",
    "Places",
    "Policy",
    "Pool",
    "PoolsLayers",
    "PoolsMembers",
    "PositionScores",
    "Postprocessor",
    "Prediction",
    "Preprocessor",
    "Problem",
    "ProblemKind",
    "Problems",
    "QakitError",
    "Reader",
    "Reads",
    "RecipePath",
    "Remark",
    "Replanned",
    "RulesParameters",
    "ScoresPositions",
    "SetPrediction",
    "Settings",
    "SpanCandidates",
    "SpanPrediction",
    "Started",
    "StepDone",
    "StoppedEarly",
    "SumsPositions",
    "TargetNames",
    "Targets",
    "TokenStore",
    "TransformersNames",
    "UsageError",
    "WindowRuntime",
    "Windows",
    "Writer",
    "accuracy",
    "as_shares",
    "atomic_path",
    "backbone_parts",
    "best_spans",
    "class_name",
    "cmrc2018",
    "cmrc2018_official_format",
    "cmrc2018_per_example",
    "columnwise_auc",
    "columnwise_rmse",
    "columnwise_spearman",
    "confusion",
    "example_key",
    "f1_by_class",
    "hookimpl",
    "iter_nbest",
    "jaccard_per_example",
    "layer_count",
    "length_limit",
    "load_registry",
    "matthews",
    "new_path",
    "normalize",
    "open_run",
    "parse_targets",
    "pearson",
    "quadratic_kappa",
    "spearman",
    "squad_v1",
    "squad_v1_per_example",
    "squad_v2",
    "squad_v2_per_example",
    "text_match",
    "text_match_per_example",
    "token_spans",
    "uniform",
    "whole_text",
    "without_gz",
    "write_text",
]

_MODULES = {
    name: module
    for module, names in {
        "qakit.data.batch": "Batch",
        "qakit.data.encode": "EncodedExamples example_key Places token_spans",
        "qakit.data.store": "TokenStore",
        "qakit.data.windows": "Windows",
        "qakit.ensembling.load": "as_shares",
        "qakit.files": "atomic_path without_gz write_text",
        "qakit.inference.characters": "CharacterScores",
        "qakit.inference.nbest_file": "iter_nbest",
        "qakit.inference.spans": "best_spans BROKEN_SCORES",
        "qakit.metrics.classification": "accuracy confusion f1_by_class matthews pearson quadratic_kappa spearman",
        "qakit.metrics.cmrc": "cmrc2018 cmrc2018_official_format",
        "qakit.metrics.columnwise": "columnwise_auc columnwise_rmse columnwise_spearman",
        "qakit.metrics.per_example": "cmrc2018_per_example jaccard_per_example squad_v1_per_example "
        "squad_v2_per_example text_match_per_example",
        "qakit.metrics.squad": "normalize squad_v1 squad_v2",
        "qakit.metrics.text": "text_match",
        "qakit.modeling.assemble": "length_limit",
        "qakit.modeling.layers": "backbone_parts layer_count",
        "qakit.outputs": "new_path",
        "qakit.recipe.section": "RecipePath",
        "qakit.registry": "load_registry",
        "qakit.runs": "open_run",
        "qakit.training.events": "CheckpointWritten Evaluated Notice Remark Replanned Started StepDone StoppedEarly",
        "qakit.hookspecs": "hookimpl",
        "qakit.components": "Component Guess NoSettings Settings",
        "qakit.errors": "DataError ModelError QakitError UsageError",
        "qakit.numbers": "parse_targets",
        "qakit.problems": "PROBLEM_KINDS Policy Problem ProblemKind Problems",
        "qakit.protocols": """
            Adapter Backbone BackboneOutput BackboneRuntime ContextScores Decoded Distributions DrawnMetric
            EnsembleMember Ensembler ExportsAdapter Gives GivesDistributions GivesOtherThanSpans Head HeadOutput
            HeadRuntime LabelScores LearnsAnyPlace LearnsNumbers LearnsSettings LearnsYesNo MergesAdapter Metric
            NoRuntime Observer ObserverRuntime
            OfficialFormat ParameterRule PerExampleMetric Pool PoolsLayers PoolsMembers PositionScores
            Postprocessor Preprocessor Reader Reads RulesParameters ScoresPositions SpanCandidates SumsPositions
            TransformersNames WindowRuntime Writer
        """,
        "qakit.randomness": "uniform",
        "qakit.values": "Answer Candidate ContextPrediction Example LabelPrediction NoAnswer Prediction SetPrediction "
        "SpanPrediction TargetNames Targets YES_NO class_name whole_text",
    }.items()
    for name in names.split()
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
