"""``qakit score``: the official scripts' figures from prediction files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qakit.cli.terminal.console import out, plain, print_json, print_warning
from qakit.cli.terminal.options import JsonOption
from qakit.errors import DataError, UsageError

if TYPE_CHECKING:
    from qakit.data.predictions_file import AnswerFile
    from qakit.protocols import Metric, Reader
    from qakit.submit.standings import Place
    from qakit.values import Example, Prediction


def score(
    gold: Annotated[Path, typer.Option("--gold", "-g", help="The labelled file.")],
    predictions: Annotated[
        Path,
        typer.Option(
            "--predictions",
            "-p",
            help="JSON (id -> text), CSV, JSON Lines or Parquet (id, answer, or several numbers), or GLUE's TSV.",
        ),
    ],
    metric: Annotated[
        str | None, typer.Option("--metric", "-m", metavar="NAME", help="squad_v1, squad_v2, cmrc2018, exact_match ...")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", metavar="RECIPE", help="Metric and reader are this recipe's.")
    ] = None,
    leaderboard: Annotated[
        Path | None,
        typer.Option(
            "--leaderboard", metavar="CSV", help="Where the score would stand, and its medal; CSV with scores."
        ),
    ] = None,
    competition: Annotated[
        str | None, typer.Option("--competition", "-c", metavar="NAME", help="The same with Kaggle's leaderboard.")
    ] = None,
    no_answer_probability: Annotated[
        Path | None, typer.Option("--no-answer-probability", help="JSON (id -> number); adds the best thresholds.")
    ] = None,
    reader: Annotated[
        str | None,
        typer.Option("--reader", metavar="NAME", help="Format of the gold file; by default the recipe's, else squad."),
    ] = None,
    reader_settings: Annotated[
        list[str] | None,
        typer.Option(
            "--reader-set", metavar="KEY=VALUE", help="A setting of the reader: task=CoLA, question=q (repeatable)."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--metric-set", metavar="KEY=VALUE", help="A setting of the metric: remove_characters=, (repeatable)."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score answers as the official scripts do, with their keys.

    A question without an answer scores 0 and is warned about, and so is a class that the gold file does not have;
    answers to unknown ids are left out.

    Example: qakit score -m squad_v2 -g dev.json -p predictions.json
    """
    from qakit.data.predictions_file import read_answers, read_probabilities
    from qakit.protocols import OfficialFormat
    from qakit.submit.standings import beaten

    judge = _judge(recipe, metric, settings, reader, reader_settings)
    examples = _read_gold(gold, judge.reader)
    answered = read_answers(predictions, ids={example.id for example in examples})
    probabilities = read_probabilities(no_answer_probability) if no_answer_probability else None
    _compare_ids(examples, answered)
    _warn_of_other_classes(examples, answered)
    given = _predictions(examples, answered, probabilities, no_answer_probability, choices=judge.choices)
    figures = judge.metric.compute(examples, given)
    shown = judge.metric.official_format(figures) if isinstance(judge.metric, OfficialFormat) else figures
    place = _place(figures[judge.primary], judge.primary, leaderboard, competition)
    if as_json:
        print_json(shown if place is None else {**shown, "leaderboard": asdict(place)})
        return
    _show(judge.name, shown)
    reached = beaten(figures[judge.primary], judge.baselines)
    if judge.baselines:
        out.print(plain(f"baselines reached by {judge.primary}: {', '.join(reached) or 'none'}"))
    if place is not None:
        lines = ", ".join(f"{name} {value:.4g}" for name, value in place.lines.items())
        medal = f": {place.medal}" if place.medal else ""
        out.print(plain(f"place {place.rank:,} of {place.teams:,}{medal} (the last of each: {lines})"))


@dataclass(frozen=True, slots=True)
class _Judge:
    """How answers are judged."""

    name: str
    metric: Metric
    reader: Reader
    primary: str
    baselines: Mapping[str, float]
    choices: Sequence[str] = ()
    """What the recipe's reader calls the contexts that a question chooses among."""


