"""Small plugin packages, as an installer would leave them: modules, and metadata with their entry points."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

PREAMBLE = """
from qakit.api import Component, NoSettings, Settings, hookimpl

def build(settings, runtime):
    return lambda prediction, example: prediction

def component(name, **changes):
    return Component(**({"name": name, "summary": "s", "settings": NoSettings, "build": build} | changes))
"""
"""What every module begins with."""

GOOD = """
@hookimpl
def qakit_register_postprocessors():
    return [component("trim")]
"""


def write_package(folder: Path, package: str, *, version: str, sources: Mapping[str, str]) -> list[str]:
    """Write a package whose entry points are ``sources``, name -> source; returns the names of its modules."""
    modules = []
    metadata = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    lines = ["[qakit]"]
    for name, source in sources.items():
        module = f"{package.replace('-', '_')}_{name}"
        (folder / f"{module}.py").write_text(PREAMBLE + textwrap.dedent(source))
        modules.append(module)
        lines.append(f"{name} = {module}")
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return modules
