"""``qakit ask``: one question."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qakit.cli.terminal.console import out, plain, print_json, print_warning
from qakit.cli.terminal.options import JsonOption, ModelArgument, SetOption
from qakit.errors import DataError

if TYPE_CHECKING:
    from qakit.training.events import Event


def ask(
    model: ModelArgument,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question.")],
    context: Annotated[
        list[str],
        typer.Option("--context", "-c", help="A text to answer from; repeat it for several. @FILE reads a file."),
    ],
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="How many candidates to show.")] = 3,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask one question.

    Example: qakit ask runs/first "Who wrote it?" -c "Mary Shelley wrote it."
    """
    from qakit.inference.answerer import Answerer
    from qakit.inference.questions import examples_of
    from qakit.workflows.questions import load_run

    contexts = [_text(item) for item in context]
    examples_of(question, contexts)  # before the model is loaded
    reply = Answerer(load_run(model, settings or (), _tell, only_answers=True)).answer(question, contexts, top_k=top_k)
    if as_json:
        print_json(asdict(reply))
        return
    from qakit.cli.terminal.tables import number, print_table

    out.print(plain(reply.answer or "(no answer)", style="bold"))
    rows = []
    for candidate in reply.candidates:
        place = "" if candidate.start is None else f"characters {candidate.start}-{candidate.end}"
        if len(contexts) > 1:
            place = f"{place} of context {candidate.context + 1}".strip()
        rows.append((candidate.text, number(candidate.probability), number(candidate.score), place))
    if reply.no_answer is not None:
        rows.append(("(no answer)", number(reply.no_answer.probability), number(reply.no_answer.score), ""))
    print_table(None, ("candidate", "probability", "score", "place"), rows, numbers=("probability", "score"))


def _tell(event: Event) -> None:
    """What the user should know of the model."""
    from qakit.training.events import Notice

    if isinstance(event, Notice):
        print_warning(event.message)


def _text(item: str) -> str:
    if not item.startswith("@"):
        return item
    path = Path(item[1:])
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise DataError(f"cannot be read: {why}", path=path) from error
