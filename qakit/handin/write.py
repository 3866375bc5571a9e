"""A run of any kind as a folder that graders run: the predictor, weights, scripts, training, curves, a report.

::

    FOLDER/
      run.sh download.sh README.md report.md SHA256SUMS
      predict.py settings.json     the stand-alone predictor, and what it is told
      model/                       weights and tokenizer; of several models, a folder for each
      train/                       train.sh, recipes, qakit's wheel, requirements.txt
      figures/                     plot.py, curves.json, a PNG for each training
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from qakit import __version__
from qakit.data.splits import CONTEXTS, contexts_setting, read_split, split_files
from qakit.data.template import backend_copy
from qakit.errors import OutputError, QakitError, RunError, UsageError
from qakit.files import file_sha256, replace_folder, write_json, write_text
from qakit.handin.course import Course, Measured, Rule, check
from qakit.handin.report import report_text
from qakit.handin.scripts import DOWNLOAD, README, filled, predictor, run_script, train_script
from qakit.handin.settings import Described, describe, reader_settings, writer_settings
from qakit.inference.output import choice_names, names_of_contexts, sample_submission
from qakit.modeling.backbones import load_tokenizer
from qakit.modeling.export import export_merged
from qakit.modeling.folder import read_layout
from qakit.names import quoted
from qakit.outputs import check_empty
from qakit.recipe.dump import recipe_data, yaml_lines
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.report.view_data import training_log
from qakit.runs import Run

HERE = Path(__file__).parent
Answer = Callable[[Path, Path], int]
"""Writes qakit's own answers to a file of questions into another file; returns how many."""


@dataclass(frozen=True, slots=True)
class Handin:
    """What was written."""

    folder: Path
    command: str
    """How graders run it."""
    compared: Mapping[Path, int]
    """The files that were answered twice, with their numbers of questions."""
    rules: tuple[Rule, ...]


def write_handin(
    run: Run, folder: Path, course: Course, questions: Path | None, registry: Registry, answer: Answer
) -> Handin:
    """Write the folder, whole or not at all.

    Args:
        run: a run, a pipeline of two stages, an ensemble, or folds.
        folder: where to; absent or empty.
        course: whose rules it is checked against.
        questions: the file whose answers are compared with qakit's; by default the recipe's validation files.
        registry: the installed plugins.
        answer: qakit's own way to answer.

    Raises:
        UsageError: the predictor, or the course, cannot do what the run does; or there is nothing to compare.
        RunError: a part is not trained or not there, or the predictor answers otherwise than qakit does.
        OutputError: the folder cannot be written.
    """
    check_empty(folder)
    recipe = run.recipe()
    reader = reader_settings(run, recipe, registry)
    if course.readers is not None and reader["format"] not in course.readers:
        raise UsageError(
            f"{run.folder} reads {reader['format']}, and the files of {course.title} are "
            f"{', '.join(course.readers)}: choose another --course, such as plain"
        )
    arguments = list(course.arguments or (["CONTEXT"] if reader["format"] == "adl" else []) + ["TEST", "OUTPUT"])
    writer, suffix = writer_settings(run, recipe, registry, course.output)
    described = describe(run, registry)
    described.answers["choices"] = list(names_of_contexts(sample_submission(recipe), choice_names(recipe)))
    files = _to_compare(run, recipe, questions)
    names = {
        place: place.removeprefix("model").strip("/").replace("/", "-") or "training" for place in described.models
    }
    with replace_folder(folder) as fresh:
        for place, each in described.models.items():
            _copy_model(each, fresh / place, registry)
        settings = {"arguments": arguments, "reader": reader, "answers": described.answers, "writer": writer}
        write_json(fresh / "settings.json", settings)
        write_text(fresh / "predict.py", predictor(settings))
        _write_script(fresh / "run.sh", run_script(arguments))
        _write_script(fresh / "download.sh", DOWNLOAD)
        sums = [f"{file_sha256(file)}  {file.relative_to(fresh)}\n" for file in sorted((fresh / "model").rglob("*.*"))]
        write_text(fresh / "SHA256SUMS", "".join(sums))
        compared, seconds = {}, 0.0
        for file in files:
            compared[file], took = _compare(run, recipe, fresh, file, arguments, suffix, answer)
            seconds += took
        curves = {names[place]: training_log(each) for place, each in described.models.items()}
        _draw(curves, fresh / "figures")
        _write_training(described, names, fresh / "train", registry)
        rules = tuple(check(course, _measured(recipe, described, fresh, curves, compared, seconds, registry)))
        runs = {names[place]: each for place, each in described.models.items()}
        write_text(fresh / "report.md", report_text(run.name, runs, run, curves, rules, registry))
        about = filled(
            README,
            TITLE=run.name,
            ARGUMENTS=" ".join(arguments),
            VERSION=__version__,
            QUESTIONS=f"{sum(compared.values()):,}",
            COMPARED=", ".join(file.name for file in compared),
            TORCH=version("torch"),
            TRANSFORMERS=version("transformers"),
        )
        write_text(fresh / "README.md", about)
    return Handin(folder, f"{folder}/run.sh {' '.join(arguments)}", compared, rules)


def _to_compare(run: Run, recipe: Recipe, questions: Path | None) -> list[Path]:
    files = [questions] if questions is not None else list(split_files(recipe, "validation"))
    if not files:
        raise UsageError(
            f"the recipe of {run.folder} names no validation file to compare answers on: name one, --questions FILE"
        )
    for file in files:
        if not file.is_file():
            raise UsageError(
                f"{file} is not there, and answers are compared on it: name another file, --questions FILE"
            )
    return files