def _judge(
    recipe: Path | None,
    metric: str | None,
    settings: Sequence[str] | None,
    reader: str | None,
    reader_settings: Sequence[str] | None,
) -> _Judge:
    """What is named by itself goes before the recipe's."""
    from qakit.cli.terminal.component_settings import build_component
    from qakit.data.splits import build_reader
    from qakit.inference.evaluation import Judge
    from qakit.inference.output import choice_names
    from qakit.recipe.found import found_recipe
    from qakit.recipe.load import load_recipe
    from qakit.registry import load_registry

    if recipe is None and metric is None:
        raise UsageError("how to judge? --metric NAME, or --recipe RECIPE for the recipe's")
    registry = load_registry()
    found = None if recipe is None else load_recipe(found_recipe(recipe), registry=registry).recipe
    if found is not None and reader is None and not reader_settings:
        built_reader: Reader = build_reader(found, registry)
    else:
        built_reader = build_component(registry, "readers", reader or "squad", reader_settings, option="--reader-set")
    if found is not None and metric is None and not settings:
        judge = Judge.of(found, registry)
        named = choice_names(found)
        return _Judge(found.metric.name, judge.metric, built_reader, judge.selected_by, found.baselines, named)
    if metric is None:
        raise UsageError("--metric-set is for the --metric; with --recipe the metric's settings are the recipe's")
    built: Metric = build_component(registry, "metrics", metric, settings, option="--metric-set")
    baselines, named = ({}, ()) if found is None else (found.baselines, choice_names(found))
    return _Judge(metric, built, built_reader, built.primary, baselines, named)


def _place(score: float, figure: str, leaderboard: Path | None, competition: str | None) -> Place | None:
    from qakit.submit.standings import as_scores, place_of, read_leaderboard

    if leaderboard is not None and competition is not None:
        raise UsageError("one leaderboard: --leaderboard CSV, or --competition NAME for Kaggle's")
    if leaderboard is not None:
        return place_of(score, read_leaderboard(leaderboard), figure)
    if competition is not None:
        from qakit.submit.client import connect
        from qakit.submit.target import slug_of

        slug = slug_of(competition, None)
        rows = connect(say=print_warning).leaderboard(slug)
        return place_of(score, as_scores([row.score for row in rows], slug), figure)
    return None


def _read_gold(path: Path, reader: Reader) -> list[Example]:
    """The gold examples, read as tolerantly as the official scripts: they never look at an offset."""
    from qakit.problems import Problems

    problems = Problems(path, policies={"default": "keep"})
    examples = list(reader.read(path, problems))
    if problems.skipped:
        print_warning(f"{path}: {problems.skipped} questions could not be read and are not scored")
    unlabelled = [example.id for example in examples if not example.labelled]
    if unlabelled:
        from qakit.data.predictions_file import first_ids

        raise DataError(
            f"{len(unlabelled)} of {len(examples)} questions have no gold answer: {first_ids(unlabelled)}", path=path
        )
    if not examples:
        raise DataError("has no questions to score against", path=path)
    return examples


def _compare_ids(examples: Sequence[Example], answered: AnswerFile) -> None:
    """Warn of ids that only one of the files has.

    Raises:
        DataError: a number is missing: a correlation cannot do without.
    """
    from qakit.data.predictions_file import first_ids
    from qakit.values import Targets

    gold = {example.id for example in examples}
    missing = [example for example in examples if example.id not in answered.answers]
    ids = first_ids(example.id for example in missing)
    if any(isinstance(example.label, float | Targets) for example in missing):
        raise DataError(f"{len(missing)} of {len(examples)} numbers are missing: {ids}", path=answered.path)
    if missing:
        print_warning(f"{answered.path}: {len(missing)} questions are unanswered and score 0: {ids}")
    unknown = [id_ for id_ in answered.answers if id_ not in gold]
    if unknown:
        print_warning(f"{answered.path}: {len(unknown)} ids are not in the gold file: {first_ids(unknown)}")


