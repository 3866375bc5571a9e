"""A run's folder may be called anything that is accepted: every command opens it then."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qakit.ensembling.load import load_ensemble
from qakit.errors import UsageError
from qakit.files import atomic_path
from qakit.outputs import check_name
from qakit.recipe.model import BackboneSection, DataSection, PluginRef, Recipe
from qakit.registry import load_registry
from qakit.report.curves import draw_curves
from qakit.runs import create_run, list_runs, open_run
from qakit.submit.notebook import short_name

ODD = [
    "my $run_1$ 模型",
    ".hidden",
    "_a[b]*~ x#?%20&y a::b C:x a #b: c,d=e",
    "'quoted' \"twice\" %s{}\\ 🦆",
    "ä" * 127,
    "e\u0301",
]
NAMES = st.text(
    st.one_of(st.sampled_from(list(" _-~$.[]*?%#:'\"\\{}()&,=中é\n")), st.characters()), min_size=1, max_size=90
)


@pytest.fixture(scope="module")
def members(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs in a folder whose name is odd already."""
    root = tmp_path_factory.mktemp("members") / "$ runs 中"
    root.mkdir()
    for name in ("_one $", "-".join(["two"] * 20)):
        shutil.copytree(small_run, root / name)
    return [root / "_one $", root / "-".join(["two"] * 20)]


def check_opens(name: Path, other: Path, invoke: Any, test: Path, folder: Path) -> None:
    """What is done with a run, done with this one."""
    commands = (
        ("runs", "show", name),
        ("runs", "list", folder),
        ("predict", name, "--input", test, "--output", folder / f"{name.name[:40]}.csv"),
        ("compare", name, other, "--output", folder / "compared"),
    )
    for command in commands:
        done = invoke(*command)
        assert done.exit_code == 0, (command, done.output, done.exception)


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_an_ensemble_may_be_called_anything(
    name: str, members: list[Path], small_data: Path, tmp_path: Path, invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("runs") / name
    done = invoke("ensemble", *members, "--folder", folder, "--quiet")
    assert done.exit_code == 0, done.output
    check_opens(folder, members[0], invoke, small_data / "test.json", tmp_path)
    assert not [path for path in Path("runs").iterdir() if path.name != name], "nothing beside it"


@pytest.mark.sweep(3)
@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_a_run_may_be_called_anything(
    name: str,
    members: list[Path],
    small_recipe: Path,
    small_data: Path,
    tmp_path: Path,
    invoke: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, quoted = Path("runs") / name, json.dumps(str(tmp_path / "exported" / name), ensure_ascii=False)
    done = invoke("train", small_recipe, "--output", folder, "--quiet", "--set", "train.max_steps=2")
    assert done.exit_code == 0, done.output
    check_opens(folder, members[0], invoke, small_data / "test.json", tmp_path)
    for command in (
        ("evaluate", folder, "--json"),
        ("train", "--resume", "--output", folder, "--quiet"),
        ("export", folder, "--merge", "--output", Path("exported") / name),
        ("train", small_recipe, "--dry-run", "--set", f"backbone.source={quoted}"),
    ):
        done = invoke(*command)
        assert done.exit_code == 0, (command, done.output, done.exception)


@pytest.mark.parametrize("name", ODD[:4])
def test_commands_that_are_told_can_be_pasted(
    name: str, members: list[Path], tmp_path: Path, invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(members[0], folder := Path("r") / name)
    done = invoke("train", "--resume", "--output", folder)
    told = re.findall("(qakit (?:ask|predict) .*)", done.stdout)
    assert [shlex.split(command)[2] for command in told] == [str(folder)] * 2


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("~/runs/one", "the shell has left ~ as it is"),
        ("-one", "reads as an option"),
        ("ä" * 128, "more than 255 bytes"),
        ("two\nlines", "control characters"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        ("train", "RECIPE", "-o"),
        ("ensemble", "RUN", "RUN", "--folder"),
        ("pretrain", "RECIPE", "-o"),
        ("export", "RUN", "--merge", "-o"),
    ],
    ids=lambda command: command[0],
)
def test_other_names_are_refused_before_anything_is_done(
    command: tuple[str, ...],
    name: str,
    why: str,
    small_recipe: Path,
    tmp_path: Path,
    invoke: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    given_to = {"RECIPE": str(small_recipe), "RUN": "nowhere"}
    done = invoke(*(given_to.get(part, part) for part in command), name)
    assert done.exit_code == 2
    assert isinstance(done.exception, UsageError)
    assert why in str(done.exception)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", [*ODD, "a?b"])
def test_a_study_may_be_called_anything(name: str, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    from qakit.study.folder import StudyFolder
    from qakit.study.load import load_study
    from qakit.study.search import open_search

    file, folder = tmp_path / "one.yaml", StudyFolder(tmp_path / "studies" / name)
    file.write_text("recipe: one.yaml\nsearch: {space: {train.epochs: {integer: [1, 3]}}}\n", "utf-8")
    loaded = load_study(file)
    for _ in range(2):
        folder.begin(loaded, ["qakit"])
        open_search(loaded, folder)
    assert [path.name for path in folder.path.parent.iterdir()] == [name], "nothing beside it"
    assert folder.journal.is_file()


def test_members_of_an_ensemble_recipe_may_be_called_anything(tmp_path: Path) -> None:
    folder = tmp_path / "[x] *"
    for name in ("[a]", "b", "c?d"):
        (folder / name).mkdir(parents=True)
    recipe = folder / "ensemble.yaml"
    for members, found in (
        (["./[a]", "./b"], ["[a]", "b"]),
        (["./*"], ["[a]", "b", "c?d"]),
        (["./c?d", "./[[]a]"], ["c?d", "[a]"]),
    ):
        recipe.write_text(json.dumps({"ensemble": {"members": members}}), "utf-8")
        assert [path.name for path in load_ensemble(recipe, load_registry()).members] == found


RECIPE = Recipe(name="one", data=DataSection(reader=PluginRef(name="squad")), backbone=BackboneSection(source="x"))


@settings(max_examples=60, deadline=None)
@given(NAMES)
def test_whatever_is_accepted_can_be_made_found_and_replaced(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "names" / name
    if "\0" in name or "/" in name or name in (".", ".."):
        return
    try:
        check_name(folder)
    except UsageError:
        return
    run = create_run(RECIPE, folder, others={"part/one.json": "{}"})
    try:
        assert open_run(folder).recipe().name == "one"
        assert run.name in [each.name for each in list_runs(folder.parent)]
        with atomic_path(run.metrics_file) as temporary:
            temporary.write_text(json.dumps({"run": str(folder)}), "utf-8")
        assert run.read_json(run.metrics_file) == {"run": str(folder)}
    finally:
        shutil.rmtree(folder)


@pytest.mark.usefixtures("drawn_pictures")
@pytest.mark.parametrize("name", ["$", "$x_", "\\frac", "_leading", "模型 $\\bad{$"])
def test_a_name_is_no_formula(name: str, tmp_path: Path) -> None:
    assert draw_curves([{"type": "train", "step": 1, "loss": 1.0}], tmp_path / "curves.png", title=name)


@settings(max_examples=200)
@given(NAMES, NAMES)
def test_two_runs_have_two_names_on_kaggle(one: str, other: str) -> None:
    for name in (one, other):
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", short := short_name(name, 36))
        assert len(short) <= 36
    assert (short_name(one, 36) == short_name(other, 36)) == (one == other)
