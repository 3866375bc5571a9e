"""``qakit plugins``, and commands that plugins add."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Annotated, Any, Literal

import pytest
import typer
from pydantic import Field, PositiveInt
from typer.testing import CliRunner, Result

from qakit import hookimpl
from qakit.cli import plugins
from qakit.cli.plugins import view_settings
from qakit.components import Component, NoSettings, Settings
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
    """Makes these the only plugins: ``name=[hook, ...]`` or ``name=exception``."""

    def install(*, disabled: tuple[str, ...] = (), **hooks: Any) -> Registry:
        HOOKS.clear()
        HOOKS.update(hooks)
        registry = Registry.from_entry_points([Plugin(name, "m", "qakit") for name in hooks], disabled=disabled)
        monkeypatch.setattr(plugins, "load_registry", lambda: registry)
        return registry

    return install


def run(*arguments: str) -> Result:
    """A command line with one core command, ``qakit plugins`` and what plugins add."""
    app = typer.Typer()

    @app.command()
    def train() -> None:
        typer.echo("core")

    app.command("plugins")(plugins.list_plugins)
    plugins.register_plugin_commands(app)
    return CliRunner().invoke(app, list(arguments))


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
        "      - layers: int > 0 = 2\n"
        '      - pool: "mean" | "max" | null = null\n'
        "      - path: str  (required)\n"
        "\n"
    )


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
        {"name": "layers", "type": "int > 0", "required": False, "default": 2, "description": "How many layers."},
        {"name": "pool", "type": '"mean" | "max" | null', "required": False, "default": None, "description": ""},
        {"name": "path", "type": "str", "required": True, "default": None, "description": ""},
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


def test_types_and_defaults_read_as_in_a_recipe() -> None:
    class Many(Settings):
        ratio: float = Field(default=0.5, ge=0, lt=1)
        words: list[str] = Field(default_factory=lambda: ["a", "“"])
        pairs: dict[str, tuple[int, ...]] = Field(default_factory=dict)
        size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
        limit: float = float("inf")
        text: str = Field(default="", min_length=0, max_length=3)

    assert [str(setting) for setting in view_settings(Many)] == [
        "ratio: float >= 0, < 1 = 0.5",
        'words: list[str] = ["a", "“"]',
        "pairs: dict[str, tuple[int, ...]] = {}",
        'size: int >= 1 | "auto" = "auto"',
        'limit: float = "Infinity"',
        'text: str length >= 0, length <= 3 = ""',
    ]
    assert view_settings(NoSettings) == ()


# ---------------------------------------------------------------------------------------------------- commands
def hello() -> None:
    typer.echo("hello")


def command_hook(name: str, function: Callable[..., Any] = hello) -> Callable[..., None]:
    def qakit_register_commands(app: typer.Typer) -> None:
        app.command(name)(function)

    return qakit_register_commands


def test_a_plugin_adds_a_command(installed: Any) -> None:
    installed(mine=[command_hook("greet")])
    result = run("greet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "hello\n", "")


def test_a_plugin_adds_a_group(installed: Any) -> None:
    def qakit_register_commands(app: typer.Typer) -> None:
        group = typer.Typer()
        group.command("one")(hello)
        group.command("two")(hello)
        app.add_typer(group, name="greetings")

    installed(mine=[qakit_register_commands])
    assert run("greetings", "two").stdout == "hello\n"


def test_a_failing_hook_is_a_warning_and_the_others_go_on(installed: Any, capsys: Capture) -> None:
    def qakit_register_commands(app: typer.Typer) -> None:
        app.command("half")(hello)
        raise SystemExit("stop\nnow")

    installed(bad=[qakit_register_commands], good=[command_hook("greet")])
    result = run("greet")
    assert (result.exit_code, result.stdout) == (0, "hello\n")
    assert capsys.readouterr().err == (
        "warning: the commands of plugin unknown:bad (unknown unknown) are left out: SystemExit: stop now\n"
    )
    assert run("half").exit_code == 2


def test_a_command_that_typer_cannot_handle_is_left_out(installed: Any, capsys: Capture) -> None:
    def strange(value: int) -> None: ...

    strange.__annotations__["value"] = "NoSuchType"
    installed(bad=[command_hook("strange", strange)])
    result = run("train")
    assert (result.exit_code, result.stdout) == (0, "core\n")
    assert "the commands of plugin unknown:bad (unknown unknown) are left out: " in capsys.readouterr().err


def test_no_plugin_takes_a_core_command_or_another_plugins(installed: Any, capsys: Capture) -> None:
    def other() -> None:
        typer.echo("other")

    installed(
        first=[command_hook("greet")], second=[command_hook("greet", other)], third=[command_hook("train", other)]
    )
    assert run("train").stdout == "core\n"
    capsys.readouterr()
    assert run("greet").stdout == "hello\n"
    assert capsys.readouterr().err == (
        "warning: the command 'greet' of plugin unknown:second (unknown unknown) is left out: that name is taken\n"
        "warning: the command 'train' of plugin unknown:third (unknown unknown) is left out: that name is taken\n"
    )