def _warn_of_other_classes(examples: Sequence[Example], answered: AnswerFile) -> None:
    """Perfect predictions that are spelt otherwise would score 0 without a word."""
    from qakit.data.predictions_file import first_ids
    from qakit.values import class_name

    classes = dict.fromkeys(example.label for example in examples if isinstance(example.label, str))
    if not classes:
        return
    gold = {example.id for example in examples}
    given = [class_name(answer) for id_, answer in answered.answers.items() if id_ in gold]
    other = [name for name in given if name not in classes]
    if other:
        print_warning(
            f"{answered.path}: {len(other)} of {len(given)} answers are no class of the gold file and count as wrong: "
            f"{first_ids(map(repr, dict.fromkeys(other)))}; its classes are {first_ids(map(repr, sorted(classes)))}"
        )


def _predictions(
    examples: Sequence[Example],
    answered: AnswerFile,
    probabilities: Mapping[str, float] | None,
    source: Path | None,
    *,
    choices: Sequence[str],
) -> list[Prediction]:
    """Answers to gold questions (or classes, numbers, chosen contexts).

    They are in the order of the probabilities' file: among equals it decides the threshold.
    """
    from qakit.data.predictions_file import first_ids
    from qakit.values import NoAnswer, SpanPrediction

    gold = {example.id: example for example in examples}
    known = {id_: text for id_, text in answered.answers.items() if id_ in gold}
    if probabilities is None:
        return [_prediction(gold[id_], text, answered.path, choices) for id_, text in known.items()]
    missing = [id_ for id_ in known if id_ not in probabilities]
    if missing:
        raise DataError(f"{len(missing)} answered questions have no number here: {first_ids(missing)}", path=source)
    return [
        SpanPrediction(id_, known[id_], null=NoAnswer(score=value, probability=value))
        for id_, value in probabilities.items()
        if id_ in known
    ]


def _prediction(example: Example, text: str, path: Path, choices: Sequence[str]) -> Prediction:
    """An answer where the gold file has answers, else a class, a number or a chosen context."""
    from qakit.numbers import parse_targets
    from qakit.values import ContextPrediction, LabelPrediction, SetPrediction, SpanPrediction, Targets, class_name

    if example.together:
        return SetPrediction(example.id, SetPrediction.texts(text))
    if example.label is None and example.answers is None and example.relevant is not None:
        return ContextPrediction(example.id, _chosen(example, text, path, choices))
    if example.label is None:
        return SpanPrediction(example.id, text)
    if isinstance(example.label, str):
        return LabelPrediction(example.id, class_name(text))
    if isinstance(example.label, Targets):
        found = parse_targets(text)
        lacking = [name for name in example.label.names if found is None or name not in found.names]
        if found is None or lacking:
            problem = f"there is no number {lacking[0]!r}, as the gold file has it" + (
                f"; there are {', '.join(found.names)}" if found is not None else f": it is {text!r:.40}"
            )
            raise DataError(problem, path=path, row=f"id {example.id}")
        return LabelPrediction(example.id, found)
    try:
        return LabelPrediction(example.id, float(text))
    except ValueError:
        raise DataError(
            f"{text!r} is not a number, as the gold file has it", path=path, row=f"id {example.id}"
        ) from None


def _chosen(example: Example, text: str, path: Path, choices: Sequence[str]) -> int:
    """The context that a number from 0, a name or a letter stands for."""
    from qakit.inference.output import LETTERS

    there = len(example.contexts)
    for names in ([str(number) for number in range(there)], choices, LETTERS):
        if text in names[:there]:
            return names.index(text)
    problem = f"{text!r:.40} is no number of a context, from 0 to {there - 1}, and neither its name nor its letter"
    raise DataError(problem, path=path, row=f"id {example.id}")


def _show(metric: str, figures: Mapping[str, float] | Mapping[str, int | str]) -> None:
    from qakit.cli.terminal.tables import print_table

    rows = [(key, f"{value:.4f}" if isinstance(value, float) else value) for key, value in figures.items()]
    print_table(metric, ("figure", "value"), rows, numbers=("value",))
