"""A reader's desk: the checkout's recipes, small data and models in the places that the pages name, and a shell."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from documents.pages import ROOT
from hub import courses, datasets, models, shipped
from hub.http_side import TOKEN
from hub.server import HubServer

sys.path.append(str(ROOT / "tests" / "submit"))

from competitions import Competition
from kaggle_notebooks import Kernel, Notebooks, Runner, report_of

CUP, NOTEBOOKS = "qa-cup", "notebook-cup"
HW7, ADL = "ml2022spring-hw7", "ntu-adl-2025-hw-1"
RECIPE = f"""\
extends: recipes/quickstart.yaml
predict: {{character_scores: true}}
competition: {{slug: {CUP}, sample_submission: data/{CUP}/sample_submission.csv}}
"""
STUDY = "recipe: recipe.yaml\nset: {train.max_steps: 1}\n"
CUTS = {
    r"\bepochs: [\d.]+": "epochs: 1",
    r"\[1e-5, 2e-5, 3e-5\]": "[1e-5, 2e-5]",
    r"\[64, 128, 192\]": "[64, 128]",
}
"""What is shorter in the desk's recipes: fewer epochs and members."""
RUNS = """
for seed in 0 1 2; do qakit train recipe.yaml --set seed=$seed --output runs/trained-$seed --quiet; done
qakit ensemble runs/trained-0 runs/trained-1 --folder runs/both
qakit data convert test.json --reader squad --to parquet --rows 5 --output shards
"""
"""The runs that are lent: :func:`lend_runs`."""


def lay_out(desk: Path) -> None:
    """Fill an empty folder: ``recipes/`` with a sample of some questions, ``data/``, and files in many formats."""
    shutil.copytree(ROOT / "recipes", desk / "recipes", ignore=shutil.ignore_patterns("samples"))
    for recipe in (desk / "recipes").rglob("*.yaml"):  # the desk's package of MiniLM's name is smaller
        text = re.sub(r"^  sha256:.*\n", "", recipe.read_text("utf-8"), flags=re.MULTILINE)
        for long, short in CUTS.items():
            text = re.sub(long, short, text)
        recipe.write_text(text, "utf-8")
    sample, cup = desk / "recipes" / "samples", desk / "data" / CUP
    sample.mkdir()
    for split, name in (("train", "train"), ("validation", "dev"), ("test", "test")):
        rows = [row | {"context": f"{row['context']} {row['context']}"} for row in datasets.squad_rows(split)]
        write_squad(sample / f"squad-{name}.json", rows, labelled=split != "test")
        for folder in (cup, desk):
            write_squad(folder / f"{name}.json", rows, labelled=split != "test")
            write_table(folder / f"{name}.csv", questions(rows, labelled=split != "test"))
    answers = [{"id": row["id"], "answer": "mill"} for row in datasets.squad_rows("test")]
    write_table(cup / "sample_submission.csv", answers)
    for name in ("A", "B", "C"):
        write_table(desk / f"{name}.csv", answers)
    for name in ("answers", "pred"):
        given = {row["id"]: "mill" for row in datasets.squad_rows("validation")}
        (desk / f"{name}.json").write_text(json.dumps(given), "utf-8")
    courses.hw7(desk / "data" / HW7)
    courses.cmrc2018(desk / "data" / "cmrc2018")
    courses.adl(desk / "data" / ADL)
    courses.adl(desk / "data" / "adl-english", han=False)
    texts = [row["context"] for row in datasets.squad_rows("train")]
    (desk / "articles.txt").write_text("\n\n".join(texts), "utf-8")
    (desk / "text.txt").write_text(texts[0], "utf-8")
    (desk / "recipe.yaml").write_text(RECIPE, "utf-8")
    (desk / "study.yaml").write_text(STUDY, "utf-8")


def questions(rows: datasets.Rows, *, labelled: bool) -> list[dict[str, str]]:
    """Rows of a table."""
    return [
        {name: row[name] for name in ("id", "question", "context")}
        | ({"answer": row["answers"]["text"][0]} if labelled else {})
        for row in rows
    ]


def write_squad(file: Path, rows: datasets.Rows, *, labelled: bool) -> None:
    """A SQuAD file, each question in an article of its own."""

    def article(row: Mapping[str, Any]) -> dict[str, Any]:
        found = row["answers"]
        answers = [{"text": found["text"][0], "answer_start": found["answer_start"][0]}] if labelled else []
        asked = {"id": row["id"], "question": row["question"], "answers": answers}
        return {"title": row["id"], "paragraphs": [{"context": row["context"], "qas": [asked]}]}

    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"data": [article(row) for row in rows]}), "utf-8")


