"""A training that is to run at Kaggle: its folder as it begins, and the files that it needs, packed.

A recipe names files of this machine. At Kaggle they lie in :data:`THERE`, so the recipes that go there name these
places, and when the run comes back its recipes, and all that says what it was made of, name the files here again.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from qakit.data.splits import SplitName, contexts_setting, split_sources
from qakit.errors import UsageError
from qakit.files import file_sha256, json_text, temporary_folder, write_text
from qakit.graph.folders import check_graph, make_folders
from qakit.graph.nodes import Graph
from qakit.numbers import load_json
from qakit.recipe.dump import dump_recipe, recipe_data, recipe_hash
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import APART, PIPELINE, runs_in
from qakit.submit.download import MANIFEST
from qakit.submit.wheel import make_wheels
from qakit.training.events import Listener

THERE = "/tmp/qakit"
"""A folder of Kaggle's machine, never of this one, for the files of a training: the same one in each session, since
recipes name it."""
JOB = "job.json"
CODE, DATA = "qakit-code-", "qakit-data-"
SHOWN = 16
"""Hexadecimal digits of a content's SHA-256 in a dataset's name."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a session gets."""

    machine: str | None
    """Kaggle's name of the accelerator; None for none."""
    hours: float
    """Of one session; 0: nobody knows."""
    internet: bool


