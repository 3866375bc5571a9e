"""What ``qakit submit TARGET`` names: a CSV file, or a run whose test predictions are meant."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING

from qakit.data.cache import default_cache
from qakit.data.splits import read_split, split_sources
from qakit.errors import DataError, QakitError, RunError, UsageError
from qakit.files import file_sha256
from qakit.inference.inputs import Inputs
from qakit.inference.nbest_file import kept_validation, read_nbest
from qakit.names import quoted
from qakit.protocols import PerExampleMetric
from qakit.recipe.load import dump_recipe
from qakit.recipe.model import competition_slug
from qakit.runs import Run
from qakit.statistics import interval
from qakit.submit.pending import FileSubmission
from qakit.submit.preflight import Preflight, check_csv
from qakit.submit.record import Score

if TYPE_CHECKING:
    from qakit.inference.answering import Answering
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry


Load = Callable[[Path], "Answering"]
"""Whatever answers for a run's folder."""
Progress = Callable[[], AbstractContextManager[Callable[[int, int], None] | None]]


@dataclass(frozen=True, slots=True)
class Target:
    """A file, and the run that it comes from where that is known."""

    file: Path
    run: Run | None = None
    recipe: Recipe | None = None


def find_target(
    target: Path,
    run_id: str | None,
    load: Load,
    *,
    say: Callable[[str], None],
    progress: Progress = lambda: nullcontext(None),
) -> Target:
    """The file to be submitted. For a run without test predictions, its recipe's test file is predicted first.

    Args:
        run_id: the run that a file comes from.

    Raises:
        UsageError: the target is neither a CSV file nor a run, or the options contradict each other.
        RunError: there is no such run.
    """
    from qakit.runs import open_run

    if target.is_dir():
        if run_id is not None and find_run(run_id).resolve() != target.resolve():
            raise UsageError(f"--run {run_id} is another run than {target}; name one of them")
        run = open_run(target)
        recipe = run.recipe()
        return Target(_predictions(run, recipe, load, say=say, progress=progress), run, recipe)
    if not target.exists():
        raise UsageError(f"there is no file or run {target}")
    if target.suffix.lower() != ".csv":
        raise UsageError(f"{target} is no CSV file: qakit submits CSV files (recipe: `writer: csv`)")
    if run_id is None:
        return Target(target)
    run = open_run(find_run(run_id))
    return Target(target, run, run.recipe())


def find_run(run_id: str) -> Path:
    """A run's folder by its path, or by its name under ``runs``.

    Raises:
        RunError: there is none.
    """
    for folder in (Path(run_id), Path("runs") / run_id):
        if (folder / "recipe.yaml").is_file():
            return folder
    raise RunError(f"there is no run {run_id}, here or in runs/ (`qakit runs list` shows the runs)")


def slug_of(given: str | None, recipe: Recipe | None) -> str:
    """The competition: the given one, else the recipe's.

    Raises:
        UsageError: there is none, or it is no competition's name.
    """
    if given is not None:
        try:
            return competition_slug(given)
        except ValueError as error:
            raise UsageError(str(error)) from None
    if recipe is None or recipe.competition is None:
        where = "" if recipe is None else ", or add a block `competition: {slug: NAME}` to the recipe"
        raise UsageError(f"which competition? -c NAME{where}")
    return recipe.competition.slug


def check_target(target: Target, sample: Path | None, *, slug: str | None = None) -> Preflight:
    """Check the target's file against the given sample submission, else the recipe's, else the downloaded one.

    Raises:
        DataError: the file or the sample cannot be read.
    """
    recipe = target.recipe
    downloaded = Path("data") / slug / "sample_submission.csv" if slug is not None else None
    if recipe is None:
        return check_csv(target.file, sample or _if_there(downloaded))
    from qakit.inference.output import sample_submission

    named, competition = sample_submission(recipe), recipe.competition
    notice: tuple[str, ...] = ()
    if competition is not None and slug is not None and competition.slug != slug:
        notice = (f"the run's recipe is for the competition {competition.slug}, not {slug}",)
        sample, competition = sample or _if_there(downloaded), None
    if sample is None:
        sample = _there(Path(named), slug) if named is not None else _if_there(downloaded)
    checked = check_csv(
        target.file,
        sample,
        id_column=competition.id_column if competition else None,
        answer_column=competition.answer_column if competition else None,
        allow_empty=recipe.predict.no_answer,
        allow_bom=bool(recipe.writer.settings.get("bom")),
    )
    return replace(checked, notices=(*notice, *checked.notices))


def _there(sample: Path, slug: str | None) -> Path:
    if not sample.is_file():
        raise DataError(
            "the recipe's sample submission is not there: fetch it with `qakit kaggle download -c "
            f"{slug or 'COMPETITION'}`, or name another one with --sample FILE",
            path=sample,
        )
    return sample


