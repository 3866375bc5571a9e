"""The folders of a graph: what a later command needs to continue there, and who may continue."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from graph.conftest import BASE, FOLDS, KINDS, RATES, GraphOf

from qakit.distributed import ALONE
from qakit.errors import RunError
from qakit.files import write_json, write_text
from qakit.graph import folders
from qakit.graph.expand import reload_graph
from qakit.graph.folders import check_graph, make_folders
from qakit.graph.nodes import Graph, Join, Node, Repredict
from qakit.graph.training import perform
from qakit.recipe.dump import dump_recipe
from qakit.registry import Registry
from qakit.runs import Run, locked, runs_in, state_of
from qakit.training.events import silence

ENSEMBLE = KINDS["ensemble"]["ensemble"]
WITH_A_ROOT = [kind for kind in KINDS if not kind.startswith("study") and kind not in ("selection", "span")]
Lay = Callable[[Graph], Path]


@pytest.fixture
def lay(registry: Registry, tmp_path: Path) -> Lay:
    """``lay(graph)``: checked, and laid out in ``tmp_path/run``."""

    def make(graph: Graph) -> Path:
        folder = tmp_path / "run"
        return make_folders(graph, folder, check_graph(graph, folder, registry, silence, only=()))

    return make


def described(graph: Graph, registry: Registry) -> list[Any]:
    """What makes a graph: of joins the files that they are read back from."""

    def work(node: Node) -> Any:
        if isinstance(node.work, Join):
            files = node.work.prepare(graph, node.label, registry, silence)
            return {name: text.replace("../", "") for name, text in files.items()}
        return node.work

    return [(node.label, node.recipe, node.needs, work(node)) for node in graph.nodes]


HALF_MADE = re.compile(r"\..*\.tmp$")
"""What a killed process leaves beside; goes when its process is no more."""


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock" and not any(map(HALF_MADE.match, path.relative_to(folder).parts))
    }


def trained(run: Run) -> None:
    """As if something was trained there."""
    write_json(run.meta_file, {})


@pytest.mark.parametrize("kind", WITH_A_ROOT)
def test_a_folder_gives_back_the_graph_that_it_was_made_of(
    kind: str, graph: GraphOf, lay: Lay, registry: Registry
) -> None:
    given = graph(kind)
    folder = lay(given)
    assert [run.folder for run in runs_in(folder)] == sorted(folder / label for label in given.labels)
    kept = reload_graph(folder, registry)
    assert described(kept, registry) == described(given, registry)
    before = files_in(folder)
    assert lay(kept) == lay(given) == folder
    assert files_in(folder) == before
    assert state_of(Run(folder)).name == "waiting"


@pytest.mark.parametrize("kind", WITH_A_ROOT)
@pytest.mark.parametrize("moment", ["check_free", "create_run"])
def test_who_comes_second_joins(
    kind: str, moment: str, graph: GraphOf, lay: Lay, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs of an array begin at once: another one makes the folder while this one is about to."""
    given, own = graph(kind), getattr(folders, moment)

    def slow(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(folders, moment, own)
        made = lay(given)  # another process
        before.update(files_in(made))
        return own(*args, **options)

    before: dict[str, bytes] = {}
    monkeypatch.setattr(folders, moment, slow)
    folder = lay(given)
    assert before
    assert files_in(folder) == before


def test_a_folder_of_another_recipe_is_not_joined(
    graph: GraphOf, lay: Lay, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = folders.create_run

    def slow(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(folders, "create_run", own)
        trained(Run(lay(graph("ensemble"))))
        return own(*args, **options)

    monkeypatch.setattr(folders, "create_run", slow)
    with pytest.raises(RunError, match="was begun with"):
        lay(graph("folds"))


@pytest.mark.parametrize("kind", ["study", "study-of-folds", "study-of-pipelines", "ensemble-of-pipelines"])
def test_each_part_gives_back_its_own(kind: str, graph: GraphOf, lay: Lay, registry: Registry) -> None:
    given = graph(kind)
    folder = lay(given)
    for node in given.nodes:
        own = reload_graph(folder / node.label, registry)
        inside = f"{node.label}/" if node.label else ""
        parts = [label for label in given.labels if label == node.label or label.startswith(inside)]
        assert Graph("x", own.placed(node.label)).labels == parts
        assert own.root.recipe == node.recipe
        if isinstance(node.work, Repredict):
            (placed,) = own.placed(node.label)
            assert placed == node


@pytest.mark.parametrize(
    ("kind", "gone"), [("folds", "folds.json"), ("pipeline", "pipeline.yaml"), ("ensemble", "members.json")]
)
def test_without_the_file_that_says_what_it_is_a_whole_is_not_taken_for_one_training(
    kind: str, gone: str, graph: GraphOf, lay: Lay, registry: Registry
) -> None:
    folder = lay(graph(kind))
    trained(next(run for run in runs_in(folder) if run.folder != folder))
    (folder / gone).unlink()
    with pytest.raises(RunError, match=f"lacks {gone}, which says how it is made"):
        reload_graph(folder, registry)


def test_folds_that_are_not_laid_out_yet_belong_to_the_graph(graph: GraphOf, lay: Lay, registry: Registry) -> None:
    folder = lay(graph("folds"))
    shutil.rmtree(folder / "fold-2")
    kept = reload_graph(folder, registry)
    assert kept.labels == ["fold-1", "fold-2", "fold-3", ""]
    lay(kept)
    assert Run(folder / "fold-2").recipe() == kept.node("fold-2").recipe


SPAN = KINDS["span"]
OTHER_RECIPES = [
    (
        "folds",
        {"folds": KINDS["folds"] | {"seed": 3}},
        "run/fold-1 was begun with seed: 0, but the recipe now says seed: 3",
    ),
    (
        "folds",
        {"folds": BASE | {"folds": FOLDS | {"k": 2}}},
        "was begun with folds.k: 3, but the recipe now says folds.k: 2",
    ),
    ("ensemble", {"ensemble": {"ensemble": ENSEMBLE | {"method": "nbest"}}}, "was begun with method: {name: char_av"),
    (
        "ensemble",
        {"ensemble": {"ensemble": ENSEMBLE | {"weights": [1, 1, 1, 2]}}},
        "weights: equal, but the recipe now",
    ),
    (
        "ensemble",
        {"ensemble": {"ensemble": ENSEMBLE | {"weights": "learn"}}},
        "now says weights: learn; choose another",
    ),
    (
        "ensemble",
        {"ensemble": {"ensemble": ENSEMBLE | {"seed": 5}}},
        "was begun with seed: 0, but the recipe now says s",
    ),
    (
        "ensemble",
        {"ensemble": {"ensemble": ENSEMBLE | {"train": {"recipe": "plain.yaml", "grid": RATES}}}},
        "was begun with preprocess.predict.overlap: 16, but the recipe now says",
    ),
    (
        "ensemble",
        {"plain": BASE | {"train": {"epochs": 9}}},
        "was begun with train.epochs: 2.0, but the recipe now says",
    ),
    (
        "pipeline",
        {"pipeline": KINDS["pipeline"] | {"combine": {"top_k": 3}}},
        "was begun with other stages or another `combine`",
    ),
    ("pipeline", {"span": SPAN | {"seed": 3}}, "run/span was begun with seed: 0, but the recipe now says seed: 3"),
    (
        "ensemble-of-folds",
        {"folds": KINDS["folds"] | {"seed": 7, "train": {"epochs": 1}}},
        "fold-1 was begun with train",
    ),
    (
        "study",
        {"plain": BASE | {"train": {"epochs": 9}}},
        "was begun with train.epochs: 2.0, but the recipe now says tr",
    ),
]


@pytest.mark.parametrize(("kind", "changed", "message"), OTHER_RECIPES)
def test_what_is_begun_goes_on_with_its_own_recipe_alone(
    kind: str, changed: dict[str, Any], message: str, graph: GraphOf, lay: Lay
) -> None:
    given = graph(kind)
    folder = lay(given)
    for node in given.nodes:
        if not isinstance(node.work, Join):
            trained(Run(folder / node.label))
    before = files_in(folder)
    with pytest.raises(RunError) as caught:
        lay(graph(kind, **changed))
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert files_in(folder) == before
    lay(graph(kind))


@pytest.mark.parametrize(("kind", "changed"), [each[:2] for each in OTHER_RECIPES])
def test_a_mended_recipe_is_taken_where_nothing_is_trained(
    kind: str, changed: dict[str, Any], graph: GraphOf, lay: Lay, registry: Registry
) -> None:
    folder = lay(graph(kind))
    write_json(folder / "failure.json", {"error": "as it was"})
    mended = graph(kind, **changed)
    assert lay(mended) == folder
    for node in mended.nodes:
        assert Run(folder / node.label).recipe() == node.recipe
    if mended.root.label == "":
        assert described(reload_graph(folder, registry), registry) == described(mended, registry)
        assert not (folder / "failure.json").exists()


def test_where_somebody_is_at_work_a_recipe_is_not_mended(graph: GraphOf, lay: Lay) -> None:
    folder = lay(graph("folds"))
    with locked(Run(folder / "fold-2")), pytest.raises(RunError, match="fold-2 was begun with seed: 0"):
        lay(graph("folds", folds=KINDS["folds"] | {"seed": 3}))


def test_of_two_commands_that_begin_at_once_one_is_refused(graph: GraphOf, registry: Registry, tmp_path: Path) -> None:
    """Both have found nothing there, and checked their own recipe, before either makes the folder."""
    one, other, folder = graph("folds"), graph("folds", folds=KINDS["folds"] | {"seed": 3}), tmp_path / "run"
    checked = {each.recipe.seed: check_graph(each, folder, registry, silence, only=()) for each in (one, other)}
    make_folders(one, folder, checked[one.recipe.seed])
    with locked(Run(folder / "fold-1")), pytest.raises(RunError, match="was begun with seed: 0"):
        make_folders(other, folder, checked[other.recipe.seed])
    make_folders(other, folder, checked[other.recipe.seed])  # nothing has begun: its recipes are taken
    for label in ("fold-1", ""):
        with pytest.raises(RunError, match="was begun with seed: 3, but the recipe now says seed: 0"):
            perform(one.node(label), folder, registry, silence, workers=ALONE)


def test_who_finds_another_commit_is_told_how_to_go_on(graph: GraphOf, lay: Lay, registry: Registry) -> None:
    def at(commit: str) -> Graph:
        return graph("plain", plain=BASE | {"backbone": {"source": "o/model", "revision": commit}})

    folder = lay(at("a" * 40))
    trained(Run(folder))
    with pytest.raises(RunError, match=f"; set backbone.revision to {'a' * 40} to continue, choose another --output"):
        check_graph(at("b" * 40), folder, registry, silence, only=())


@pytest.mark.parametrize("where", ["", "fold-2"])
def test_folds_of_another_recipe_are_no_folds_of_this_one(
    where: str, graph: GraphOf, lay: Lay, registry: Registry
) -> None:
    folder = lay(graph("folds"))
    recipe = Run(folder / where).recipe_file
    recipe.write_text(recipe.read_text("utf-8").replace("  batch_size: ", "  batch_size: 1", 1), "utf-8")
    with pytest.raises(RunError, match=r"was begun with train\.batch_size: "):
        reload_graph(folder, registry)


def test_folds_may_come_from_where_data_lie_elsewhere(graph: GraphOf, lay: Lay, registry: Registry) -> None:
    folder = lay(graph("folds"))
    recipe = Run(folder / "fold-2").recipe_file
    text = recipe.read_text("utf-8")
    recipe.write_text(re.sub(r"source: .*", "source: /kaggle/input/model", text), "utf-8")
    assert reload_graph(folder, registry).node("fold-2").recipe.backbone.source == "/kaggle/input/model"


@pytest.mark.parametrize("kind", ["plain", "folds", "pipeline", "ensemble"])
@pytest.mark.parametrize("then", ["plain", "folds", "pipeline", "ensemble"])
def test_a_mended_recipe_may_be_of_another_kind(
    kind: str, then: str, graph: GraphOf, lay: Lay, registry: Registry
) -> None:
    folder = lay(graph(kind))
    mended = graph(then)
    lay(mended)
    assert described(reload_graph(folder, registry), registry) == described(mended, registry)


@pytest.mark.parametrize("place", ["", "fold-2"])
def test_a_recipe_of_the_users_own_is_not_written_over(place: str, graph: GraphOf, lay: Lay, tmp_path: Path) -> None:
    own = tmp_path / "run" / place / "recipe.yaml"
    own.parent.mkdir(parents=True)
    folds = graph("folds")
    own.write_text("# mine\n" + dump_recipe(folds.recipe), "utf-8")
    (own.parent / "weights.json").write_text("mine", "utf-8")
    before = files_in(tmp_path / "run")
    with pytest.raises(RunError, match=r"recipe\.yaml is no run's recipe, and would be written over"):
        lay(folds)
    assert files_in(tmp_path / "run") == before


def test_a_folder_that_was_copied_without_hidden_files_is_gone_on_with(graph: GraphOf, lay: Lay) -> None:
    folder = lay(graph("folds"))
    (folder / ".lock").unlink()
    assert lay(graph("folds", folds=KINDS["folds"] | {"seed": 3})) == folder


def test_names_descriptions_and_baselines_may_change(graph: GraphOf, lay: Lay) -> None:
    for kind in ("folds", "ensemble", "pipeline", "ensemble-of-folds", "study"):
        given = graph(kind)
        folder = lay(given)
        for node in given.nodes:
            trained(Run(folder / node.label))
        said = {"name": "now", "description": "Now", "baselines": {"strong": 80}}
        file = kind.replace("-", "_")
        changed = {"plain": BASE | said, "span": SPAN | said, "selection": KINDS["selection"] | said}
        changed["folds"] = KINDS["folds"] | said
        if kind != "study":
            more = {"description": "Now", "name": "now"} if kind != "folds" else said
            changed[file] = KINDS[kind] | more
        lay(graph(kind, **changed))
        shutil.rmtree(folder)


def test_a_training_whose_source_is_gone_from_the_graph_trains_itself(
    graph: GraphOf, lay: Lay, registry: Registry
) -> None:
    folder = lay(graph("study"))
    of_two = "runs/learning_rate0.001-n_best6"
    assert (folder / of_two / "weights.json").is_file()
    lay(graph("study", study={"recipe": "plain.yaml", "grid": RATES | {"predict.n_best": [6]}}))
    assert not (folder / of_two / "weights.json").exists()
    assert not isinstance(reload_graph(folder / of_two, registry).root.work, Repredict)


WEIGHTS = ["{}", '{"weights_of": 3}', '{"weights_of": "/etc"}', "[]", "{"] + [
    json.dumps({"weights_of": label}) for label in ("..", "../..", "../a/../b", "../a\0", "..a", "../" + "a" * 300)
]


@pytest.mark.parametrize("text", WEIGHTS)
def test_a_damaged_folder_is_named(text: str, graph: GraphOf, lay: Lay, registry: Registry) -> None:
    folder = lay(graph("ensemble"))
    file = folder / "members" / "learning_rate0.001-overlap32" / "weights.json"
    file.write_text(text, "utf-8")
    if text == "{}":
        return
    with pytest.raises(RunError, match=r"weights\.json is damaged: "):
        reload_graph(folder, registry)


ENDLESS = '{"members": [], "train": [], "method": {"name": "nbest"}, "weights": "equal", "seed": 1e999}'


@pytest.mark.parametrize(
    "text",
    [
        '{"members": 3}',
        ENDLESS,
        '{"members": [], "train": ["../x"]}',
        "{",
        '{"weights": "some", "method": {"name": "x"}}',
    ],
)
def test_damaged_members_are_named(text: str, graph: GraphOf, lay: Lay, registry: Registry) -> None:
    folder = lay(graph("ensemble"))
    (folder / "members.json").write_text(text, "utf-8")
    with pytest.raises(RunError, match=r"members\.json is damaged: "):
        reload_graph(folder, registry)


def test_members_are_no_links(graph: GraphOf, lay: Lay, registry: Registry) -> None:
    """Each of two that lead to two of the next, and so on, would be a graph without end."""
    folder = lay(graph("ensemble"))
    member = folder / "members" / "learning_rate0.001-overlap32"
    member.rename(folder / "elsewhere")
    member.symlink_to("../elsewhere")
    with pytest.raises(RunError, match="overlap32 is a link: put the run itself there"):
        reload_graph(folder, registry)


@pytest.mark.parametrize(
    ("source", "message"),
    [({}, "which is not finished: train that first"), ({"train": {"epochs": 9}}, "whose training is another one")],
)
def test_weights_are_taken_of_a_finished_equal_training_alone(
    source: dict[str, Any], message: str, graph: GraphOf, lay: Lay, registry: Registry
) -> None:
    folder = lay(graph("ensemble"))
    first = Run(folder / "members" / "learning_rate0.001-overlap16")
    if source:
        write_text(first.recipe_file, dump_recipe(graph("plain", plain=BASE | source).recipe))
        write_json(first.metrics_file, {})
    member = folder / "members" / "learning_rate0.001-overlap32"
    before = files_in(member)
    with pytest.raises(RunError, match=message):
        perform(reload_graph(member, registry).root, member, registry, silence, workers=ALONE)
    assert files_in(member) == before


class KilledError(BaseException):
    """Nothing is written any more."""


class Kill:
    """Lets so many changes of the file system through, and none after."""

    def __init__(self) -> None:
        self.left: int | None = None
        sys.addaudithook(self.audit)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.left is None:
            return
        writes = event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.truncate") or (
            event == "open" and isinstance(arguments[1], str) and any(mode in arguments[1] for mode in "wax+")
        )
        if writes:
            self.left -= 1
            if self.left < 0:
                raise KilledError

    @contextmanager
    def after(self, changes: int) -> Iterator[None]:
        self.left = changes
        try:
            yield
        finally:
            self.left = None


KILL = Kill()


@pytest.mark.parametrize(("kind", "mended"), [("pipeline", False), ("ensemble", False), ("folds", True)])
def test_who_is_killed_while_laying_out_goes_on(
    kind: str, mended: bool, graph: GraphOf, registry: Registry, tmp_path: Path
) -> None:
    given = graph(kind)
    other = graph(kind, **{kind: KINDS[kind] | {"seed": 9}}) if mended else given
    whole = tmp_path / "whole"
    make_folders(other, whole, check_graph(other, whole, registry, silence, only=()))
    expected = files_in(whole)
    files = check_graph(other, None, registry, silence, only=())
    moments = 0
    while True:
        folder = tmp_path / f"after-{moments}"
        if mended:
            make_folders(given, folder, check_graph(given, folder, registry, silence, only=()))
        try:
            with KILL.after(moments):
                make_folders(other, folder, files)
            break
        except KilledError:
            make_folders(other, folder, check_graph(other, folder, registry, silence, only=()))
            assert files_in(folder) == expected, moments
        moments += 1
    assert moments > 5
