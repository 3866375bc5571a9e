"""`qakit plugins new` and `qakit plugins check`: where authors begin, and how they know that it is right."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import Invoke
from offered import PACKAGES, installed

from qakit.cli.plugins.new import write_package
from qakit.components import KINDS, Kind
from qakit.recipe.load import load_recipe
from qakit.registry import load_registry, singular

ROOT = Path(__file__).resolve().parents[2]
EXTRA = ROOT / "docs" / "plugins" / "extra.md"
"""The guide's plugin with the most types."""
FAULTY = """
from qakit.api import Component, NoSettings, hookimpl

def build(settings, runtime):
    return lambda prediction, example: None

@hookimpl
def qakit_register_postprocessors():
    return [Component(name="faulty", summary="Returns nothing", settings=NoSettings, build=build)]
"""


def said(result: Any) -> str:
    return " ".join(f"{result.output} {result.exception}".split())


def run_tests(file: Path, folder: Path) -> int:
    """Run a test file's functions; returns how many there are."""
    spec = importlib.util.spec_from_file_location(f"tests_of_{file.parents[1].name}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = [each for name, each in vars(module).items() if name.startswith("test_")]
    for test in found:
        given = {"tmp_path": folder} if "tmp_path" in inspect.signature(test).parameters else {}
        test(**given)
    return len(found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_package_keeps_its_contract_and_a_recipe_can_name_it(kind: Kind, tmp_path: Path) -> None:
    package, metadata, empty = tmp_path / "qakit-mine", tmp_path / "metadata", tmp_path / "empty"
    metadata.mkdir()
    empty.mkdir()
    write_package(kind, "mine", package)
    with installed(package, metadata):
        assert run_tests(package / "tests" / "test_plugin.py", empty) == 2
        assert load_registry().get(kind, "mine").package == "qakit-mine"
        recipe = load_recipe(package / "recipe.yaml").recipe
        assert "mine" in recipe.model_dump_json()
    declares = ast.parse((package / "src" / "qakit_mine" / "__init__.py").read_text())
    modules = {each.module for each in ast.walk(declares) if isinstance(each, ast.ImportFrom)}
    assert modules == {"__future__", "collections.abc", "typing", "pydantic", "qakit.api"}, "start-up stays light"


@pytest.mark.slow
def test_new_packages_and_the_examples_are_typed_and_formatted(tmp_path: Path) -> None:
    for kind in KINDS:
        write_package(kind, f"my_{singular(kind)}", tmp_path / kind)
    (guide,) = re.findall(r"```python\n(.*?)```", EXTRA.read_text("utf-8"), flags=re.DOTALL)
    (tmp_path / "levels.py").write_text(guide)
    folders = [*tmp_path.glob("*/src/*"), *PACKAGES.glob("*/src/qakit_*")]
    sources = [*map(str, folders), str(tmp_path / "levels.py")]
    assert len(sources) > len(KINDS) + 1
    commands: list[tuple[Path, tuple[str, ...]]] = [
        (tmp_path, ("ruff", "format", "--check", "--line-length", "120", ".")),
        *(
            (tmp_path / kind, ("ruff", "check", "--select", "E,F,I,UP,B", "--line-length", "120", "."))
            for kind in KINDS
        ),
        (ROOT, ("mypy", "--config-file", "pyproject.toml", *sources)),  # what it knows of torch serves here, too
    ]
    bases = {str(folder.parent): None for folder in folders}
    for folder, command in commands:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            timeout=1200,
            env={**os.environ, "MYPYPATH": os.pathsep.join(bases)},
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_new_package_is_written_once(invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("plugins", "new", "head", "my_head")
    assert result.exit_code == 0, result.output
    assert "class MyHead(nn.Module)" in (tmp_path / "qakit-my-head" / "src" / "qakit_my_head" / "plugin.py").read_text()
    again = invoke("plugins", "new", "head", "my_head")
    assert (again.exit_code, "exists and is not empty" in said(again)) == (2, True)


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("haed", "mine", "no kind of component is called 'haed'; did you mean 'head'?; kinds: reader, preprocessor,"),
        ("head", "My-Head", "'My-Head' is no name: lower-case letters"),
        ("head", "heads", "there is a package qakit_heads already: choose another name"),
    ],
)
def test_what_cannot_be_written_is_one_line(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("plugins", "new", kind, name)
    assert (result.exit_code, message in said(result)) == (2, True), said(result)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["none", "batch", "a__b_", "head", "head_2"])
def test_names_that_are_words_of_python_or_of_the_template_do_no_harm(tmp_path: Path, name: str) -> None:
    write_package("heads", name, tmp_path / "package")
    for file in (tmp_path / "package").rglob("*.py"):
        compile(file.read_text(), file, "exec")
    text = (tmp_path / "package" / "src" / f"qakit_{name}" / "plugin.py").read_text()
    (made,) = [each.name for each in ast.parse(text).body if isinstance(each, ast.ClassDef)]
    assert made not in ("None", "Batch")


def test_check_runs_the_contract_of_a_package(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    write_package("postprocessors", "mine", tmp_path / "package")
    with installed(tmp_path / "package", tmp_path / "metadata"):
        result = invoke("plugins", "check", "qakit-mine")
        assert (result.exit_code, result.output) == (0, "postprocessor mine: keeps the contract\n")
        missing = invoke("plugins", "check", "qakit-mine", "--component", "other")
        assert "qakit-mine offers no component called 'other'" in said(missing)
    assert "qakit-mine offers no component" in said(invoke("plugins", "check", "qakit-mine"))


def test_check_says_what_it_needs_of_a_reader(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    write_package("readers", "mine", tmp_path / "package")
    (tmp_path / "examples.tsv").write_text("when?|It comes twice a day.|twice\n")
    with installed(tmp_path / "package", tmp_path / "metadata"):
        assert "what it reads needs a file: --input" in said(invoke("plugins", "check", "qakit-mine"))
        given = ("--input", tmp_path / "examples.tsv", "--settings", "{separator: '|'}")
        assert "reader mine: keeps the contract" in said(invoke("plugins", "check", "qakit-mine", *given))
        wrong = invoke("plugins", "check", "qakit-mine", "--input", tmp_path / "examples.tsv")
        assert (wrong.exit_code, "has 1 cells, not 3" in said(wrong)) == (2, True)
        assert "write them like" in said(invoke("plugins", "check", "qakit-mine", "--settings", "3"))
        unfit = invoke("plugins", "check", "qakit-mine", "--settings", "{separator: 3}")
        assert "the rest needs settings that fit (separator)" in said(unfit)


def test_check_of_a_file_finds_what_is_wrong(invoke: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "faulty.py"
    file.write_text(FAULTY)
    result = invoke("plugins", "check", file)
    assert result.exit_code == 2
    assert "postprocessor faulty: " in result.output
    assert "1 of 1 component failed" in said(result)
    assert "faulty" not in invoke("plugins", "--kind", "postprocessors", "--json").stdout
    assert "nowhere.py cannot be read" in said(invoke("plugins", "check", "nowhere.py"))
