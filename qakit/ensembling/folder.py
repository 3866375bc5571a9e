"""The folder of an ensemble: a run folder whose model is its members.

::

    runs/NAME-TIME/
      ensemble.json      members with their files' SHA-256, method, weights, temperatures, no-answer threshold
      recipe.yaml        the first member's recipe: it says how answers are cleaned up, judged, written and submitted
      meta.json, metrics.json    as in every run
      predictions/       nbest.jsonl, meta.json and the submission for the test file; validation/ likewise, cross-fitted
                         where weights or threshold were tuned
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from qakit.ensembling.combine import Ensemble
from qakit.ensembling.kept import NBEST, Kept
from qakit.ensembling.load import as_shares, recipe_of_whole
from qakit.ensembling.method import Method
from qakit.ensembling.validation import Decision
from qakit.errors import RunError, UsageError
from qakit.files import file_sha256, replace_folder, write_json, write_text
from qakit.inference.characters import CHARACTERS_FILE
from qakit.inference.output import Submission, save_predictions, write_submission
from qakit.names import few
from qakit.numbers import finite
from qakit.outputs import check_output
from qakit.recipe.load import dump_recipe, recipe_hash
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import ENSEMBLE, LOCK, Run, check_free, clock_of, ensemble_members, environment, open_run
from qakit.temporary import is_temporary
from qakit.values import Prediction

_FILES = "|".join(map(re.escape, (ENSEMBLE, "recipe.yaml", "meta.json", "metrics.json", "view.html", LOCK)))
_PREDICTED = "|".join([*map(re.escape, (NBEST, "meta.json", CHARACTERS_FILE)), r"submission\.[^/]*"])
_SPLITS = "validation|test|train|pseudo-[0-9a-f]{12}"
_OWN = re.compile(f"(?:{_FILES})|predictions(?:/(?:{_SPLITS}))?(?:/(?:{_PREDICTED}))?")
"""The paths in such a folder; one whose members were trained in it has more."""


def check_target(folder: Path, members: Sequence[Path]) -> None:
    """Before the work: the folder is free, or holds an earlier ensemble that may be replaced.

    Raises:
        RunError: it is in use.
        OutputError: it cannot be written.
        UsageError: it is a member, or holds one.
    """
    check_output(folder)
    for member in members:
        if member.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"{folder} is, or holds, the member {member}; name another folder")
    if not (folder / ENSEMBLE).is_file():
        try:
            check_free(folder)
        except RunError:
            raise RunError(f"{folder} exists, is not empty and holds no ensemble: choose another folder") from None
    elif others := list(_others(folder, PurePath())):
        raise RunError(
            f"{folder} holds more than an ensemble ({few(others)}), which would be lost: choose another folder"
        )


def write_ensemble(ensemble: Ensemble, folder: Path, registry: Registry) -> Submission | None:
    """Write the folder, or replace the earlier one, as a whole.

    Returns:
        The submission; None without test predictions.

    Raises:
        UsageError: no member is a run, so there is no recipe.
        OutputError: it cannot be written.
    """
    if ensemble.recipe is None:
        raise UsageError("an ensemble's folder needs a member that is a run: its recipe says how answers are written")
    with replace_folder(folder) as temporary:
        return fill_folder(ensemble, Run(temporary), registry, final=folder)


def fill_folder(
    ensemble: Ensemble, run: Run, registry: Registry, *, final: Path, seconds: float | None = None
) -> Submission | None:
    """Write the parts of the folder one by one, each as a whole; ``metrics.json`` comes last.

    Args:
        final: where the folder will lie.
        seconds: that its members took, where they were trained for it.
    """
    assert ensemble.recipe is not None
    recipe = recipe_of_whole(ensemble.recipe, name=ensemble.plan.name, description=ensemble.plan.description)
    submission = None
    write_text(run.recipe_file, dump_recipe(recipe))
    if ensemble.test is not None:
        _save(run.predictions, ensemble.test, recipe, ensemble.test_kept, final.name)
        submission = write_submission(run.predictions / "submission", ensemble.test, recipe, registry)
    if ensemble.validation is not None:
        kept = ensemble.validation_kept
        _save(run.validation_predictions, ensemble.validation.predictions, recipe, kept, final.name)
    write_json(run.folder / ENSEMBLE, _described(ensemble))
    write_json(run.meta_file, environment() | {"recipe_sha256": recipe_hash(recipe), "seed": ensemble.plan.seed})
    write_json(run.metrics_file, _metrics(ensemble, recipe, final, submission, seconds))
    return submission


def _others(folder: Path, place: PurePath) -> Iterator[str]:
    """What an ensemble's folder holds, below ``place``, that no command has written there; a folder stands for its
    files."""
    for path in sorted((folder / place).iterdir()):
        own = place / path.name
        if is_temporary(path.name):
            continue
        if _OWN.fullmatch(own.as_posix()) is None:
            yield str(own)
        elif path.is_dir() and not path.is_symlink():
            yield from _others(folder, own)


def _save(folder: Path, predictions: Sequence[Prediction], recipe: Recipe, kept: Sequence[Kept], name: str) -> None:
    known = next((each for each in kept if each.inputs and each.source.recipe is not None), kept[0])
    save_predictions(folder, predictions, recipe, run=name, inputs=known.inputs)
    meta = Run(folder).read_json(folder / "meta.json")
    write_json(folder / "meta.json", meta | {"members": member_files(kept)})


def member_files(kept: Sequence[Kept]) -> dict[str, str]:
    """Each member's file of predictions with its SHA-256."""
    return {str(each.path.absolute()): file_sha256(each.path) for each in kept}


