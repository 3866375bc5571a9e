"""Notebooks that qakit writes, executed: their cells as a program in a process of its own, without a Jupyter kernel;
``qakit`` is installed from the wheel that lies in their inputs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def start(notebook: Mapping[str, Any], folder: Path, inputs: Path, **variables: str) -> subprocess.Popen[str]:
    """Start it; stdout is a pipe. What it keeps lies in ``folder/working``, packages go to ``folder/packages``."""
    (folder / "working").mkdir(parents=True, exist_ok=True)
    cells = ("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    script = folder / "notebook.py"
    script.write_text("\n\n".join(cells), "utf-8")
    places = {
        "QAKIT_INPUT": inputs,
        "QAKIT_OUTPUT": folder / "working",
        "PIP_TARGET": folder / "packages",
        "PYTHONPATH": folder / "packages",
        "TMPDIR": folder,
        "HOME": folder,
        "QAKIT_CACHE": folder / "cache",
    }
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment |= {name: str(place) for name, place in places.items()} | variables
    return subprocess.Popen(
        [sys.executable, str(script)],
        cwd=folder / "working",
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
