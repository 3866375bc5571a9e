"""What members keep of their predictions: where it lies, and what it is of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from qakit.data.predictions_file import AnswerFile, first_ids, read_answers
from qakit.data.splits import read_files
from qakit.errors import DataError
from qakit.files import file_sha256
from qakit.inference.characters import CHARACTERS_FILE, CharacterScores
from qakit.inference.inputs import Inputs
from qakit.inference.nbest_file import iter_nbest
from qakit.names import quoted
from qakit.protocols import EnsembleMember
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import Run, classes_of, not_finished, open_run
from qakit.values import ContextPrediction, Example, Prediction

Split = Literal["validation", "test"]
NBEST = "nbest.jsonl"


@dataclass(frozen=True, slots=True)
class Source:
    """A member: a run, a bare folder of predictions, or a file of answers."""

    path: Path
    run: Run | None = None
    recipe: Recipe | None = None
    answers: AnswerFile | None = None
    """Of a file; of a folder its own CSV file, for the header."""

    @property
    def is_file(self) -> bool:
        """Whether there are answers and nothing else."""
        return not self.path.is_dir()


@dataclass(frozen=True, slots=True)
class Kept:
    """A member's predictions of one split."""

    source: Source
    folder: Path | None
    """With ``nbest.jsonl``; None for a file of answers."""
    inputs: Inputs = field(default_factory=Inputs)
    """The files that were answered; empty where nobody noted them."""

    @property
    def path(self) -> Path:
        """What messages name."""
        return self.source.path if self.folder is None else self.folder / NBEST

    def predictions(self) -> Iterator[Prediction]:
        """One after the other, in the file's order.

        Raises:
            DataError: as :func:`~qakit.inference.nbest_file.iter_nbest`.
        """
        if self.folder is not None:
            yield from iter_nbest(self.folder / NBEST)
        elif self.source.answers is not None:
            yield from map(self.source.answers.made, self.source.answers.answers)

    def member(self) -> EnsembleMember:
        """What is known of it, as yet without predictions.

        Raises:
            RunError: what the run says of its classes or figures is damaged.
        """
        name, run, recipe = str(self.source.path), self.source.run, self.source.recipe
        if run is None or recipe is None:
            return EnsembleMember(name, ())
        return EnsembleMember(
            name, (), classes=classes_of(run), figures=run.figures(), seed=recipe.seed, recipe=recipe.name or ""
        )

    def characters(self) -> CharacterScores:
        """The character scores beside the predictions.

        Raises:
            DataError: there are none, or the file is damaged.
        """
        return CharacterScores.read(self.characters_file())

    def characters_file(self) -> Path:
        """Where they are.

        Raises:
            DataError: there are none.
        """
        if self.folder is None:
            raise DataError("is no run, so it has no character scores: give the run in its place", path=self.path)
        file = self.folder / CHARACTERS_FILE
        if not file.is_file():
            split = "validation" if self.folder.name == "validation" else "test"
            raise DataError(
                "has no character scores; train with `predict: {character_scores: true}`, or make them with `qakit "
                f"predict {quoted(self.source.path)} --split {split} --character-scores FILE`",
                path=self.folder,
            )
        return file


def open_source(path: Path) -> Source:
    """A file of answers (:func:`~qakit.data.predictions_file.read_answers`), a run folder, or a folder with
    ``predictions/nbest.jsonl``.

    Raises:
        DataError: it cannot be read, or the folder has no predictions.
    """
    if not path.exists() and not path.suffix:
        raise DataError("there is no such run (`qakit runs list` shows the runs)", path=path)
    if not path.is_dir():
        return Source(path, answers=read_answers(path))
    run = open_run(path) if (path / "recipe.yaml").is_file() else None
    if not any((path / "predictions").glob("**/" + NBEST)):
        if run is not None and not run.finished:
            raise not_finished(run)
        raise DataError(
            "has no predictions/nbest.jsonl: let it answer a test file, with `qakit predict "
            f"{quoted(path)} --split test`",
            path=path,
        )
    recipe = None if run is None else run.recipe()
    return Source(path, run, recipe, _own_table(path / "predictions", recipe))


def _own_table(folder: Path, recipe: Recipe | None) -> AnswerFile | None:
    """A folder's own CSV file, which is asked for its header alone; None where there is no such file, or none that has
    a header and can be read: its writer may have another encoding or other columns."""
    own = next(iter(sorted(folder.glob("*.csv"))), None)
    if own is None or (recipe is not None and recipe.writer.settings.get("header") is False):
        return None
    try:
        answers = read_answers(own)
    except DataError:
        return None
    return None if answers.several else answers  # whose columns are called like the numbers, as the run's recipe says