def _described(ensemble: Ensemble) -> dict[str, Any]:
    plan = ensemble.plan
    return {
        "name": plan.name,
        "method": {"name": plan.method, **plan.settings},
        "members": [
            {"path": str(path.absolute()), "weight": weight, "temperature": temperature}
            for path, weight, temperature in zip(
                plan.members, ensemble.decision.weights, ensemble.decision.temperatures, strict=True
            )
        ],
        "learnt": plan.weights == "learn",
        "null_threshold": ensemble.decision.null_threshold,
        "test": member_files(ensemble.test_kept),
        "validation": member_files(ensemble.validation_kept) if ensemble.validation is not None else {},
    }


def _metrics(
    ensemble: Ensemble, recipe: Recipe, folder: Path, submission: Submission | None, seconds: float | None
) -> dict[str, Any]:
    validation = ensemble.validation
    return {
        "run": str(folder),
        "validation": None if validation is None else validation.figures,
        "null_threshold": ensemble.decision.null_threshold if recipe.predict.no_answer else None,
        "baselines": recipe.baselines,
        "seconds": None if seconds is None else round(seconds, 1),
        "ensemble": None if validation is None else validation_json(ensemble),
        "submission": None if submission is None else submission.as_json(),
        **clock_of(source.run for source in ensemble.sources if source.run is not None),
    }


def validation_json(ensemble: Ensemble) -> Mapping[str, Any] | None:
    """What the ensemble is worth, for programs; None without validation."""
    if ensemble.validation is None:
        return None
    value = asdict(replace(ensemble.validation, predictions=()))  # they are many, and asdict copies
    del value["predictions"]
    return value


@dataclass(frozen=True, slots=True)
class StoredEnsemble:
    """An ensemble as its folder has it, without its models; or the folds of a recipe, taken for one."""

    run: Run
    recipe: Recipe
    """Says how questions are read, and answers cleaned up and written."""
    members: tuple[Path, ...]
    """Where they lie now."""
    method: Method
    decision: Decision
    combined: Mapping[Path, str]
    """The members' files of predictions that the ensemble was made of, where they lie now, with their SHA-256 then."""

    def changed_members(self) -> list[Path]:
        """The members that have predicted their questions anew, and otherwise, since the ensemble was made."""
        changed = [file for file, digest in self.combined.items() if file.is_file() and file_sha256(file) != digest]
        return [path for path in self.members if any(file.is_relative_to(path) for file in changed)]


def open_stored(folder: Path, registry: Registry) -> StoredEnsemble:
    """Read an ensemble's folder, and make sure that every member can answer.

    Raises:
        RunError: it is damaged, or a member is not there any more, or has no model.
        UsageError: its weights do not go with its method.
        PluginError: its method is not installed, or no longer has its settings.
    """
    run = open_run(folder)
    file = run.folder / ENSEMBLE
    found = run.read_json(file)
    members = tuple(ensemble_members(run))
    for path in members:
        if why := _not_a_model(path):
            raise RunError(
                f"{run.folder} cannot answer other questions: its member {path} {why}, and make the ensemble again "
                "(`qakit ensemble`)"
            )
    try:
        settings = dict(found["method"])
        name = str(settings.pop("name"))
        weights, temperatures = (
            tuple(finite(each[key]) for each in found["members"]) for key in ("weight", "temperature")
        )
        decision = Decision(weights, temperatures, finite(found["null_threshold"]))
        if not all(each > 0 for each in temperatures):
            raise ValueError("a temperature must be a number above 0")
        as_shares(weights)
        combined = dict(_where_now(found, members))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{file} is damaged: {error}") from None
    # Methods without weights of their own are told none: theirs are equal.
    own = weights if len(set(weights)) > 1 else None
    method = Method.of(name, settings, own, len(members), registry)
    return StoredEnsemble(run, run.recipe(), members, method, decision, combined)


def _where_now(found: Mapping[str, Any], members: tuple[Path, ...]) -> list[tuple[Path, str]]:
    """The recorded files of predictions; a member may have moved together with the ensemble."""
    files = [(Path(file), digest) for split in ("test", "validation") for file, digest in found[split].items()]
    return [
        (now / file.relative_to(each["path"]), digest)
        for each, now in zip(found["members"], members, strict=True)
        for file, digest in files
        if file.is_relative_to(each["path"])
    ]


def _not_a_model(path: Path) -> str:
    """Why a member cannot answer, and what to do; empty for a run with a model, and for one that is made of others."""
    run = Run(path)
    if not path.exists():
        return "is not there any more: put it back, or name it where it lies now"
    if path.is_file():
        return "is a file of answers: take the run that they come from"
    if not run.recipe_file.is_file():
        return "holds predictions and no run: take the run that they come from"
    if not (run.model.is_dir() or run.is_composed or run.is_folds):
        return "has no model: train it"
    return ""
