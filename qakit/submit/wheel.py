"""A wheel of the qakit that is running, for a machine without a network.

From a checkout it is built; an ordinary installation is packed up again from the files that it recorded.
"""

from __future__ import annotations

import base64
import email
import hashlib
import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from qakit.errors import OutputError

if TYPE_CHECKING:
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry

NAME = "qakit"
OWN_NOTES = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})
"""What an installer adds to a distribution's metadata."""


def make_wheel(folder: Path, *, name: str = NAME) -> Path:
    """Write the wheel of an installed distribution into ``folder``.

    Raises:
        OutputError: it cannot be built; says what to do.
    """
    distribution = importlib.metadata.distribution(name)
    here = Path(__file__).parents[2]
    running = name == NAME and (here / "pyproject.toml").is_file()
    source = here if running else _checkout(distribution)
    return _packed(distribution, folder) if source is None else _built(source, folder)


def make_wheels(
    recipes: Iterable[Recipe], folder: Path, registry: Registry, *, further: Iterable[str] = ()
) -> list[Path]:
    """Write qakit's wheel into ``folder``, and those of other packages whose plugins the recipes name.

    Args:
        further: other packages whose wheels are wanted.

    Raises:
        OutputError: one cannot be built; says what to do.
    """
    packages = {*further, *(package for recipe in recipes for package in plugin_packages(recipe, registry))}
    return [make_wheel(folder, name=name) for name in (NAME, *sorted(packages - {NAME}))]


def plugin_packages(recipe: Recipe, registry: Registry) -> set[str]:
    """The packages of the plugins that a recipe names.

    Raises:
        UsageError: one is a plugin file.
    """
    from qakit.plugin_code import refuse_file
    from qakit.recipe.dump import recipe_data
    from qakit.recipe.model import PLUGIN_FIELDS

    packages = set()
    for place, kind in PLUGIN_FIELDS.items():
        value: Any = recipe_data(recipe)
        for part in place.split("."):
            value = (value or {}).get(part)
        named = value if isinstance(value, list) else [] if value is None else [value]
        packages |= {registry.get(kind, each["name"]).package for each in named}
    for package in sorted(packages):
        refuse_file(package)
    return packages


def needs_of(wheel: Path) -> list[str]:
    """The names of the packages that a wheel needs, extras left out."""
    with zipfile.ZipFile(wheel) as opened:
        metadata = next(name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        lines = email.message_from_bytes(opened.read(metadata)).get_all("Requires-Dist") or []
    matches = [re.match(r"[A-Za-z0-9._-]+", str(line)) for line in lines if "extra ==" not in str(line)]
    return [match[0] for match in matches if match]


def requirements_of(wheels: Sequence[Path]) -> tuple[str, ...]:
    """What wheels need beside each other, as ``name==version`` of what is installed here."""
    brought = {_canonical(wheel.name.partition("-")[0]) for wheel in wheels}
    needed = {_canonical(name): name for wheel in wheels for name in needs_of(wheel)}
    found = []
    for canonical, name in needed.items():
        if canonical in brought:
            continue
        try:
            found.append(f"{name}=={importlib.metadata.version(name).partition('+')[0]}")
        except importlib.metadata.PackageNotFoundError:
            found.append(name)
    return tuple(found)


def _canonical(name: str) -> str:
    """A distribution's name as installers compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _checkout(distribution: importlib.metadata.Distribution) -> Path | None:
    """The source folder of an editable installation."""
    text = distribution.read_text("direct_url.json")
    origin = json.loads(text) if text else {}
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlsplit(origin["url"]).path))


def _built(source: Path, folder: Path) -> Path:
    if importlib.util.find_spec("hatchling") is not None:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder.resolve())]
    else:
        command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(folder.resolve()), "."]
    before = set(folder.glob("*.whl"))
    try:
        done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False, timeout=600)
    except (OSError, subprocess.SubprocessError) as error:
        raise OutputError(f"the wheel of {source} cannot be built: {error}") from None
    made = sorted(set(folder.glob("*.whl")) - before)
    if done.returncode or not made:
        last = next(
            (line for line in reversed((done.stderr or done.stdout).splitlines()) if line.strip()), "no message"
        )
        raise OutputError(f"the wheel of {source} cannot be built ({last}); pip install hatchling")
    return made[0]


def _packed(distribution: importlib.metadata.Distribution, folder: Path) -> Path:
    """The installed files as a wheel again (PEP 427)."""
    name, version = distribution.metadata["Name"].replace("-", "_"), distribution.version
    target, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    lines = []
    with zipfile.ZipFile(target, "x", zipfile.ZIP_DEFLATED) as wheel:
        for file in distribution.files or ():
            inside = file.as_posix()
            skipped = inside.startswith(("..", "/")) or "__pycache__" in inside
            if skipped or (inside.startswith(f"{info}/") and file.name in OWN_NOTES):
                continue
            content = file.read_binary()
            wheel.writestr(inside, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            lines.append(f"{inside},sha256={digest},{len(content)}")
        if not lines:
            raise OutputError(f"the installation of {name} does not say which files it has; install it with pip")
        wheel.writestr(f"{info}/RECORD", "\n".join([*lines, f"{info}/RECORD,,"]) + "\n")
    return target
