"""Competitions that take notebooks only: what to bring to Kaggle, and submitting what the notebook made there."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.errors import UsageError
from qakit.files import carry_over, names_in, replace_folder, write_json
from qakit.numbers import load_json
from qakit.outputs import check_output
from qakit.submit.offline import pack_run

if TYPE_CHECKING:
    from qakit.runs import Run

_NOTEBOOK = re.compile(r"(?:https?://(?:www\.)?kaggle\.com/(?:code/)?)?(?P<owner>[\w-]+)/(?P<name>[\w-]+)/?")
_NAME = re.compile(r"[A-Za-z0-9_-]+")
TWO_T4 = "NvidiaTeslaT4"
"""Kaggle's name of the accelerator with two of them."""
LONGEST_TITLE = 50
"""Kaggle's limit, in characters; the shortest is 6."""


def notebook_name(text: str) -> str:
    """``owner/name`` from itself or the notebook's address.

    Raises:
        UsageError: it is neither.
    """
    match = _NOTEBOOK.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no notebook: give USER/NAME as in its address, kaggle.com/code/USER/NAME")
    return f"{match['owner']}/{match['name']}"


@dataclass(frozen=True, slots=True)
class Export:
    """What was written for Kaggle."""

    dataset: Path
    notebook: Path
    dataset_id: str
    notebook_id: str
    requirements: tuple[str, ...]


def export_run(run: Run, folder: Path, *, user: str, slug: str) -> Export:
    """Write a dataset (a run of any kind, and wheels) and a notebook that predicts with it, offline.

    Raises:
        UsageError: the folder exists and is not such an export, or the run names no test file.
        RunError: the run, a stage of the pipeline, or a member has no model.
        OutputError: the folder cannot be written, or the wheel cannot be built.
    """
    from qakit.data.splits import contexts_setting
    from qakit.recipe.hub_data import is_on_hub
    from qakit.registry import load_registry

    recipe = run.recipe()
    if not _NAME.fullmatch(user):
        raise UsageError(f"--user {user}: this is no user name of Kaggle's, as in kaggle.com/USER")
    if recipe.data.test is None:
        raise UsageError(
            f"the recipe of {run.folder} names no test file (data.test), so the notebook has none to answer"
        )
    if not isinstance(recipe.data.test, str) or is_on_hub(recipe.data.test):
        raise UsageError(
            f"the recipe of {run.folder} has its test questions from the hub (data.test), and the notebook has no "
            "network: train with the competition's own file"
        )
    if folder.exists() and not (folder / "dataset" / "dataset-metadata.json").is_file() and any(folder.iterdir()):
        raise UsageError(f"{folder} exists and holds something else; choose another folder")
    check_output(folder)
    name = f"qakit-{short_name(run.name, LONGEST_TITLE - len('qakit--predict'))}"
    title = name.replace("-", " ")
    with replace_folder(folder) as fresh:
        dataset, notebook = fresh / "dataset", fresh / "notebook"
        dataset.mkdir()
        notebook.mkdir()
        requirements = pack_run(run, dataset, load_registry())
        about = {"title": title, "id": f"{user}/{name}", "licenses": [{"name": "other"}], "isPrivate": True}
        write_json(dataset / "dataset-metadata.json", about)
        write_json(notebook / "kernel-metadata.json", _kernel(user, name, title, slug))
        contexts = contexts_setting(recipe)
        named = None if contexts is None else Path(contexts).name
        write_json(notebook / f"{name}.ipynb", _ipynb(name, Path(recipe.data.test).name, named))
        _keep_others(folder, fresh)
    return Export(folder / "dataset", folder / "notebook", f"{user}/{name}", f"{user}/{name}-predict", requirements)


def _keep_others(before: Path, fresh: Path) -> None:
    """What the user has put into an earlier export (wheels of further packages) goes into the new one."""
    try:
        code = load_json((before / "notebook" / "kernel-metadata.json").read_text("utf-8"))["code_file"]
    except (OSError, ValueError, KeyError, TypeError):
        code = None
    own = re.compile(r"dataset/(run/.*|[^/]*\.whl|requirements\.txt|dataset-metadata\.json)")
    ours = {"notebook/kernel-metadata.json", f"notebook/{code}"}
    others = [name for name in names_in(before) if not (own.fullmatch(name) or name in ours)]
    carry_over(before, fresh, [name for name in others if not (fresh / name).exists()])


