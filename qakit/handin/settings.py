"""What the stand-alone predictor is told of a run of any kind; and what it cannot do is refused, before any work."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from qakit.errors import UsageError
from qakit.names import quoted
from qakit.values import TargetNames, as_written

if TYPE_CHECKING:
    from qakit.recipe.model import PluginRef, Recipe
    from qakit.registry import Registry
    from qakit.runs import Run

SPAN_HEADS = ("linear_span", "joint_span", "crf")
"""Those that score single tokens."""
HEADS = (*SPAN_HEADS, "paragraph_scorer", "multiple_choice", "classifier")
PREPROCESSORS = ("stride", "centred", "random_window", "every_context", "concatenate", "truncate")
POSTPROCESSORS = ("special_chars", "length_prior")
METHODS = ("voting", "nbest", "char_average", "mean")
WRITERS = ("csv", "squad_json", "jsonl")
GLUE = {
    "CoLA": ("sentence",),
    "SST-2": ("sentence",),
    "MRPC": ("#1 String", "#2 String"),
    "STS-B": ("sentence1", "sentence2"),
    "QQP": ("question1", "question2"),
    "QNLI": ("question", "sentence"),
    "RTE": ("sentence1", "sentence2"),
    "WNLI": ("sentence1", "sentence2"),
}
"""Which columns hold the texts of a task."""
COLA = ("source", "label", "star", "sentence")
"""The columns of its files without a header line."""


@dataclass(frozen=True, slots=True)
class Described:
    """A run as the predictor sees it."""

    answers: dict[str, Any]
    """How it answers: a model's settings, or those of stages or members."""
    models: dict[str, Run] = field(default_factory=dict)
    """The trainings behind it, by the folder that their weights get in the hand-in."""


def describe(run: Run, registry: Registry, place: str = "model", within: tuple[Path, ...] = ()) -> Described:
    """The settings of whatever answers.

    Args:
        run: a run, a pipeline of two stages, an ensemble, or folds.
        registry: the installed plugins.
        place: the folder of its weights in the hand-in; that of its parts for a run that has some.
        within: the ensembles of which it is a member.

    Raises:
        UsageError: the predictor cannot do what the run does.
        RunError: a part is damaged, not trained, or not there.
    """
    from qakit.stages.load import is_pipeline_folder

    if run.has_members:
        return _ensemble(run, registry, place, within)
    return (_two_stages if is_pipeline_folder(run.folder) else _model)(run, registry, place)


def _model(run: Run, registry: Registry, place: str) -> Described:
    from qakit.data.template import backend_copy
    from qakit.inference.trained import temperature_of, threshold_of
    from qakit.modeling.architectures import is_offered
    from qakit.modeling.assemble import template_for
    from qakit.modeling.attention import FOR_GPUS
    from qakit.modeling.backbones import load_tokenizer
    from qakit.modeling.configs import read_config
    from qakit.modeling.device import FULL_PRECISION_ONLY
    from qakit.modeling.folder import refuse_graph

    refuse_graph(run.model)
    recipe = run.recipe()
    config = read_config(run.model, trust_remote_code=False)
    _check(run, recipe, config.model_type, registry, of_plugin=is_offered(config))
    classes = run.classes()
    if isinstance(classes, TargetNames):
        _refuse(run, "several numbers of each text")
    tokenizer = load_tokenizer(str(run.model))
    template, predict = template_for(tokenizer, config), recipe.predict
    head = plugin_settings(registry, "heads", recipe.head)
    aggregation = predict.aggregation
    if aggregation == "auto":
        aggregation = "mean" if head["name"] == "linear_span" and not head["yes_no_weight"] else "max_context"
    answers = {
        "kind": "model",
        "folder": place,
        "head": head,
        "preprocess": plugin_settings(registry, "preprocessors", recipe.preprocess.predict),
        "template": {name: getattr(template, name) for name in template.__slots__},
        "split_special_tokens": backend_copy(tokenizer).encode_special_tokens,
        "max_length": recipe.windows.max_length,
        "max_question_length": recipe.windows.max_question_length,
        "batch_size": predict.batch_size,
        "attention": "auto" if recipe.train.attention in FOR_GPUS else recipe.train.attention,
        "precision": "fp32" if config.model_type in FULL_PRECISION_ONLY else recipe.train.precision,
        "n_best": predict.n_best,
        "max_answer_length": predict.max_answer_length,
        "no_answer": predict.no_answer,
        "aggregation": aggregation,
        "token_scores": head["name"] if aggregation == "mean" else None,
        "null_threshold": threshold_of(run, recipe),
        "temperature": temperature_of(run),
        "classes": [as_written(each) for each in classes],
        "choices": [],
        **_cleaned(recipe, registry),
    }
    return Described(answers, {place: run})


