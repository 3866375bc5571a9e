"""What each kind of plugin object can do, and what the core tells it when it is built.

Plain protocols: nothing here needs to be inherited. A room per kind.
"""

from qakit.protocols.adapters import Adapter, ExportsAdapter
from qakit.protocols.ensembles import EnsembleMember, Ensembler, Pool, PoolsMembers
from qakit.protocols.heads import (
    GIVES,
    READS,
    Gives,
    GivesDistributions,
    GivesOtherThanSpans,
    Head,
    PoolsLayers,
    Reads,
    ScoresPositions,
    TransformersNames,
)
from qakit.protocols.metrics import DrawnMetric, Metric, OfficialFormat, PerExampleMetric
from qakit.protocols.postprocessors import LearnsSettings, Postprocessor
from qakit.protocols.preprocessors import Preprocessor
from qakit.protocols.readers import Reader
from qakit.protocols.runtimes import HeadRuntime, NoRuntime, WindowRuntime
from qakit.protocols.scores import (
    ContextScores,
    Decoded,
    Distributions,
    HeadOutput,
    LabelScores,
    PositionScores,
    SpanCandidates,
)
from qakit.protocols.writers import Writer

__all__ = [
    "GIVES",
    "READS",
    "Adapter",
    "ContextScores",
    "Decoded",
    "Distributions",
    "DrawnMetric",
    "EnsembleMember",
    "Ensembler",
    "ExportsAdapter",
    "Gives",
    "GivesDistributions",
    "GivesOtherThanSpans",
    "Head",
    "HeadOutput",
    "HeadRuntime",
    "LabelScores",
    "LearnsSettings",
    "Metric",
    "NoRuntime",
    "OfficialFormat",
    "PerExampleMetric",
    "Pool",
    "PoolsLayers",
    "PoolsMembers",
    "PositionScores",
    "Postprocessor",
    "Preprocessor",
    "Reader",
    "Reads",
    "ScoresPositions",
    "SpanCandidates",
    "TransformersNames",
    "WindowRuntime",
    "Writer",
]
