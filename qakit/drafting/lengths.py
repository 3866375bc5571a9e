"""How long questions, contexts and answers are: in a backbone's tokens, or estimated from characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qakit.drafting.languages import Language
from qakit.errors import ModelError
from qakit.modeling.sources import find_source, held_source
from qakit.values import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MEASURED = 5_000
"""Examples that are tokenised, evenly drawn from all."""
USUAL_POSITIONS = 512
"""Where a backbone is not here, or says nothing of positions."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Lengths in tokens.

    Attributes:
        question: (N,) of questions, or first texts.
        context: (N,) of the contexts of each example: the longest one, 0 without any.
        every_context: (N,) of all contexts of an example together.
        answer: (A,) of answers.
        special: tokens that go with question and context.
        positions: the longest input of the backbone.
        unit: how tokens were counted, for comments.
    """

    question: NDArray[np.int64]
    context: NDArray[np.int64]
    every_context: NDArray[np.int64]
    answer: NDArray[np.int64]
    special: int
    positions: int
    unit: str

    @property
    def inputs(self) -> NDArray[np.int64]:
        """(N,) of question, longest context and special tokens."""
        return self.question + self.context + self.special


def percentile(values: NDArray[np.int64], share: float) -> int:
    """The least length that this share of the values do not exceed; 0 without values."""
    return int(np.quantile(values, share, method="higher")) if len(values) else 0


def local_tokenizer(backbone: str) -> tuple[PreTrainedTokenizerBase, int] | None:
    """The backbone's tokenizer and its longest input, where they are on this machine; nothing is fetched."""
    from qakit.modeling.backbones import load_tokenizer

    try:
        folder = held_source(backbone)
        return None if folder is None else (load_tokenizer(str(folder)), _positions(folder))
    except ModelError:
        return None


def check_backbone(name: str) -> None:
    """Refuse a folder that is none of a backbone's; a name on the hub is not looked up.

    Raises:
        ModelError: it is missing or holds no model.
    """
    if name.startswith((".", "/", "~")) or Path(name).is_dir():
        find_source(name, needs="configuration")


def measure(examples: Sequence[Example], backbone: str, language: Language) -> Measured:
    """Lengths of the examples in the backbone's tokens, or in characters by an assumption."""
    some = examples[:: max(1, -(-len(examples) // MEASURED))]
    of = "" if len(some) == len(examples) else f" (of {len(some):,} examples)"
    if (local := local_tokenizer(backbone)) is not None:
        return _in_tokens(some, *local, unit=f"tokens of {backbone}{of}")
    each = language.characters
    assumed = f"tokens of {each:g} character{'' if each == 1 else 's'} each, an assumption"
    few = f"{assumed}: no tokenizer of {backbone} is on this machine{of}"

    def tokens(lengths: Sequence[int]) -> NDArray[np.int64]:
        return np.ceil(np.asarray(lengths, dtype=np.float64) / each).astype(np.int64)

    return Measured(
        question=tokens([len(example.question) for example in some]),
        context=tokens([max(map(len, example.contexts), default=0) for example in some]),
        every_context=tokens([sum(map(len, example.contexts)) for example in some]),
        answer=tokens([len(answer.text) for example in some for answer in example.answers or ()]),
        special=4,
        positions=USUAL_POSITIONS,
        unit=few,
    )


def _in_tokens(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, positions: int, *, unit: str
) -> Measured:
    from qakit.data.encode import encode
    from qakit.data.template import PairTemplate

    encoded = encode(examples, tokenizer)
    longest, together = np.zeros((2, len(examples)), np.int64)
    np.maximum.at(longest, encoded.pair_example, encoded.context_lengths)
    np.add.at(together, encoded.pair_example, encoded.context_lengths)
    lengths = encoded.answer_stop - encoded.answer_first
    return Measured(
        question=encoded.query_lengths.astype(np.int64),
        context=longest,
        every_context=together,
        answer=lengths[encoded.answer_first >= 0].astype(np.int64),
        special=PairTemplate.of(tokenizer).special_tokens,
        positions=positions,
        unit=unit,
    )


def _positions(folder: Path) -> int:
    """The longest input that the model in a folder takes."""
    import torch

    from qakit.modeling.assemble import length_limit
    from qakit.modeling.backbones import from_config
    from qakit.modeling.configs import read_config
    from qakit.registry import load_registry

    config = read_config(folder)
    with torch.device("meta"):  # its shape, not its weights
        limit = length_limit(from_config(config, load_registry(), trust_remote_code=False))
    told = limit or getattr(config, "max_position_embeddings", None)
    return told if isinstance(told, int) and told > 0 else USUAL_POSITIONS  # -1: any length