def _two_stages(run: Run, registry: Registry, place: str) -> Described:
    from qakit.runs import not_finished, open_run
    from qakit.stages.load import COMBINE, read_pipeline, stage_folders
    from qakit.stages.tuning import Decision

    values = run.read_json(run.folder / COMBINE)
    if not values:
        raise not_finished(run)
    decision, recipe = Decision.read(values, str(run.folder / COMBINE)), run.recipe()
    folders = {str(name): folder for name, folder in stage_folders(run).items()}
    parts = {name: describe(open_run(folder), registry, f"{place}/{name}") for name, folder in folders.items()}
    if parts["selection"].answers["head"]["name"] != "multiple_choice":
        _refuse(run, "a selection stage with another head than multiple_choice")
    _refuse_sets(run, parts["span"])
    answers = {
        "kind": "two_stage",
        **{name: part.answers for name, part in parts.items()},
        "top_k": read_pipeline(run).combine.top_k,
        "weight": decision.weight,
        "null_threshold": decision.null_threshold,
        "temperature": decision.temperature,
        "n_best": recipe.predict.n_best,
        **_cleaned(recipe, registry),
    }
    return Described(answers, {place: each for part in parts.values() for place, each in part.models.items()})


def _ensemble(run: Run, registry: Registry, place: str, within: tuple[Path, ...]) -> Described:
    from qakit.ensembling.folder import open_stored
    from qakit.ensembling.load import as_shares
    from qakit.folds import open_together
    from qakit.runs import nested, open_run

    within = nested(run.folder, within)
    stored = (open_together if run.is_folds else open_stored)(run.folder, registry)
    method = stored.method
    if method.name not in METHODS:
        _refuse(run, f"the ensembler {method.name!r}")
    settings = registry.check_settings("ensemblers", method.name, method.settings).model_dump(mode="json")
    settings.pop("weights", None)  # the decided ones count
    parts = [
        describe(open_run(path), registry, f"{place}/{number}", within)
        for number, path in enumerate(stored.members, start=1)
    ]
    for part in parts:
        _refuse_sets(run, part)
        if method.reads_characters:
            if part.answers["kind"] != "model" or part.answers["head"]["name"] not in SPAN_HEADS:
                _refuse(run, f"{method.name} of members that are not single models with one of {', '.join(SPAN_HEADS)}")
            part.answers["token_scores"] = part.answers["head"]["name"]
    answers = {
        "kind": method.name,
        **settings,
        "members": [part.answers for part in parts],
        "weights": as_shares(stored.decision.weights),
        "temperatures": stored.decision.temperatures,
        "null_threshold": stored.decision.null_threshold,
        "n_best": stored.recipe.predict.n_best,
        "classes": next((found for part in parts if (found := part.answers.get("classes"))), []),
        "choices": [],
        **(_cleaned(stored.recipe, registry) if method.decodes else {"postprocess": []}),
    }
    return Described(answers, {name: each for part in parts for name, each in part.models.items()})


def _refuse_sets(run: Run, part: Described) -> None:
    if part.answers.get("head", {}).get("spans") == "many":
        _refuse(run, "parts with head.spans: many")


