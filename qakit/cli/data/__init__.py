"""``qakit data``: what is in the files, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from qakit.cli.terminal.console import err, out, plain, print_json, print_warning
from qakit.cli.terminal.groups import Commands
from qakit.cli.terminal.options import JsonOption, ReaderSetOption
from qakit.errors import ModelError, UsageError
from qakit.outputs import folder_to_fill

if TYPE_CHECKING:
    from qakit.data.check import Rules
    from qakit.data.checks.span_search import Exact
    from qakit.data.checks.tokens import TokenSetup
    from qakit.problems import Policy
    from qakit.protocols import Reader
    from qakit.recipe.model import BackboneSection, Recipe
    from qakit.registry import Registry


_DATA_ENDINGS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")


app = typer.Typer(cls=Commands, name="data", help="Look into data files, convert and split them.", no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class _Job:
    """What to check, and against what."""

    reader: Reader
    splits: Mapping[str, Sequence[Path]]
    policies: Mapping[str, Policy]
    tokenizer: str | None
    preprocessor: tuple[str, Mapping[str, Any]]
    max_length: int
    max_question_length: int
    max_answer_length: int | None
    no_answer: bool = True
    exact: Exact | None = None
    """The exact match of the recipe's metric; None without a recipe."""
    rules: Rules | None = None
    yes_no: bool = False
    """Whether the recipe's head learns yes and no."""
    own: BackboneSection | None = None
    """A recipe's backbone that makes its tokenizer itself, whatever `tokenizer` says."""


@app.command()
def check(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="RECIPE | FILE...", help="A recipe, or data files (also hf://...) with --reader."),
    ],
    reader: Annotated[
        str | None, typer.Option(help="Read the FILEs with this reader; without it, a RECIPE is checked.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the RECIPE, e.g. metric=squad_v2."),
    ] = None,
    reader_settings: ReaderSetOption = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Folder or name of a tokenizer, for figures in tokens; by default the recipe's.")
    ] = None,
    max_length: Annotated[int, typer.Option(min=8, help="Window in tokens (with --reader).")] = 384,
    stride: Annotated[
        int | None, typer.Option(min=0, help="Context tokens that neighbouring windows share (with --reader).")
    ] = None,
    max_answer_length: Annotated[
        int | None, typer.Option(min=1, help="Longest answer that decoding gives, in tokens (with --reader).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report as JSON.")] = False,
) -> None:
    """Report everything about data files at once: problems, repeats, leaks, lengths, and the ceiling of exact match.

    Exit code 0: training can start. 1: it would stop at a problem. 2: a file cannot be read.

    Example: qakit data check my-recipe.yaml
    """
    from qakit.cli.terminal.component_settings import build_component
    from qakit.data.check import check_data
    from qakit.data.sources import local_files
    from qakit.recipe.model import WindowsSection
    from qakit.registry import load_registry

    registry = load_registry()
    if (reader is None and reader_settings) or (reader is not None and overrides):
        raise UsageError("--set changes a RECIPE; with --reader, whose settings are --reader-set, there is none")
    if reader is None:
        job = _from_recipe(targets, overrides or [], tokenizer, registry)
    else:
        files = [file for text in targets for file in local_files(text, named="FILE")]
        job = _Job(
            reader=build_component(registry, "readers", reader, reader_settings, option="--reader-set"),
            splits=_one_split_each(files),
            policies={},
            tokenizer=tokenizer,
            preprocessor=("stride", {} if stride is None else {"overlap": stride}),
            max_length=max_length,
            max_question_length=WindowsSection().max_question_length,
            max_answer_length=max_answer_length,
        )
    with err.status("reading") as status:
        setup = _token_setup(job, registry)
        report = check_data(
            job.reader,
            job.splits,
            policies=job.policies,
            tokens=setup,
            rules=job.rules,
            say=lambda doing: status.update(plain(doing)),
        )
    if as_json:
        print_json(report.to_dict() | {"window": _window(job) if setup else None})
    else:
        from qakit.cli.data.report import show_report

        show_report(report, window=_window(job) if setup else None)
    raise typer.Exit(report.exit_code)


