"""Prints the tested versions: ``python tests/constraints.py > constraints.txt``, in the environment that was tested.

Walks from ``pyproject.toml`` with all extras to every package that is needed, directly or not, on this machine.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
HEADER = """\
# The versions that the tests passed with, all extras included: `pip install -c constraints.txt ...`.
# Written by `python tests/constraints.py` in the tested environment; don't edit by hand.
"""


def normalised(name: str) -> str:
    """The package index's spelling."""
    return re.sub(r"[-_.]+", "-", name).lower()


def direct() -> list[Requirement]:
    """What ``pyproject.toml`` asks for, extras included."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    extras = [text for extra in project["optional-dependencies"].values() for text in extra]
    return [Requirement(text) for text in (*project["dependencies"], *extras)]


def needed() -> dict[str, str]:
    """Name -> installed version, without a local part such as ``+cpu``, of everything that is needed."""
    versions: dict[str, str] = {}
    todo = [(normalised(each.name), extra) for each in direct() for extra in ("", *each.extras)]
    seen: set[tuple[str, str]] = set()
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        versions[name] = Version(found.version).public
        for text in found.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                todo += [(normalised(requirement.name), each) for each in ("", *requirement.extras)]
    return versions


if __name__ == "__main__":
    print(HEADER + "\n".join(f"{name}=={version}" for name, version in sorted(needed().items())))
