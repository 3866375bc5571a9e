"""Whether code that came with a recipe or a run may be run on this machine.

A plugin file is code, and a run holds the text of those that it was made with. So opening a run would run whatever its
sender wrote. It does not: code is run only where the user of this machine has agreed to exactly this text, known by its
SHA-256. They agree by naming the file (``qakit --plugin FILE``), by answering yes on a terminal, or with
``QAKIT_TRUST_CODE``. What was agreed to is kept in the user's own configuration, never beside a recipe or run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from qakit.errors import PluginError, UsageError
from qakit.system import home_folder

if TYPE_CHECKING:
    from qakit.plugin_code import PluginCode

TRUST_VARIABLE = "QAKIT_TRUST_CODE"
"""Environment variable: SHA-256 hashes of plugin files that may be run, comma-separated."""
Ask = Callable[[str], bool]

asked_by: ContextVar[Ask | None] = ContextVar("asked_by", default=None)
"""How the user is asked; None where there is nobody to ask."""


def agreed_file() -> Path:
    """Where a user's agreements are kept: one hash and name a line.

    Raises:
        UsageError: the user has no home folder.
    """
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else home_folder() / ".config") / "qakit" / "trusted-code"


def agree(code: PluginCode) -> None:
    """Note that the user agrees to this text: for this process and those that it starts, and from now on."""
    if is_agreed(code):
        return
    known = os.environ.get(TRUST_VARIABLE, "")
    os.environ[TRUST_VARIABLE] = f"{known},{code.sha256}" if known else code.sha256
    with suppress(OSError, UsageError):  # then it is asked again another time
        file = agreed_file()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        with file.open("a", encoding="utf-8") as kept:
            kept.write(f"{code.sha256}  {code.file}\n")


def is_agreed(code: PluginCode) -> bool:
    """Whether the user has agreed to this text."""
    if code.sha256 in [each.strip() for each in os.environ.get(TRUST_VARIABLE, "").split(",")]:
        return True
    try:
        lines = agreed_file().read_text("utf-8", errors="replace").splitlines()
    except (OSError, UsageError):
        return False
    return any(line.partition(" ")[0] == code.sha256 for line in lines)


def check_agreed(code: PluginCode, *, holder: Path) -> None:
    """Make sure that the user agrees, asking where that is possible.

    Args:
        code: what is to be run.
        holder: the recipe that holds or names it.

    Raises:
        PluginError: they do not; says how to.
    """
    if is_agreed(code):
        return
    ask = asked_by.get()
    what = f"{holder} brings code along, the plugin {code.file} (sha256 {code.sha256})"
    if ask is not None and ask(what):
        agree(code)
        return
    raise PluginError(
        f"{what}, and it was not run: nobody on this machine has agreed to it. Read it (there, under "
        f"`plugins`), and then set {TRUST_VARIABLE} to its sha256, or give `qakit --plugin FILE ...` with the same file"
    )
