"""``qakit recipes`` as a user calls it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qakit.cli import build_app
from qakit.errors import RecipeError, UsageError

GOOD = "description: A good one.\ndata: {reader: squad}\nbackbone: {source: some-model}\n"
RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "good.yaml").write_text(GOOD)
    (folder / "child.yaml").write_text("extends: good.yaml\ntrain: {epochs: 5}\n")
    (folder / "bad.yaml").write_text("extends: good.yaml\ntrain: {epocs: 5}\nseed: x\n")
    return CliRunner()


def call(runner: CliRunner, *arguments: str) -> tuple[int, str]:
    result = runner.invoke(build_app(), ["recipes", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_list_shows_good_and_bad(runner: CliRunner) -> None:
    code, text = call(runner, "list", "--json")
    assert code == 0
    assert json.loads(text) == {
        "folder": "recipes",
        "recipes": [
            {
                "path": "recipes/bad.yaml",
                "name": "bad",
                "extends": [],
                "description": "invalid: 2 problems",
                "about": None,
                "valid": False,
            },
            {
                "path": "recipes/child.yaml",
                "name": "child",
                "extends": ["recipes/good.yaml"],
                "description": "",
                "about": None,
                "valid": True,
            },
            {
                "path": "recipes/good.yaml",
                "name": "good",
                "extends": [],
                "description": "A good one.",
                "about": None,
                "valid": True,
            },
        ],
    }
    code, text = call(runner, "list")
    assert "recipes/good.yaml" in text
    assert "invalid: 2 problems" in text


def test_lists_are_filtered_by_what_recipes_say_they_are_for(runner: CliRunner) -> None:
    def listed(*words: str) -> list[str]:
        return [row["name"] for row in json.loads(call(runner, "list", "--json", *words)[1])["recipes"]]

    about = "about: {task: span, language: zh, device: cpu, hours: 0.5}\n"
    Path("recipes/small.yaml").write_text(GOOD + about)
    Path("recipes/grown.yaml").write_text("extends: small.yaml\n")  # says nothing of itself
    assert listed() == ["bad", "child", "good", "grown", "small"]
    assert listed("--task", "span") == listed("--language", "ZH", "--device", "cpu") == ["small"]
    assert listed("--max-hours", "1") == ["small"]
    assert listed("--max-hours", "0.1") == listed("--task", "classification") == listed("--device", "gpu") == []
    assert "span, zh, cpu, 0.5 h" in call(runner, "list")[1]


def test_every_recipe_of_qakits_own_says_what_it_is_for() -> None:
    from qakit.cli.recipes import _said

    silent = [path.name for path in RECIPES.rglob("*.yaml") if (about := _said(path)) is None or about.task is None]
    assert silent == []


def test_list_of_a_folder_without_recipes(runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert call(runner, "list", "empty", "--json") == (
        0,
        json.dumps({"folder": "empty", "recipes": []}, indent=2) + "\n",
    )
    with pytest.raises(UsageError, match="nowhere is no folder"):
        call(runner, "list", "nowhere")


def test_list_falls_back_to_the_recipes_that_came_with_qakit(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = tmp_path / "installed" / "bundled"
    bundled.mkdir(parents=True)
    (tmp_path / "recipes").rename(bundled / "recipes")
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path / "installed")
    shown = json.loads(call(runner, "list", "--json")[1])
    assert shown["folder"] == str(bundled / "recipes")
    assert [row["name"] for row in shown["recipes"]] == ["bad", "child", "good"]


def test_an_editable_install_has_the_recipes_of_its_checkout(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "qakit").mkdir(parents=True)
    (tmp_path / "recipes").rename(checkout / "recipes")
    monkeypatch.setattr("importlib.resources.files", lambda package: checkout / "qakit")
    with pytest.raises(RecipeError, match="good: file not found"):  # beside a package alone, it may be anyone's folder
        call(runner, "show", "good")
    (checkout / "pyproject.toml").touch()
    assert call(runner, "show", "good")[0] == 0
    assert json.loads(call(runner, "list", "--json")[1])["folder"] == str(checkout / "recipes")


def test_a_recipe_named_without_its_folder_is_suggested(runner: CliRunner, tmp_path: Path) -> None:
    for folder in ("glue", "other"):
        (tmp_path / "recipes" / folder).mkdir()
    (tmp_path / "recipes" / "glue" / "sst2.yaml").write_text(GOOD)
    with pytest.raises(RecipeError, match=r"sst2: file not found\s+hint: did you mean 'glue/sst2'\?"):
        call(runner, "show", "sst2")
    (tmp_path / "recipes" / "other" / "sst2.yaml").write_text(GOOD)
    with pytest.raises(RecipeError, match="did you mean 'glue/sst2', 'other/sst2'"):
        call(runner, "show", "sst2.yaml")
    with pytest.raises(RecipeError, match=r"nosuch: file not found\s+hint: qakit recipes list shows"):
        call(runner, "show", "nosuch")
    with pytest.raises(RecipeError, match=r"nosuch.yaml: file not found$"):  # a file, not a name of qakit's
        call(runner, "show", "nosuch.yaml")


def test_a_folder_is_no_recipe(runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (".", "recipes"):
        with pytest.raises(RecipeError, match=f"{re.escape(name)}: this is a folder: name a recipe file in it"):
            call(runner, "show", name)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(RecipeError, match="recipes: file not found"):
        call(runner, "show", "recipes")


@pytest.mark.parametrize("name", ["ss2", "sst-2.yaml", "glue/ss2", "recipes/glue/sst22"])
def test_a_misspelt_recipe_is_suggested(name: str, runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "recipes" / "glue").mkdir()
    (tmp_path / "recipes" / "glue" / "sst2.yaml").write_text(GOOD)
    with pytest.raises(RecipeError, match=r"file not found\s+hint: did you mean 'glue/sst2'\?"):
        call(runner, "show", name)


def test_validate_finds_a_recipe_by_name_as_train_does(runner: CliRunner) -> None:
    assert call(runner, "validate", "good", "child.yaml")[0] == 0
    code, text = call(runner, "validate", "nosuch")
    assert code == 2 and "nosuch: file not found" in text


def test_show_aligns_the_origins(runner: CliRunner) -> None:
    code, text = call(runner, "show", "recipes/child.yaml", "--set", "seed=7")
    lines = text.splitlines()
    assert code == 0
    marked = [line for line in lines if "# " in line and len(line.partition("#")[0]) < 60]
    assert len({line.index("#") for line in marked}) == 1
    found = {line.partition("#")[0].strip(): line.partition("# ")[2] for line in lines}
    assert found["epochs: 5.0"] == "recipes/child.yaml:2:17"
    assert found["source: some-model"] == "recipes/good.yaml:3:20"
    assert found["seed: 7"] == "--set seed=7"
    assert found["name: child"] == "default"
    assert found["train:"] == ""


def test_what_show_prints_is_the_recipe(runner: CliRunner, tmp_path: Path) -> None:
    from qakit.recipe.load import load_recipe, load_resolved

    _, text = call(runner, "show", "recipes/child.yaml")
    (tmp_path / "shown.yaml").write_text(text)
    assert load_resolved(tmp_path / "shown.yaml") == load_recipe("recipes/child.yaml").recipe


def test_show_as_json(runner: CliRunner) -> None:
    _, text = call(runner, "show", "recipes/child.yaml", "--json")
    shown = json.loads(text)
    assert shown["recipe"]["train"]["epochs"] == 5
    assert shown["provenance"]["train.epochs"] == "recipes/child.yaml:2:17"
    assert shown["extends"] == ["recipes/good.yaml"]
    assert len(shown["hash"]) == 64


def test_show_of_a_bad_recipe_is_an_error(runner: CliRunner) -> None:
    with pytest.raises(RecipeError, match=r"recipes/bad\.yaml:2:9: unknown key 'epocs' in train"):
        call(runner, "show", "recipes/bad.yaml")


def test_validate_reports_every_issue_of_every_file(runner: CliRunner) -> None:
    code, text = call(runner, "validate")
    assert code == 2
    assert "recipes/bad.yaml:2:9: unknown key 'epocs' in train" in text
    assert "recipes/bad.yaml:3:7: seed should be an integer" in text
    assert "ok  recipes/child.yaml\nok  recipes/good.yaml\n" in text


def test_validate_as_json(runner: CliRunner) -> None:
    code, text = call(runner, "validate", "--json", "recipes/bad.yaml", "recipes/good.yaml", "gone.yaml")
    bad, good, gone = json.loads(text)["recipes"]
    assert code == 2
    assert [(issue["line"], issue["column"], issue["path"]) for issue in bad["issues"]] == [
        (2, 9, "train.epocs"),
        (3, 7, "seed"),
    ]
    assert bad["issues"][0]["hint"] == "did you mean 'epochs'?"
    assert good == {"path": "recipes/good.yaml", "valid": True, "issues": []}
    assert gone["issues"][0]["message"] == "file not found"


def test_validate_good_ones(runner: CliRunner) -> None:
    assert call(runner, "validate", "recipes/good.yaml") == (0, "ok  recipes/good.yaml\n")


def test_validate_can_look_for_the_data(runner: CliRunner) -> None:
    arguments = ("validate", "recipes/good.yaml", "--set", "data.train=gone.json")
    assert call(runner, *arguments)[0] == 0
    code, text = call(runner, *arguments, "--check-files")
    assert code == 2
    assert "data.train: file not found:" in text


def test_validate_without_a_folder(runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"There is no folder \./recipes here"):
        call(runner, "validate")


def test_schema_goes_to_a_file(runner: CliRunner, tmp_path: Path) -> None:
    code, text = call(runner, "schema", "--output", "out/schema.json")
    assert (code, text) == (0, "")
    written = json.loads((tmp_path / "out" / "schema.json").read_text())
    assert written["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(call(runner, "schema")[1]) == written


def test_the_projects_own_recipes_are_valid(runner: CliRunner) -> None:
    files = list(RECIPES.rglob("*.yaml"))
    assert files
    code, text = call(runner, "validate", str(RECIPES))
    assert code == 0
    assert text.count("ok  ") == len(files)
