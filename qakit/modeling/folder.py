"""The ``model/`` folder of a run: weights in safetensors, a configuration, a tokenizer.

A run keeps plain weights, loadable by transformers (see :mod:`qakit.modeling.plain_weights`), or with
``train.keep: adapter`` only what was trained (see :mod:`qakit.modeling.adapter_file`).
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from qakit.errors import ModelError, PluginFaultError, RunError, UsageError
from qakit.files import check_readable, replace_folder
from qakit.modeling.adapter_file import ADAPTER, check_origin, origin_of, read_adapter, read_weights, write_adapter
from qakit.modeling.assemble import Assembled, build, build_head, length_limit, template_for
from qakit.modeling.attention import attention_for
from qakit.modeling.backbones import check_vocabulary, from_config, load_backbone, load_tokenizer, vocabulary_of
from qakit.modeling.checkpoints import pickled_files
from qakit.modeling.configs import read_config
from qakit.modeling.device import resolve_precision
from qakit.modeling.model import ReadingModel
from qakit.modeling.onnx import GRAPH, HEAD, OnnxEncoder, write_graph
from qakit.modeling.plain_weights import plain_weights
from qakit.modeling.remote_code import announce_remote_code, code_files, is_remote, wants_remote_code
from qakit.modeling.smoke_test import try_encoder
from qakit.names import one_line
from qakit.numbers import load_json
from qakit.protocols import Adapter, MergesAdapter, NoRuntime
from qakit.recipe.model import BackboneSection, Recipe
from qakit.registry import Registry
from qakit.runs import LAYOUT, Run, classes_in, not_finished
from qakit.values import TargetNames, as_written

WEIGHTS = "model.safetensors"
MAIN_MEMORY = torch.device("cpu")

Keep = Literal["merged", "adapter", "onnx", "onnx-int8"]
FILES = {"adapter": ADAPTER, "onnx": GRAPH, "onnx-int8": GRAPH}
"""What a folder holds in place of :data:`WEIGHTS`."""


def save_model(
    assembled: Assembled,
    folder: Path,
    *,
    decision: Mapping[str, Any],
    keep: Keep = "merged",
    backbone: BackboneSection | None = None,
) -> None:
    """Write the model folder, replacing an earlier one in a single step.

    Args:
        assembled: the model as it trains, its adapter not yet merged.
        folder: where to.
        decision: what was tuned together with these weights (the no-answer threshold, the temperature), kept as
            ``decision.json``.
        keep: ``merged``: plain weights; where an adapter has added weights of its own, those are kept beside as
            ``adapter.safetensors``. ``adapter``: only what was trained, as always where the adapter cannot be merged.
            ``onnx``, ``onnx-int8``: the encoder, its adapter merged already, as a graph, and the head's weights.
        backbone: where the backbone came from; noted with its hashes, so that an adapter finds it again.

    Raises:
        UsageError: only the adapter is to be kept, and there is no backbone to come back to.
        ModelError: the architecture has no graph.
    """
    origin = None if backbone is None else origin_of(backbone, Path(str(assembled.config.name_or_path)))
    if keep == "merged" and not isinstance(assembled.adapter, MergesAdapter):
        keep = "adapter"
    if keep == "adapter" and origin is None:
        raise UsageError("a backbone from scratch must be kept whole: no file holds the weights that are not trained")
    merged = merged_backbone(assembled) if keep == "merged" else None
    stored = None if merged is None else plain_weights(merged, assembled.model.head, assembled.config)
    with replace_folder(folder) as temporary:
        config = assembled.config.to_dict() | {"dtype": "float32", "architectures": None}
        config.pop("_name_or_path", None)
        layout: dict[str, Any] = {"format": 1, "weights": keep, "backbone": origin, "classes": assembled.classes}
        if written := {name: as_written(name) for name in assembled.classes if as_written(name) != name}:
            layout["written"] = written
        if isinstance(assembled.classes, TargetNames):
            layout["numbers"] = True
        if stored is not None:
            config |= stored.config_entries
            layout |= {"backbone_prefix": stored.prefix, "head_names": stored.head_names}
            save_file(stored.weights, temporary / WEIGHTS, metadata={"format": "pt"})
        if keep.startswith("onnx"):
            has_types, int8 = assembled.template.has_types, keep == "onnx-int8"
            write_graph(assembled.model, assembled.config, temporary / GRAPH, has_types=has_types, int8=int8)
            head = assembled.model.head.state_dict()
            layout |= {"backbone_prefix": "backbone.", "head_names": {name: name for name in head}}
            save_file(head, temporary / HEAD, metadata={"format": "pt"})
        elif merged is None or _has_added(assembled.model.backbone, merged):
            write_adapter(assembled.model, temporary / ADAPTER)
        _write_json(temporary / "config.json", config)
        _write_json(temporary / "decision.json", decision)
        _write_json(temporary / LAYOUT, layout)
        assembled.tokenizer.save_pretrained(temporary)
        if any(map(is_remote, (assembled.config, assembled.tokenizer, *assembled.model.backbone.modules()))):
            _copy_code(Path(str(assembled.config.name_or_path)), temporary)


def load_model(folder: Path, recipe: Recipe, registry: Registry, *, device: torch.device) -> Assembled:
    """Load what :func:`save_model` wrote, with plain weights if its adapter can be merged.

    Raises:
        RunError: a file is missing or damaged, the weights do not fit the recipe's head, or the encoder cannot be used.
        ModelError: only the adapter was kept, and its backbone is no longer there.
    """
    layout = read_layout(folder)
    if layout.get("weights") == "adapter":
        adapted = load_adapted(folder, recipe, registry, device=device)
        if not isinstance(adapted.adapter, MergesAdapter):
            return adapted
        merged = adapted.adapter.merge(adapted.model.backbone)
        return replace(adapted, model=ReadingModel(merged, adapted.model.head).to(device).eval(), adapter=_Merged())
    is_graph = str(layout.get("weights")).startswith("onnx")
    weights = read_weights(folder / (HEAD if is_graph else WEIGHTS))
    if recipe.backbone.trust_remote_code:
        announce_remote_code(recipe.backbone.source, folder)
    try:
        prefix = str(layout["backbone_prefix"])
        names = {str(own): str(stored) for own, stored in layout["head_names"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{folder} is damaged: {LAYOUT} does not say how the weights are named ({error})") from error
    try:
        config = read_config(folder, trust_remote_code=recipe.backbone.trust_remote_code)
    except ModelError as error:
        damaged = "" if wants_remote_code(folder) else " is damaged"
        raise RunError(f"{folder}{damaged}: {error}") from error
    classes = classes_in(layout)
    config._attn_implementation = "eager" if is_graph else attention_for(recipe.train.attention, device, config)
    try:
        with torch.device("meta") if is_graph else nullcontext():
            backbone = from_config(config, registry, trust_remote_code=recipe.backbone.trust_remote_code)
    except ModelError as error:
        raise RunError(f"{folder} is damaged: config.json: {error}") from error
    tokenizer = load_tokenizer(str(folder), trust_remote_code=recipe.backbone.trust_remote_code)
    if isinstance(held := getattr(config, "vocab_size", None), int):
        check_vocabulary(vocabulary_of(tokenizer), held, str(folder))
    head = build_head(recipe, config, registry, classes=classes, tokenizer=tokenizer)
    of_head = set(names.values())  # transformers may keep a part of the head (a pooler) under the backbone's name
    if is_graph:
        backbone = OnnxEncoder(folder / GRAPH, config, length_limit=length_limit(backbone))
    else:
        held = [name for name in weights if name.startswith(prefix) and name not in of_head]
        _fill(backbone, {name.removeprefix(prefix): weights[name] for name in held}, folder)
    _fill(head, {own: weights[stored] for own, stored in names.items() if stored in weights}, folder)
    model = ReadingModel(backbone, head).to(device).eval()
    template = template_for(tokenizer, config)
    try:
        precision = resolve_precision(recipe.train.precision, device, config.model_type)
        try_encoder(backbone, template, device=device, precision=precision)
    except (torch.OutOfMemoryError, UsageError, PluginFaultError):
        raise
    except Exception as error:  # an entry of a wrong type may come to light anywhere in the encoder
        raise RunError(f"{folder} is damaged: the encoder of config.json cannot be used: {one_line(error)}") from error
    return Assembled(model, tokenizer, template, config, _Merged(), classes)


class _Merged:
    """In the place of the adapter of weights that are plain already: its plugin need not be there."""

    def apply(self, backbone: nn.Module) -> nn.Module:
        """Nothing is frozen."""
        return backbone

    def merge(self, backbone: nn.Module) -> nn.Module:
        """Nothing is to be merged."""
        return backbone


def use_in_transformers(folder: Path) -> str:
    """What transformers makes of a model folder, for people: the class that loads it, or why there is none.

    Raises:
        RunError: the folder is not whole.
    """
    if read_layout(folder).get("weights") == "adapter":
        return "holds only what was trained: transformers loads what `qakit export RUN --merge` writes"
    try:
        names = load_json((folder / "config.json").read_text("utf-8"))["architectures"]
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise RunError(f"{folder} is damaged: config.json: {error!r}") from error
    if names:
        return f"loads in transformers as {names[0]}"
    return "loads in qakit only: transformers has no class with this head, and its Auto classes would make a random one"


def load_adapted(folder: Path, recipe: Recipe, registry: Registry, *, device: torch.device) -> Assembled:
    """The model as it was trained: the backbone from its source, the adapter not merged.

    Raises:
        RunError: a file is missing or damaged, or the weights do not fit the recipe.
        ModelError: the backbone is no longer there, or is another one.
    """
    layout = read_layout(folder)
    origin = layout.get("backbone")
    if not isinstance(origin, dict):
        raise RunError(f"{folder} does not say which backbone was adapted: it was trained from scratch")
    try:
        source = load_backbone(recipe.backbone, attention=recipe.train.attention, device=device, registry=registry)
        check_origin(origin, recipe.backbone, Path(str(source.config.name_or_path)))
    except ModelError as error:
        raise ModelError(f"{folder} needs the backbone that it was trained from: {error}") from error
    adapter: Adapter = build(registry, "adapters", recipe.adapter, NoRuntime())
    tokenizer = load_tokenizer(str(folder), trust_remote_code=recipe.backbone.trust_remote_code)
    head = build_head(recipe, source.config, registry, classes=classes_in(layout), tokenizer=tokenizer)
    model = ReadingModel(adapter.apply(source.module), head)
    read_adapter(model, _trained(folder, layout, model), folder)
    template = template_for(tokenizer, source.config)
    return Assembled(model.to(device).eval(), tokenizer, template, source.config, adapter, classes_in(layout))


def read_layout(folder: Path) -> dict[str, Any]:
    """``qakit.json``: what the folder holds, and under which names.

    Raises:
        RunError: the folder is not whole, or may not be read.
    """
    check_readable(folder)
    try:
        layout = load_json(_present(folder, LAYOUT).read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise RunError(f"{folder} is damaged: {LAYOUT}: {error}") from error
    if not isinstance(layout, dict):
        raise RunError(f"{folder} is damaged: {LAYOUT} holds no object")
    try:
        classes_in(layout)
    except ValueError as error:
        raise RunError(f"{folder} is damaged: {LAYOUT} {error}") from None
    for name in ("config.json", FILES.get(str(layout.get("weights")), WEIGHTS)):
        _present(folder, name)
    return layout


def refuse_graph(folder: Path) -> None:
    """Make sure that a model folder holds weights.

    Raises:
        RunError: it holds a graph, or is not whole.
    """
    if str(read_layout(folder).get("weights")).startswith("onnx"):
        raise RunError(f"{folder} holds an ONNX graph, which only answers: name the run that it was made from")


def _present(folder: Path, name: str) -> Path:
    file = folder / name
    if not file.is_file() and (pickles := pickled_files(folder)):
        raise RunError(
            f"{folder} has no {name}, and {pickles[0]} is a pickle: loading one runs whatever code it holds, so qakit "
            "loads safetensors only; ask for the run as qakit wrote it"
        )
    run = Run(folder.parent)
    if run.recipe_file.is_file() and not (folder.is_dir() or run.finished):
        raise not_finished(run)
    if not file.is_file():
        raise RunError(f"{folder} has no {name}: files were removed")
    return file


def _trained(folder: Path, layout: Mapping[str, Any], model: ReadingModel) -> dict[str, Tensor]:
    """The weights of ``adapter.safetensors``, or the same ones out of a merged model that holds them as they are."""
    if (folder / ADAPTER).is_file():
        return read_weights(folder / ADAPTER)
    weights, prefix, names = read_weights(folder / WEIGHTS), layout["backbone_prefix"], layout["head_names"]
    trained = [name for name, parameter in model.backbone.named_parameters() if parameter.requires_grad]
    wanted = {f"backbone.{name}": prefix + name for name in trained}
    wanted |= {f"head.{own}": stored for own, stored in names.items()}
    return {own: weights[stored] for own, stored in wanted.items() if stored in weights}


def _copy_code(source: Path, folder: Path) -> None:
    """The Python files that the backbone's classes are made of: without them nobody can load the model again."""
    for file in code_files(source):
        shutil.copyfile(file, folder / file.name)


