"""The encoder as an ONNX graph: written by PyTorch's exporter, run by ONNX Runtime on the CPU.

The graph ends where the head begins. So any head goes with it, none of its weights is quantised, and its decoding is
the one that it has everywhere.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from qakit.errors import ModelError, RunError, UsageError
from qakit.modeling.architectures import is_offered
from qakit.modeling.model import ReadingModel
from qakit.modeling.smoke_test import sharing_copy
from qakit.modeling.sparse_attention import is_sparse
from qakit.names import one_line
from qakit.protocols import PoolsLayers

GRAPH = "encoder.onnx"
HEAD = "head.safetensors"
OPSET = 17
TOLERANCE = 1e-3
"""Largest difference to PyTorch's hidden states, relative to the largest of these, before quantisation."""
SHAPES = ((2, 24), (1, 9), (3, 40))
"""Windows and tokens of the texts that the graph is traced with, and compared on."""


def need(*packages: str) -> None:
    """Make sure, before the long work, that the extra is installed.

    Raises:
        UsageError: it is not.
    """
    for name in packages:
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            raise UsageError(f"ONNX needs the package {error.name!r}: pip install 'qakit[onnx]'") from None


class OnnxEncoder(nn.Module):
    """An encoder's graph in the place of the encoder; it runs on the CPU, wherever its inputs are."""

    def __init__(self, file: Path, config: PretrainedConfig, *, length_limit: int | None) -> None:
        """Raises:
        UsageError: ONNX Runtime is not installed.
        RunError: the file is damaged.
        """
        super().__init__()
        need("onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # of many classes of its own
            raise RunError(f"{file.parent} is damaged: {file.name}: {one_line(error)}") from error
        self.names = [each.name for each in self.session.get_inputs()]
        self.config = config
        self.length_limit = length_limit

    def __deepcopy__(self, _: object) -> Self:
        return self  # it has no state

    def forward(self, **inputs: Any) -> SimpleNamespace:
        """``last_hidden_state`` (B, T, H) float32; ``hidden_states`` of all layers, if the head pools them."""
        given = {name: inputs[name].cpu().numpy() for name in self.names}
        layers = [torch.from_numpy(each) for each in self.session.run(None, given)]
        layers = [each.to(inputs["input_ids"].device) for each in layers]
        return SimpleNamespace(last_hidden_state=layers[-1], hidden_states=tuple(layers))


class _Traced(nn.Module):
    """An encoder as the exporter wants it: tensors in, tensors out."""

    def __init__(self, model: ReadingModel, names: Sequence[str]) -> None:
        super().__init__()
        self.backbone = sharing_copy(model.backbone)
        self.names = names
        self.pools = isinstance(model.head, PoolsLayers) and model.head.pools

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        output = self.backbone(**dict(zip(self.names, inputs, strict=True)), output_hidden_states=self.pools)
        return tuple(output.hidden_states) if self.pools else (output.last_hidden_state,)


def write_graph(model: ReadingModel, config: PretrainedConfig, file: Path, *, has_types: bool, int8: bool) -> None:
    """Write the encoder's graph, and compare it with the encoder.

    Args:
        model: on the CPU, in eval mode, its adapter merged.
        config: the encoder's.
        file: where to.
        has_types: whether the encoder is given token types.
        int8: the weights of its matrix products as 8-bit integers, one scale for each column; activations are quantised
            as they come.

    Raises:
        ModelError: the architecture cannot be exported.
        OSError: the file system refuses.
    """
    kind = config.model_type
    if is_offered(config):
        raise ModelError(f"the encoder {kind} is a plugin's; ONNX is for transformers' own")
    if model.attends_globally:
        raise ModelError(f"the {kind} architecture cannot be exported to ONNX: it pads texts to its attention window")
    if is_sparse(config):
        raise ModelError(
            f"the {kind} architecture cannot be exported to ONNX: a graph has one kind of attention, and this one is "
            "sparse for long texts and full for short ones; train with backbone.overrides.attention_type=original_full"
        )
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if has_types else [])]
    traced, first = _Traced(model, names).eval(), _texts(SHAPES[0], config, len(names))
    with _quiet(), torch.no_grad():
        try:
            outputs = [f"hidden_{number}" for number in range(len(traced(*first)))]
            # The newer exporter (dynamo=True) needs onnxscript and ten times as long, for a graph of the same speed.
            torch.onnx.export(
                traced,
                first,
                str(file),
                dynamo=False,
                opset_version=OPSET,
                input_names=names,
                output_names=outputs,
                dynamic_axes={name: {0: "windows", 1: "tokens"} for name in names + outputs},
            )
            far = max(_distance(traced, OnnxEncoder(file, config, length_limit=None), config, at) for at in SHAPES[1:])
        except OSError:  # a full disk
            raise
        except Exception as error:  # whatever an architecture does that the exporter has no operator for
            raise ModelError(f"the {kind} architecture cannot be exported to ONNX: {one_line(error)}") from error
        if not far <= TOLERANCE:
            raise ModelError(f"the {kind} architecture cannot be exported to ONNX: its graph computes something else")
        if int8:
            _quantise(file)


def _texts(shape: tuple[int, int], config: PretrainedConfig, inputs: int) -> tuple[Tensor, ...]:
    """Random token ids; the last third of the last window is padding; all of one type."""
    ids = torch.randint(config.vocab_size, shape, generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[-1, shape[1] - shape[1] // 3 :] = 0
    return (ids, mask, torch.zeros_like(ids))[:inputs]


def _distance(traced: _Traced, graph: OnnxEncoder, config: PretrainedConfig, shape: tuple[int, int]) -> float:
    """The largest difference at any token, relative to the largest of the encoder's hidden states."""
    inputs = _texts(shape, config, len(traced.names))
    found = graph(**dict(zip(traced.names, inputs, strict=True))).hidden_states
    real = inputs[1] == 1
    pairs = [(ours[real], theirs[real]) for ours, theirs in zip(found, traced(*inputs), strict=True)]
    return max(float((ours - theirs).abs().max() / theirs.abs().max()) for ours, theirs in pairs)


def _quantise(file: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = file.with_suffix(".fp32")
    file.rename(whole)
    quantize_dynamic(
        whole, file, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul", "Gemm"]
    )
    whole.unlink()


@contextmanager
def _quiet() -> Iterator[None]:
    """What exporter and quantiser say is for their authors."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
