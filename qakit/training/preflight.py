"""One batch through all that a training will do, before its first step: what does not fit is known in seconds."""

from __future__ import annotations

import math
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from safetensors.torch import save

from qakit.data.arrays import Int64
from qakit.data.encode import EncodedExamples
from qakit.distributed import ALONE, Workers
from qakit.entry_points import describe
from qakit.errors import ModelError, PluginError, QakitError, RunError
from qakit.inference.evaluation import check_selection, choices_of, evaluate, finish, fixed_threshold
from qakit.inference.inputs import Inputs
from qakit.inference.memory import within_memory
from qakit.inference.output import build_writer, save_predictions
from qakit.inference.scoring import characters_of, predictions_of, prepare, score
from qakit.modeling.assemble import Assembled
from qakit.modeling.device import autocast
from qakit.modeling.folder import merged_backbone, merging
from qakit.modeling.plain_weights import plain_weights
from qakit.modeling.smoke_test import sharing_copy
from qakit.protocols import MergesAdapter, PerExampleMetric
from qakit.registry import Registry
from qakit.system import is_out_of_memory
from qakit.training.events import Listener, Notice, Preparing
from qakit.training.feed import Epoch
from qakit.training.finish import peak_memory_mb
from qakit.training.observers import observers_of
from qakit.training.parts import largest_part, needed_later, reserved
from qakit.training.prepare import Prepared
from qakit.training.step import mean_loss, too_large
from qakit.values import Example, Prediction

FEW = 8
"""At most so many examples are answered."""
AT_LEAST = 2
"""So many are, however long: of one alone some metrics give no figure."""
NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class FirstBatch:
    """What a preflight saw of the batch that needs most memory."""

    loss: float
    windows: int
    tokens: int
    """Of its longest window."""
    seconds: float
    """Of the whole preflight."""
    parts: int
    """Forward passes that each process needs for its share of a step, as far as memory goes."""
    peak_memory_mb: float | None
    """See :func:`~qakit.training.finish.peak_memory_mb`; the optimiser's moments are not there yet."""


def preflight(
    prepared: Prepared,
    registry: Registry,
    *,
    device: torch.device,
    listener: Listener,
    workers: Workers = ALONE,
    sharded: bool = False,
) -> FirstBatch:
    """Try with real data what a training will do, and leave no trace: its weights, buffers, gradients and random
    numbers stay what they are, and nothing is written but temporary files.

    The part of a step that needs most memory goes forward and backward; a few validation examples (training examples
    where there are none) are scored, decoded, cleaned up and judged; their answers are kept and, if there is a test
    file, written under its ids; the adapter is merged, in a copy of the backbone as at every evaluation.

    Several processes do this inside :meth:`~qakit.distributed.Workers.fail_together`: each takes its own part forward
    and backward, without exchanging gradients, and the first one does the rest.

    Args:
        sharded: the loop will hold parts of the weights only (FSDP). A whole model's gradients may not fit into memory
            then, so there is no backward pass, and gradients are not looked at.

    Raises:
        QakitError: something fails or does not fit: the line names the stage and the component. A ``PluginError`` where
            it is the component's own code that raises.
        RunError: there is not enough memory for what cannot be cut further. Where it runs out elsewhere, a training
            might continue all the same: then there is a notice.
    """
    began = time.perf_counter()
    listener(Preparing("preflight: one batch through everything"))
    observers_of(prepared.recipe, Path(prepared.recipe.name or "run"), registry)
    with _without_trace(prepared.assembled, device) as assembled:
        trial = _Trial(prepared, assembled, registry, device, listener)
        epoch = prepared.plan.first
        rows = largest_part(epoch, prepared.recipe.train.parts, workers)
        loss, parts = trial.learn(epoch, rows, workers, backward=not sharded)
        if workers.first:
            try:
                trial.answer()
                trial.merge()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                listener(Notice("preflight: out of memory after the first batch: what comes after it was not tried"))
    return FirstBatch(
        loss=loss,
        windows=len(rows),
        tokens=int(epoch.collator.lengths[rows].max()),
        seconds=round(time.perf_counter() - began, 2),
        parts=parts,
        peak_memory_mb=peak_memory_mb(),
    )


