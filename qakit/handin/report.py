"""``report.md``: what was measured, in tables; what it means is left to the author."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.numbers import finite_or_none

if TYPE_CHECKING:
    from qakit.handin.course import Rule
    from qakit.registry import Registry
    from qakit.runs import Run

WRITE = "*(Yours to write: {})*"
SHOWN = ("backbone", "adapter", "head", "windows", "preprocess", "train", "predict", "postprocess")
"""Blocks of a recipe whose values are listed."""


def report_text(
    title: str,
    runs: Mapping[str, Run],
    whole: Run,
    curves: Mapping[str, Mapping[str, Any]],
    rules: Sequence[Rule],
    registry: Registry,
) -> str:
    """The report.

    Args:
        title: its heading.
        runs: the trainings, by their names.
        whole: what answers: one of them, or what is made of them.
        curves: each training's loss and figures, as ``curves.json`` has them.
        rules: the course's, as far as they can be checked.
        registry: the installed plugins.
    """
    lines = [f"# {title}", "", WRITE.format("names, the task, the main result in a sentence"), "", "## Data", ""]
    lines += _table(("", *runs), _data(runs, registry))
    lines += ["", WRITE.format("how texts become windows, and how the tokens of answers are found")]
    lines += ["", "## Models and training", "", *_table(("", *runs), _settings(runs))]
    lines += ["", WRITE.format("why this backbone and these settings; what else was tried"), "", "## Curves"]
    for name, log in curves.items():
        lines += ["", f"### {name}", "", f"![loss and metrics of {name}](figures/{name}.png)", ""]
        figures = log["figures"]
        losses = dict(map(tuple, log["validation"]))
        steps = sorted({step for points in figures.values() for step, _ in points} | set(losses))
        held = {figure: dict(map(tuple, points)) for figure, points in figures.items()}
        rows = [(step, losses.get(step), *(held[figure].get(step) for figure in held)) for step in steps]
        lines += _table(("step", "validation loss", *held), rows)
    lines += ["", WRITE.format("what the curves show"), "", "## Results", "", *_results(runs, whole)]
    lines += ["", WRITE.format("what the differences come from"), "", "## The course's rules", ""]
    lines += _table(
        ("rule", "here", "kept"), [(each.rule, each.found, "yes" if each.kept else "**no**") for each in rules]
    )
    return "\n".join(lines) + "\n"


def _data(runs: Mapping[str, Run], registry: Registry) -> Iterator[tuple[Any, ...]]:
    columns = [_facts(run, registry) for run in runs.values()]
    for name in dict.fromkeys(name for column in columns for name in column):
        yield name, *(column.get(name) for column in columns)


def _facts(run: Run, registry: Registry) -> dict[str, Any]:
    """Counts of questions and tokens, and how good answers can get in the windows of prediction; a split whose file is
    no longer there has none."""
    from qakit.data.checks.tokens import TokenSetup, check_tokens
    from qakit.data.splits import read_split
    from qakit.errors import QakitError
    from qakit.inference.evaluation import Judge, exact_match
    from qakit.modeling.assemble import template_for
    from qakit.modeling.backbones import load_tokenizer
    from qakit.modeling.configs import read_config

    recipe, found = run.recipe(), dict[str, Any]()
    tokenizer, windows, answer = load_tokenizer(str(run.model)), recipe.windows, recipe.preprocess.predict
    runtime = template_for(tokenizer, read_config(run.model, trust_remote_code=False)).runtime(
        max_length=windows.max_length, max_question_length=windows.max_question_length, training=False, seed=0
    )
    setup = TokenSetup(
        tokenizer,
        registry.build("preprocessors", answer.name, answer.settings, runtime),
        runtime,
        recipe.predict.max_answer_length,
        recipe.predict.no_answer,
        exact_match(Judge.of(recipe, registry).metric),
        yes_no=bool(recipe.head.settings.get("yes_no_weight")),
    )
    found["tokenizer"] = f"{type(tokenizer.backend_tokenizer.model).__name__}, {len(tokenizer):,} tokens"
    for name in ("train", "validation"):
        try:
            split = read_split(recipe, registry, name)
        except QakitError:  # it has moved
            split = None
        if split is None or not split.examples:
            continue
        tokens = check_tokens(split.examples, setup)
        found[f"{name}: questions"] = f"{len(split.examples):,}"
        for what, each in tokens.lengths.items():
            found[f"{name}: tokens of each {what}, median / 95% / longest"] = f"{each.p50} / {each.p95} / {each.max}"
        found[f"{name}: inputs longer than a window"] = f"{tokens.longer_inputs:.1f}%"
        if (top := tokens.ceiling) is not None:
            reached = f"{top.of_questions:.2f}% ({top.reachable_questions:,} of {top.questions:,} questions)"
            found[f"{name}: ceiling of exact match"] = reached
            lost = f"{top.outside_windows:,} / {top.inside_tokens:,} / {top.too_long:,}"
            found[f"{name}: answers in no window as a whole / within tokens / too long"] = lost
    return found


def _settings(runs: Mapping[str, Run]) -> Iterator[tuple[Any, ...]]:
    """Every value of the recipes that says how they were trained and how they answer."""
    from safetensors import safe_open

    from qakit.recipe.dump import recipe_data

    columns = []
    for run in runs.values():
        data = recipe_data(run.recipe())
        columns.append({key: value for block in SHOWN for key, value in _flat(block, data[block])})
        weights = run.model / "model.safetensors"
        if weights.is_file():
            with safe_open(weights, framework="np") as file:
                sizes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 - no mapping
            columns[-1]["parameters"] = f"{sum(map(prod, sizes)):,}"
    for key in dict.fromkeys(key for column in columns for key in column):
        values = [column.get(key) for column in columns]
        if any(value not in (None, False, "", [], {}) for value in values):
            yield f"`{key}`" if "." in key else key, *values


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(f"{key}.{name}", inner)
    else:  # a folder of this machine is nobody's concern, its name is
        yield key, Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _results(runs: Mapping[str, Run], whole: Run) -> list[str]:
    """The figures on validation of every training, and of what is made of them."""
    held = {name: run.figures() for name, run in runs.items()}
    if whole.folder not in {run.folder for run in runs.values()}:
        held["together"] = whole.figures()
    names = dict.fromkeys(name for figures in held.values() for name in figures)
    return _table(("", *names), [(name, *(figures.get(each) for each in names)) for name, figures in held.items()])


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(_cell(value) for value in line) + " |" for line in lines]


def _cell(value: Any) -> str:
    if value is None or value == "":
        return " "
    if isinstance(value, float):
        number = finite_or_none(value)
        return "not finite" if number is None else f"{number:.6g}"
    return str(value).replace("|", "\\|").replace("\n", " ")
