"""``qakit serve``: a model to ask over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from qakit.cli.terminal.console import err, plain, print_warning
from qakit.cli.terminal.options import ModelArgument, SetOption

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(
    model: ModelArgument,
    host: Annotated[
        str, typer.Option("--host", help="Where to listen; by default for this machine alone.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", min=0, help="0 for any that is free.")] = 8000,
    most: Annotated[int, typer.Option("--batch", min=1, help="Questions that are answered together.")] = 64,
    wait: Annotated[float, typer.Option("--wait", min=0, help="Milliseconds that a question waits for company.")] = 10,
    room: Annotated[
        int, typer.Option("--queue", min=1, help="Questions that may wait; more are refused (503).")
    ] = 1024,
    settings: SetOption = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Serve a model: a page to ask it, and POST /answer for programs.

    Questions of many callers are answered together. Ctrl-C or SIGTERM ends it when what was asked is answered. There is
    no password, so it listens for this machine alone unless --host says otherwise.

    Example: qakit serve runs/quickstart --open
    """
    from qakit.workflows.serve import serve as serve_model

    if host not in LOOPBACK:
        print_warning(f"whoever reaches {host} can ask: there is no password")

    def ready(address: str) -> None:
        err.print(plain(f"{address} (OpenAPI: {address}/openapi.json); Ctrl-C ends it"))
        if show:
            typer.launch(address)

    serve_model(
        str(model),
        host=host,
        port=port,
        overrides=settings or (),
        most=most,
        wait=wait / 1000,
        room=room,
        ready=ready,
        warn=print_warning,
    )
