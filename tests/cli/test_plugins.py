"""``qakit plugins``, and commands that plugins add."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, PositiveInt
from typer.testing import CliRunner, Result

from qakit import hookimpl
from qakit.cli import build_app, commands, plugins
from qakit.cli.plugins import view_settings
from qakit.components import Component, NoSettings, Settings
from qakit.errors import PluginFaultError
from qakit.problems import ProblemKind
from qakit.registry import Registry

Capture = pytest.CaptureFixture[str]


class Plugin(EntryPoint):
    """An entry point whose plugin is made of hooks given here."""

    def load(self) -> Any:
        found = HOOKS[self.name]
        if isinstance(found, Exception):
            raise found
        return type(self.name, (), {hook.__name__: staticmethod(hookimpl(hook)) for hook in found})


HOOKS: dict[str, Any] = {}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Registry]:
    """Makes these the only plugins, without commands: ``name=[hook, ...]`` or ``name=exception``."""

    def install(*, disabled: tuple[str, ...] = (), **hooks: Any) -> Registry:
        HOOKS.clear()
        HOOKS.update(hooks)
        registry = Registry.from_entry_points([Plugin(name, "m", "qakit") for name in hooks], disabled=disabled)
        monkeypatch.setattr(plugins, "load_registry", lambda: registry)
        for module in (commands, plugins):
            monkeypatch.setattr(module, "entry_points", lambda group: ())
        return registry

    return install


def run(*arguments: str) -> Result:
    """A ``qakit`` command line."""
    return CliRunner().invoke(build_app(), list(arguments))


class HeadSettings(Settings):
    layers: PositiveInt = Field(default=2, description="How many\n  layers.")
    pool: Literal["mean", "max"] | None = None
    path: str


HEAD = Component("deep_span", "A [bold]deep[/bold] head.", HeadSettings, lambda settings, runtime: None)


def qakit_register_heads() -> Any:
    return [HEAD]


def test_the_list_shows_name_package_version_summary_and_settings(installed: Any) -> None:
    installed(mine=[qakit_register_heads])
    result = run("plugins")
    assert result.exit_code == 0
    assert result.stdout == (
        "heads\n"
        "  deep_span  unknown unknown\n"
        "      A [bold]deep[/bold] head.\n"
        "      - layers: an integer greater than 0 = 2\n"
        "      - pool: 'mean' or 'max' or null = null\n"
        "      - path: text  (required)\n"
        "\n"
    )


def test_the_list_shows_the_problems_that_a_reader_declares(installed: Any) -> None:
    def qakit_register_readers() -> Any:
        odd = ProblemKind("odd_row", "a row that is odd")
        return [Component("rows", "Rows.", NoSettings, lambda settings, runtime: None, problems=(odd,))]

    installed(mine=[qakit_register_readers])
    assert "\n      - data.problems.odd_row: error | skip = error\n" in run("plugins").stdout
    (component,) = json.loads(run("plugins", "--json").stdout)["components"]
    (problem,) = component["problems"]
    assert (problem["name"], problem["meaning"], problem["default"]) == ("odd_row", "a row that is odd", "error")


def test_the_list_shows_what_is_wrong(installed: Any) -> None:
    installed(
        one=[qakit_register_heads], two=[qakit_register_heads], bad=RuntimeError("no\nluck"), off=[],
        disabled=("unknown:off", "typo"),
    )  # fmt: skip
    result = run("plugins", "--kind", "readers")
    assert result.stdout.splitlines() == [
        "readers",
        "  no installed plugin offers any",
        "",
        "broken: unknown:bad (unknown unknown): cannot be imported: RuntimeError: no luck",
        "switched off by QAKIT_DISABLE_PLUGINS: unknown:off (unknown unknown)",
        "warning: QAKIT_DISABLE_PLUGINS names 'typo', which matches no installed plugin",
    ]
    conflict = "conflict: more than one head is called 'deep_span': unknown:one (unknown unknown) and unknown:two"
    assert conflict in run("plugins").stdout


def test_json_has_it_all(installed: Any) -> None:
    installed(
        one=[qakit_register_heads], two=[qakit_register_heads], bad=RuntimeError("no luck"), off=[],
        disabled=("unknown:off", "typo"),
    )  # fmt: skip
    document = json.loads(run("plugins", "--json").stdout)
    assert [each["plugin"] for each in document["components"]] == ["unknown:one", "unknown:two"]
    assert document["components"][0]["settings"] == [
        {
            "name": "layers",
            "type": "an integer greater than 0",
            "required": False,
            "default": 2,
            "description": "How many layers.",
        },
        {"name": "pool", "type": "'mean' or 'max' or null", "required": False, "default": None, "description": ""},
        {"name": "path", "type": "text", "required": True, "default": None, "description": ""},
    ]
    assert document["conflicts"] == [{"kind": "heads", "name": "deep_span", "plugins": ["unknown:one", "unknown:two"]}]
    (broken,) = document["broken"]
    assert broken["error"] == "cannot be imported: RuntimeError: no luck"
    assert broken["traceback"].endswith("RuntimeError: no luck\n")
    assert [each["plugin"] for each in document["disabled"]] == ["unknown:off"]
    assert document["warnings"] == ["QAKIT_DISABLE_PLUGINS names 'typo', which matches no installed plugin"]
    assert json.loads(run("plugins", "--json", "--kind", "readers").stdout)["components"] == []


def test_an_unknown_kind_is_refused(installed: Any) -> None:
    installed()
    assert run("plugins", "--kind", "haeds").exit_code == 2


def test_types_and_defaults_read_as_in_the_recipe_reference() -> None:
    class Many(Settings):
        ratio: float = Field(default=0.5, ge=0, lt=1)
        words: list[str] = Field(default_factory=lambda: ["a", "“"])
        pairs: dict[str, tuple[int, ...]] = Field(default_factory=dict)
        size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
        limit: float = float("inf")
        text: str = Field(default="", min_length=0, max_length=3)

    assert [str(setting) for setting in view_settings(Many)] == [
        "ratio: a number of at least 0 and below 1 = 0.5",
        'words: a list of texts = ["a", "“"]',
        "pairs: a mapping of names to values (a list of integers) = {}",
        "size: an integer of at least 1 or 'auto' = \"auto\"",
        'limit: a number = "Infinity"',
        'text: text with a length of 0 to 3 = ""',
    ]
    assert view_settings(NoSettings) == ()


# ---------------------------------------------------------------------------------------------------- commands
COMMANDS = """
import typer

