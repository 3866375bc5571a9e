"""The documentation does not rot: links lead somewhere; commands, recipe values and messages are those of the code."""

from __future__ import annotations

import ast
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from command_line import Invoke
from documents import pages
from documents.pages import PAGES, ROOT, Command

from qakit.cli import build_app
from qakit.errors import QakitError
from qakit.recipe.found import found_recipe
from qakit.recipe.load import load_recipe
from qakit.recipe.model import Recipe
from qakit.recipe.other_tools import NAMES
from qakit.registry import load_registry

QUICKSTART = ROOT / "recipes" / "quickstart.yaml"
TAKE_RECIPES = {"train", "kaggle train", "ladder", "pretrain", "study run", "recipes show", "recipes validate"}
TAKE_RECIPE_VALUES = {"train", "ladder", "evaluate", "predict", "ask", "serve", "recipes show", "recipes validate"}
READERS_OWN = {"mine", "data", "three", "NAME"}
"""Recipes in recipes/ that the pages tell the reader to write."""
OTHERS = {
    "qakit train quickstart --num-train-epochs 3": "what the message is for",
    "qakit name": "a plugin's command",
}


@pytest.fixture(scope="module")
def app() -> Any:
    return typer.main.get_command(build_app())


def problem(app: Any, command: Command) -> str | None:
    """Why the command line could not be typed; None where it could."""
    found, words, path = app, list(command.words), []
    while hasattr(found, "commands") and words and not words[0].startswith("-"):
        if words[0] not in found.commands:
            return f"there is no command {words[0]!r}"
        path.append(words.pop(0))
        found = found.commands[path[-1]]
    if hasattr(found, "commands") or words == ["--help"]:
        return None
    try:
        values, rest, _ = found.make_parser(found.context_class(found)).parse_args(list(words))
    except Exception as error:  # typer's own classes have no public names
        mentioned = not command.typed and "requires an argument" in str(error)
        return None if mentioned else str(error)
    missing = [each.name for each in found.params if each.required and values.get(each.name) in (None, (), [])]
    if rest or (command.typed and missing):
        return f"without {', '.join(missing)}" if missing else f"unexpected: {' '.join(rest)}"
    given = [text for each in found.params if "--set" in each.opts for text in values.get(each.name) or ()]
    return wrong_recipe(" ".join(path), values) or wrong_value(" ".join(path), given)


def wrong_recipe(path: str, values: dict[str, Any]) -> str | None:
    """Of a command's arguments, what should be one of qakit's recipes and is none."""
    given = values.get("recipe") or values.get("recipes") or values.get("study") or ()
    for text in (given,) if isinstance(given, str) else given:
        ours = text.startswith("recipes/") or re.fullmatch(r"[a-z0-9/-]+", text)
        if path not in TAKE_RECIPES or not ours or Path(text).stem in READERS_OWN or (ROOT / text).exists():
            continue
        try:
            if not found_recipe(Path(text)).exists():
                return f"there is no recipe {text}"
        except QakitError as error:
            return str(error)
    return None


def wrong_value(path: str, given: list[str]) -> str | None:
    """What is wrong with a command's ``--set`` in a recipe's terms; without placeholders and pipelines' own values."""
    own = [re.sub(r"^(span|selection)\.", "", text) for text in given]
    texts = [text for text in own if not re.search(r"=.*(\.\.\.|\$)|=[A-Z]+$|^combine\.|^folds\.fold=", text)]
    if path in TAKE_RECIPE_VALUES and texts:
        reader = ["data.reader=table"] if any(text.startswith("data.reader.") for text in texts) else []
        try:
            load_recipe(QUICKSTART, [*reader, *texts])
        except QakitError as error:
            return str(error)
    return None


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_every_command_can_be_typed(page: Path, app: Any) -> None:
    found = [command for command in pages.commands(page) if command.line not in OTHERS]
    assert {command.line: why for command in found if (why := problem(app, command))} == {}


