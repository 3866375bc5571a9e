from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Placeholder until the owner of this module writes it."""


def register_plugin_commands(app: typer.Typer) -> None:
    """Placeholder until the owner of this module writes it."""
