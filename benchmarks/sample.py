"""What several benchmarks make their inputs of: the questions of the project's own sample, and encoders from random
weights with a tokenizer of its words. Nothing comes from a hub."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import BertWordPieceTokenizer
from transformers import BertTokenizer, PretrainedConfig

from qakit.data.read import read_examples
from qakit.protocols import NoRuntime
from qakit.registry import load_registry
from qakit.values import Example

SAMPLES = Path(__file__).resolve().parents[1] / "recipes" / "samples"


def questions(name: str = "squad-train.json") -> list[dict[str, Any]]:
    """The questions of a sample that have an answer: ``id``, ``question``, ``context``, ``answer``, ``start``."""
    return [
        {
            "id": each.id,
            "question": each.question,
            "context": each.contexts[0],
            "answer": each.answers[0].text,
            "start": each.answers[0].start,
        }
        for each in squad_examples(SAMPLES / name)
        if each.answers
    ]


def squad_examples(path: Path) -> Sequence[Example]:
    """The questions of a SQuAD file; records that cannot be read are left out."""
    reader = load_registry().build("readers", "squad", {}, NoRuntime())
    return read_examples(reader, path, policies={"default": "skip"}).examples


def make_backbone(
    folder: Path, texts: Sequence[str], config: PretrainedConfig, *, words: int, entries: int | None = None
) -> None:
    """Write a configuration and a WordPiece tokenizer, for ``backbone: {init: scratch}``.

    Args:
        folder: a new one.
        texts: what the vocabulary is trained on.
        config: of the encoder. Its vocabulary gets the tokenizer's size.
        words: entries of the vocabulary that are trained, at most.
        entries: entries in all, filled up with names that no text has; None for no others.
    """
    vocabulary = _trained(tuple(texts), words)
    unused = tuple(f"[unused{number}]" for number in range((entries or 0) - len(vocabulary)))
    folder.mkdir(parents=True)
    file = folder / "vocab.txt"
    file.write_text("".join(f"{entry}\n" for entry in vocabulary + unused), "utf-8")
    BertTokenizer(vocab=str(file)).save_pretrained(folder)
    config.vocab_size = len(vocabulary + unused)
    config.save_pretrained(folder)


@cache
def _trained(texts: tuple[str, ...], words: int) -> tuple[str, ...]:
    """The entries of a vocabulary, in their order."""
    tokenizer = BertWordPieceTokenizer(lowercase=True)
    tokenizer.train_from_iterator(texts, vocab_size=words, show_progress=False)
    held = tokenizer.get_vocab()
    return tuple(sorted(held, key=lambda entry: held[entry]))
