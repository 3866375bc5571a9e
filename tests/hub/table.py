"""The table of docs/models.md: ``python tests/hub/table.py`` runs every recipe and prints it, ``--write`` keeps it."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

sys.path.pop(0)  # this folder, whose modules have common names
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hub import shipped
from hub.environment import pointed_at, variables
from hub.server import HubServer

HEAD = "| recipe | backbone, tokenizer | fetched from the hub | exit codes |\n|---|---|---|---|\n"


def rows(folder: Path) -> list[str]:
    """A row for each recipe; each begins with an empty cache."""
    settings = shipped.environment(folder / "courses")
    found = []
    for number, recipe in enumerate(shipped.recipes()):
        place = folder / str(number)
        place.mkdir()
        with (
            HubServer() as hub,
            pointed_at({**variables(hub.url, place / "hf"), **settings, "QAKIT_CACHE": str(place)}),
        ):
            shipped.publish(hub)
            outcome = shipped.run(recipe, hub, place)
        print(outcome.row if not any(outcome.codes.values()) else f"{outcome.row}\n{outcome.said}", file=sys.stderr)
        found.append(outcome.row)
    return found


def main() -> None:
    """Print the table, or write it between its marks."""
    with tempfile.TemporaryDirectory() as folder:
        table = HEAD + "".join(f"{row}\n" for row in rows(Path(folder)))
    if "--write" not in sys.argv:
        print(table)
        return
    text = shipped.DOCUMENT.read_text("utf-8")
    before, _, rest = text.partition(shipped.BEGIN)
    _, _, after = rest.partition(shipped.END)
    shipped.DOCUMENT.write_text(f"{before}{shipped.BEGIN}\n{table}{shipped.END}{after}", "utf-8")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
