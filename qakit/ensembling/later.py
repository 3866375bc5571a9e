"""A file of questions that came after the ensemble was made: every member answers it, and the answers are combined.

::

    ENSEMBLE/predictions/unfinished-HASH/    what members have answered, until all is written; HASH is the file's
      1-NAME/ ...                            nbest.jsonl, meta.json, and character scores where the method reads them
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

from qakit.data.splits import read_files, with_contexts
from qakit.ensembling.combine import answer_kept
from qakit.ensembling.kept import NBEST, Kept, Source, check_same_files
from qakit.ensembling.stored import StoredEnsemble
from qakit.errors import RunError
from qakit.files import file_sha256, replace_folder, write_json
from qakit.inference.evaluation import Judge
from qakit.inference.output import inputs_of, save_predictions
from qakit.inference.scoring import CountProgress
from qakit.recipe.load import recipe_hash
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import Run, alone_in, open_run
from qakit.stages.folder import COMBINE, is_pipeline_folder, stage_folders
from qakit.stages.loading import load_trained
from qakit.values import Example, Prediction

Watch = Callable[[int, Path], AbstractContextManager[CountProgress | None]]
"""Around the work of a member, which has a number, from 1, and a path: where it reports how far it is."""


@contextmanager
def answering(
    ensemble: StoredEnsemble,
    source: Path,
    registry: Registry,
    *,
    contexts: Path | None,
    cache: Path,
    watch: Watch,
) -> Iterator[list[Prediction]]:
    """The ensemble's answers to a file, by the weights, temperatures and no-answer threshold that it has.

    One member is in memory at a time. What members have answered is kept until the block ends without an error, and a
    later call goes on with it.

    Args:
        contexts: the file's contexts, for readers that have them in another one.

    Raises:
        RunError: another process is at work in the ensemble's folder.
        DataError: the file cannot be read, or changes meanwhile, or members read other questions from it.
        UsageError: a member cannot give what the method needs.
    """
    with ExitStack() as held:
        try:
            held.enter_context(alone_in(ensemble.run))
        except RunError:
            raise RunError(f"another process is at work in {ensemble.run.folder}: wait until it ends") from None
        place = ensemble.run.predictions / f"unfinished-{file_sha256(source)[:12]}"
        kept = []
        for number, path in enumerate(ensemble.members, start=1):
            run = open_run(path)
            recipe = _asked(run.recipe(), contexts, characters=ensemble.method.reads_characters)
            folder = place / f"{number}-{path.name}"
            _answer(run, recipe, source, registry, folder, cache=cache, watch=partial(watch, number, path))
            kept.append(Kept(Source(path, run, recipe), folder, inputs_of([source])))
        check_same_files(kept)
        judge = Judge.of(ensemble.recipe, registry)
        predictions, _ = answer_kept(kept, ensemble.method, ensemble.decision, judge, registry)
        yield predictions
        shutil.rmtree(place, ignore_errors=True)


def _asked(recipe: Recipe, contexts: Path | None, *, characters: bool) -> Recipe:
    """A member's recipe for these questions."""
    predict = recipe.predict.model_copy(update={"character_scores": characters})
    recipe = recipe.model_copy(update={"predict": predict})
    return recipe if contexts is None else with_contexts(recipe, contexts)


def _answer(
    run: Run,
    recipe: Recipe,
    source: Path,
    registry: Registry,
    folder: Path,
    *,
    cache: Path,
    watch: Callable[[], AbstractContextManager[CountProgress | None]],
) -> None:
    """A member's answers in ``folder``, unless they are there already."""
    examples = read_files(recipe, registry, [source], predicted_only=True).examples
    identity = _identity(run, recipe, examples)
    meta = Run(folder).read_json(folder / "meta.json")
    if (folder / NBEST).is_file() and identity.items() <= meta.items():
        return
    with watch() as progress:
        trained = load_trained(run.folder, registry=registry).with_recipe(recipe)
        inferred = trained.infer(examples, cache=cache, progress=progress)
    with replace_folder(folder) as temporary:
        save_predictions(
            temporary,
            inferred.predictions,
            recipe,
            run=run.name,
            inputs=inputs_of([source]),
            characters=inferred.characters,
        )
        meta_file = temporary / "meta.json"
        write_json(meta_file, Run(temporary).read_json(meta_file) | identity)


def _identity(run: Run, recipe: Recipe, examples: Sequence[Example]) -> dict[str, str]:
    """What a member's answers depend on: the questions with their contexts, its recipe, and its weights by what was
    decided with them, their step among it."""
    runs = [run, *map(Run, stage_folders(run).values())] if is_pipeline_folder(run.folder) else [run]
    decided = [file for each in runs for file in (each.decision_file, each.folder / COMBINE) if file.is_file()]
    questions = hashlib.sha256("".join(f"{each!r}\n" for each in examples).encode())
    return {
        "questions_sha256": questions.hexdigest(),
        "recipe_sha256": recipe_hash(recipe),
        "decision_sha256": hashlib.sha256("".join(map(file_sha256, decided)).encode()).hexdigest(),
    }
