"""An environment with the oldest packages that a hand-in is for, installed once into a folder by pip.

It takes 2 to 3 GB and minutes, so it is made only where ``QAKIT_OLD_ENVIRONMENT`` names the folder (`make test-old`
does). A folder that is an environment with torch and transformers already is used as it is.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

VARIABLE = "QAKIT_OLD_ENVIRONMENT"
OLDEST = ("torch==2.1.2", "transformers==4.50.0", "numpy<2")
"""What graders of 2025 have. torch 2.1 is for Python 3.8 to 3.11."""
LATER = ("torch==2.6.0", "transformers==4.50.0")
"""For interpreters that have no wheels of those."""
SECONDS = 1200
"""That all installing may take, downloads included."""


class NotInstalledError(Exception):
    """pip's reason."""


def old_python(folder: Path, *, seconds: float = SECONDS) -> Path:
    """The environment's interpreter; it is made by Python 3.10, else with the oldest packages that this Python has.

    Raises:
        NotInstalledError: nothing could be installed within that time.
    """
    python = folder.absolute() / "bin" / "python"
    if _works(python):
        return python
    reason, deadline = "", time.monotonic() + seconds
    for interpreter, packages in [*((each, OLDEST) for each in _interpreters()), (sys.executable, LATER)]:
        shutil.rmtree(folder, ignore_errors=True)
        reason = _failure([interpreter, "-m", "venv", str(folder)], deadline) or _failure(
            [str(python), "-m", "pip", "install", "--disable-pip-version-check", "-q", *packages], deadline
        )
        if not reason and _works(python):
            return python
    shutil.rmtree(folder, ignore_errors=True)
    raise NotInstalledError(reason or "what pip installed cannot be imported")


def _works(python: Path) -> bool:
    imports = [str(python), "-c", "import torch, transformers, numpy, safetensors"]
    return python.exists() and subprocess.run(imports, capture_output=True, check=False).returncode == 0


def _interpreters() -> Iterator[str]:
    """Python 3.10 as `python3.10`, or as pyenv keeps it where that is not chosen; then this one."""
    for command in (["python3.10", "-c", "import sys; print(sys.executable)"], ["pyenv", "prefix", "3.10"]):
        if shutil.which(command[0]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            found = Path(done.stdout.strip())
            if done.returncode == 0:
                yield str(found / "bin" / "python" if found.is_dir() else found)
    yield sys.executable


def _failure(command: list[str], deadline: float) -> str:
    """Why a command failed: its first line that tells of an error; "" where it did not."""
    remaining = max(deadline - time.monotonic(), 0.01)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=remaining, check=False)
    except subprocess.TimeoutExpired:
        return f"{' '.join(command[1:4])}: not done in time"
    if done.returncode == 0:
        return ""
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("ERROR", "Error"))] or lines[-1:] or ["it said nothing"]
    return told[0]
