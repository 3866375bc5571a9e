"""Errors where several processes run one command: one of them tells, and a lost neighbour is no bug."""

from __future__ import annotations

import os
from datetime import timedelta

from qakit.distributed import AbandonedError, launched_processes
from qakit.errors import QakitError, RunError

PATIENCE = timedelta(seconds=10)
"""How long to look for the launcher's store before telling without it."""


def is_told_here(error: QakitError) -> bool:
    """Whether this process tells the user of its error: the first one to fail does, for all of them."""
    if isinstance(error, AbandonedError):
        return False
    if launched_processes() == 1:
        return True
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # public, but not marked as such

    try:
        # The launcher's own store, or the first process's: it can be asked before and after any process group.
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(address, port, is_master=False, timeout=PATIENCE, wait_for_workers=False)
        return bool(store.add(f"qakit/failed/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", 1) == 1)
    except (KeyError, ValueError, RuntimeError):
        return True


def lost_neighbour(error: RuntimeError) -> RunError | None:
    """What to say where a process of the same command has gone away in the middle of an exchange; None for the rest."""
    if launched_processes() == 1:
        return None
    import torch.distributed

    if not isinstance(error, torch.distributed.DistError) and "gloo" not in str(error).lower():
        return None
    return RunError(
        "the connection to another process of this command is lost: that one was killed, or its own message says what "
        "was wrong; a training goes on from its last checkpoint with --resume"
    )
