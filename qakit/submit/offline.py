"""A trained run of any kind as one folder that answers a file without a network.

::

    FOLDER/
      run.sh             run.sh context.json test.json prediction.csv
      README.txt         what it is, how it is run, what it needs
      requirements.txt   the packages it was made with
      *.whl              qakit, and packages of plugins; used where these versions are not installed
      run/               recipe and weights; of a pipeline, its own files, and its stages in selection/ and span/; of an
                         ensemble or of folds, their own files, and the members in members/ or fold-1/ ...
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit import __version__
from qakit.errors import RunError
from qakit.files import replace_folder, write_json, write_text
from qakit.names import quoted
from qakit.outputs import check_empty
from qakit.submit.wheel import make_wheels, requirements_of

if TYPE_CHECKING:
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry
    from qakit.runs import Run

RUN = "run"


@dataclass(frozen=True, slots=True)
class OfflineExport:
    """What was written."""

    folder: Path
    command: str
    """How a person runs it."""
    requirements: tuple[str, ...]


def export_offline(run: Run, folder: Path, registry: Registry) -> OfflineExport:
    """Write the folder.

    Raises:
        RunError: the folder exists and is not empty, or the run, a stage of the pipeline, or a member has no model.
        OutputError: the folder cannot be written, or the wheel cannot be built.
    """
    from qakit.data.splits import contexts_setting

    check_empty(folder)
    recipe = run.recipe()
    with_contexts = contexts_setting(recipe) is not None
    arguments = "context.json test.json prediction.csv" if with_contexts else "test.json prediction.csv"
    with replace_folder(folder) as fresh:
        found = pack_run(run, fresh, registry)
        write_text(fresh / "README.txt", _README.format(name=run.name, arguments=arguments, version=__version__))
        script = fresh / "run.sh"
        write_text(script, answer_script(arguments, "README.txt", _answer(with_contexts=with_contexts)))
        script.chmod(0o755)
    return OfflineExport(folder, f"{quoted(f'{folder}/run.sh')} {arguments}", found)


def pack_run(run: Run, folder: Path, registry: Registry) -> tuple[str, ...]:
    """Write a run of any kind as it answers, the wheels that it needs, and requirements.txt, whose lines it returns.

    Raises:
        RunError: the run, a stage of the pipeline, or a member has no model.
        OutputError: the wheel cannot be built.
    """
    recipes = _copy(run, folder / RUN, registry, ())
    found = requirements_of(make_wheels(recipes, folder, registry, further=_ensemblers(folder / RUN, registry)))
    write_text(folder / "requirements.txt", "".join(f"{line}\n" for line in found))
    return found


def _copy(run: Run, target: Path, registry: Registry, within: tuple[Path, ...]) -> list[Recipe]:
    """Whatever answers; returns the recipes whose plugins it needs."""
    from qakit.stages.load import is_pipeline_folder

    if run.has_members:
        return _copy_members(run, target, registry, within)
    if is_pipeline_folder(run.folder):
        return _copy_pipeline(run, target, registry)
    _copy_run(run, target, registry)
    return [run.recipe()]


def _copy_members(run: Run, target: Path, registry: Registry, within: tuple[Path, ...]) -> list[Recipe]:
    """An ensemble, or folds, with all members inside."""
    from qakit.runs import ENSEMBLE, MEMBERS, Run, member_folders, nested, open_run

    within = nested(run.folder, within)
    members = member_folders(run)
    for path in members if run.is_folds else ():
        if not Run(path).finished:
            raise RunError(f"{path} is not trained yet; go on with: qakit train --resume --output {quoted(run.folder)}")
    places = [
        path.name if run.is_folds else f"{MEMBERS}/{number}-{path.name}" for number, path in enumerate(members, start=1)
    ]
    target.mkdir(parents=True)
    recipes = [run.recipe()]
    for path, place in zip(members, places, strict=True):
        recipes += _copy(open_run(path), target / place, registry, within)
        # By it a fold counts as trained, and ensemblers may look at what it says.
        write_json(Run(target / place).metrics_file, {"validation": Run(path).figures()})
    write_text(target / "recipe.yaml", _portable_text(run.recipe()))
    if run.is_folds:
        write_json(target / run.folds_file.name, run.read_json(run.folds_file) | {"files": {}})
        return recipes
    described = run.read_json(run.folder / ENSEMBLE)
    named = [dict(each) | {"path": place} for each, place in zip(described["members"], places, strict=True)]
    write_json(target / ENSEMBLE, described | {"members": named, "test": {}, "validation": {}})
    return recipes


def _copy_run(run: Run, target: Path, registry: Registry) -> None:
    """A run without its data files and logs: recipe and whole weights."""
    from qakit.modeling.export import export_merged

    target.mkdir(parents=True)
    write_text(target / "recipe.yaml", _portable_text(run.recipe()))
    export_merged(run, registry, target / "model")


def _copy_pipeline(run: Run, target: Path, registry: Registry) -> list[Recipe]:
    """A pipeline with both stages inside; returns the recipes whose plugins it needs."""
    from qakit.runs import PIPELINE, not_finished, open_run
    from qakit.stages.load import COMBINE, pipeline_text, read_pipeline, stage_folders

    decision = run.folder / COMBINE
    if not decision.is_file():
        raise not_finished(run)
    target.mkdir(parents=True)
    stages = {name: open_run(folder) for name, folder in stage_folders(run).items()}
    for name, stage in stages.items():
        _copy_run(stage, target / name, registry)
    write_text(target / "recipe.yaml", _portable_text(run.recipe()))
    write_text(target / PIPELINE, pipeline_text(read_pipeline(run), {name: {"from_run": name} for name in stages}))
    shutil.copyfile(decision, target / COMBINE)
    return [run.recipe(), *(stage.recipe() for stage in stages.values())]


def _portable_text(recipe: Recipe) -> str:
    """A recipe that names no data files of the machine it was trained on."""
    from qakit.data.splits import CONTEXTS, contexts_setting, questions_setting, with_questions
    from qakit.recipe.dump import dump_recipe

    changed: dict[str, Any] = {"train": None, "validation": None, "test": None, "sample_submission": None}
    if (contexts := contexts_setting(recipe)) is not None:
        reader = recipe.data.reader
        changed["reader"] = reader.model_copy(update={CONTEXTS: Path(contexts).name})
    if (questions := questions_setting(recipe)) is not None:
        recipe = with_questions(recipe, Path(questions).name)
    competition = recipe.competition
    if competition is not None:
        competition = competition.model_copy(update={"sample_submission": None})
    return dump_recipe(
        recipe.model_copy(update={"data": recipe.data.model_copy(update=changed), "competition": competition})
    )


def _ensemblers(copied: Path, registry: Registry) -> set[str]:
    """The packages of the methods that ensembles within are combined by: no recipe names these."""
    from qakit.runs import ENSEMBLE, Run, ensemble_method

    methods = [ensemble_method(Run(file.parent)) for file in copied.rglob(ENSEMBLE)]
    return {registry.get("ensemblers", method).package for method in methods}


def answer_script(arguments: str, needs: str, answer: str) -> str:
    """A ``run.sh`` that answers a test file.

    Args:
        arguments: what it takes, separated by blanks.
        needs: the file that says what it needs.
        answer: the rest of the script; it finds its folder as ``$here`` and the interpreter as ``$python``.
    """
    text = _RUN_SH.replace("ARGUMENTS", arguments).replace("COUNT", str(len(arguments.split())))
    return text.replace("NEEDS", needs) + answer


def _answer(*, with_contexts: bool) -> str:
    predict = '--input "$1" --output "$2"'
    if with_contexts:
        predict = '--contexts "$1" --input "$2" --output "$3"'
    return _ANSWER.replace("PREDICT", predict)


_RUN_SH = """\
#!/usr/bin/env bash
# Answers a test file without a network: run.sh ARGUMENTS
# PYTHON names another interpreter than python3. NEEDS says what it needs.
set -euo pipefail
if [ $# -ne COUNT ]; then
    echo "usage: run.sh ARGUMENTS" >&2
    exit 2
fi
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 PYTHONDONTWRITEBYTECODE=1
"""
_ANSWER = """\
temporary=$(mktemp -d)
trap 'rm -rf -- "$temporary"' EXIT
# Nothing is written but the answers and a temporary folder.
export HF_HOME="$temporary/huggingface" QAKIT_CACHE="$temporary/cache" MPLCONFIGDIR="$temporary/matplotlib"
installed='import importlib.metadata, sys
name, version = sys.argv[1].split("-")[:2]
sys.exit(importlib.metadata.version(name) != version)'
for wheel in "$here"/*.whl; do
    if ! "$python" -c "$installed" "$(basename -- "$wheel")" 2>/dev/null; then
        "$python" -m zipfile -e "$wheel" "$temporary/packages"
    fi
done
export PYTHONPATH="$temporary/packages${PYTHONPATH:+:$PYTHONPATH}"
"$python" -m qakit predict "$here/run" PREDICT
"""

_README = """\
{name}, made by qakit {version}

  bash run.sh {arguments}

answers the questions of the test file and writes the answers; the arguments are files anywhere. It needs no network.

Needed: Python 3.11 or later with the packages in requirements.txt (pip install -r requirements.txt, where there is a
network). The wheels in this folder are used where their versions are not installed, from a temporary folder.
PYTHON=/some/python bash run.sh ... chooses the interpreter. An NVIDIA GPU is used where there is one; answers may then
differ from those of a CPU in a few questions, because floating-point sums are taken in another order.
"""