def _if_there(file: Path | None) -> Path | None:
    return file if file is not None and file.is_file() else None


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a submission says about the run that it comes from."""

    run: Run
    recipe: Recipe
    score: Score

    @property
    def message(self) -> str:
        """The description on Kaggle, when the user gives none."""
        if self.score.mean is None:
            return self.run.name
        spread = "" if self.score.std is None else f" ± {self.score.std:.2f}"
        return f"{self.run.name}: {self.score.metric} {self.score.mean:.2f}{spread}"


def run_facts(run_id: str | Path) -> RunFacts:
    """A run with its recipe and its figure on validation data.

    Raises:
        RunError: there is no such run, or it is damaged.
    """
    from qakit.registry import load_registry
    from qakit.runs import open_run

    run = open_run(find_run(str(run_id)))
    recipe = run.recipe()
    return RunFacts(run, recipe, local_score(run, recipe, load_registry()))


def pack(target: Target, checked: Preflight, slug: str, message: str | None) -> FileSubmission:
    """The pending of a checked target; message and figures come from the run where there is one."""
    if target.run is None:
        return FileSubmission(slug, checked, message or target.file.name)
    facts = run_facts(target.run.folder)
    return FileSubmission(
        slug,
        checked,
        message or facts.message,
        run_id=facts.run.name,
        recipe=dump_recipe(facts.recipe),
        score=facts.score,
        baselines=facts.recipe.baselines,
        stages=(facts.run.read_json(facts.run.metrics_file).get("expected") or {}).get("stages"),
    )


def _predictions(run: Run, recipe: Recipe, load: Load, *, say: Callable[[str], None], progress: Progress) -> Path:
    """The run's answers to its recipe's test file as it is now, predicted now if it has none."""
    metrics = run.read_json(run.metrics_file)
    file = run.submission_file(metrics) or run.predictions / "submission.csv"
    if file.is_file():
        if (metrics.get("submission") or {}).get("sha256") not in (None, file_sha256(file)):
            say(f"{file} was changed after the run had written it; it is taken as it is")
        if older := Inputs.read(run, run.predictions).changed():
            file = _of_the_file_as_it_is(run, recipe, file, older, say=say)
    else:
        file = _predict(run, recipe, load, say=say, progress=progress)
    if file.suffix.lower() != ".csv":
        raise UsageError(f"{file} is no CSV file: qakit submits CSV files (recipe: `writer: csv`)")
    return file


def _of_the_file_as_it_is(run: Run, recipe: Recipe, file: Path, older: Path, *, say: Callable[[str], None]) -> Path:
    """The answer file of what ``qakit predict --split test`` has kept, in place of one to a test file of before.

    Raises:
        DataError: it has kept nothing, or that is of another file, too.
    """
    from qakit.inference.output import write_submission
    from qakit.registry import load_registry

    kept = run.predictions / "test"
    inputs = Inputs.read(run, kept)
    if not (kept / "nbest.jsonl").is_file() or not inputs.all_there() or inputs.changed() is not None:
        raise DataError(
            f"holds answers to an older {older.name}: qakit predict {quoted(run.folder)} --split test, and submit "
            "again",
            path=file,
        )
    say(f"{file} holds answers to an older {older.name}: those in {kept} are taken")
    written = write_submission(kept / "submission", read_nbest(kept / "nbest.jsonl"), recipe, load_registry())
    for line in written.told():
        say(line)
    return written.path


def _predict(run: Run, recipe: Recipe, load: Load, *, say: Callable[[str], None], progress: Progress) -> Path:
    if not split_sources(recipe, "test"):
        raise UsageError(
            f"{run.folder} has no test predictions and its recipe names no test file; predict with `qakit predict` and"
            " submit the file with --run"
        )
    from qakit.inference.output import save_predictions, write_submission

    trained = load(run.folder)
    split = read_split(trained.recipe, trained.registry, "test")
    assert split is not None  # the recipe names one
    say(f"predicting {', '.join(str(file) for file in split.files)}")
    with progress() as show:
        predictions = trained.infer(split.examples, cache=default_cache(), progress=show).predictions
    save_predictions(run.predictions, predictions, trained.recipe, run=run.name, inputs=Inputs.of(split))
    written = write_submission(run.predictions / "submission", predictions, trained.recipe, trained.registry)
    for line in written.told():
        say(line)
    return written.path


def local_score(run: Run, recipe: Recipe, registry: Registry) -> Score:
    """The validation figure that chose the run's weights, with its bootstrap interval.

    Without the interval where the run keeps no validation predictions, its validation file is gone or has changed, or
    its metric has no figure for each question. Empty where the run has no figures.
    """
    from qakit.inference.evaluation import Judge

    name = Judge.of(recipe, registry).selected_by
    mean = run.figures().get(name)
    if mean is None:
        return Score()
    values = _values(run, recipe, registry, name)
    if not values or abs(sum(values) / len(values) - mean) > 1e-6 * max(1.0, abs(mean)):
        return Score(name, mean)
    low, high = interval(values, seed=recipe.seed)
    spread = stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
    return Score(name, mean, spread, low, high)


def _values(run: Run, recipe: Recipe, registry: Registry, name: str) -> list[float] | None:
    """Each validation question's own figure, in percent; None where that cannot be had."""
    from qakit.inference.evaluation import Judge

    metric = Judge.of(recipe, registry).metric
    if not isinstance(metric, PerExampleMetric):
        return None
    try:
        kept = kept_validation(run, recipe, registry)
    except QakitError:
        return None
    if kept is None:
        return None
    examples, predictions = kept
    if any(example.id not in predictions for example in examples):
        return None
    return metric.per_example(examples, [predictions[example.id].answer for example in examples]).get(name)
