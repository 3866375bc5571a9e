"""The notebook of a session, and the folder for Colab. What is particular to a training is in the code as literals."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

from qakit.files import replace_folder, write_json
from qakit.graph.nodes import Graph
from qakit.outputs import check_empty
from qakit.registry import Registry
from qakit.sessions.job import Job, Limits, pack
from qakit.sessions.kernels import Push
from qakit.sessions.record import Session
from qakit.submit.notebook import install, ipynb
from qakit.training.events import Listener


def push_of(session: Session, job: Job, *, follows: str | None) -> Push:
    """What is to be pushed.

    Args:
        follows: the id of the session whose output it continues.
    """
    owner = session.kernel.partition("/")[0]
    limits = job.limits
    return Push(
        session.kernel,
        json.dumps(notebook(session, job, follows=follows)),
        datasets=[f"{owner}/{slug}" for slug in job.datasets],
        competitions=list(job.competitions),
        kernels=[] if session.follows is None else [session.follows],
        machine=limits.machine,
        internet=limits.internet,
        seconds=round(3600 * limits.hours),
    )


def notebook(session: Session, job: Job, *, follows: str | None) -> dict[str, Any]:
    about = f"Session {session.number} of a training by qakit. Its output goes back with `qakit kaggle fetch`."
    order = job.order() | {"session": session.session_id, "follows": follows, "name": session.name}
    order |= job.elsewhere() | {"number": session.number, "training": session.folder}
    made = ipynb(about, f"{_BEGIN}{install(internet=job.limits.internet)}", f"{_ORDER}{order!r}\n{_TRAIN}")
    for cell in made["cells"]:  # files may have a list of lines; the server takes one text
        cell["source"] = "".join(cell["source"])
    return made


def order_of(text: str) -> dict[str, Any]:
    """The order in a notebook's text.

    Raises:
        ValueError: there is none.
    """
    for cell in json.loads(text)["cells"]:
        first, _, _ = "".join(cell["source"]).partition("\n")
        if first.startswith(_ORDER):
            try:
                return dict(ast.literal_eval(first.removeprefix(_ORDER)))
            except (SyntaxError, MemoryError, RecursionError) as error:
                raise ValueError(f"no session's order: {error}") from None
    raise ValueError("no session's notebook")


def colab_notebook(name: str, job: Job) -> dict[str, Any]:
    """The notebook for Colab (nbformat 4): its inputs lie in Drive, and so does the run, which it continues."""
    about = (
        f"Trains `{name}` with qakit. Put this folder into Drive as `{DRIVE.format(name)}`, choose a GPU under "
        "Runtime > Change runtime type, and run all cells. After a disconnect run them again: the training continues "
        "from its last checkpoint. The run is in `runs` beside this notebook."
    )
    order = job.order() | {"session": None, "follows": None, "name": name, "seconds": None}
    place = f"/content/drive/MyDrive/{DRIVE.format(name)}"
    installing = install(internet=job.limits.internet, inputs=place)
    training = _TRAIN.replace('"/kaggle/working"', 'INPUT / "runs"')
    return ipynb(about, f"{_BEGIN}{_MOUNT}{installing}", f"{_ORDER}{order!r}\n{training}")


DRIVE = "qakit/{}"
"""The folder in Drive for a training of some name."""

_MOUNT = """
try:
    from google.colab import drive
except ImportError:  # not on Colab: the folder is there
    pass
else:
    drive.mount("/content/drive")

"""

_ORDER = "ORDER = "

_BEGIN = """
import time

BEGAN = time.monotonic()
"""

_TRAIN = """
importlib.invalidate_caches()

from qakit.sessions.there import train

train(ORDER, inputs=INPUT, output=Path(os.environ.get("QAKIT_OUTPUT", "/kaggle/working")), began=BEGAN)
"""


def export_colab(graph: Graph, folder: Path, registry: Registry, listener: Listener) -> Path:
    """Write wheels, data and a notebook; returns the notebook.

    Raises:
        QakitError: the folder exists and is not empty, or what can be known before a training is wrong.
    """
    check_empty(folder)
    name = graph.recipe.name or "run"
    with replace_folder(folder) as fresh:
        job = pack(graph, fresh, registry, Limits(None, 0.0, internet=True), listener, competitions=False)
        write_json(fresh / f"{name}.ipynb", colab_notebook(name, job))
    return folder / f"{name}.ipynb"
