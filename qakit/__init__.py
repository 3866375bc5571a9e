"""qakit: extractive question answering and GLUE-style fine-tuning competitions from the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if sys.version_info < (3, 11):  # noqa: UP036 - pip refuses it, but nobody asks pip in a source tree
    found = f"{sys.version_info[0]}.{sys.version_info[1]} ({sys.executable})"
    sys.stderr.write(f"error: qakit needs Python 3.11 or newer; this is {found}\n")
    sys.exit(2)

import pluggy

if TYPE_CHECKING:
    from os import PathLike

    import torch

    from qakit.inference.answerer import Answerer
    from qakit.inference.question_answering import QuestionAnsweringPipeline

__version__ = "0.1.0"
__all__ = ["__version__", "hookimpl", "load", "pipeline"]

hookimpl = pluggy.HookimplMarker("qakit")
"""Marks a function as the implementation of one of the hooks in :mod:`qakit.hookspecs`."""


def load(model: str | PathLike[str], *, revision: str | None = None) -> Answerer:
    """Load whatever answers questions, ready for ``.answer(question, context, top_k=...)``.

    Torch is imported here, not at ``import qakit``.

    Args:
        model: the folder of a finished run or pipeline; or a model of ``AutoModelForQuestionAnswering``, as a folder
            or by its name on the hub.
        revision: branch, tag or commit of a model on the hub.

    Raises:
        RunError: the folder is neither, or has no trained model.
        ModelError: no such model, or one that does not answer questions.
    """
    from qakit.inference.answerer import Answerer
    from qakit.stages.loading import load_trained

    return Answerer(load_trained(model, revision=revision))


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
        dtype: of the forward passes, ``float32`` by default.
        batch_size: windows in a forward pass.
        trust_remote_code: run code that comes with the model. Only for authors you trust.
        arguments: ``top_k``, ``doc_stride``, ``max_answer_len``, ``max_seq_len``, ``max_question_len``,
            ``handle_impossible_answer``, ``align_to_words``, for all calls that do not say otherwise; see
            :class:`qakit.inference.question_answering.Parameters`.

    Raises:
        UsageError: an argument that there is not, or of a wrong type.
        ModelError: no such model, or one that does not answer questions.
    """
    from qakit.stages.loading import load_pipeline

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