def short_name(run: str, longest: int) -> str:
    """A run's name for Kaggle's addresses, which have small ASCII letters, digits and single hyphens alone.

    What a name loses by that is made up for by a hash of it: two runs have two names.
    """
    kept = "-".join(re.findall(r"[a-z0-9]+", run.lower()))
    if kept and kept == run and len(kept) <= longest:
        return kept
    digest = hashlib.sha256(run.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{kept[: longest - len(digest) - 1].strip('-')}-{digest}".strip("-")


def _kernel(user: str, name: str, title: str, slug: str) -> dict[str, Any]:
    return {
        "id": f"{user}/{name}-predict",
        "title": f"{title} predict",
        "code_file": f"{name}.ipynb",
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": True,
        "machine_shape": TWO_T4,  # else it may be a P100, for which today's torch has no kernels
        "enable_internet": False,
        "dataset_sources": [f"{user}/{name}"],
        "competition_sources": [slug],
        "kernel_sources": [],
        "model_sources": [],
    }


def _ipynb(dataset: str, test_file: str, contexts_file: str | None = None) -> dict[str, Any]:
    """The notebook (nbformat 4).

    The files' names, which a recipe may have from anybody, get into the code as literals and nowhere else.
    """
    names = f"TEST_FILE = {test_file!r}\nCONTEXTS_FILE = {contexts_file!r}\n"
    about = f"Answers the test file with the model in the dataset `{dataset}`, without a network."
    return ipynb(about, install(internet=False), f"{names}{_PREDICT}")


def ipynb(about: str, *code: str) -> dict[str, Any]:
    """A notebook (nbformat 4): what it does, and its cells."""
    return {
        "cells": [_cell("markdown", about), *(_cell("code", each) for each in code)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 4,
    }


def install(*, internet: bool, inputs: str = "/kaggle/input") -> str:
    """The cell that brings qakit, and what it needs and the image lacks; it names ``INPUT`` and ``dataset``."""
    return f"INTERNET = {internet}\nINPUTS = {inputs!r}\n{_INSTALL}"


def _cell(kind: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": text.strip().splitlines(keepends=True)}
    return cell | {"execution_count": None, "outputs": []} if kind == "code" else cell


_INSTALL = '''
import email
import glob
import importlib.metadata
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

INPUT = Path(os.environ.get("QAKIT_INPUT", INPUTS))
dataset = next(path.parent for path in sorted(INPUT.rglob("qakit-*.whl")))
wheels = sorted(dataset.glob("*.whl"))


def lacking():
    """What the wheels need and this image has not, or in a version that will not do."""
    from packaging.requirements import Requirement

    for wheel in wheels:
        with zipfile.ZipFile(wheel) as opened:
            metadata = next(name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
            lines = email.message_from_bytes(opened.read(metadata)).get_all("Requires-Dist") or []
        for need in map(Requirement, lines):
            if need.marker is not None and not need.marker.evaluate({"extra": ""}):
                continue
            try:
                found = importlib.metadata.version(need.name)
            except importlib.metadata.PackageNotFoundError:
                found = None
            if found is None or not need.specifier.contains(found, prereleases=True):
                need.marker = None
                yield need


pip = [sys.executable, "-m", "pip", "install", "--quiet", "--find-links", str(dataset)]
pip += [part for folder in INPUT.rglob("wheels") for part in ("--find-links", str(folder))]
if not INTERNET:
    pip.append("--no-index")
subprocess.run([*pip, "--no-deps", *map(str, wheels)], check=True)
missing = list(lacking())
if missing and all(need.name != "torch" for need in missing):
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as kept:  # the image's torch is made for its GPUs
        print("torch==" + importlib.metadata.version("torch"), file=kept, flush=True)
        subprocess.run([*pip, "--constraint", kept.name, *map(str, missing)], check=False)
    missing = list(lacking())
if missing:
    names = " ".join(repr(str(need)) for need in missing)
    raise SystemExit(
        "this image lacks " + names + ": on a machine with a network, run `pip download -d wheels " + names
        + "` (for Linux and this Python) and add the folder `wheels` to the dataset"
    )
'''

_PREDICT = """
os.environ["QAKIT_CACHE"] = tempfile.mkdtemp()
os.environ["HF_HUB_OFFLINE"] = "1"


def found(name):
    files = [path for path in sorted(INPUT.rglob(glob.escape(name))) if dataset not in path.parents]
    if len(files) != 1:
        raise SystemExit(f"{name!r}: expected one such file in {INPUT}, found {[str(path) for path in files]}")
    return str(files[0])


gpus = len(glob.glob("/dev/nvidia[0-9]*"))
launch = ["-m", "torch.distributed.run", "--nproc-per-node", str(gpus)] if gpus > 1 else []
predict = [sys.executable, *launch, "-m", "qakit", "predict", str(dataset / "run")]
if CONTEXTS_FILE is not None:
    predict += ["--contexts", found(CONTEXTS_FILE)]
subprocess.run([*predict, "--input", found(TEST_FILE), "--output", "submission.csv"], check=True)
"""
