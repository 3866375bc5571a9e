"""The model card of a run: what it is, how good it is and how sure that is, for whom, under which licence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from qakit.data.splits import SplitName, split_sources
from qakit.recipe.hub_data import HUB, HubFiles, HubSplit
from qakit.recipe.model import Recipe
from qakit.report.compare import Estimate

TASKS = {
    "AutoModelForQuestionAnswering": "question-answering",
    "AutoModelForMultipleChoice": "multiple-choice",
    "AutoModelForSequenceClassification": "text-classification",
}
"""Transformers' class for a kind of model -> what the hub calls its task."""
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Figures:
    """What the run reached on its validation questions."""

    values: Mapping[str, float]
    estimates: Mapping[str, Estimate]
    """Those with a 95% interval."""
    questions: int | None


@dataclass(frozen=True, slots=True)
class Subject:
    """What a card is about."""

    repository: str
    """``OWNER/NAME``."""
    recipe: Recipe
    figures: Figures
    backbone: str
    """As others can find it: a name, never a path."""
    licence: str
    backbone_licence: str
    """Or :data:`UNKNOWN`."""
    auto_class: str | None
    """Transformers' class that loads the model; None where only qakit does."""


def card_of(subject: Subject) -> str:
    """The card: YAML front matter as the hub reads it, and a text in Markdown."""
    recipe, name = subject.recipe, subject.repository.partition("/")[2]
    train, validation = (_named(recipe, split) for split in ("train", "validation"))
    seen = "" if subject.figures.questions is None else f" of {subject.figures.questions:,} questions"
    about = f"{recipe.description}\n\n" if recipe.description else ""
    return f"""---
{_front_matter(subject)}
---

# {name}

{about}`{subject.backbone}` with the head `{recipe.head.name}`, trained with qakit.

## Use

{_use(subject)}

## Figures

On the validation data ({", ".join(validation) or "none"}){seen}, which also chose the weights, and the no-answer
threshold if there is one.

{_table(subject.figures)}

## Training

- data: {", ".join(train) or "none"}
- backbone: `{subject.backbone}`, adapter `{recipe.adapter.name}`
- windows of {recipe.windows.max_length} tokens, {recipe.train.epochs:g} epochs, batches of {recipe.train.batch_size},
  learning rate {recipe.train.learning_rate:g}, seed {recipe.seed}

## Intended use and limits

For texts like those of its training data: other languages, domains or lengths were not measured. {_limits(subject)}
It repeats whatever its training data and its backbone have wrong; no answer should be acted on unread.

## Licence

{subject.licence}. The backbone `{subject.backbone}` has the licence {subject.backbone_licence}{_doubt(subject)}
"""


def _front_matter(subject: Subject) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    recipe, task = subject.recipe, TASKS.get(subject.auto_class or "", "")
    language = None if recipe.about is None or recipe.about.language == "multi" else recipe.about.language
    validation = _named(recipe, "validation")
    kind = task or "question-answering"
    results = [
        EvalResult(
            task_type=kind,
            dataset_type=dataset_of(recipe, "validation") or "private",
            dataset_name=", ".join(validation) or "none",
            metric_type=key,
            metric_value=round(value, 2),
        )
        for key, value in subject.figures.values.items()
    ]
    known = subject.licence != UNKNOWN
    datasets = sorted({found for split in ("train", "validation") if (found := dataset_of(recipe, split))})
    data = ModelCardData(
        language=language,
        license=subject.licence if known else "other",
        license_name=None if known else UNKNOWN,
        library_name="transformers" if subject.auto_class else "qakit",
        pipeline_tag=task or None,
        tags=["qakit", recipe.head.name],
        base_model=subject.backbone if "/" in subject.backbone else None,
        datasets=datasets or None,
        metrics=list(subject.figures.values) or None,
        model_name=subject.repository.partition("/")[2],
        eval_results=results or None,
    )
    return data.to_yaml()


def dataset_of(recipe: Recipe, split: SplitName) -> str | None:
    """The hub's dataset that a split comes from, if it does."""
    for source in split_sources(recipe, split):
        if isinstance(source, HubSplit):
            return source.dataset
        if source.startswith(HUB):
            return HubFiles.parse(source).repository
    return None


def _named(recipe: Recipe, split: SplitName) -> Sequence[str]:
    """What a split was read from, in words: datasets of the hub, and names of files without their folders."""
    return [
        f"{source.dataset}, {source.split}"
        if isinstance(source, HubSplit)
        else (source if source.startswith(HUB) else PurePath(source).name)
        for source in split_sources(recipe, split)
    ]


def _table(figures: Figures) -> str:
    if not figures.values:
        return "None were measured."
    rows = ["| metric | value | 95% interval |", "|---|---|---|"]
    for key, value in figures.values.items():
        found = figures.estimates.get(key)
        rows.append(f"| {key} | {value:.2f} | {f'{found.low:.2f} to {found.high:.2f}' if found else ''} |")
    return "\n".join(rows)


def _use(subject: Subject) -> str:
    repository, auto = subject.repository, subject.auto_class
    ours = f"""```python
import qakit

qakit.load("{repository}").answer("Who wrote it?", "Mary Shelley wrote it in 1818.").answer
```"""
    if auto != "AutoModelForQuestionAnswering" and auto is not None:
        ours = f"`qakit predict {repository} --input FILE --output answers.csv`"
    if auto is None:
        return f"{ours}\n\ntransformers has no class with this head."
    return f"""{ours}

```python
from transformers import {auto}, AutoTokenizer

model = {auto}.from_pretrained("{repository}")
tokenizer = AutoTokenizer.from_pretrained("{repository}")
```"""


def _limits(subject: Subject) -> str:
    if subject.auto_class not in ("AutoModelForQuestionAnswering", None):
        return ""
    if subject.recipe.predict.no_answer:
        return "It says that a text holds no answer where the score for that is above its threshold."
    return "It finds an answer in every text, also where there is none."


def _doubt(subject: Subject) -> str:
    if subject.backbone_licence == UNKNOWN:
        return ": find out whether it allows what you want to do."
    return "." if subject.backbone_licence == subject.licence else ", which holds beside that of this model."
