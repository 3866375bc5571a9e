"""Answer many files into a folder: here, or on the machines of a Ray cluster, which share the folder."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.errors import QakitError, RunError
from qakit.inference.stream import BLOCK, Listener, StoppedError, Tally, answer_shards
from qakit.inference.stream_folder import AnswerFolder, Identity, Print, content_sha256
from qakit.inference.stream_inputs import Form, Shard
from qakit.runs import Run, is_model_alone, read_in_one_state
from qakit.stages.load import what_answers
from qakit.training.interrupts import TerminationError, stop_requests, termination_as_error
from qakit.workflows.loading import load_trained

if TYPE_CHECKING:
    import torch

    from qakit.inference.answering import Answering

Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """Which model answers, and how."""

    run: Path
    overrides: tuple[str, ...]
    """``a.b=value`` texts for its recipe."""
    folder: Path
    """For the answers."""
    form: Form | None
    """None: as each input's ending suggests."""
    block: int | None
    """Questions in memory at a time."""
    keep_going: bool


def open_answers(
    request: Request, *, device: torch.device | None, keep: bool, overwrite: bool, warn: Warn
) -> tuple[Answering, AnswerFolder]:
    """The model, and the folder that is begun for its answers.

    Args:
        keep: have all members of an ensemble in memory.
        overwrite: remove the answers that are there.

    Raises:
        QakitError: whatever is wrong with the run, its overrides or the folder.
    """
    places = () if is_model_alone(request.run) else what_answers(Run(request.run))

    def load() -> tuple[Answering, str]:
        loaded = load_trained(request.run, overrides=request.overrides, device=device, keep=keep, warn=warn)
        return loaded, content_sha256(places or (loaded.run.model,))

    trained, digest = read_in_one_state(load, *places)
    answers = AnswerFolder(request.folder, Identity.of(trained.run, trained.recipe, digest, form=request.form))
    answers.begin(overwrite=overwrite)
    return trained, answers


def answer_here(
    request: Request,
    shards: Sequence[Shard],
    *,
    device: torch.device,
    overwrite: bool,
    listener: Listener,
    warn: Warn,
) -> Tally:
    """Answer the files in this process; see :func:`~qakit.inference.stream.answer_shards`."""
    with stop_requests() as stop:
        trained, answers = open_answers(request, device=device, keep=True, overwrite=overwrite, warn=warn)
        return answer_shards(
            trained,
            shards,
            answers,
            block=request.block or BLOCK,
            keep_going=request.keep_going,
            stopping=lambda: stop.signal,
            listener=listener,
        )


def answer_on_cluster(
    request: Request, shards: Sequence[Shard], *, overwrite: bool, listener: Listener, warn: Warn
) -> Tally:
    """Answer the files on a Ray cluster, with one model on each GPU, or on each core where there is none.

    Everything is checked here first, also that the model can be loaded. Ray Data deals out the files; one whose machine
    is lost is answered by another one.

    Raises:
        DataError, RunError, OutputError: as in one process, with the same words.
        StoppedError: we were asked to stop; finished files stay.
    """
    import torch

    tally = Tally(len(shards))
    try:
        with termination_as_error():
            answers = open_answers(request, device=torch.device("cpu"), keep=False, overwrite=overwrite, warn=warn)[1]
            waiting = [shard for shard in shards if not answers.is_done(shard)]
            tally.skipped = len(shards) - len(waiting)
            tally.bytes_left = sum(Print.of(shard.source).size for shard in waiting)
            listener(tally)
            moved = True
            while waiting and moved:
                passed_over = []
                for shard, told in _answered(request, waiting):
                    if told["elsewhere"]:
                        passed_over.append(shard)
                    else:
                        _note(tally, shard, told)
                        listener(tally)
                moved = len(passed_over) < len(waiting)
                waiting = passed_over
    except TerminationError as stop:
        raise StoppedError(stop.exit_code - 128) from None
    except KeyboardInterrupt:
        raise StoppedError(2) from None
    tally.elsewhere = len(waiting)
    return tally


def _answered(request: Request, shards: Sequence[Shard]) -> Iterator[tuple[Shard, Mapping[str, Any]]]:
    """Have the files answered; gives each with what its machine reports of it, in the order in which they are ready.

    Raises:
        QakitError: one could not be answered.
    """
    from qakit.ray_cluster import connect, room_of, what_went_wrong

    ray = connect()
    data: Any = import_module("ray.data")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    room = room_of(ray)
    count = min(len(shards), room.places(ray))
    rows = [
        {"number": number, "source": str(shard.source), "output": shard.output, "form": shard.form}
        for number, shard in enumerate(shards)
    ]
    rows_of = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        OnMachine,
        fn_constructor_args=(request, str(Path.cwd())),
        batch_size=1,
        # Those that are there begin at once; a file waits for nobody else's.
        compute=data.ActorPoolStrategy(min_size=1, max_size=count, initial_size=count, max_tasks_in_flight_per_actor=1),
        **room.of_one,
    )
    try:
        for row in rows_of.iter_rows():
            told = json.loads(row["told"])
            if "error" in told:
                error = QakitError(told["error"])
                error.exit_code = told["exit_code"]
                raise error
            yield shards[row["number"]], told
    except ray.exceptions.RayError as problem:
        raise RunError(what_went_wrong(problem)) from problem


def _note(tally: Tally, shard: Shard, told: Mapping[str, Any]) -> None:
    tally.current = str(shard)
    tally.bytes_left -= told["bytes"]
    for name in ("answered", "skipped", "examples", "formulas"):
        setattr(tally, name, getattr(tally, name) + told[name])
    tally.failed |= {str(shard): problem for problem in told["failed"]}
    tally.warnings += told["warnings"]
    if told["answered"]:
        tally.bytes_answered += told["bytes"]
        tally.last_finished = tally.seconds


class OnMachine:
    """What answers on a machine of the cluster: Ray makes one for each GPU, or core, and hands it a file at a time.

    Args:
        request: as it was made.
        folder: from where, if this machine has such a folder.
    """

    def __init__(self, request: Request, folder: str) -> None:
        if Path(folder).is_dir():
            os.chdir(folder)
        self._request = request
        self._opened: tuple[Answering, AnswerFolder] | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Answer one file; what a user may have done wrong comes back as text."""
        (number,), (source,), (output,), (form,) = (batch[name] for name in ("number", "source", "output", "form"))
        shard = Shard(Path(str(source)), str(output), form)
        try:
            told = self._answer(shard)
        except QakitError as error:
            told = {"error": str(error), "exit_code": error.exit_code}
        return {"number": [int(number)], "told": [json.dumps(told)]}

    def _answer(self, shard: Shard) -> dict[str, Any]:
        from qakit.modeling.device import pick_device

        if self._opened is None:
            self._opened = open_answers(
                self._request, device=pick_device(), keep=True, overwrite=False, warn=_say_nothing
            )
        warnings: list[str] = []

        def hear(tally: Tally) -> None:
            warnings.extend(tally.warnings)
            tally.warnings.clear()

        trained, answers = self._opened
        size = Print.of(shard.source).size
        tally = answer_shards(
            trained,
            [shard],
            answers,
            block=self._request.block or BLOCK,
            keep_going=self._request.keep_going,
            listener=hear,
        )
        return {
            "answered": tally.answered,
            "skipped": tally.skipped,
            "elsewhere": tally.elsewhere,
            "examples": tally.examples,
            "formulas": tally.formulas,
            "bytes": size,
            "failed": list(tally.failed.values()),
            "warnings": warnings,
        }


def _say_nothing(_: str) -> None:
    """The command has said it already."""
