"""A run that answers without a model, files of questions for it, and a folder for its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from qakit.distributed import ALONE, Workers
from qakit.inference.stream import Tally, answer_shards
from qakit.inference.stream_folder import AnswerFolder, Identity, content_sha256
from qakit.inference.stream_inputs import Form, find_shards
from qakit.inference.trained import Inferred
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import Run
from qakit.values import Candidate, Example, SpanPrediction

RECIPE = """\
data:
  reader: {name: table, id: id, question: question, context: context}
  train: train.csv
  problems: {empty_context: skip}
backbone: {source: nowhere}
metric: squad_v1
"""


@dataclass(frozen=True)
class FirstWords:
    """Stands for a trained run: the answer is the context's first word."""

    recipe: Recipe
    registry: Registry
    workers: Workers = Workers(rank=1, size=2)  # noqa: RUF009 - frozen, as the real one's
    before: Callable[[int], None] = lambda _: None
    """Called with the number of each call, from 1."""
    calls: list[int] = field(default_factory=list)
    """The examples of each call."""

    def with_recipe(self, recipe: Recipe) -> Self:
        assert not recipe.predict.character_scores
        return self

    def alone(self) -> Self:
        return replace(self, workers=ALONE)

    def infer(self, examples: Sequence[Example], *, cache: None, progress: Callable[[int, int], None]) -> Inferred:
        assert cache is None
        assert self.workers == ALONE
        self.calls.append(len(examples))
        self.before(len(self.calls))
        progress(1, 2)
        words = [(example.contexts[0].split() or [""])[0] for example in examples]
        return Inferred(
            [
                SpanPrediction(example.id, word, (Candidate(word, 0, len(word), 0, 1.0, 0.5),))
                for example, word in zip(examples, words, strict=True)
            ],
            None,
        )


def write_shard(path: Path, rows: Sequence[str]) -> None:
    path.write_text("\n".join(["id,question,context", *rows]) + "\n")


def write_shards(folder: Path, **counts: int) -> Path:
    """A new folder with ``NAME.csv`` of so many questions each."""
    folder.mkdir()
    for name, rows in counts.items():
        write_shard(folder / f"{name}.csv", [f"{name}{row},why,because {row}" for row in range(rows)])
    return folder


def begun(home: Path, trained: FirstWords, output: Path, *, overwrite: bool = False, form: Form | None = None) -> Any:
    folder = AnswerFolder(
        output, Identity.of(Run(home / "run"), trained.recipe, content_sha256([home / "run" / "model"]), form=form)
    )
    folder.begin(overwrite=overwrite)
    return folder


def answer(home: Path, trained: FirstWords, source: Path, output: Path, **options: Any) -> Tally:
    form = options.pop("form", "jsonl")
    folder = begun(home, trained, output, overwrite=options.pop("overwrite", False), form=form)
    return answer_shards(trained, find_shards([str(source)], output, form=form), folder, **options)  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    """The answers, and whatever lies beside them."""
    files = [file for file in folder.rglob("*") if file.is_file() and "_progress" not in file.parts]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}