@dataclass(frozen=True, slots=True)
class Job:
    """A training that is packed; see :func:`pack`. The files themselves lie in a folder, one below for each dataset."""

    texts: Mapping[str, str]
    """The run's folder as it begins: recipes, and what says how they belong together; by path."""
    places: Mapping[str, str]
    """Files and folders there -> what the recipes here call them."""
    datasets: Mapping[str, Sequence[str]]
    """Private datasets, named after their content -> their files."""
    competitions: Mapping[str, str]
    """Slug -> where its data is looked for there."""
    limits: Limits

    @property
    def key(self) -> str:
        """Stands for all of it."""
        said = {**asdict(self), "places": sorted(self.places)}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def order(self) -> dict[str, Any]:
        """What :func:`qakit.sessions.there.train` is told of it."""
        return {
            "texts": dict(self.texts),
            "data": next((files[0] for slug, files in self.datasets.items() if slug.startswith(DATA)), None),
            "competitions": dict(self.competitions),
            "there": THERE,
            "seconds": 3600 * self.limits.hours,
            "internet": self.limits.internet,
        }

    def elsewhere(self) -> dict[str, Any]:
        """What an order lacks of the job, for a machine that did not pack it: files of the working folder by their
        path in it."""
        here = Path.cwd()
        places = {there: Path(name) for there, name in self.places.items()}
        return {
            "machine": self.limits.machine,
            "datasets": {slug: list(files) for slug, files in self.datasets.items()},
            "places": {
                there: (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()
                for there, path in places.items()
            },
        }

    @staticmethod
    def of_order(order: Mapping[str, Any]) -> Job:
        """The job of a notebook's order; see :func:`qakit.sessions.notebook.notebook`.

        Raises:
            KeyError, TypeError: it is none.
        """
        limits = Limits(order["machine"], order["seconds"] / 3600, order["internet"])
        places = {there: str(Path.cwd() / name) for there, name in order["places"].items()}
        return Job(order["texts"], places, order["datasets"], order["competitions"], limits)

    def save(self, folder: Path) -> None:
        write_text(folder / JOB, json_text(asdict(self)))

    @staticmethod
    def load(folder: Path) -> Job:
        """Read back what :meth:`save` wrote.

        Raises:
            UsageError: it is not there, or damaged.
        """
        try:
            found = load_json((folder / JOB).read_text("utf-8"))
            return Job(**{**found, "limits": Limits(**found["limits"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UsageError(f"{folder / JOB} is missing or damaged: {error}") from None


def pack(
    graph: Graph, folder: Path, registry: Registry, limits: Limits, listener: Listener, *, competitions: bool = True
) -> Job:
    """Bring all that a training needs into ``folder``, one folder below for each dataset.

    Args:
        competitions: whether the data of Kaggle's competitions is there already.

    Raises:
        QakitError: what can be known before a training is wrong, or a wheel cannot be built.
    """
    files = check_graph(graph, None, registry, listener, only=())
    places = Places(limits.internet, competitions=competitions)
    moved = replace(graph, nodes=tuple(replace(node, recipe=places.moved(node.recipe)) for node in graph.nodes))
    texts_there = {label: {name: places.in_text(text) for name, text in own.items()} for label, own in files.items()}
    with temporary_folder(folder / "run") as temporary:
        run = make_folders(moved, temporary / "run", texts_there)
        texts = {
            path.relative_to(run).as_posix(): path.read_text("utf-8")
            for path in sorted(run.rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        }
    datasets = dict([_wheels(graph, folder, registry)])
    if places.files:
        datasets |= dict([_data(places.files, folder)])
    return Job(texts, places.here, datasets, places.competitions, limits)


class Places:
    """Where files of this machine lie at Kaggle; they become known as recipes name them."""

    def __init__(self, internet: bool, *, competitions: bool) -> None:
        self.here: dict[str, str] = {}
        self.files: dict[str, Path] = {}
        """Path in the data's archive -> file."""
        self.competitions: dict[str, str] = {}
        self._there: dict[str, str] = {}
        self._parents: dict[Path, int] = {}
        self._internet, self._at_kaggle = internet, competitions

    def moved(self, recipe: Recipe) -> Recipe:
        """The recipe with the places there."""
        backbone = recipe.backbone
        folders = {} if backbone.is_sourceless else {"source": self._backbone(backbone.source, backbone.revision)}
        if backbone.tokenizer is not None:
            folders["tokenizer"] = self._backbone(backbone.tokenizer, backbone.tokenizer_revision)
        contexts = contexts_setting(recipe)
        for source in (each for name in SPLITS for each in split_sources(recipe, name)):
            if contexts is not None and isinstance(source, str) and Path(source).is_absolute():
                self._place(Path(source).parent / contexts)
        values = {**recipe_data(recipe), "backbone": recipe_data(recipe)["backbone"] | folders}
        return Recipe.model_validate(_changed(values, self._path))

    def in_text(self, text: str) -> str:
        """A text file of a graph's folder, which may name places that are known."""
        return _replaced(text, self._there)

    def _path(self, value: str) -> str:
        """A value of a recipe: absolute paths of what is there are moved."""
        if not (os.path.isabs(value) and len(Path(value).parts) > 1 and Path(value).exists()):  # noqa: PTH117
            return value
        return self._place(Path(value))

    def _backbone(self, name: str, revision: str | None) -> str:
        """A folder goes with the data; so do a package's weights and, without a network there, those of the hub."""
        if Path(name).is_absolute() or (self._internet and not _is_package(name)):
            return name
        from qakit.modeling.sources import find_source

        there = self._place(find_source(name, revision=revision).folder)
        self.here[there] = name
        return there

    def _place(self, path: Path) -> str:
        if (known := self._there.get(str(path))) is not None:
            return known
        there = self._of_competition(path) or self._packed(path)
        self._there[str(path)] = there
        self.here[there] = str(path)
        return there

    def _of_competition(self, path: Path) -> str | None:
        """A file that `qakit kaggle download` has fetched is at Kaggle already."""
        for folder in path.parents if self._at_kaggle else ():
            try:
                manifest = load_json((folder / MANIFEST).read_text("utf-8"))
                facts = manifest["files"][path.relative_to(folder).as_posix()]
                slug = manifest["competition"]
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if file_sha256(path) == facts["sha256"]:
                self.competitions[slug] = f"{THERE}/competition/{slug}"
                return f"{self.competitions[slug]}/{path.relative_to(folder).as_posix()}"
        return None

    def _packed(self, path: Path) -> str:
        number = self._parents.setdefault(path.parent, len(self._parents))
        inside = f"{number}/{path.name}"
        for file in _files(path):
            self.files[f"{inside}{file.as_posix().removeprefix(path.as_posix())}"] = file
        return f"{THERE}/data/{inside}"


SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


def _is_package(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return False
    return True


def _files(path: Path) -> Iterator[Path]:
    """A file, or those of a folder that a training may read: of a run neither checkpoints nor what is hidden."""
    if path.is_file():
        yield path
        return
    for parent, folders, names in os.walk(path):
        folders[:] = sorted(each for each in folders if each not in SKIPPED and not each.startswith("."))
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))


SKIPPED = frozenset(APART) - {"model", "predictions"}


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    """Plain values, every text in them changed, those of keys too."""
    if isinstance(value, dict):
        return {change(key) if isinstance(key, str) else key: _changed(part, change) for key, part in value.items()}
    if isinstance(value, list):
        return [_changed(part, change) for part in value]
    return change(value) if isinstance(value, str) else value


def _replaced(text: str, names: Mapping[str, str]) -> str:
    """A text with other names in it, the longest ones first: one may begin as another does."""
    for before, after in sorted(names.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(before, after)
    return text


def _wheels(graph: Graph, folder: Path, registry: Registry) -> tuple[str, tuple[str, ...]]:
    """The dataset of qakit's wheel and those of other packages whose plugins the recipes name."""
    with temporary_folder(folder / "wheels") as temporary:
        wheels = make_wheels([node.recipe for node in graph.nodes], temporary, registry)
        facts = [f"{wheel.name} {file_sha256(wheel)}" for wheel in wheels]
        slug = f"{CODE}{hashlib.sha256(os.linesep.join(facts).encode()).hexdigest()[:SHOWN]}"
        temporary.replace(folder / slug)
    return slug, tuple(wheel.name for wheel in wheels)


def _data(files: Mapping[str, Path], folder: Path) -> tuple[str, tuple[str, ...]]:
    """The dataset of one archive, whose name Kaggle takes for no archive: it would unpack it, and change files."""
    with temporary_folder(folder / "data") as temporary:
        archive = temporary / "archive"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, file in sorted(files.items()):
                entry = zipfile.ZipInfo(name)  # without a time: the same files are the same archive
                entry.compress_type = zipfile.ZIP_DEFLATED
                with file.open("rb") as content, packed.open(entry, "w", force_zip64=True) as target:
                    shutil.copyfileobj(content, target, 1 << 20)
        slug = f"{DATA}{file_sha256(archive)[:SHOWN]}"
        archive.replace(temporary / f"{slug}.pack")
        temporary.replace(folder / slug)
    return slug, (f"{slug}.pack",)


def brought_back(folder: Path, places: Mapping[str, str]) -> None:
    """Let a run's recipes, and all that says what it was made of, name files as they are called here.

    Args:
        folder: the run as it came, not in its place yet.
        places: there -> here.
    """
    from qakit.training.checkpoints import STATE, of_recipe

    digests: dict[str, str] = {}

    def back(text: str) -> str:
        if text in digests:
            return digests[text]
        for there, here in places.items():
            if text == there or text.startswith(f"{there}/"):
                return here + text.removeprefix(there)
        return text

    for run in runs_in(folder):
        there = run.recipe()
        here = Recipe.model_validate(_changed(recipe_data(there), back))
        write_text(run.recipe_file, dump_recipe(here))
        digests[recipe_hash(there)] = recipe_hash(here)
        of_recipe(run.checkpoints, recipe_hash(here))
    for file in folder.rglob("*.json"):
        text = file.read_text("utf-8")
        if file.name != STATE and any(name in text for name in (THERE, *digests)):
            write_text(file, json_text(_changed(load_json(text), back)))
    for file in folder.rglob(PIPELINE):
        write_text(file, _replaced(file.read_text("utf-8"), places))