def find_kept(source: Source, split: Split, *, characters: bool) -> Kept | None:
    """The member's predictions of a split; None if it has none. Files of answers are of the test file.

    A test file is predicted at the end of a training, into ``predictions/``, and by ``qakit predict --split test``. Of
    the two, those count that are of the file as it is now; where it is gone, those of the training.

    Raises:
        DataError: all predictions are of an older test file.
        RunError: what the folder says about its predictions is damaged.
    """
    if source.is_file:
        return None if split == "validation" else Kept(source, None)
    root = source.path / "predictions"
    places = [root / "validation"] if split == "validation" else [root, root / "test"]
    there = {folder: Inputs.read(Run(source.path), folder) for folder in places if (folder / NBEST).is_file()}
    if split == "test":
        changed = {folder: inputs.changed() for folder, inputs in there.items()}
        older = next(filter(None, changed.values()), None)
        there = {folder: inputs for folder, inputs in there.items() if changed[folder] is None}
        if older is not None and not there:
            again = f"qakit predict {quoted(source.path)} --split test"
            remedy = "answer it again with the run" if source.run is None else again
            raise DataError(f"has answers to an older {older.name}: {remedy}", path=source.path)
    if not there:
        return None

    def drawback(folder: Path) -> tuple[bool, bool]:
        return not there[folder].all_there(), characters and not (folder / CHARACTERS_FILE).is_file()

    folder = min(there, key=drawback)  # of even ones the first
    return Kept(source, folder, there[folder])


def check_same_files(kept: Sequence[Kept]) -> None:
    """Refuse members that answered other files than the first one that says which it answered.

    Raises:
        DataError: names both and the files' hashes.
    """
    known = _fullest_first(kept)
    for other in known[1:]:
        if not other.inputs.same_as(known[0].inputs):
            raise DataError(
                f"is of other questions ({other.inputs}) than {known[0].path} ({known[0].inputs}): predict the same "
                "file with all members",
                path=other.path,
            )


def _fullest_first(kept: Sequence[Kept]) -> list[Kept]:
    """Those that say what they answered; first the ones that noted what lay beside it, as older versions did not."""
    return sorted((each for each in kept if each.inputs), key=lambda each: not each.inputs.beside)


def check_same_contexts(kept: Sequence[Kept], registry: Registry, *, predicted_only: bool) -> None:
    """Refuse members that chose among the same contexts in another order: a place would be another text for each.

    Raises:
        DataError: names both; or a file is not there, where the members' readers differ.
    """
    if not isinstance(next(kept[0].predictions(), None), ContextPrediction):
        return
    known = [(each, each.source.recipe.data.reader) for each in kept if each.inputs and each.source.recipe is not None]
    others = [each for each, reader in known if reader != known[0][1]]
    if not others:
        return
    first = known[0][0]
    ids = [each.id for each in first.predictions()]
    wanted = read_questions([first, *others], ids, registry, predicted_only=predicted_only)
    for other in others:
        found = read_questions([other, first], ids, registry, predicted_only=predicted_only)
        for one, same in zip(wanted, found, strict=True):
            if one.contexts != same.contexts and sorted(one.contexts) == sorted(same.contexts):
                raise DataError(
                    f"has the contexts of id {one.id!r} in another order than {first.path}, so their places cannot be "
                    "combined: train the members with the same data.reader",
                    path=other.path,
                )


def read_questions(
    kept: Sequence[Kept], ids: Sequence[str], registry: Registry, *, predicted_only: bool
) -> list[Example]:
    """The questions that the members answered, by their ids, from the files that they were read from.

    A file may lie where any of the members read it, if it is the same one byte by byte.

    Raises:
        DataError: a file is not there or has changed, or lacks a question.
    """
    first = next((each for each in _fullest_first(kept) if each.source.recipe is not None), None)
    if first is None or first.source.recipe is None:
        remedy = "give the run in its place" if kept[0].source.run is None else "predict again with this run"
        raise DataError(f"does not say which questions it answered: {remedy}", path=kept[0].path)
    files = [_found(file, digest, kept, first) for file, digest in first.inputs.files.items()]
    read = read_files(first.source.recipe, registry, files, predicted_only=predicted_only)
    if not first.inputs.same_as(Inputs.of(read)):
        message = f"what lies beside it, and is read with it, has changed since {first.path} was predicted from it"
        raise DataError(message, path=files[0])
    examples = {each.id: each for each in read.examples}
    lacking = [id_ for id_ in ids if id_ not in examples]
    if lacking:
        raise DataError(f"{len(lacking)} ids of {first.path} are missing here: {first_ids(lacking)}", path=files[0])
    return [examples[id_] for id_ in ids]


def _found(file: str, digest: str, kept: Sequence[Kept], first: Kept) -> Path:
    names = [file, *(name for each in kept for name, other in each.inputs.files.items() if other == digest)]
    there = [path for path in map(Path, dict.fromkeys(names)) if path.is_file()]
    for path in there:
        if file_sha256(path) == digest:
            return path
    if there:
        raise DataError(f"has changed since {first.path} was predicted from it", path=there[0])
    raise DataError(f"is not there any more; {first.path} was predicted from it", path=file)
