"""The Python API: what ``qakit.train`` and its siblings are. Torch is imported by the first call, not before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qakit.errors import UsageError
from qakit.system import refused_by_system
from qakit.training.events import Event, Listener, Notice, RunBegun, log
from qakit.training.interrupts import InterruptedTrainingError
from qakit.workflows import given
from qakit.workflows.compare import compare as compare_runs
from qakit.workflows.ensemble import EnsembleResult, combine_members, combine_recipe
from qakit.workflows.evaluate import EvaluationResult
from qakit.workflows.evaluate import evaluate as evaluate_model
from qakit.workflows.given import StrPath, Values
from qakit.workflows.view import view as write_view

if TYPE_CHECKING:
    import torch

    from qakit.inference.answerer import Answerer
    from qakit.inference.question_answering import QuestionAnsweringPipeline
    from qakit.report.compare import Comparison
    from qakit.workflows.predict import PredictionResult
    from qakit.workflows.train import TrainingResult


def train(
    recipe: StrPath | None = None,
    output: StrPath | None = None,
    *,
    set: Values | None = None,
    resume: bool = False,
    fold: int | None = None,
    devices: str | int | Sequence[int] | None = None,
    jobs: int | None = None,
    engine: Literal["local", "ray"] = "local",
    max_hours: float | None = None,
    on_event: Listener = log,
) -> TrainingResult:
    """Train a recipe; evaluate, predict its test file and write the submission: ``qakit train``.

    A recipe with ``folds``, ``stages`` or ``ensemble`` is several trainings, and the result is the whole. Interrupting
    the kernel (Ctrl-C, SIGTERM) finishes the step, writes a checkpoint and raises; so does an ``on_event`` that raises
    KeyboardInterrupt between ``Started`` and the last evaluation, and elsewhere that goes through as it is. Outside the
    main thread no signal handler is touched.

    Args:
        recipe: a file, or the name of one of qakit's own; not needed with ``resume``, and then the one of before.
        output: the run's folder; by default ``runs/NAME-TIME``.
        set: values to change, ``{"train.epochs": 1}``.
        resume: resume the run in ``output`` from its last checkpoint.
        fold: of a recipe with folds: train only this one, counted from 1.
        devices: how many GPUs, or their numbers, ``[0, 1]``; ``"cpu"``, or ``"cpu:2"`` for two processes. By default
            what ``QAKIT_DEVICES`` says, else every GPU. Several have a process each, and this one waits for them.
        jobs: of several trainings: how many at once; by default one on each GPU.
        engine: of several trainings: on this machine, or on the Ray cluster that ``RAY_ADDRESS`` names.
        max_hours: in which this call should be done, test predictions included; what does not fit is left out. Several
            trainings share them.
        on_event: called with each value of :mod:`qakit.training.events`; by default warnings are logged.

    Raises:
        RecipeError: with every problem of the recipe.
        InterruptedTrainingError: it was asked to stop, and has written its checkpoint.
        KeyboardInterrupt: it was asked to stop before the first step, or after the last one.
        QakitError: whatever else is wrong with data, models or folders.
    """
    from qakit.registry import load_registry
    from qakit.runs import Run
    from qakit.workflows.train import plan_training

    begun: list[Path] = []

    def listener(event: Event) -> None:
        if isinstance(event, RunBegun):
            begun.append(event.folder)
        on_event(event)

    with _known_errors():
        planned = plan_training(
            given.path(recipe),
            given.new_run(output),
            overrides=given.texts(set),
            resume=resume,
            fold=fold,
            devices=given.devices(devices),
            jobs=jobs,
            engine=engine,
            max_hours=max_hours,
            registry=load_registry(),
        )
        try:
            result = planned.train(listener)
            return replace(result, run=Run(result.folder.absolute()))
        except (InterruptedTrainingError, KeyboardInterrupt) as error:
            if begun:
                written = "a checkpoint is written; " * isinstance(error, InterruptedTrainingError)
                where = fspath(begun[0].absolute())
                error.add_note(f"{written}continue with qakit.train(output={where!r}, resume=True)")
            raise


def predict(
    model: StrPath,
    input: StrPath | None = None,
    *,
    contexts: StrPath | None = None,
    split: Literal["train", "validation", "test"] | None = None,
    output: StrPath | None = None,
    nbest: StrPath | None = None,
    character_scores: StrPath | None = None,
    set: Values | None = None,
    on_event: Listener = log,
) -> PredictionResult:
    """Answer every question of a file, or of one of the run's splits: ``qakit predict``.

    Args:
        model: a run of any kind (its folder, or what :func:`train` gave back); or a model without a run, as a folder
            or by its name on the hub.
        input: a file, also ``hf://...``, in the format of the recipe's reader.
        contexts: the file of contexts, for readers that have one; by default beside ``input``.
        split: instead of ``input``: the questions that the recipe names; the candidates are kept in the run.
        output: also write the answers to this file; its ending chooses the format.
        nbest: also write all candidates to this JSON Lines file.
        character_scores: also write start and end log-probabilities of every character to this file.
        set: values to change, of a run only those that prediction looks at: ``{"predict.max_answer_length": 50}``.
            The answers to a ``split`` are then not kept in the run.
        on_event: called with each value of :mod:`qakit.training.events`; ``Predicting`` counts windows.

    Raises:
        UsageError: these do not go together.
        QakitError: the model or the file cannot be read, or a file cannot be written.
    """
    from qakit.workflows.predict import Targets
    from qakit.workflows.predict import predict as predict_questions

    with _known_errors():
        return predict_questions(
            given.place(model),
            given.text(input),
            contexts=given.path(contexts),
            split=split,
            targets=Targets(given.new_file(output), given.new_file(nbest), given.new_file(character_scores)),
            overrides=given.texts(set),
            listener=on_event,
        )


def evaluate(
    model: StrPath,
    input: StrPath | None = None,
    *,
    threshold: float | None = None,
    curve: StrPath | None = None,
    errors: bool = False,
    questions: StrPath | None = None,
    nbest: StrPath | None = None,
    set: Values | None = None,
    on_event: Listener = log,
) -> EvaluationResult:
    """Score a model on a labelled file, with the threshold and temperature tuned in training: ``qakit evaluate``.

    Args:
        model: as for :func:`predict`.
        input: a labelled file, also ``hf://...``; by default the recipe's validation file.
        threshold: answer "" where the no-answer score exceeds the best span's by more, instead of the run's own.
        curve: draw the figures at every no-answer threshold to this PNG file.
        errors: also say why each wrong answer is wrong, by one model or a pipeline; always so for a pipeline.
        questions: also write every question with its answer to this file: a page (``.html``) or a table (``.csv``);
            with ``errors`` the page shows the windows, too.
        nbest: also write all candidates to this JSON Lines file.
        set: values to change, of a run only those that prediction looks at: ``{"predict.max_answer_length": 50}``.
        on_event: as for :func:`predict`.

    Raises:
        UsageError: the model cannot do what is asked.
        DataError: the file cannot be read, or its questions have no answers.
        QakitError: the model cannot be loaded.
    """
    with _known_errors():
        return evaluate_model(
            given.place(model),
            given.text(input),
            threshold=threshold,
            curve=given.new_file(curve),
            errors=errors,
            questions=given.new_file(questions),
            nbest=given.new_file(nbest),
            overrides=given.texts(set),
            listener=on_event,
        )


def compare(
    runs: Sequence[StrPath],
    *,
    figures: str | Sequence[str] = (),
    baseline: StrPath | None = None,
    all_pairs: bool = False,
    by_seed: bool = True,
    resamples: int = 10_000,
    seed: int = 0,
    output: StrPath | None = None,
) -> Comparison:
    """Compare runs on the validation questions: ``qakit compare``. See :func:`qakit.workflows.compare.compare`."""
    with _known_errors():
        return compare_runs(
            given.places(runs),
            figures=[figures] if isinstance(figures, str) else figures,
            baseline=given.path(baseline),
            all_pairs=all_pairs,
            by_seed=by_seed,
            resamples=given.whole_number("resamples", resamples, least=100),
            seed=given.whole_number("seed", seed),
            output=given.new_file(output),
        )


def view(runs: StrPath | Sequence[StrPath], output: StrPath | None = None, *, members: bool = False) -> Path:
    """Write one page about a run or several: ``qakit view``. See :func:`qakit.workflows.view.view`."""
    with _known_errors():
        places = given.places([runs] if isinstance(runs, str | PathLike) else runs)
        return write_view(places, output=given.new_file(output), members=members)


def ensemble(
    members: StrPath | Sequence[StrPath],
    *,
    method: str = "voting",
    settings: Values | None = None,
    weights: Sequence[float] | Literal["learn"] | None = None,
    seed: int = 0,
    output: StrPath | None = None,
    folder: StrPath | None = None,
    on_event: Listener = log,
) -> EnsembleResult:
    """Combine the answers of several runs or files to the same questions: ``qakit ensemble``.

    Args:
        members: runs, or CSV, TSV or JSON files of answers; or one ensemble recipe, which says all but ``output`` and
            ``folder``.
        method: an ensembler.
        settings: those of the method.
        weights: one number for each member, or ``"learn"``: those that suit the validation predictions.
        seed: of cross-fitting and bootstrap.
        output: a file for the combined answers: .csv, .json, .jsonl or .tsv.
        folder: keep the ensemble as a run. Of a recipe, by default ``runs/NAME-TIME``.
        on_event: called with what is going on, and with warnings.

    Raises:
        UsageError: these do not go together.
        QakitError: a member cannot be read, or cannot give what the method needs.
    """
    with _known_errors():
        if isinstance(members, str | PathLike):
            if (method, settings or None, weights, seed) != ("voting", None, None, 0):
                raise UsageError(f"method, settings, weights and seed are what {members} says: change it there")
            made = combine_recipe(
                Path(members), output=given.new_file(output), folder=given.new_run(folder), listener=on_event
            )
            return replace(made, folder=given.absolute(made.folder))
        return combine_members(
            given.places(members),
            method=method,
            settings=given.mapping("settings", settings),
            weights=given.weights(weights),
            seed=given.whole_number("seed", seed),
            output=given.new_file(output),
            folder=given.new_run(folder),
            listener=on_event,
        )


def load(model: StrPath, *, revision: str | None = None) -> Answerer:
    """Load whatever answers questions, ready for ``.answer(question, context, top_k=...)``.

    Torch is imported here, not at ``import qakit``.

    Args:
        model: the folder of a finished run of any kind, of an ensemble or of folds with all of its models in memory; or
            a model of ``AutoModelForQuestionAnswering``, as a folder or by its name on the hub.
        revision: branch, tag or commit of a model on the hub.

    Raises:
        RunError: the folder is neither, or has no trained model.
        ModelError: no such model, or one that does not answer questions.
        UsageError: a run that answers with classes or contexts: :func:`predict` is for these.
    """
    from qakit.inference.answerer import Answerer
    from qakit.workflows.loading import load_trained

    given.place(model)
    trained = load_trained(model, revision=revision, keep=True, warn=lambda line: log(Notice(line)), only_answers=True)
    return Answerer(trained)


def pipeline(
    task: str | None = None,
    model: Any = None,
    *,
    tokenizer: Any = None,
    revision: str | None = None,
    device: int | str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    batch_size: int | None = None,
    trust_remote_code: bool = False,
    **arguments: Any,
) -> QuestionAnsweringPipeline:
    """What ``transformers.pipeline("question-answering")`` was: the same arguments, scores and return values.

    Args:
        task: ``question-answering``, or None.
        model: as for :func:`load`; or a model of transformers' that is loaded already. By default the one that was the
            default there, distilbert/distilbert-base-cased-distilled-squad.
        tokenizer: another one's folder or name; beside a loaded model, its tokenizer.
        revision: branch, tag or commit of a model on the hub.
        device: where it runs: ``"cpu"`` or -1, ``"cuda:0"`` or 0; by default the first GPU if there is one.
        dtype: of the forward passes, ``float32`` by default. A CPU has no float16: there it is float32, too.
        batch_size: windows in a forward pass.
        trust_remote_code: run code that comes with the model. Only for authors you trust.
        arguments: ``top_k``, ``doc_stride``, ``max_answer_len``, ``max_seq_len``, ``max_question_len``,
            ``handle_impossible_answer``, ``align_to_words``, for all calls that do not say otherwise; see
            :class:`qakit.inference.question_answering.Parameters`.

    Raises:
        UsageError: an argument that there is not, or of a wrong type.
        ModelError: no such model, or one that does not answer questions.
    """
    from qakit.workflows.loading import load_pipeline

    dtype = arguments.pop("torch_dtype", dtype)
    return load_pipeline(
        task,
        model,
        tokenizer,
        revision=revision,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        trust_remote_code=trust_remote_code,
        arguments=arguments,
    )


@contextmanager
def _known_errors() -> Iterator[None]:
    """What the system refuses, such as a full disk, is a QakitError, too; its own error is the cause."""
    try:
        yield
    except (OSError, RuntimeError, MemoryError) as error:
        known = refused_by_system(error)
        if known is None:
            raise
        raise known from error