@pytest.mark.parametrize(
    "line",
    [
        "qakit trian boss",
        "qakit train boss --stride 3",
        "qakit train bos",
        "qakit train recipes/bos.yaml",
        "qakit kaggle train hw7/boss",
        "qakit train boss --set train.epoch=1",
        "qakit train boss --set head=linear",
        "qakit train boss --set adapter.rnk=1",
        "qakit train boss boss",
        "qakit predict RUN --input FILE --output FILE --set predict.longest=3",
        "qakit recipes show boss --set train.epoch=1",
        "qakit view",
        "$ QAKIT_HW7=data torchrun --nproc-per-node 8 -m qakit train boss --outptu x # to x",
    ],
)
def test_a_wrong_command_is_found(tmp_path: Path, app: Any, line: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n```\n{line}\n```\n", "utf-8")
    (command,) = pages.commands(page)
    assert problem(app, command)


def test_most_commands_are_looked_at() -> None:
    assert sum(1 for page in PAGES for _ in pages.commands(page)) > 350


def test_the_recipes_that_are_named_exist() -> None:
    folders = "|".join(path.name for path in QUICKSTART.parent.iterdir() if path.is_dir())
    named = {span for page in PAGES for span in pages.spans(page) if re.fullmatch(rf"({folders})/[\w-]+", span)}
    assert len(named) > 10
    assert [name for name in named if not (QUICKSTART.parent / f"{name}.yaml").exists()] == []


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=pages.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in pages.links(page):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in pages.anchors(file)):
            broken.append(target)
    assert broken == []


def test_the_site_has_every_page() -> None:
    def listed(entries: list[dict[str, Any]]) -> list[str]:
        targets = [target for entry in entries for target in entry.values()]
        return [page for target in targets for page in (listed(target) if isinstance(target, list) else [target])]

    nav = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]["nav"]
    assert sorted(listed(nav)) == sorted(page.relative_to(ROOT / "docs").as_posix() for page in PAGES[1:])


def examples(page: Path) -> list[dict[str, Any]]:
    """The top-level entries of the YAML blocks that are a recipe's, each by itself: a block may show alternatives."""
    found: list[dict[str, Any]] = []
    for language, text in pages.blocks(page):
        entries = re.split(r"^(?=\w)", text, flags=re.MULTILINE) if language == "yaml" else []
        values = [yaml.safe_load(entry) for entry in entries if re.match(r"\w", entry)]
        if all(set(value) <= {*Recipe.model_fields, "reader"} for value in values):
            found += values
    return found


@pytest.mark.parametrize(
    "page", [page for page in PAGES if examples(page) and "plugins" not in pages.name(page)], ids=pages.name
)
def test_the_recipes_of_the_pages_are_right(page: Path, tmp_path: Path) -> None:
    registry, path = load_registry(), tmp_path / "example.yaml"
    for values in examples(page):
        whole = {"data": values} if "reader" in values else values
        path.write_text(yaml.safe_dump({"extends": str(QUICKSTART), **whole}), "utf-8")
        load_recipe(path, registry=registry)


def test_the_messages_of_the_faq_are_those_of_the_code() -> None:
    sources = [path for folder in ("qakit", "plugins") for path in (ROOT / folder).rglob("*.py")]
    nodes = [node for path in sources for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    said = "\n".join(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    page = (ROOT / "docs" / "faq.md").read_text("utf-8").partition("## Questions")[0]
    rows = re.findall(r"^\| (`.*?`) \| ", page, flags=re.MULTILINE)
    parts = [part for row in rows for text in re.findall(r"`([^`]+)`", row) for part in text.split("...")]
    assert len(rows) > 30
    assert [part for part in parts if part.strip(" ()?,:;'") not in said] == []


def test_the_first_recipe_is_told_its_mistakes_as_the_page_shows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    texts = [text for _, text in pages.blocks(ROOT / "docs" / "index.md")]
    mine = next(text for text in texts if text.startswith("extends: quickstart.yaml"))
    shown = next(text for text in texts if text.startswith("$ qakit recipes validate recipes/mine.yaml\n"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    shutil.copy(QUICKSTART, tmp_path / "recipes")
    (tmp_path / "recipes" / "mine.yaml").write_text(mine, "utf-8")
    result = invoke("recipes", "validate", "recipes/mine.yaml")
    assert (result.exit_code, result.output) == (2, shown.partition("\n")[2])


def test_the_names_of_other_tools_are_those_that_are_recognised() -> None:
    page = (ROOT / "docs" / "coming-from.md").read_text("utf-8")
    table = page.partition("## Arguments")[2].partition("The names of")[0]
    rows = re.findall(r"^\| (`.*) \| (`.*) \|$", table, flags=re.MULTILINE)
    known = {name: ours for theirs, ours in rows for name in re.findall(r"`(\w+)`", theirs) if name in NAMES}
    assert len(known) > 45
    assert [name for name, ours in known.items() if NAMES[name].partition("=")[0] not in ours] == []