def write_table(file: Path, rows: Sequence[Mapping[str, str]], *, dialect: str = "excel") -> None:
    """CSV, or TSV."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]), dialect=dialect)
        writer.writeheader()
        writer.writerows(rows)


def competitions(desk: Path) -> list[Competition]:
    """What Kaggle has: the questions of the desk, for two competitions, the courses', and tweets."""
    cup, tweets = desk / "data" / CUP, courses.tweets(desk.parent / "tweets")
    held = {CUP: cup, NOTEBOOKS: cup, HW7: cup.parent / HW7, ADL: cup.parent / ADL}
    held["tweet-sentiment-extraction"] = tweets
    solution = {row["id"]: row["answers"]["text"][0] for row in datasets.squad_rows("test")}
    return [
        Competition(slug, contents(folder), solution, max_daily=100, kernels_only=slug == NOTEBOOKS)
        for slug, folder in held.items()
    ]


def contents(folder: Path) -> dict[str, bytes]:
    """All files, by path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def publish(hub: HubServer, desk: Path) -> None:
    """All that the recipes name, and a dataset for the name that the pages make up."""
    shipped.publish(hub)
    hub.publish("bert-base-uncased", models.files_of("bert-base-cased"))
    hub.publish_dataset("rajpurkar/squad", datasets.squad())
    hub.publish_dataset("ada/reads", {"test.json": (desk / "test.json").read_bytes(), "README.md": b"# Questions"})


def trained(run: Path) -> Runner:
    """Sessions at Kaggle that are over at once and have made this run."""

    def over(_: Notebooks, kernel: Kernel) -> None:
        kernel.outputs = report_of(kernel, "FINISHED", contents(run), progress="finished")
        kernel.status = "COMPLETE"

    return over


def lend_runs(script: str, desk: Path) -> None:
    """Trained runs under the names of those that a script takes and that are not there; none that it makes is."""
    made = re.findall(r"(?:--output|--folder|-o) runs/([\w-]+)(\$?)", script)
    for name, part in made:
        for lent in (desk / "runs").glob(f"{name}*" if part else name):
            shutil.rmtree(lent) if (lent / ".lent").exists() else None
    taken = dict.fromkeys(re.findall(r"\bruns/([\w-]*\w)(?![\w$*-])", script))
    for number, name in enumerate(taken):
        folder = desk / "runs" / name
        if name not in dict(made) and not folder.exists():
            shutil.copytree(desk / "runs" / f"trained-{number % 3}", folder)
            (folder / ".lent").touch()


PROGRAMS = {
    "qakit": 'exec {python} -m qakit "$@"',
    "python3": 'exec {python} "$@"',
    "torchrun": 'while [ "$1" != -m ]; do shift; done; exec {python} "$@"',
    "srun": 'exec "$@"',
    "scontrol": "echo localhost",
}
"""What the pages call: qakit in a forked process, and launchers that start one process of it."""


class Shell:
    """Runs scripts with the programs that the pages call.

    Args:
        folder: a new one, for programs, home and caches.
        python: stands in for Python; see ``fork_client.ForkServer``.
        variables: of the stand-ins for the hub and for Kaggle.
    """

    def __init__(self, folder: Path, python: Path, variables: Mapping[str, str]) -> None:
        programs = folder / "bin"
        programs.mkdir(parents=True)
        for name, text in PROGRAMS.items():
            (programs / name).write_text(f"#!/bin/sh\n{text.format(python=python)}\n", "utf-8")
            (programs / name).chmod(0o755)
        (folder / "packages").mkdir()
        path = (str(shipped.install_minilm(folder / "packages")), os.environ.get("PYTHONPATH"))
        self.environment = {
            **variables,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "QAKIT_CACHE": str(folder / "cache"),
            "BROWSER": "true",
            "CUDA_VISIBLE_DEVICES": "",
            "HF_TOKEN": TOKEN,
            "SLURM_JOB_ID": "7",
            "SLURM_NNODES": "1",
            "SLURM_ARRAY_TASK_ID": "3",
            "SLURM_ARRAY_TASK_COUNT": "8",
        }

    def run(self, script: str, desk: Path) -> None:
        """Run it in this folder as far as the first command that fails.

        Raises:
            AssertionError: that one, and what it said.
        """
        done = subprocess.run(
            ["bash", "-c", f"set -e -o pipefail; set -x\n{script}"],
            cwd=desk, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        if done.returncode:
            raise AssertionError(f"exit code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
