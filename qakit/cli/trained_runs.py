"""What the commands on a trained run share: its arguments, reading its input, a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qakit.cli.console import err, print_warning
from qakit.errors import DataError, UsageError

if TYPE_CHECKING:
    from qakit.data.splits import Split, SplitName
    from qakit.inference.answering import Answering
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")]
ModelArgument = Annotated[
    Path,
    typer.Argument(
        metavar="RUN|MODEL",
        help="A run's folder; or a model that is trained to answer (AutoModelForQuestionAnswering), as a folder or by "
        "its name on the hub, such as deepset/roberta-base-squad2.",
    ),
]
ReaderOption = Annotated[
    str | None, typer.Option("--reader", help="For a MODEL: the input's format; by default squad.")
]
ReaderSetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--reader-set", metavar="KEY=VALUE", help="For a MODEL: a setting of the reader: question=q (repeatable)."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="For a MODEL: a value of the recipe that it is read with, such as predict.no_answer=true (repeatable).",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")]
NbestOption = Annotated[Path | None, typer.Option("--nbest", help="Also write all candidates to this .jsonl file.")]


def overrides_of(
    settings: Sequence[str] | None,
    *,
    reader: str | None = None,
    reader_settings: Sequence[str] | None = None,
    metric: str | None = None,
) -> list[str]:
    """The options for a model without a run as ``a.b=value`` texts."""
    named = {"data.reader": reader, "metric": metric}
    chosen = [f"{key}={value}" for key, value in named.items() if value is not None]
    return [*chosen, *(f"data.reader.{text}" for text in reader_settings or ()), *(settings or ())]


def check_targets(source: Path, *targets: Path | None) -> None:
    """Before the long work: the files to be written are no folders, not the input, and each another one."""
    given = [target.resolve() for target in targets if target is not None]
    for target in targets:
        if target is not None and target.is_dir():
            raise UsageError(f"{target} is a folder; name a file in it")
        if target is not None and target.resolve() == source.resolve():
            raise UsageError(f"{target} is the input file; name another output")
        if target is not None and given.count(target.resolve()) > 1:
            raise UsageError(f"{target} is named for two outputs; name another file for one of them")


def input_file(text: str) -> Path:
    """The file that an ``--input`` names, fetched if it is on the hub.

    Raises:
        UsageError: it names several.
        HubError: it is not to be had.
    """
    from qakit.data.sources import local_files

    files = local_files(text, named="--input")
    if len(files) > 1:
        raise UsageError(f"--input {text} stands for {len(files)} files; name one")
    return files[0]


def load_run(run: Path, overrides: Sequence[str] = ()) -> Answering:
    """The best weights of a run, or of a pipeline's stages; or a model without a run under ``overrides``.

    In each of the processes that were started for this command; the first one speaks.
    """
    from qakit.inference.workers import join_workers
    from qakit.stages.loading import load_trained

    workers, device = join_workers()
    with workers.one_fate():
        return load_trained(run, overrides=overrides, device=device, workers=workers)


def read_examples(trained: Answering, source: Path, *, predicted_only: bool) -> Split:
    """A file's examples, with the recipe's reader; problems in its records are told.

    Args:
        predicted_only: no label is needed, and none is read.
    """
    with trained.workers.one_fate():
        split = _read(trained.recipe, trained.registry, source, predicted_only=predicted_only)
    return _told(split, trained.workers.first)


def read_input(recipe: Recipe, registry: Registry, source: Path) -> Split:
    """The examples of a file to be predicted, with a recipe's reader; problems in its records are told."""
    return _told(_read(recipe, registry, source, predicted_only=True), True)


def read_own_split(trained: Answering, name: SplitName) -> Split:
    """The examples of one of the recipe's own splits, as training takes them; problems in the records are told."""
    from qakit.data.splits import read_split

    with trained.workers.one_fate():
        split = read_split(trained.recipe, trained.registry, name)
        if split is None:
            raise UsageError(f"the run's recipe names no {name} file; give the questions with --input")
    return _told(split, trained.workers.first)


def _read(recipe: Recipe, registry: Registry, source: Path, *, predicted_only: bool) -> Split:
    from qakit.data.splits import read_files

    split = read_files(recipe, registry, [source], predicted_only=predicted_only)
    if not split.examples:
        raise DataError("holds no question", path=source)
    return split


def _told(split: Split, speaks: bool) -> Split:
    for problems in split.problems if speaks else ():
        for line in problems.describe():
            print_warning(line)
    return split


@contextmanager
def bar(what: str, *, shown: bool = True) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on a terminal, nothing elsewhere or where it is not to be ``shown``."""
    if not (shown and err.is_terminal):
        yield None
        return
    from rich.progress import Progress

    with Progress(console=err, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
