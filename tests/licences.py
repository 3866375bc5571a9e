"""The licences of everything that is installed with qakit: ``docs/dev/licences.md``.

``python tests/licences.py`` prints the page, ``--write`` writes it; run it in the tested environment. The packages are
those of ``constraints.txt``, what they say of themselves is in their metadata: the expression (PEP 639) where there is
one, else the licence field, else the classifiers.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "dev" / "licences.md"
HEADER = """\
# Licences of the dependencies

Everything in `constraints.txt`, as each package's own metadata says. Written by `python tests/licences.py --write`; the
test suite compares it with what is installed, and refuses licences that are not on the list in `tests/licences.py`.

| package | version | licence |
|---|---|---|
"""

PERMISSIVE = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CNRI-Python", "ISC", "MIT", "MIT-CMU", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib",
}  # fmt: skip
WEAK_COPYLEFT = {"MPL-2.0", "LGPL-2.1-or-later", "LGPL-3.0-or-later", "Artistic-1.0"}
"""Binding for changes to the package itself, not for programs that use it."""
ALLOWED = PERMISSIVE | WEAK_COPYLEFT
OTHER_NAMES = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "artistic license": "Artistic-1.0",
    "bsd": "BSD-3-Clause",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "psfl": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
}
"""How packages without an expression spell it, in lower case."""


def pinned() -> dict[str, str]:
    """Name -> version of ``constraints.txt``."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def licence_of(package: str) -> str:
    """The licence as an expression of SPDX names, as far as the package says.

    Raises:
        PackageNotFoundError: it is not installed here.
    """
    about = metadata(package)
    expression = about.get("License-Expression")
    if expression:
        return str(expression)
    stated = (about.get("License") or "").strip()
    if stated and "\n" not in stated and len(stated) < 80 and names(_spdx(stated)) <= ALLOWED:
        return _spdx(stated)
    classifiers = [text for text in about.get_all("Classifier") or [] if text.startswith("License ::")]
    named = [_spdx(text.rpartition("::")[2].strip()) for text in classifiers if text.count("::") > 1]
    known = [name for name in named if name in ALLOWED]  # several classifiers are alternatives
    return " OR ".join(dict.fromkeys(known or named)) or stated.split("\n")[0][:80] or "unknown"


def names(expression: str) -> set[str]:
    """The licences that an expression cannot do without: of alternatives the allowed ones, if any."""
    needed: set[str] = set()
    for part in re.split(r"\s+AND\s+", expression.replace("(", "").replace(")", "")):
        choices = {choice.strip() for choice in re.split(r"\s+OR\s+", part)}
        needed |= choices & ALLOWED or choices
    return needed


def page() -> str:
    """The whole page. A package that is not installed here keeps its line."""
    before = {row.split("|")[1].strip(): row for row in _rows()}
    rows = []
    for package, version in pinned().items():
        try:
            rows.append(f"| {package} | {version} | {licence_of(package)} |")
        except PackageNotFoundError:
            rows.append(before.get(package, f"| {package} | {version} | unknown |"))
    return HEADER + "\n".join(rows) + "\n"


def _rows() -> list[str]:
    return PAGE.read_text("utf-8").removeprefix(HEADER).splitlines() if PAGE.is_file() else []


def _spdx(text: str) -> str:
    return OTHER_NAMES.get(text.lower(), text)


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page(), "utf-8")
    else:
        print(page(), end="")
