"""``qakit plugins new``: an installable package with an example of a kind of component, and its tests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from qakit.cli.terminal.console import err, plain
from qakit.components import KINDS, Kind, singular
from qakit.discovery import NAME_PATTERN, suggestion
from qakit.errors import UsageError
from qakit.files import replace_folder, write_text
from qakit.outputs import check_empty, new_folder
from qakit.registry import PROTOCOLS

TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True, slots=True)
class Example:
    """What the example of a kind is, beside the template of its code."""

    summary: str
    setting: str
    """A field of its settings."""
    recipe: str
    """Lines of a recipe that name it as ``NAME``."""
    checks: str
    """Lines of a test, with its ``COMPONENT`` and ``SETTINGS``."""
    runtime: str = "NoRuntime"


_CHECK = "{check}(COMPONENT, SETTINGS)"
_IN_A_FOLDER = "{check}(COMPONENT, SETTINGS, tmp_path)"
_READ = """\
path = tmp_path / "examples.tsv"
path.write_text("when?\\tIt comes twice a day.\\ttwice\\nwho?\\n", "utf-8")
{check}(COMPONENT, SETTINGS, path, policies={{"bad_row": "skip"}}, count=1)"""
EXAMPLES: dict[Kind, Example] = {
    "readers": Example(
        "Lines of question, context and answer",
        'separator: str = Field(default="\\t", min_length=1, description="What stands between the three.")',
        "data:\n  reader: NAME",
        _READ,
    ),
    "preprocessors": Example(
        "Windows side by side",
        'overlap: int = Field(default=32, ge=0, description="Tokens that neighbouring windows share.")',
        "preprocess:\n  predict: NAME",
        _CHECK,
        "WindowRuntime",
    ),
    "backbones": Example(
        "A bidirectional GRU over the tokens",
        'width: int = Field(default=128, ge=1, le=4096, description="Size of the embeddings and of each direction.")',
        "backbone:\n  architecture: NAME",
        _CHECK,
        "BackboneRuntime",
    ),
    "adapters": Example(
        "Parameters with a word in their name train",
        'word: str = Field(default="norm", min_length=1, description="The word, in lower case.")',
        "adapter: NAME",
        _CHECK,
    ),
    "heads": Example(
        "Start and end scores from a linear layer",
        'dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout before the linear layer.")',
        "head: NAME",
        _CHECK,
        "HeadRuntime",
    ),
    "postprocessors": Example(
        "Takes characters off both ends of an answer",
        'characters: str = Field(default=" ,.;:!?", description="The characters.")',
        "postprocess:\n- NAME",
        _CHECK,
    ),
    "ensemblers": Example(
        "The answer that most members give",
        'tie: str = Field(default="first", pattern="^(first|last)$", description="Whose answer wins a tie.")',
        "folds:\n  combine: NAME",
        _CHECK,
    ),
    "writers": Example(
        "Lines of id and answer",
        'separator: str = Field(default="\\t", min_length=1, description="What stands between the two.")',
        "writer: NAME",
        _IN_A_FOLDER,
    ),
    "metrics": Example(
        "The share of answers that are a gold answer",
        'ignore_case: bool = Field(default=True, description="Whether upper and lower case are the same.")',
        "metric: NAME",
        _CHECK,
    ),
    "observers": Example(
        "A line for each logged step",
        'file: str = Field(default="losses.tsv", pattern="^[a-z0-9_.-]+$", description="Its name in the run.")',
        "observers:\n- NAME",
        _IN_A_FOLDER,
        "ObserverRuntime",
    ),
}


def new(
    kind: Annotated[str, typer.Argument(help="reader, preprocessor, backbone, adapter, head, postprocessor, ...")],
    name: Annotated[str, typer.Argument(help="What recipes call it: lower-case letters, digits, underscores.")],
    output: Annotated[
        Path | None, typer.Option(help="The package's folder; by default qakit-NAME.", callback=new_folder)
    ] = None,
) -> None:
    """Write an installable package with a working example of a component, its tests and types.

    Example: qakit plugins new head my_head
    """
    known = {singular(each): each for each in KINDS}
    chosen = known.get(kind.removesuffix("s"))
    if chosen is None:
        raise UsageError(f"no kind of component is called {kind!r}{suggestion(kind, known)}; kinds: {', '.join(known)}")
    if NAME_PATTERN.fullmatch(name) is None:
        raise UsageError(f"{name!r} is no name: lower-case letters, digits and underscores, starting with a letter")
    if find_spec(f"qakit_{name}") is not None:
        raise UsageError(f"there is a package qakit_{name} already: choose another name")
    folder = output or Path(f"qakit-{name.replace('_', '-')}")
    check_empty(folder, instead="")
    write_package(chosen, name, folder)
    err.print(plain(f"{folder}: pip install -e '{folder}[dev]', then see its README.md"))


def write_package(kind: Kind, name: str, folder: Path) -> None:
    """Write the package of a component.

    Args:
        kind: of component.
        name: the component's.
        folder: the package's; nothing may be there.

    Raises:
        OutputError: it cannot be written.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    example, package = EXAMPLES[kind], f"qakit_{name}"
    camel = "".join(word.capitalize() for word in name.split("_"))
    ending = singular(kind).capitalize()
    values = {
        "kind": kind,
        "name": name,
        "package": package,
        "distribution": re.sub("-+", "-", package.replace("_", "-")).strip("-"),
        "class": camel if camel.endswith(ending) else camel + ending,
        "constant": name.upper(),
        "protocol": PROTOCOLS[kind].__name__,
        "check": f"check_{singular(kind)}",
        "summary": example.summary,
        "setting": example.setting,
        "runtime": example.runtime,
        "recipe": example.recipe.replace("NAME", name),
    }
    further = ["ProblemKind"] if kind == "readers" else []
    values["imported"] = ", ".join(sorted(["Component", "Settings", values["protocol"], example.runtime, *further]))
    values["tested"] = ", ".join(sorted([values["check"], "check_component"]))
    checks = example.checks.format(check=values["check"]).replace("COMPONENT", values["constant"])
    values["checks"] = checks.replace("SETTINGS", f"{values['class']}Settings()")
    loader = FileSystemLoader(TEMPLATES)
    # Texts and code, no HTML.
    environment = Environment(
        loader=loader, undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    source = Path("src") / package
    files = {
        "pyproject.toml": "pyproject.toml.jinja",
        "README.md": "README.md.jinja",
        "recipe.yaml": "recipe.yaml.jinja",
        str(source / "__init__.py"): "__init__.py.jinja",
        str(source / "plugin.py"): f"{kind}.py.jinja",
        "tests/test_plugin.py": "test_plugin.py.jinja",
    }
    with replace_folder(folder) as temporary:
        for place, template in files.items():
            (temporary / place).parent.mkdir(parents=True, exist_ok=True)
            write_text(temporary / place, environment.get_template(template).render(values))
        (temporary / source / "py.typed").touch()
