"""Which of several processes that run one command tells of an error."""

from __future__ import annotations

import os
from datetime import timedelta

from qakit.distributed import AbandonedError, launched_processes
from qakit.errors import QakitError

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