@app.command()
def convert(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Data files (also hf://...); each becomes a file of its own."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the files go.", callback=folder_to_fill)
    ],
    reader: Annotated[str, typer.Option(help="How to read the FILEs: squad, hw7, adl, glue, table ...")],
    to: Annotated[
        Literal["adl", "jsonl", "parquet"],
        typer.Option(
            help="`adl`: NTU ADL's context.json, and questions with several paragraphs of which one has the answer. "
            "`jsonl`, `parquet`: one row to a question, for the `table` reader."
        ),
    ],
    reader_settings: ReaderSetOption = None,
    paragraphs: Annotated[int, typer.Option(min=2, help="With adl: paragraphs of each question.")] = 4,
    rows: Annotated[
        int | None,
        typer.Option(min=1, help="With jsonl and parquet: rows of a file at most; more go into further files."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="With adl: of the paragraphs' order.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there already.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write data files in another format.

    Example: qakit data convert dev.json --reader squad --to jsonl -o converted
    """
    from qakit.cli.terminal.component_settings import build_component
    from qakit.data.convert import check_free, write_adl, write_tables
    from qakit.data.read import read_examples
    from qakit.data.sources import local_files
    from qakit.files import without_gz
    from qakit.registry import load_registry

    files = [file for text in inputs for file in local_files(text, named="FILE")]
    names = [without_gz(file).stem for file in files]
    if len(set(names)) < len(names):
        raise UsageError("two of the files have the same name; convert them one after the other, into two folders")
    check_free(files, output, form=to, overwrite=overwrite)
    built = build_component(load_registry(), "readers", reader, reader_settings, option="--reader-set")
    splits = {}
    for name, file in zip(names, files, strict=True):
        result = read_examples(built, file)
        splits[name] = result.examples
        for problems in result.problems:
            for line in problems.describe():
                print_warning(line)
    if to == "adl":
        done = write_adl(splits, output, paragraphs=paragraphs, seed=seed)
    else:
        done = write_tables(splits, output, form=to, rows=rows)
    if as_json:
        print_json({"folder": str(output), "files": done.files, "left_out": done.left_out})
        return
    for name, count in done.files.items():
        out.print(plain(f"{count:,} questions in {output / name}"))
    for name, count in done.left_out.items():
        if count:
            print_warning(
                f"{name}: {count:,} questions are left out: no answer with a place in a context, or too few other "
                "contexts without it"
            )


@app.command()
def split(
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="A competition's data, as it was downloaded.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the files go.", callback=folder_to_fill)
    ],
    train: Annotated[Path | None, typer.Option("--train", metavar="FILE", help="The training file.")] = None,
    test: Annotated[Path | None, typer.Option("--test", metavar="FILE", help="The test file.")] = None,
    share: Annotated[float, typer.Option("--share", help="Share of the rows to hold back.")] = 0.1,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Which rows are held back.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Hold back a part of a competition's training file, to be judged on: qakit score does it, medals included.

    The rows are MLE-bench's by default. The new folder takes the old one's place in a recipe.

    Example: qakit data split data/tweets -o data/practice
    """
    from qakit.data.practice import make_practice

    done = make_practice(source, output, train=train, test=test, share=share, seed=seed)
    if as_json:
        print_json(asdict(done) | {"folder": str(done.folder), "answers": str(done.answers)})
        return
    out.print(plain(f"{done.train:,} rows to learn from and {done.test:,} held back, in {done.folder}"))
    out.print(plain(f"labels ({', '.join(done.labels)}) of the rows held back: {done.answers}"))


def _from_recipe(targets: list[str], overrides: list[str], tokenizer: str | None, registry: Registry) -> _Job:
    from qakit.data.splits import SplitName, build_reader, split_files
    from qakit.files import without_gz
    from qakit.recipe.found import found_recipe
    from qakit.recipe.load import load_recipe

    for target in targets:
        if without_gz(Path(target)).suffix.lower() in _DATA_ENDINGS:
            raise UsageError(f"{target}: this looks like a data file: add --reader NAME (hw7, squad, ...)")
    if len(targets) > 1:
        raise UsageError("one recipe at a time; to check data files, say how to read them with --reader")
    recipe = load_recipe(found_recipe(Path(targets[0])), overrides, registry=registry).recipe
    parts = recipe.folds is not None  # which validate on the training file
    names: tuple[SplitName, ...] = ("train", "test") if parts else ("train", "validation", "test")
    splits: dict[str, Sequence[Path]] = {name: files for name in names if (files := split_files(recipe, name))}
    if not splits:
        raise UsageError(f"{targets[0]} names no data file")
    from qakit.inference.evaluation import Judge, exact_match

    rules, yes_no = _rules(recipe, registry)
    return _Job(
        reader=build_reader(recipe, registry),
        splits=splits,
        policies=recipe.data.problems,
        tokenizer=tokenizer or recipe.backbone.tokenizer or recipe.backbone.source,
        own=recipe.backbone if recipe.backbone.is_sourceless and tokenizer is None else None,
        preprocessor=(recipe.preprocess.predict.name, recipe.preprocess.predict.settings),
        max_length=recipe.windows.max_length,
        max_question_length=recipe.windows.max_question_length,
        max_answer_length=recipe.predict.max_answer_length,
        no_answer=recipe.predict.no_answer,
        exact=exact_match(Judge.of(recipe, registry).metric),
        rules=rules,
        yes_no=yes_no,
    )


def _rules(recipe: Recipe, registry: Registry) -> tuple[Rules, bool]:
    """The training's own rules, and whether the head learns yes and no.

    Where the backbone cannot be had nobody knows what the head gives; that is reported with the tokenizer.
    """
    from qakit.inference.aggregation import given_by, learns_yes_no
    from qakit.inference.data_rules import data_findings, untrained_head
    from qakit.inference.scoring import number_range_of

    try:
        head = untrained_head(recipe, registry, ())
    except ModelError:
        return partial(data_findings, recipe, registry, gives=None), False
    gives, numbers, yes_no = given_by(head), number_range_of(head), learns_yes_no(head)
    return partial(data_findings, recipe, registry, gives=gives, number_range=numbers, yes_no=yes_no), yes_no


def _one_split_each(files: Sequence[Path]) -> dict[str, Sequence[Path]]:
    """Each distinct file by its name where the names differ, else by its path."""
    distinct = list(dict.fromkeys(files))
    names = {file.name for file in distinct}
    return {file.name if len(names) == len(distinct) else str(file): [file] for file in distinct}


def _token_setup(job: _Job, registry: Registry) -> TokenSetup | None:
    """Tokenizer and windows; None, with a warning, where the tokenizer cannot be had."""
    if job.tokenizer is None:
        return None
    from qakit.data.checks.span_search import same_text
    from qakit.data.checks.tokens import TokenSetup
    from qakit.data.template import PairTemplate
    from qakit.modeling.backbones import load_tokenizer, tokenizer_of

    try:
        tokenizer = tokenizer_of(job.own, registry) if job.own is not None else load_tokenizer(job.tokenizer)
        template = PairTemplate.of(tokenizer)
    except ModelError as error:
        print_warning(f"no figures in tokens: {error}")
        return None
    runtime = template.runtime(
        max_length=job.max_length, max_question_length=job.max_question_length, training=False, seed=0
    )
    name, settings = job.preprocessor
    preprocessor = registry.build("preprocessors", name, settings, runtime)
    exact = job.exact or same_text
    return TokenSetup(tokenizer, preprocessor, runtime, job.max_answer_length, job.no_answer, exact, job.yes_no)


def _window(job: _Job) -> dict[str, Any]:
    name, settings = job.preprocessor
    given = {key: value for key, value in settings.items() if value is not None}
    return {"tokenizer": job.tokenizer, "max_length": job.max_length, "preprocessor": name, **given}
