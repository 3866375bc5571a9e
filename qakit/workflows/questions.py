"""What predicting and evaluating begin with: a loaded model, the questions, the files that may be written."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from qakit.errors import DataError, UsageError
from qakit.training.events import Listener, Notice, Remark, silence

if TYPE_CHECKING:
    from qakit.data.splits import Split, SplitName
    from qakit.inference.answering import Answering
    from qakit.recipe.model import Recipe


def check_targets(source: Path, *targets: Path | None, recipe: Recipe | None = None) -> None:
    """Before the long work: the files to be written are no folders, not the input, and each another one.

    Nor are they among the files that ``recipe`` names: its data, contexts, sample submission.
    """
    given = [target.resolve() for target in targets if target is not None]
    named = {} if recipe is None else _named_files(recipe, source)
    for target in targets:
        if target is not None and target.is_dir():
            raise UsageError(f"{target} is a folder; name a file in it")
        if target is not None and target.resolve() == source.resolve():
            raise UsageError(f"{target} is the input file; name another output")
        if target is not None and (key := named.get(target.resolve())) is not None:
            raise UsageError(f"{target} is the recipe's {key}; name another output")
        if target is not None and given.count(target.resolve()) > 1:
            raise UsageError(f"{target} is named for two outputs; name another file for one of them")


def _named_files(recipe: Recipe, source: Path) -> dict[Path, str]:
    """The local files that a recipe names, and where it does; and the contexts beside the input."""
    from qakit.data.splits import contexts_setting, split_sources
    from qakit.inference.output import sample_submission

    sample, contexts = sample_submission(recipe), contexts_setting(recipe)
    found = {} if sample is None else {Path(sample): "sample submission"}
    if contexts is not None:
        found[source.parent / contexts] = "file of contexts"
    for name in ("train", "validation", "test"):
        files = [Path(source) for source in split_sources(recipe, name) if isinstance(source, str)]
        found |= dict.fromkeys(files, f"data.{name}")
        if contexts is not None:
            found |= {file.parent / contexts: "file of contexts" for file in files}
    return {file.resolve(): key for file, key in found.items()}


def input_file(text: str) -> Path:
    """The file that an ``--input`` names, fetched if it is on the hub.

    Raises:
        UsageError: it names several.
        DataError: there is no such file.
        HubError: it is not to be had.
    """
    from qakit.data.sources import local_files

    files = local_files(text, named="--input")
    if len(files) > 1:
        raise UsageError(f"--input {text} stands for {len(files)} files; name one")
    if not files[0].exists():
        raise DataError("there is no such file", path=files[0])
    return files[0]


def load_run(
    run: Path, overrides: Sequence[str] = (), listener: Listener = silence, *, only_answers: bool = False
) -> Answering:
    """Whatever answers, under ``overrides``; the listener hears which member of several is at work. ``only_answers`` as
    in :func:`~qakit.workflows.loading.load_trained`.

    In each of the processes that were started for this command; the first one speaks.
    """
    from qakit.distributed import join_workers
    from qakit.workflows.loading import load_trained

    @cache  # members are loaded more than once
    def warn(line: str) -> None:
        listener(Notice(line))

    workers, device = join_workers()
    with workers.fail_together():
        return load_trained(
            run,
            overrides=overrides,
            device=device,
            workers=workers,
            say=lambda line: listener(Remark(line)),
            warn=warn,
            only_answers=only_answers,
        )


def read_examples(trained: Answering, source: Path, *, predicted_only: bool, listener: Listener) -> Split:
    """A file's examples, with the recipe's reader; problems in its records are reported.

    Args:
        predicted_only: no label is needed, and none is read.
    """
    from qakit.data.splits import read_files

    with trained.workers.fail_together():
        split = read_files(trained.recipe, trained.registry, [source], predicted_only=predicted_only)
        if not split.examples:
            raise DataError("holds no question", path=source)
    return _told(split, listener)


def read_own_split(trained: Answering, name: SplitName, listener: Listener) -> Split:
    """The examples of one of the recipe's own splits, as training takes them; problems in the records are reported."""
    from qakit.data.splits import read_split

    with trained.workers.fail_together():
        split = read_split(trained.recipe, trained.registry, name)
        if split is None:
            raise UsageError(f"the run's recipe names no {name} file; give the questions with --input")
    return _told(split, listener)


def _told(split: Split, listener: Listener) -> Split:
    for problems in split.problems:
        for line in problems.describe():
            listener(Notice(line))
    return split
