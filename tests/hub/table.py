"""The tables of docs/dev/hub.md: ``python tests/hub/table.py`` makes and prints them, ``--write`` keeps them there.

What is fetched of every layout; how every recipe fares.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

sys.path.pop(0)  # this folder, whose modules have common names
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hub import models, shipped
from hub.environment import pointed_at, variables
from hub.server import HubServer

from qakit.modeling.sources import find_source

MARKS = {
    "layouts": ("<!-- layouts: python tests/hub/table.py --write -->", "<!-- end of layouts -->"),
    "recipes": (
        "<!-- table of recipes: python tests/hub/table.py --write -->",
        "<!-- end of the table of recipes -->",
    ),
}


def layouts(folder: Path) -> list[str]:
    """What is fetched of every layout."""
    found = ["| layout | fetched |", "|---|---|"]
    with HubServer() as hub, pointed_at(variables(hub.url, folder / "layouts")):
        for name in models.LAYOUTS:
            hub.publish(name, models.files_of(name))
            find_source(name)
            found.append(shipped.layout_row(name, hub))
    return found


def recipes(folder: Path) -> list[str]:
    """A row for each recipe; each begins with an empty cache."""
    settings = shipped.environment(folder / "courses")
    found = ["| recipe | backbone, tokenizer | fetched from the hub | exit codes |", "|---|---|---|---|"]
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
    """Print the tables, or write them between their marks."""
    with tempfile.TemporaryDirectory() as folder:
        tables = {"layouts": layouts(Path(folder)), "recipes": recipes(Path(folder))}
    text = shipped.DOCUMENT.read_text("utf-8")
    for name, (begin, end) in MARKS.items():
        table = "\n".join(tables[name])
        if "--write" not in sys.argv:
            print(table, "\n")
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
    if "--write" in sys.argv:
        shipped.DOCUMENT.write_text(text, "utf-8")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