@contextmanager
def _without_trace(assembled: Assembled, device: torch.device) -> Iterator[Assembled]:
    """A model with the same parameters, to be used in its stead; then gradients and generators are as before."""
    parameters = list(assembled.model.parameters())
    held = [parameter.grad for parameter in parameters]
    copy = replace(assembled, model=sharing_copy(assembled.model))
    with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device], device_type=device.type):
        try:
            for parameter in parameters:
                parameter.grad = None
            yield copy
        finally:
            for parameter, gradient in zip(parameters, held, strict=True):
                parameter.grad = gradient


@dataclass(frozen=True, slots=True)
class _Blame:
    """Whose code is at work: ``who`` as messages name it, the ``thing`` itself, and what its user can do."""

    who: str
    thing: object
    advice: str
    error: type[QakitError] = PluginError


@contextmanager
def _stage(name: str, blame: Callable[[], _Blame] | None = None) -> Iterator[None]:
    """What goes wrong inside begins with the stage's name. With ``blame`` what is raised outside of calls into plugins
    becomes one line, too: in the backbone, in the backward pass, where a head's numbers are used."""
    try:
        yield
    except QakitError as error:
        error.args = (f"preflight, {name}: {error}",)
        raise
    except Exception as error:
        if blame is None or is_out_of_memory(error):
            raise
        whose = blame()
        raise whose.error(
            f"preflight, {name}: {whose.who} fails: {describe(error)} ({_place(error, whose.thing)}): {whose.advice}"
        ) from error


def _place(error: BaseException, thing: object) -> str:
    """``FILE, line N``: the innermost line of the thing's own package, else of all, that an exception came through."""
    package = type(thing).__module__.partition(".")[0]
    frames = list(traceback.walk_tb(error.__traceback__))
    own = [each for each in frames if str(each[0].f_globals.get("__name__")).partition(".")[0] == package]
    frame, line = (own or frames)[-1]
    return f"{Path(frame.f_code.co_filename).name}, line {line}"


