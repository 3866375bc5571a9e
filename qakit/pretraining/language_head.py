"""The head of a masked language model, its output tied to the input embeddings."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qakit.data.batch import Batch
from qakit.modeling.checkpoints import checkpoint_in
from qakit.pretraining.masking import MaskedBatch
from qakit.protocols import HeadOutput

STORED_NAMES = (
    {
        "dense": "cls.predictions.transform.dense",
        "norm": "cls.predictions.transform.LayerNorm",
        "bias": "cls.predictions.bias",
    },
    {"dense": "lm_head.dense", "norm": "lm_head.layer_norm", "bias": "lm_head.bias"},
)
"""How files call the head's weights: those of BERT's kind (also ours), then those of RoBERTa's."""


class MaskedLanguageHead(nn.Module):
    """Dense layer, GELU, layer normalisation, then a product with each token's input embedding.

    The loss of a window is the mean over its masked tokens, and each window counts alike; so it does not matter into
    how many parts a step is cut.

    Source: Devlin et al. 2019, "BERT"; tied embeddings: Press & Wolf 2017, "Using the Output Embedding to Improve
    Language Models".
    """

    def __init__(self, hidden_size: int, table: nn.Embedding, *, initializer_range: float, epsilon: float) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, table.embedding_dim)
        self.norm = nn.LayerNorm(table.embedding_dim, eps=epsilon)
        self.bias = nn.Parameter(torch.zeros(table.num_embeddings))
        nn.init.normal_(self.dense.weight, std=initializer_range)
        nn.init.zeros_(self.dense.bias)
        self._tables = (table,)  # in a tuple: it stays the backbone's, and is trained once

    def logits(self, hidden: Tensor) -> Tensor:
        """(N, H) -> (N, V) float32, how well each token of the vocabulary fits."""
        transformed = self.norm(F.gelu(self.dense(hidden)))
        return F.linear(transformed, self._tables[0].weight, self.bias).float()

    def forward(self, hidden: Tensor, batch: Batch) -> HeadOutput:
        """The loss of a batch; ``hidden`` (B, T, H) float."""
        assert isinstance(batch, MaskedBatch)
        assert batch.labels is not None
        row, position = torch.nonzero(batch.labels >= 0, as_tuple=True)
        loss = F.cross_entropy(self.logits(hidden[row, position]), batch.labels[row, position], reduction="none")
        return HeadOutput(mean_by_window(loss, row, len(batch)), {})

    def load(self, folder: Path) -> bool:
        """Take the head's weights from a checkpoint that holds them; returns whether it does.

        Checkpoints of other architectures keep a head of another kind, or none: then the fresh one stays.
        """
        for names in STORED_NAMES:
            wanted = {own: stored_name(own, names) for own in self.state_dict()}
            found = checkpoint_in(folder).tensors(wanted.values())
            state = {own: found[stored].float() for own, stored in wanted.items() if stored in found}
            if all(own in state and state[own].shape == value.shape for own, value in self.state_dict().items()):
                self.load_state_dict(state)
                return True
        return False

    def stored(self) -> dict[str, Tensor]:
        """The weights under the names of BERT's checkpoints."""
        return {stored_name(own, STORED_NAMES[0]): value for own, value in self.state_dict().items()}


def mean_by_window(loss: Tensor, row: Tensor, windows: int) -> Tensor:
    """The mean over windows of each one's mean loss; ``loss`` and ``row`` (N,), a row without a loss counts as 0."""
    sums = torch.zeros(windows, device=loss.device, dtype=loss.dtype).index_add(0, row, loss)
    return (sums / torch.bincount(row, minlength=windows).clamp(min=1)).mean()


def stored_name(own: str, names: dict[str, str]) -> str:
    """``dense.weight`` -> ``cls.predictions.transform.dense.weight``."""
    module, _, rest = own.partition(".")
    return names[module] + (f".{rest}" if rest else "")
