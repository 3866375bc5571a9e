"""Whether runs that are compared were trained on the same content of the files whose names they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from qakit.errors import QakitError
from qakit.files import file_sha256
from qakit.names import few
from qakit.runs import Run


def mixed_training_data(runs: Mapping[str, Run]) -> Iterator[str]:
    """A note for each file that was another one when some of the runs were trained, which are compared; ``runs`` are by
    what they are called."""
    for line in other_content(runs):
        yield f"{line}: their difference is one of the training data, too."


def other_content(runs: Mapping[str, Run]) -> Iterator[str]:
    """That a file was another one when some of the runs were trained; ``runs`` are by what they are called."""
    contents: dict[str, dict[str, list[str]]] = {}
    for label, run in runs.items():
        for name, digest in _training_files(run):
            contents.setdefault(name, {}).setdefault(digest, []).append(label)
    for name, labels in contents.items():
        first, *others = labels.values()
        for other in others:
            yield f"{Path(name).name} had other content when {few(other)} {_was(other)} trained than for {few(first)}"


def older_training_data(runs: Mapping[str, Run]) -> str | None:
    """What to know before further runs are trained to be compared with these, where training files of these have other
    content now; else None."""
    known = {label: _training_files(run) for label, run in runs.items()}
    names = dict.fromkeys(name for files in known.values() for name, _ in files)
    now = {name: file_sha256(Path(name)) for name in names if Path(name).is_file()}
    changed = {
        label: [Path(name).name for name, digest in files if now.get(name, digest) != digest]
        for label, files in known.items()
    }
    older = [label for label, files in changed.items() if files]
    if not older:
        return None
    files = dict.fromkeys(name for each in changed.values() for name in each)
    return (
        f"{few(older)} {_was(older)} trained on an older {', '.join(files)}, and what is trained from now on sees the "
        "new content: to have all trained on the same, remove these runs"
    )


def _training_files(run: Run) -> Sequence[tuple[str, str]]:
    """The files that a run, or those that it is made of, were trained on, with their SHA-256 then, each once; nothing
    of a damaged one, which others tell."""
    from qakit.training.lineage import trained_runs

    try:
        parts = [each for each in trained_runs(run) if isinstance(each, Run)]
        return list(dict.fromkeys(item for each in parts for item in each.training_files().items()))
    except QakitError:
        return ()


def _was(labels: Sequence[str]) -> str:
    return "was" if len(labels) == 1 else "were"