def reader_settings(run: Run, recipe: Recipe, registry: Registry) -> dict[str, Any]:
    """How the predictor reads files.

    Raises:
        UsageError: it does not know this reader, or one of its settings.
    """
    settings = plugin_settings(registry, "readers", recipe.data.reader)
    name = settings["name"]
    if name in ("adl", "hw7", "squad", "multispanqa"):
        return {"format": name}
    if name == "glue" and settings["task"] in GLUE:
        headless = COLA if settings["task"] == "CoLA" else None
        ids = ["index", "idx", "id"]
        return {
            "format": "table", "texts": GLUE[settings["task"]], "ids": ids, "form": "tsv", "separator": None,
            "quotes": False, "headless": headless, "glue": True,
        }  # fmt: skip
    if name == "table" and settings["format"] in ("auto", "csv", "tsv", "json", "jsonl"):
        texts = [settings["question"] or settings["text_a"], settings["context"] or settings["text_b"]]
        if settings["choices"] or any("{" in (text or "") for text in texts):
            _refuse(run, "the table reader's `choices` and templates")
        return {
            "format": "table",
            "texts": [text for text in texts if text],
            "ids": [settings["id"]] if settings["id"] else [],
            "form": settings["format"],
            "separator": settings["separator"],
            "quotes": settings["quotes"],
            "headless": None,
            "glue": False,
        }
    return _refuse(run, f"the reader {name!r} (it reads adl, hw7, squad, multispanqa, table and most of glue)")


def writer_settings(run: Run, recipe: Recipe, registry: Registry, suffix: str | None) -> tuple[dict[str, Any], str]:
    """How the predictor writes answers, and the file's ending.

    Args:
        suffix: what the answer file must end in; None for the recipe's own choice.

    Raises:
        UsageError: it does not know this writer, or one of its settings.
    """
    from qakit.inference.output import build_writer, settings_of_writer

    own, name = build_writer(recipe, registry).suffix, _name(registry, "writers", recipe.writer)
    settings = settings_of_writer(recipe, registry)
    if suffix is not None and suffix != own:
        name, settings = {".csv": "csv", ".json": "squad_json", ".jsonl": "jsonl"}[suffix], {}
    found = registry.check_settings("writers", name, settings).model_dump(mode="json") if name in WRITERS else {}
    spans = _name(registry, "heads", recipe.head) not in ("classifier", "multiple_choice")
    odd = found.get("escape_formulas") or found.get("no_answer_probability") or (name == "jsonl" and not spans)
    if name not in WRITERS or odd:
        known = "it writes csv, squad_json, and jsonl of spans; a course with `output: .csv` asks for a CSV"
        _refuse(run, f"the writer {name!r} as it is set ({known})")
    return {"name": name, **found}, suffix or own


def plugin_settings(registry: Registry, kind: Any, ref: PluginRef) -> dict[str, Any]:
    """A plugin's name, with its package's where that is not qakit, and all of its settings."""
    settings = registry.check_settings(kind, ref.name, ref.settings).model_dump(mode="json")
    return {"name": _name(registry, kind, ref), **settings}


def _name(registry: Registry, kind: Any, ref: PluginRef) -> str:
    entry = registry.get(kind, ref.name)
    return entry.name if entry.package == "qakit" else f"{entry.package}:{entry.name}"


def _cleaned(recipe: Recipe, registry: Registry) -> dict[str, Any]:
    return {"postprocess": [plugin_settings(registry, "postprocessors", ref) for ref in recipe.postprocess]}


def _check(run: Run, recipe: Recipe, architecture: str, registry: Registry, *, of_plugin: bool) -> None:
    """Refuse what the predictor has no code for."""
    named: list[tuple[str, Any, PluginRef, tuple[str, ...]]] = [
        ("head", "heads", recipe.head, HEADS),
        ("preprocess.predict", "preprocessors", recipe.preprocess.predict, PREPROCESSORS),
        *(("postprocess", "postprocessors", ref, POSTPROCESSORS) for ref in recipe.postprocess),
    ]
    for what, kind, ref, known in named:
        if (name := _name(registry, kind, ref)) not in known:
            _refuse(run, f"{what}: {name} (it has {', '.join(known)})")
    if architecture == "longformer" or of_plugin or recipe.backbone.trust_remote_code:
        _refuse(run, f"code for the backbone's architecture ({architecture})")


def _refuse(run: Run, what: str) -> NoReturn:
    raise UsageError(
        f"{run.folder}: the stand-alone predictor has no {what}; `qakit export {quoted(run.folder)} --offline` writes "
        "a folder that needs qakit's packages and answers with any run"
    )