def _has_added(adapted: nn.Module, merged: nn.Module) -> bool:
    """Whether something trains that a plain backbone does not have, so that merging loses it."""
    plain = set(merged.state_dict())
    return any(parameter.requires_grad and name not in plain for name, parameter in adapted.named_parameters())


def merged_backbone(assembled: Assembled) -> nn.Module:
    """The backbone with plain weights, in main memory: the device may have no room for it a second time.

    Adapters may merge in place, and training continues: they get a copy.

    Raises:
        UsageError: the adapter cannot be merged.
    """
    adapter = merging(assembled.adapter, "its model cannot be kept as plain weights")
    backbone = assembled.model.backbone
    plain = [each for each in (*backbone.parameters(), *backbone.buffers()) if type(each) in (nn.Parameter, Tensor)]
    return adapter.merge(copy.deepcopy(backbone, {id(each): _copied(each) for each in plain}))


def _copied(tensor: Tensor) -> Tensor:
    """The same once more, in main memory; without its gradient."""
    new = tensor.detach().to(MAIN_MEMORY, copy=True)
    return nn.Parameter(new, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else new


def merging(adapter: object, consequence: str) -> MergesAdapter:
    """The adapter, if it can be merged.

    Raises:
        UsageError: it cannot, with the consequence.
    """
    if not isinstance(adapter, MergesAdapter):
        raise UsageError(f"the adapter {type(adapter).__name__} cannot be merged into the backbone: {consequence}")
    return adapter


def _fill(module: nn.Module, weights: Mapping[str, Tensor], folder: Path) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        problem = f"the weights in {folder} do not fit the recipe's {type(module).__name__}: {one_line(error)}"
        raise RunError(problem) from error


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=str) + "\n", "utf-8")
