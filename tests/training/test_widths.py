"""How wide batches are: on a GPU rounded up to what it likes, in training, prediction and pretraining; on a CPU never.

There is no GPU here: the CPU stands in for one whose batches are rounded up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sample_questions import write_first_questions
from torch import nn

from qakit.data.collate import Padding
from qakit.inference.scoring import predictions_of, score
from qakit.modeling.assemble import WIDTHS, padding_for
from qakit.pretraining.prepare import prepare_pretraining
from qakit.pretraining.settings import PretrainSettings
from qakit.recipe.load import load_recipe
from qakit.recipe.model import BackboneSection
from qakit.registry import load_registry
from qakit.training.events import silence
from qakit.training.feed import Epoch
from qakit.training.prepare import Prepared, prepare_training

CPU = torch.device("cpu")
READS = 160
"""Positions of the tiny backbone."""


class Reads(nn.Module):
    """An encoder with a position table, or one without."""

    def __init__(self, positions: int | None) -> None:
        super().__init__()
        if positions is not None:
            self.position_embeddings = nn.Embedding(positions, 2)


@pytest.mark.parametrize(
    ("padding", "longest", "width"),
    [
        (Padding(), 13, 13),
        (Padding(8), 13, 16),
        (Padding(8), 16, 16),
        (Padding(8, 15), 13, 15),
        (Padding(8, 15), 17, 17),  # what is there is never cut
    ],
)
def test_widths_are_rounded_up_to_the_limit(padding: Padding, longest: int, width: int) -> None:
    assert padding.width(longest) == width


@pytest.mark.parametrize(("device", "multiple"), [("cpu", 1), ("cuda", 8)])
@pytest.mark.parametrize(("positions", "limit"), [(514, 514), (None, 381)])
def test_the_device_and_the_backbone_decide(device: str, multiple: int, positions: int | None, limit: int) -> None:
    assert padding_for(torch.device(device), Reads(positions), max_length=381) == Padding(multiple, limit)


@pytest.fixture(scope="module")
def recipe_file(samples: Path, tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("widths")
    write_first_questions(samples, folder, train=12, dev=12, test=2)
    path = folder / "small.yaml"
    path.write_text(
        f"""\
data: {{reader: squad, train: train.json, validation: dev.json}}
backbone: {{source: {tiny_backbone}}}
windows: {{max_length: 157, max_question_length: 32}}
preprocess: {{train: random_window, predict: {{name: stride, overlap: 32}}}}
train: {{epochs: 1, batch_size: 3, precision: fp32}}
predict: {{batch_size: 3}}
metric: squad_v1
""",
        "utf-8",
    )
    return path


def prepared(file: Path) -> Prepared:
    registry = load_registry()
    return prepare_training(load_recipe(file, registry=registry).recipe, registry, device=CPU, listener=silence)


def widths(epoch: Epoch) -> list[int]:
    return [epoch.batch(rows).input_ids.shape[1] for rows in epoch.batches]


def test_training_and_prediction_round_up_and_answer_the_same(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for rounded in (False, True):
        if rounded:
            monkeypatch.setitem(WIDTHS, "cpu", 8)
        ready = prepared(recipe_file)
        validation = ready.validation
        assert validation is not None
        scored = score(validation, ready.assembled, device=CPU, precision="fp32")
        answers = predictions_of(validation, scored, ready.recipe, null_threshold=0.0, temperature=1.0)
        asked = [validation.collator.collate(rows, targets=False).input_ids.shape[1] for rows in validation.batches]
        found.append((widths(ready.plan.first), asked, [answer.final for answer in answers]))
    plain, wide = found
    assert 157 in plain[0] + plain[1]
    assert any(width % 8 for width in plain[0] + plain[1] if width != 157)
    for had, has in zip(plain[:2], wide[:2], strict=True):
        assert has == [min(READS, -(-width // 8) * 8) for width in had]
    assert wide[2] == plain[2]


def test_pretraining_rounds_up(tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = PretrainSettings.model_validate({"max_length": 61, "batch_size": 1, "precision": "fp32"})
    section, texts = BackboneSection(source=str(tiny_backbone)), ["the king of the north", "a river " * 40]
    monkeypatch.setitem(WIDTHS, "cpu", 8)
    epoch = prepare_pretraining(texts, section, settings, device=CPU, listener=silence).plan.first
    assert len(epoch.windows) > 1
    assert all(width % 8 == 0 for width in widths(epoch))
    assert any(int(each) % 8 for each in np.asarray(epoch.collator.lengths))
