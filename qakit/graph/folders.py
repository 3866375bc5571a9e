"""The folders of a graph's nodes: made with everything that a later command needs to continue there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from posixpath import relpath

from qakit.errors import RunError
from qakit.files import json_text, write_text, writing
from qakit.graph.expand import WEIGHTS_FILE
from qakit.graph.nodes import Graph, Join, Node, Repredict, Train, check_recipe, training_key
from qakit.graph.training import check_joins
from qakit.randomness import GENERATOR
from qakit.recipe.dump import dump_recipe
from qakit.registry import Registry
from qakit.runs import (
    FOLDS,
    LOCK,
    MEMBERS_FILE,
    PIPELINE,
    Run,
    check_free,
    create_run,
    is_at_work,
    locked,
    recover_run,
    runs_in,
)
from qakit.training.events import Listener, Remark, silence

Files = Mapping[str, Mapping[str, str]]
"""For each label the text files of its folder, beside the recipe."""


def check_graph(
    graph: Graph, folder: Path | None, registry: Registry, listener: Listener, *, only: Collection[str] | None = None
) -> Files:
    """Everything that can be known before the first training: joins, parts, and what lies in the folder already.

    Args:
        folder: where the graph will lie; None for a new folder under ``runs``.
        only: labels of the trainings that are prepared, too; by default all.

    Returns:
        The files that the folders need.

    Raises:
        QakitError: something would be refused after trainings.
    """
    files = {}
    for node in graph.nodes:
        own: dict[str, str] = {}
        if isinstance(node.work, Join):
            own |= node.work.prepare(graph, node.label, registry, listener)
        elif isinstance(node.work, Repredict):
            own |= {WEIGHTS_FILE: json_text({"weights_of": relpath(node.work.source, node.label or ".")})}
        files[node.label] = own
    begun = _begun(graph, folder)
    for node in begun:
        assert folder is not None
        run = Run(folder / node.label)
        if is_begun(run):
            _check_same(node, run, files[node.label])
        else:
            _check_laid_out(run, folder)
    if not graph.root.label and (not begun or begun[-1].label):
        try:
            check_free(folder, beside={node.label.partition("/")[0] for node in begun})
        except RunError:
            if folder is None or not _is_there(Run(folder)):
                raise
            return check_graph(graph, folder, registry, listener, only=only)  # another command has just made it
    _check_trainings(graph, folder, registry, listener, graph.labels if only is None else only)
    return files


def make_folders(graph: Graph, folder: Path | None, files: Files) -> Path:
    """A folder for each node that has none yet; all of them are there before the root's recipe makes it a run.

    A folder in which nothing is trained yet takes the recipe as it is now.

    Raises:
        RunError: the folder holds something else.
        OutputError: it cannot be made.
    """
    there = _begun(graph, folder)
    for node in there:
        assert folder is not None
        if is_begun(run := Run(folder / node.label)):
            _check_same(node, run, files[node.label])  # another command may have been faster
        else:
            _write_anew(run, {**files[node.label], run.recipe_file.name: dump_recipe(node.recipe)})
    begun = {node.label for node in there}
    missing = [node for node in graph.nodes if node.label not in begun]
    for root in _roots(missing):
        others: dict[str, str] = {}
        for node in missing:
            if node.label == root.label or root.label == "" or node.label.startswith(f"{root.label}/"):
                texts = {**files[node.label]} | ({} if node is root else {"recipe.yaml": dump_recipe(node.recipe)})
                inside = relpath(node.label or ".", root.label or ".")
                others |= {f"{inside}/{name}" if inside != "." else name: text for name, text in texts.items()}
        place = None if folder is None else folder / root.label
        beside = {label.partition("/")[0] for label in begun} if not root.label else set[str]()
        try:
            run = create_run(root.recipe, place, others=others, beside=beside)
        except RunError:
            if place is None or not _is_there(Run(place)):
                raise
            return make_folders(graph, folder, files)  # another command was faster
        if not root.label:
            folder = run.folder
    assert folder is not None
    return folder


def _roots(nodes: list[Node]) -> list[Node]:
    """The nodes that lie below no other one of them."""
    labels = [node.label for node in nodes]
    if "" in labels:
        return [node for node in nodes if not node.label]
    return [
        node for node in nodes if not any(node.label.startswith(f"{each}/") for each in labels if each != node.label)
    ]


def _begun(graph: Graph, folder: Path | None) -> list[Node]:
    """The nodes that have a recipe in their folder already."""
    if folder is None:
        return []
    return [node for node in reversed(graph.nodes) if _is_there(Run(folder / node.label))][::-1]


def _is_there(run: Run) -> bool:
    """Whether a folder has a recipe, or gets it now, because whoever made it was killed or is at it."""
    if run.folder.is_dir():
        recover_run(run)
    return run.recipe_file.is_file()


def is_begun(run: Run) -> bool:
    """Whether something is trained in a folder, or somebody is at work there."""
    return any(each.meta_file.is_file() or each.finished or is_at_work(each) for each in runs_in(run.folder))


def _check_laid_out(run: Run, folder: Path) -> None:
    """A recipe of the user's own, under the name that ours have in a run folder, is not written over.

    Raises:
        RunError: nobody has laid out a graph there: neither has it been locked, nor is the recipe one as we write it.
    """
    above = (run.folder, *run.folder.parents)[: len(run.folder.relative_to(folder).parts) + 1]
    if any((place / LOCK).exists() for place in above):
        return
    if _text(run.recipe_file) != dump_recipe(run.recipe()):
        raise RunError(f"{run.recipe_file} is no run's recipe, and would be written over: choose another --output")


def _write_anew(run: Run, texts: Mapping[str, str]) -> None:
    """Put a mended recipe into a folder; it comes last, so a kill before leaves something that is mended again."""
    stale = [run.folder / name for name in KINDS if name not in texts and (run.folder / name).is_file()]
    others = {name: text for name, text in texts.items() if _text(run.folder / name) != text}
    if not stale and not others:
        return
    with locked(run), writing(run.folder):
        for file in (*stale, run.failure_file):
            file.unlink(missing_ok=True)
        for name in sorted(others, key=lambda name: name == run.recipe_file.name):
            write_text(run.folder / name, others[name])


KINDS = (FOLDS, PIPELINE, MEMBERS_FILE, WEIGHTS_FILE)
"""The files that say what is made in a folder, beside its recipe."""


def _text(file: Path) -> str | None:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _check_same(node: Node, run: Run, files: Mapping[str, str]) -> None:
    """A folder continues only with what it began with; names, descriptions and baselines may differ."""
    check_recipe(run, node.recipe)
    if isinstance(node.work, Join):
        node.work.check_same(run, files)


def _check_trainings(
    graph: Graph, folder: Path | None, registry: Registry, listener: Listener, labels: Collection[str]
) -> None:
    """Of several trainings each is prepared once, seeds and folds apart, so that the last one does not fail first."""
    todo = [
        node
        for node in graph.nodes
        if isinstance(node.work, Train)
        and node.label in labels
        and not (folder is not None and Run(folder / node.label).finished)
    ]
    if len(graph.nodes) > 1:
        distinct = {training_key(node.recipe, without=("seed", "folds")): node for node in reversed(todo)}
        for node in reversed(distinct.values()):
            _check_training(node, registry, listener)


def _check_training(node: Node, registry: Registry, listener: Listener) -> None:
    from qakit.modeling.device import free_memory, pick_device
    from qakit.training.preflight import preflight
    from qakit.training.prepare import prepare_training

    listener(Remark(f"checking {node.label}"))
    device = pick_device()
    with GENERATOR:
        prepared = prepare_training(node.recipe, registry, device=device, listener=silence)
        check_joins(node, prepared)
        preflight(prepared, registry, device=device, listener=silence)
    del prepared
    free_memory()