def _copy_model(run: Run, target: Path, registry: Registry) -> None:
    """Weights, configuration, tokenizer: the parts of a model folder that the predictor reads."""
    target.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target) as place:
        whole = Path(place) / "model"
        export_merged(run, registry, whole)
        layout = read_layout(whole)
        for name in ("config.json", "model.safetensors"):
            (whole / name).replace(target / name)
    names = {"backbone_prefix": layout["backbone_prefix"], "head": layout["head_names"]}
    write_json(target / "names.json", names)
    write_json(
        target / "tokenizer.json", readable_by_all(json.loads(backend_copy(load_tokenizer(str(run.model))).to_str()))
    )


def readable_by_all(tokenizer: dict[str, Any]) -> dict[str, Any]:
    """A tokenizer as releases before 0.20 of the library read it, too: merges of pairs as "a b" where that says it."""
    merges = tokenizer["model"].get("merges", [])
    if merges and all(isinstance(pair, list) and not any(" " in part for part in pair) for pair in merges):
        tokenizer["model"]["merges"] = [" ".join(pair) for pair in merges]
    return tokenizer


def _write_script(file: Path, text: str) -> None:
    write_text(file, text)
    file.chmod(0o755)


def _compare(
    run: Run, recipe: Recipe, folder: Path, questions: Path, arguments: list[str], suffix: str, answer: Answer
) -> tuple[int, float]:
    """Answer a file with the predictor and with qakit; returns the number of questions and the predictor's seconds.

    Raises:
        RunError: the answers differ, or the predictor fails.
    """
    contexts = questions.parent / (contexts_setting(recipe) or "")
    with TemporaryDirectory(prefix="qakit-") as place:
        own, other = Path(place) / f"qakit{suffix}", Path(place) / f"predict{suffix}"
        given = {"CONTEXT": contexts, "TEST": questions, "OUTPUT": other}
        begun = time.monotonic()
        _python(folder / "predict.py", *(str(given[name].absolute()) for name in arguments))
        seconds = time.monotonic() - begun
        count = answer(questions, own)
        if own.read_bytes() != other.read_bytes():
            lines = [file.read_bytes().splitlines() for file in (own, other)]
            differ = sum(one != two for one, two in zip(*lines, strict=False)) + abs(len(lines[0]) - len(lines[1]))
            raise RunError(
                f"the stand-alone predictor answers {differ} of the {len(lines[0]):,} lines for {questions} otherwise "
                f"than `qakit predict {quoted(run.folder)}` does: nothing was written; please report it"
            )
    return count, seconds


def _python(*command: str | Path) -> None:
    """Run a program of the hand-in with this interpreter, where qakit is not to be found."""
    hidden = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment = {**hidden, "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, *map(str, command)], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise OutputError(f"{Path(command[0]).name} of the hand-in ends with {done.returncode}: {said}")


def _draw(curves: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    folder.mkdir()
    write_json(folder / "curves.json", curves)
    shutil.copyfile(HERE / "plot.py", folder / "plot.py")
    _python(folder / "plot.py")


def _write_training(described: Described, names: Mapping[str, str], folder: Path, registry: Registry) -> None:
    """Recipes whose data files lie in ``data/``, the wheel, and a script."""
    from qakit.submit.wheel import make_wheels, requirements_of

    folder.mkdir()
    recipes = {names[place]: each.recipe() for place, each in described.models.items()}
    found = requirements_of(make_wheels(recipes.values(), folder, registry))
    write_text(folder / "requirements.txt", "".join(f"{line}\n" for line in found))
    for name, recipe in recipes.items():
        write_text(folder / f"{name}.yaml", portable_recipe(recipe))
    _write_script(
        folder / "train.sh", train_script([f"qakit train {name}.yaml --output runs/{name}" for name in recipes])
    )


def portable_recipe(recipe: Recipe) -> str:
    """The recipe as YAML that names nothing of this machine: its files and folders lie in ``data/``, as the first line
    says."""
    names: dict[str, str] = {}  # by the paths here

    def placed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: placed(each) for key, each in value.items()}
        if isinstance(value, list):
            return [placed(each) for each in value]
        if not isinstance(value, str) or not Path(value).is_absolute():
            return value
        if value not in names:
            taken, name = set(names.values()), Path(value).name
            while f"data/{name}" in taken:
                name = f"other-{name}"
            names[value] = f"data/{name}"
        return names[value]

    data = placed(recipe_data(recipe.model_copy(update={"competition": None})))
    if (contexts := contexts_setting(recipe)) is not None:  # a name beside the questions' file
        names[contexts] = f"data/{Path(contexts).name}"
        data["data"]["reader"][CONTEXTS] = Path(contexts).name
    text = "".join(f"{line}\n" for _, line in yaml_lines(data))
    return (f"# To be put beside this recipe: {', '.join(names.values())}\n" if names else "") + text


def _measured(
    recipe: Recipe,
    described: Described,
    folder: Path,
    curves: Mapping[str, Mapping[str, Any]],
    compared: Mapping[Path, int],
    seconds: float,
    registry: Registry,
) -> Measured:
    sizes = [(folder / place / "model.safetensors").stat().st_size for place in described.models]
    try:
        test = read_split(recipe, registry, "test")
    except QakitError:  # it has moved
        test = None
    points = [max(map(len, log["figures"].values()), default=0) for log in curves.values()]
    questions = sum(compared.values())
    return Measured(
        backbones=[each.recipe().backbone.source for each in described.models.values()],
        weights=sum(sizes),
        largest=max(sizes),
        seconds=seconds,
        questions=questions,
        asked=questions if test is None else len(test.examples),
        points=min(points),
    )