@dataclass(frozen=True, slots=True)
class _Trial:
    """A training's model at work, stage by stage. ``assembled`` is the copy to be used."""

    prepared: Prepared
    assembled: Assembled
    registry: Registry
    device: torch.device
    listener: Listener
    reached: list[str] = field(default_factory=list)
    """What of the model was called last."""

    def __post_init__(self) -> None:
        model = self.assembled.model
        for part, module in (("backbone", model), ("head", model.head)):
            module.register_forward_pre_hook(lambda *_, part=part: self.reached.append(part))

    def learn(self, epoch: Epoch, rows: Int64, workers: Workers, *, backward: bool) -> tuple[float, int]:
        """Loss and gradients of these windows, in smaller parts where memory runs out; returns their mean loss, and
        how many parts each process needs for its share of a step."""
        recipe, model = self.prepared.recipe, self.assembled.model
        model.train()

        def compute(rows: Int64) -> float:
            batch = epoch.batch(rows).to(self.device)
            with torch.set_grad_enabled(backward):
                with _stage("forward pass", self._model), autocast(self.device, self.prepared.precision):
                    loss = mean_loss(recipe, batch, "preflight", model=model, plain=model)
                    self._check_loss(loss, windows=len(rows), learns=backward)
                if backward:
                    with _stage("backward pass", self._head):
                        loss.backward()  # type: ignore[no-untyped-call]
            return float(loss.detach()) * len(rows)

        chooses = recipe.train.accumulation == "auto"
        parts = recipe.train.parts

        def halved(_: str) -> None:
            nonlocal parts
            if workers.size > 1 and not backward:
                raise RunError(f"preflight: {too_large(workers.size, parts)}")
            parts *= 2

        with reserved(needed_later(model, recipe.train), self.device) if chooses else nullcontext():
            total = sum(part for _, part in within_memory([rows], compute, groups=epoch.groups, notice=halved))
        if parts > recipe.train.parts and not chooses:
            self.listener(
                Notice(
                    f"preflight: the largest batch does not fit into memory at once: from there on each step will be "
                    f"computed in {parts} parts (train.accumulation={parts}), with the same batch"
                )
            )
        if backward:
            with _stage("backward pass", self._head):
                self._check_gradients()
        return total / len(rows), parts

    def answer(self) -> None:
        """Answers to a few examples: decoded, cleaned up, judged, kept and written."""
        prepared, recipe = self.prepared, self.prepared.recipe
        labelled = prepared.validation is not None
        examples = self._few()
        few = prepare(examples, self.assembled, recipe, self.registry)
        with _stage("decoding", self._model):
            scores = score(
                few,
                self.assembled,
                device=self.device,
                precision=prepared.precision,
                notice=lambda text: self.listener(Notice(f"preflight: {text}")),
            )
            threshold = fixed_threshold(recipe)
            raw = predictions_of(few, scores, recipe, null_threshold=threshold or 0.0, temperature=1.0)
            characters = characters_of(few, scores)
        judge = prepared.judge
        with _stage("clean-up"):
            answers = finish(raw, examples, judge)
        if labelled:
            with _stage("metric"):
                if isinstance(judge.metric, PerExampleMetric):
                    judge.metric.per_example(examples, [each.final for each in answers])
                judged = evaluate(few, scores, judge, null_threshold=threshold, temperature=None)
                answers = list(judged.predictions)
                self._check_figures(judged.figures, answers)
                if judged.raw:
                    choices_of(judged.raw, examples, judge)  # as for the curve of thresholds at the end
        with TemporaryDirectory(prefix="qakit-") as folder:
            with _stage("keeping answers", self._head):
                save_predictions(Path(folder), answers, recipe, run="preflight", inputs=Inputs(), characters=characters)
            self._write(answers, Path(folder))

    def merge(self) -> None:
        """The weights as an evaluation would keep them."""
        assembled = self.prepared.assembled
        head = assembled.model.head
        with _stage("merge"):
            if self.prepared.recipe.backbone.init == "scratch":
                merging(assembled.adapter, "a model that begins from scratch could not be kept")
            if self.prepared.recipe.train.keep == "merged" and isinstance(assembled.adapter, MergesAdapter):
                plain_weights(merged_backbone(assembled), head, assembled.config)
        with _stage("keeping weights", self._head):
            save({name: tensor.detach().cpu().contiguous() for name, tensor in head.state_dict().items()})

    def _check_loss(self, loss: torch.Tensor, *, windows: int, learns: bool) -> None:
        recipe = self.prepared.recipe
        if not torch.isfinite(loss):
            precise = "" if self.prepared.precision == "fp32" else "set train.precision=fp32, or "
            raise ModelError(
                f"the head {recipe.head.name!r} gives a loss of {float(loss.detach())} for {windows} windows, before "
                f"anything is trained: {precise}look at the backbone's weights and at the head's plugin"
            )
        if learns and not loss.requires_grad:
            raise PluginError(
                f"the loss of the head {recipe.head.name!r} does not depend on anything that trains: no gradient can "
                "reach the weights; this is a mistake in the head's plugin"
            )

    def _check_gradients(self) -> None:
        """Every trainable parameter should have one."""
        recipe, model = self.prepared.recipe, self.assembled.model
        trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        without = [name for name in trained if model.get_parameter(name).grad is None]
        parts = {part: [name for name in trained if name.startswith(f"{part}.")] for part in ("backbone", "head")}
        if parts["head"] and set(parts["head"]) <= set(without):
            raise PluginError(
                f"the loss of the head {recipe.head.name!r} does not depend on the head's weights: none of them gets a "
                "gradient; this is a mistake in its plugin"
            )
        if not without:
            return
        names = ", ".join(without[:NAMES_SHOWN]) + (", ..." if len(without) > NAMES_SHOWN else "")
        if parts["backbone"] and set(parts["backbone"]) <= set(without):
            names = "the whole backbone"
        self.listener(
            Notice(
                f"preflight: {len(without)} of {len(trained)} trainable parameters get no gradient from the first "
                f"batch ({names}): they may never change"
            )
        )

    def _few(self) -> list[Example]:
        """A few examples of each kind, the shortest ones first, together no larger than a training batch."""
        validation = self.prepared.validation
        if validation is None:
            examples: Sequence[Example] = self.prepared.train_split.examples
            encoded = self.prepared.feed.encoded
        else:
            examples, encoded = validation.examples, validation.encoded
        windows = _about_windows(encoded, self.prepared.recipe.windows.max_length)
        met: Counter[object] = Counter()
        ranked = []
        for index in np.argsort(windows, kind="stable").tolist():
            kind = _kind(examples[index])
            ranked.append((met[kind], index))  # the first of each kind come before the second ones
            met[kind] += 1
        ranked.sort(key=lambda each: each[0])
        chosen: list[Example] = []
        room = self.prepared.recipe.train.batch_size
        for _, index in ranked[:FEW]:
            room -= int(windows[index])
            if room < 0 and len(chosen) >= AT_LEAST:
                break
            chosen.append(examples[index])
        return chosen

    def _check_figures(self, figures: dict[str, float], answers: Sequence[Prediction]) -> None:
        """They can be selected by, and written down. A few examples may leave figures out, or undefined, that all of
        them give: then these answers are judged as if they were those to all of them."""
        prepared, judge, name = self.prepared, self.prepared.judge, self.prepared.recipe.metric.name
        assert prepared.validation is not None
        examples = prepared.validation.examples
        selected = judge.selected_by in figures
        if not selected or not all(map(math.isfinite, figures.values())):
            everywhere = _under_ids(answers, [example.id for example in examples])
            if not selected:
                check_selection(judge, examples, everywhere)
            figures = dict(judge.metric.compute(examples, everywhere))
        odd = {key: value for key, value in figures.items() if not math.isfinite(value)}
        if odd:
            shown = ", ".join(f"{key} {value!r}" for key, value in odd.items())
            raise PluginError(
                f"the metric {name!r} gives what is no finite number ({shown}), so that it cannot be logged or "
                "compared: name another metric, or mend its plugin"
            )

    def _write(self, answers: Sequence[Prediction], folder: Path) -> None:
        """The submission, as far as a writer can know it: under the ids of the test file."""
        if self.prepared.test_ids is None:
            return
        writer = build_writer(self.prepared.recipe, self.registry)
        with _stage("writer"):
            writer.write(_under_ids(answers, self.prepared.test_ids), folder / f"submission{writer.suffix}")

    def _model(self) -> _Blame:
        """The backbone's, until the head is called."""
        if self.reached[-1:] == ["head"]:
            return self._head()
        return _Blame(
            f"the backbone {self.prepared.recipe.backbone.called!r}",
            self.assembled.model.backbone,
            "choose another one, or other `windows`",
            ModelError,
        )

    def _head(self) -> _Blame:
        name = self.prepared.recipe.head.name
        who = f"the head {name!r} of {self.registry.get('heads', name).origin}"
        return _Blame(who, self.assembled.model.head, "name another head, or mend its plugin")


def _kind(example: Example) -> object:
    """What a metric may need some of each of: classes; questions with and without an answer."""
    if isinstance(example.label, str):
        return example.label
    return None if example.answers is None else bool(example.answers)


def _about_windows(encoded: EncodedExamples, length: int) -> Int64:
    """(N,) how many windows an example may have, by its tokens."""
    tokens = np.zeros(len(encoded), np.int64)
    np.add.at(tokens, encoded.pair_example, encoded.context_lengths)
    return 1 + tokens // length


def _under_ids(answers: Sequence[Prediction], ids: Sequence[str]) -> list[Prediction]:
    """As many predictions as ids: the answers again and again, as if they were the answers to these."""
    return [replace(answer, id=id_) for id_, answer in zip(ids, cycle(answers), strict=False)]