def hello():
    "Say hello."
    typer.echo("hello")

def other():
    typer.echo("other")

def strange(value: "NoSuchType"): ...

group = typer.Typer(help="Greetings.")
group.command("one")(hello)
group.command("two")(hello)
nothing = 1
"""


class Command(EntryPoint):
    """An entry point of the package ``greeter``, whose module is the text above."""

    def load(self) -> Any:
        if self.attr == "absent":
            raise SystemExit("stop\nnow")
        module: dict[str, Any] = {}
        exec(COMMANDS, module)
        return module[self.attr]


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes these the only commands of plugins: ``("name", "attribute")``."""

    def offer(*given: tuple[str, str]) -> None:
        found = [Command(name, f"greeter:{attribute}", "qakit.commands") for name, attribute in given]
        for module in (commands, plugins):
            monkeypatch.setattr(module, "entry_points", lambda group: found)

    return offer


def test_a_plugin_adds_a_command(offered: Any) -> None:
    offered(("greet", "hello"))
    result = run("greet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "hello\n", "")
    assert "greet  unknown unknown" in run("--help").stdout


def test_a_plugin_adds_a_family(offered: Any) -> None:
    offered(("greetings", "group"))
    assert run("greetings", "two").stdout == "hello\n"


@pytest.mark.parametrize(
    ("attribute", "problem"),
    [
        ("absent", "SystemExit: stop now (greeter:absent)"),
        ("strange", "NameError: name 'NoSuchType' is not defined (greeter:strange)"),
        ("nothing", "TypeError: it is neither a function nor a typer.Typer (greeter:nothing)"),
    ],
)
def test_a_command_that_cannot_be_used_says_so_and_the_others_go_on(
    offered: Any, installed: Any, attribute: str, problem: str
) -> None:
    installed()
    offered(("bad", attribute), ("greet", "hello"))
    assert run("greet").stdout == "hello\n"
    assert run("--help").exit_code == 0
    said = f"in command 'bad' of plugin unknown unknown: import fails: {problem}"
    error = run("bad").exception
    assert isinstance(error, PluginFaultError)
    assert str(error) == said
    listed = run("plugins").stdout
    assert said in listed
    assert "Say hello." in listed


def test_no_plugin_takes_a_command_of_qakit_or_of_another_plugin(offered: Any, installed: Any) -> None:
    installed()
    offered(("greet", "hello"), ("greet", "other"), ("train", "other"))
    assert run("greet").stdout == "hello\n"
    assert "Usage" in run("train", "--help").stdout
    listed = run("plugins")
    assert listed.stdout.splitlines()[-2:] == [
        "warning: the command 'greet' of plugin unknown:greet (unknown unknown) is left out: that name is taken",
        "warning: the command 'train' of plugin unknown:train (unknown unknown) is left out: that name is taken",
    ]
    assert len(json.loads(run("plugins", "--json").stdout)["warnings"]) == 2


def test_commands_are_switched_off_like_plugins(offered: Any, installed: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("QAKIT_DISABLE_PLUGINS", "unknown:greet")
    installed(disabled=("unknown:greet",))
    offered(("greet", "hello"), ("wave", "other"))
    assert run("greet").exit_code == 2
    assert run("wave").stdout == "other\n"
    assert "matches no installed plugin" not in run("plugins").stdout


def test_the_help_fits_80_columns_and_every_name_in_it_is_a_command() -> None:
    result = CliRunner().invoke(build_app(), ["--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})
    listed = result.stdout.partition("Commands:")[2].splitlines()
    assert len([line for line in listed if line.startswith("  ")]) == len([*commands.AllCommands()])
    for name in commands.COMMANDS:
        assert commands.AllCommands()[name].name == name
