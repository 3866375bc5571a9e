"""``qakit cache``: what qakit keeps to be quicker the next time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from qakit.cli.terminal.console import out, plain, print_json
from qakit.cli.terminal.groups import Commands
from qakit.cli.terminal.options import JsonOption
from qakit.errors import UsageError

if TYPE_CHECKING:
    from qakit.data.cache import Entry

app = typer.Typer(
    cls=Commands, name="cache", help="What qakit keeps to be quicker the next time.", no_args_is_help=True
)


@app.command()
def show(as_json: JsonOption = False) -> None:
    """Where the cache is, and what is in it.

    Example: qakit cache show
    """
    from qakit.cli.terminal.tables import print_table, size
    from qakit.data.cache import ROOMS, UNUSED_DAYS, default_cache, entries, limit_bytes

    cache, limit = default_cache(), limit_bytes()
    held = entries(cache)
    by_room = {room: [entry for entry in held if entry.room == room] for room in ROOMS}
    if as_json:
        rooms = {room: {"entries": len(each), "bytes": _bytes(each)} for room, each in by_room.items()}
        print_json({"folder": str(cache), "bytes": _bytes(held), "limit_bytes": limit, "rooms": rooms})
        return
    rows = [(room, f"{len(each):,}", size(_bytes(each)), _day(each)) for room, each in by_room.items()]
    print_table("Cache", ("", "entries", "size", "used last"), rows, numbers=("entries", "size"))
    out.print(plain(f"{cache}: {size(_bytes(held))} of at most {size(limit)} (QAKIT_CACHE_GB)"))
    out.print(plain(f"what was not used for {UNUSED_DAYS} days goes by itself; `qakit cache clear` removes all"))


@app.command()
def clear(
    rooms: Annotated[
        list[str] | None, typer.Argument(metavar="[tokens|weights|datasets]...", help="Only these; by default all.")
    ] = None,
    unused_days: Annotated[
        float, typer.Option("--unused-days", min=0, help="Only what was not used for so many days.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Remove what is in the cache. It is made again when it is needed; splits of datasets need the hub for that.

    Example: qakit cache clear tokens
    """
    from qakit.cli.terminal.tables import size
    from qakit.data import cache

    known = tuple(cache.ROOMS)
    if unknown := [room for room in rooms or () if room not in cache.ROOMS]:
        raise UsageError(f"the cache has no {unknown[0]!r}; it has {', '.join(known[:-1])} and {known[-1]}")
    folder = cache.default_cache()
    gone = cache.clear(folder, rooms or cache.ROOMS.keys(), unused_days=unused_days)
    if as_json:
        print_json({"folder": str(folder), "entries": len(gone), "bytes": _bytes(gone)})
        return
    out.print(plain(f"removed {len(gone):,} entries ({size(_bytes(gone))}) from {folder}"))


def _bytes(held: Sequence[Entry]) -> int:
    return sum(entry.size for entry in held)


def _day(held: Sequence[Entry]) -> str:
    from datetime import datetime

    return f"{datetime.fromtimestamp(held[-1].used):%Y-%m-%d}" if held else ""
