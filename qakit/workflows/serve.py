"""A model that answers over HTTP until it is stopped."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING

from qakit.errors import UsageError

if TYPE_CHECKING:
    from types import FrameType

    from uvicorn import Server

    from qakit.inference.answerer import Asked, Reply
    from qakit.serving.app import Limits


def serve(
    model: str | PathLike[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    overrides: Sequence[str] = (),
    most: int = 64,
    wait: float = 0.01,
    room: int = 1024,
    limits: Limits | None = None,
    ready: Callable[[str], object] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
) -> None:
    """Load a model, take questions, and answer those that came before a SIGINT or SIGTERM (a second one ends it).

    Args:
        model: a run of any kind that answers questions, or a published model.
        port: 0 for any that is free.
        overrides: ``a.b=value`` texts for what prediction looks at.
        most: questions that are answered together.
        wait: seconds that a question waits for company.
        room: questions that may wait; further ones are refused (503).
        ready: called with the address when questions are taken.
        warn: told what :func:`~qakit.workflows.loading.load_trained` warns of.

    Raises:
        UsageError: the extra is not installed, the address is taken, or the model does not answer questions.
    """
    try:
        import uvicorn

        from qakit.serving.app import Limits, build_app
    except ModuleNotFoundError as error:
        if error.name not in ("fastapi", "uvicorn"):
            raise
        raise UsageError(f"qakit serve needs the package {error.name!r}: pip install 'qakit[serve]'") from None
    from qakit.inference.answerer import Answerer
    from qakit.serving.batching import Batcher
    from qakit.workflows.loading import load_trained

    listening = _listen(host, port)
    with listening:
        answerer = Answerer(load_trained(model, overrides=overrides, keep=True, warn=warn, only_answers=True))

        def answer(asked: Sequence[Asked], top_k: int) -> Sequence[Reply]:
            return answerer.answer(asked, top_k=top_k)

        answer([{"question": "Ready?", "context": "Ready."}], 1)  # what cannot answer is seen now
        trained = answerer.trained
        threshold = trained.null_threshold if trained.recipe.predict.no_answer else None
        batcher = Batcher(answer, most=most, wait=wait, room=room)
        app = build_app(batcher, model=str(model), threshold=threshold, limits=limits or Limits())
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=60))
        server.handle_exit = partial(_told_to_stop, server.handle_exit, server)  # type: ignore[method-assign]
        ready(f"http://{host}:{listening.getsockname()[1]}")
        server.run(sockets=[listening])


def _told_to_stop(
    finish: Callable[[int, FrameType | None], None], server: Server, sig: int, frame: FrameType | None
) -> None:
    """Finish what was asked; told once more, end at once: what a thread computes cannot be broken off otherwise."""
    if server.should_exit:
        os._exit(128 + sig)
    finish(sig, frame)


def _listen(host: str, port: int) -> socket.socket:
    """A socket at the address, before the model is loaded.

    Raises:
        UsageError: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        why = error.strerror if isinstance(error, OSError) else "ports are numbers up to 65535"
        raise UsageError(f"{host}:{port} cannot be listened at ({why}): choose another --port or --host") from None
    listening.listen(128)
    return listening
