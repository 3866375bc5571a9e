"""The folder that a pretraining leaves behind: a backbone, and how it came to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from qakit.files import add_files, write_json
from qakit.modeling.folder import WEIGHTS
from qakit.modeling.sources import PRETRAINING
from qakit.numbers import load_json
from qakit.pretraining.language_head import MaskedLanguageHead
from qakit.pretraining.prepare import Pretraining

CONFIG = "config.json"
"""Comes last: without it the folder is no backbone yet."""


def save_backbone(pretraining: Pretraining, folder: Path) -> None:
    """Put the encoder into ``folder`` as ``backbone.source`` wants it: weights, tokenizer, configuration.

    A head of a masked language model is kept with the weights, under the names of BERT's checkpoints, so that another
    pretraining resumes it; fine-tuning leaves it aside.
    """
    backbone, head = pretraining.model.backbone, pretraining.model.head
    weights = {name: value.detach().cpu().contiguous() for name, value in backbone.state_dict().items()}
    if isinstance(head, MaskedLanguageHead):
        weights |= {name: value.detach().cpu().contiguous() for name, value in head.stored().items()}
    config = pretraining.config.to_dict() | {"dtype": "float32", "architectures": [type(backbone).__name__]}
    config.pop("_name_or_path", None)
    with add_files(folder, last=CONFIG) as temporary:
        save_file(weights, temporary / WEIGHTS, metadata={"format": "pt"})
        pretraining.tokenizer.save_pretrained(temporary)
        text = json.dumps(config, indent=2, sort_keys=True, default=str) + "\n"
        (temporary / CONFIG).write_text(text, "utf-8")


def is_done(folder: Path) -> bool:
    return (folder / CONFIG).is_file()


def read_note(folder: Path) -> dict[str, Any] | None:
    """The note of a pretraining in ``folder``, or None."""
    try:
        note = load_json((folder / PRETRAINING).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) else None


def write_note(folder: Path, note: dict[str, Any]) -> None:
    write_json(folder / PRETRAINING, note)
