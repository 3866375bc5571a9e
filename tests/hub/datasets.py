"""Datasets in the layouts in which the hub has them: Parquet files by split, and a card that names configurations.

Each function gives the files of a repository, to be read only; ``hub.publish_dataset("OWNER/NAME", squad())``
publishes them.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from hub.texts import Passage, passages

Rows = list[dict[str, Any]]
Splits = Mapping[str, Rows]
Written = dict[str, bytes | str]

ROWS = {"train": 24, "validation": 10, "test": 10}
"""How many rows the splits have."""

GLUE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "cola": (("sentence",), ("unacceptable", "acceptable")),
    "sst2": (("sentence",), ("negative", "positive")),
    "mrpc": (("sentence1", "sentence2"), ("not_equivalent", "equivalent")),
    "qqp": (("question1", "question2"), ("not_duplicate", "duplicate")),
    "stsb": (("sentence1", "sentence2"), ()),
    "mnli": (("premise", "hypothesis"), ("entailment", "neutral", "contradiction")),
    "ax": (("premise", "hypothesis"), ("entailment", "neutral", "contradiction")),
    "qnli": (("question", "sentence"), ("entailment", "not_entailment")),
    "rte": (("sentence1", "sentence2"), ("entailment", "not_entailment")),
    "wnli": (("sentence1", "sentence2"), ("not_entailment", "entailment")),
}
"""``nyu-mll/glue``: configuration -> columns of text, names of classes in the order of their ids (none: a number)."""


@cache
def squad(*, version_2: bool = False) -> Written:
    """``rajpurkar/squad`` or ``rajpurkar/squad_v2``: ``answers`` is ``{text: [...], answer_start: [...]}``."""
    return repository({"": {split: squad_rows(split, version_2=version_2) for split in ("train", "validation")}}, {})


def squad_rows(split: str, *, version_2: bool = False, han: bool = False) -> Rows:
    """Rows as SQuAD's; of ``version_2`` every fourth question has no answer."""
    rows: Rows = []
    for number, one in enumerate(of_split(split, han=han)):
        unanswerable = version_2 and number % 4 == 3
        answers: dict[str, list[Any]] = {"text": [one.answer], "answer_start": [one.start]}
        rows.append(
            {
                "id": f"{split}-{number:04}",
                "title": "Towns",
                "context": one.context,
                "question": "What is the mayor called?" if unanswerable else one.question,
                "answers": {"text": [], "answer_start": []} if unanswerable else answers,
            }
        )
    return rows


@cache
def glue(*configurations: str) -> Written:
    """``nyu-mll/glue`` with these configurations (all): class ids with names, and -1 in the test splits."""
    chosen = configurations or tuple(GLUE)
    return repository({name: glue_splits(name) for name in chosen}, {name: GLUE[name][1] for name in chosen})


def glue_splits(configuration: str) -> Splits:
    """MNLI judges by two files, and AX has nothing but a test split."""
    if configuration == "ax":
        return {"test": glue_rows(configuration, "test")}
    if configuration == "mnli":
        names = ("train", "validation_matched", "validation_mismatched", "test_matched", "test_mismatched")
        return {name: glue_rows(configuration, name) for name in names}
    return {name: glue_rows(configuration, name) for name in ("train", "validation", "test")}


def glue_rows(configuration: str, split: str) -> Rows:
    """Texts of the passages, with classes that depend on the texts."""
    columns, names = GLUE[configuration]
    rows: Rows = []
    chosen = of_split(split)
    for number, one in enumerate(reversed(chosen) if "mismatched" in split else chosen):  # not the same file twice
        texts = (one.question, one.context) if columns[0] == "question" else (one.context, one.question)
        label: int | float = -1.0 if not names else -1
        if not split.startswith("test"):
            label = number % len(names) if names else float(number % 6)
        rows.append({**dict(zip(columns, texts, strict=False)), "label": label, "idx": number})
    return rows


def reading(*, han: bool = True) -> Written:
    """A Chinese reading set as people publish them: JSON Lines, gzipped, with numbers for ids and flat answers."""
    files: Written = {}
    for split in ("train", "validation"):
        rows = squad_rows(split, han=han)
        numbered = [{**row, "id": number} for number, row in enumerate(rows)]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in numbered)
        files[f"data/{split}.jsonl.gz"] = gzip.compress(lines.encode(), mtime=0)
    paths = [{"split": split, "path": f"data/{split}.jsonl.gz"} for split in ("train", "validation")]
    return {"README.md": card({"configs": [{"config_name": "default", "data_files": paths}]}), **files}


def of_split(split: str, *, han: bool = False) -> list[Passage]:
    """The passages of a split; no two splits share one."""
    names = list(ROWS)
    known = split.partition("_")[0]
    first = sum(ROWS[name] for name in names[: names.index(known)])
    return passages(first + ROWS[known], han=han)[first:]


def repository(configurations: Mapping[str, Splits], classes: Mapping[str, tuple[str, ...]]) -> Written:
    """Files of a dataset.

    Args:
        configurations: rows by configuration and split; a single one without a name is the default.
        classes: names of the classes in the column ``label``, by configuration.
    """
    files: Written = {}
    infos, configs = [], []
    for name, splits in configurations.items():
        folder = name or "data"
        configs.append(
            {
                "config_name": name or "default",
                "data_files": [{"split": split, "path": f"{folder}/{split}-*"} for split in splits],
            }
        )
        columns = {}
        for split, rows in splits.items():
            content, columns = parquet(rows, classes.get(name, ()))
            files[f"{folder}/{split}-00000-of-00001.parquet"] = content
        infos.append(
            {
                "config_name": name or "default",
                "features": columns,
                "splits": [
                    {"name": split, "num_bytes": len(str(rows)), "num_examples": len(rows)}
                    for split, rows in splits.items()
                ],
            }
        )
    return {"README.md": card({"dataset_info": infos, "configs": configs}), **files}


def parquet(rows: Rows, classes: tuple[str, ...]) -> tuple[bytes, Any]:
    """A file as ``datasets`` writes it, and its columns as the card tells of them."""
    from datasets import ClassLabel, Dataset, disable_progress_bars, enable_progress_bars

    file = io.BytesIO()
    disable_progress_bars()
    try:
        table = Dataset.from_list(rows)
        if classes:
            table = table.cast_column("label", ClassLabel(names=list(classes)))
        table.to_parquet(file)
    finally:
        enable_progress_bars()
    return file.getvalue(), table.features._to_yaml_list()


def card(settings: Mapping[str, Any]) -> str:
    """A README.md with YAML at its head."""
    import yaml

    return f"---\n{yaml.safe_dump(dict(settings), sort_keys=False)}---\n\n# A dataset\n"
