"""``qakit train`` of a pipeline: its stages one after the other, then the whole."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.cli.console import err, plain, print_json, print_warning
from qakit.cli.train_part import free_memory, train_into
from qakit.errors import RunError, UsageError

if TYPE_CHECKING:
    from qakit.inference.answering import Examined
    from qakit.protocols import Gives
    from qakit.registry import Registry
    from qakit.report.pipeline import Expectation
    from qakit.runs import Run
    from qakit.stages.load import LoadedPipeline, Stage
    from qakit.stages.trained import TrainedPipeline
    from qakit.training.prepare import Prepared

WANTED: dict[str, Gives] = {"selection": "contexts", "span": "spans"}
"""What each stage's head must decode to."""


def wants_pipeline(recipe: Path | None, output: Path | None, *, resume: bool) -> bool:
    """Whether a command line of ``qakit train`` means a pipeline."""
    from qakit.recipe.found import found_recipe
    from qakit.stages.folder import is_pipeline_folder
    from qakit.stages.load import is_pipeline

    if resume:
        return output is not None and is_pipeline_folder(output)
    if recipe is None:
        return False
    return is_pipeline(found_recipe(recipe))


def train_pipeline(
    recipe: Path | None,
    output: Path | None,
    overrides: list[str],
    registry: Registry,
    *,
    dry_run: bool,
    resume: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train what is not trained yet; then tune, predict and evaluate the whole."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    _check_alone()
    run, loaded = _resumed(output, overrides, registry) if resume else (None, _loaded(recipe, overrides, registry))
    if dry_run:
        _dry_run(loaded, registry, as_json=as_json, quiet=quiet)
        return
    _train(loaded, run, output, registry, as_json=as_json, quiet=quiet)


def _check_alone() -> None:
    from qakit.inference.workers import launched_processes

    if launched_processes() > 1:
        raise UsageError(
            "a pipeline is trained by one process: train its stages' recipes with the launcher, then the pipeline with "
            "`stages: {selection: {from_run: RUN}, span: {from_run: RUN}}`"
        )


def _loaded(recipe: Path | None, overrides: list[str], registry: Registry) -> LoadedPipeline:
    from qakit.recipe.found import found_recipe
    from qakit.stages.load import load_pipeline

    assert recipe is not None
    return load_pipeline(found_recipe(recipe), overrides, registry=registry, check_files=True)


def _resumed(output: Path | None, overrides: list[str], registry: Registry) -> tuple[Run, LoadedPipeline]:
    from qakit.runs import open_run
    from qakit.stages.folder import reload_pipeline

    assert output is not None
    if overrides:
        raise UsageError("--resume goes on with the pipeline's own recipes: --set cannot change them")
    run = open_run(output)
    return run, reload_pipeline(run, registry=registry)


def _dry_run(loaded: LoadedPipeline, registry: Registry, *, as_json: bool, quiet: bool) -> None:
    from qakit.cli.rehearsal import rehearsed, show_rehearsal

    found: dict[str, Any] = {}
    for name, stage in loaded.stages.items():
        if stage.run is not None:
            found[name] = {"from_run": str(stage.run)}
        else:
            check = partial(_check_gives, stage)
            found[name] = rehearsed(stage.recipe, registry, quiet=quiet or as_json, check=check)
    _check_test(loaded, registry)
    if as_json:
        print_json({"stages": found, "combine": loaded.pipeline.combine.model_dump(mode="json")})
        return
    for title, summary in found.items():
        if "from_run" in summary:
            err.print(plain(f"stage {title}: {summary['from_run']}"))
        else:
            show_rehearsal(f"Dry run: stage {title}", summary)


def _train(
    loaded: LoadedPipeline, run: Run | None, output: Path | None, registry: Registry, *, as_json: bool, quiet: bool
) -> None:
    from qakit.cli.stops import stops_told
    from qakit.runs import alone_in, check_free
    from qakit.stages.folder import create_pipeline

    began, silent = time.monotonic(), quiet or as_json
    place: list[Run] = [] if run is None else [run]
    with stops_told(lambda: place[0].folder if place else None), ExitStack() as held:
        if run is None:
            check_free(output)
        todo = [stage for stage in loaded.stages.values() if not _is_trained(stage, run)]
        _check_first(todo, registry, quiet=silent)
        _check_test(loaded, registry)
        if run is None:
            run = create_pipeline(loaded, output)
            place.append(run)
        held.enter_context(alone_in(run))
        for number, stage in enumerate(todo, start=1):
            _say(f"stage {stage.name} ({number} of {len(todo)} to train)", silent)
            train_into(stage.recipe, run.folder / stage.name, registry, quiet=silent)
        expectation = _finish(run, registry, began=began, quiet=silent, as_json=as_json)
    if as_json:
        return
    _show(run, expectation)


def _is_trained(stage: Stage, pipeline: Run | None) -> bool:
    """Whether a stage needs no training: a run from elsewhere, or one that was finished before."""
    from qakit.runs import Run

    if stage.run is not None:
        if not Run(stage.run).model.is_dir():
            raise RunError(f"the {stage.name} stage {stage.run} has no trained model")
        return True
    return pipeline is not None and Run(pipeline.folder / stage.name).metrics_file.is_file()


def _check_first(stages: list[Stage], registry: Registry, *, quiet: bool) -> None:
    """What is wrong with a later stage should be known before the first one is trained, not after."""
    from qakit.cli.progress import TrainingDisplay
    from qakit.modeling.device import pick_device
    from qakit.training.prepare import prepare_training

    for stage in reversed(stages):
        _say(f"checking stage {stage.name}", quiet)
        with TrainingDisplay(silent=True) as display:
            prepared = prepare_training(stage.recipe, registry, device=pick_device(), listener=display)
        _check_gives(stage, prepared)
        del prepared
        free_memory()


def _check_test(loaded: LoadedPipeline, registry: Registry) -> None:
    """What is wrong with the test file, or with its ids, should be known before the stages are trained, too."""
    from qakit.data.splits import read_split
    from qakit.inference.stand_ins import submission_problems

    test = read_split(loaded.whole, registry, "test")
    if test is None:
        return
    for problems in test.problems:
        for line in problems.describe():
            print_warning(line)
    for problem in submission_problems(test.examples, loaded.whole, registry, gives="spans", classes=()):
        print_warning(f"answers to the test file will not fit the sample submission: {problem}")


def _check_gives(stage: Stage, prepared: Prepared) -> None:
    """Whether the stage's head decodes to what the pipeline needs of it."""
    from qakit.inference.scoring import given_by

    gives = given_by(prepared.assembled.model.head)
    if gives != WANTED[stage.name]:
        raise UsageError(
            f"stages.{stage.name}: the head {stage.recipe.head.name!r} gives {gives}; this stage needs one that "
            f"gives {WANTED[stage.name]}"
        )


def _finish(run: Run, registry: Registry, *, began: float, quiet: bool, as_json: bool) -> Expectation | None:
    from qakit.cli.trained_runs import bar
    from qakit.data.cache import default_cache
    from qakit.modeling.device import pick_device
    from qakit.report.pipeline import expectation_of
    from qakit.stages.finish import finish_pipeline

    expectations: list[Expectation] = []

    def expected(examined: Examined, trained: TrainedPipeline) -> dict[str, Any]:
        found = expectation_of(examined, seed=trained.recipe.seed, top_k=trained.top_k)
        expectations.append(found)
        return found.as_json()

    with bar("predicting", shown=not quiet) as progress:
        finished = finish_pipeline(
            run,
            registry,
            seconds=time.monotonic() - began,
            expected=expected,
            device=pick_device(),
            cache=default_cache(),
            say=lambda text: _say(text, quiet),
            warn=print_warning,
            progress=progress or (lambda _done, _total: None),
        )
    if as_json:
        print_json(finished.metrics)
    return expectations[0] if expectations else None


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        err.print(plain(text))


def _show(run: Run, expectation: Expectation | None) -> None:
    from qakit.cli.console import out
    from qakit.cli.pipeline_results import show_expectation, show_pipeline
    from qakit.cli.results import figures_table

    metrics = run.read_json(run.metrics_file)
    if metrics.get("validation"):
        out.print(figures_table(metrics["validation"], baselines=metrics.get("baselines") or {}))
    if expectation is not None:
        show_expectation(expectation)
    show_pipeline(run, metrics)
    err.print(plain(f"done: {run.folder}"))
