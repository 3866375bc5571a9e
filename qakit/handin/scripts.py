"""The programs and the README of a hand-in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qakit.submit.offline import answer_script

RUN = 'TOKENIZERS_PARALLELISM=false exec "$python" "$here/predict.py" "$@"\n'

DOWNLOAD = """\
#!/usr/bin/env bash
# Brings the folder model/, unless it is here. URL is where you have put model.zip (README.md); it needs no log-in.
set -euo pipefail
URL=${URL:-}
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
if [ ! -d model ]; then
    if [ -z "$URL" ]; then
        echo "download.sh: put the address of model.zip into this script (URL=)" >&2
        exit 2
    fi
    "${PYTHON:-python3}" - "$URL" <<'PYTHON'
import sys, urllib.request, zipfile

urllib.request.urlretrieve(sys.argv[1], "model.zip.part")
zipfile.ZipFile("model.zip.part").extractall()
PYTHON
    rm model.zip.part
fi
sha256sum --quiet --check SHA256SUMS
"""

TRAIN = """\
#!/usr/bin/env bash
# Trains anew. What the recipes' first lines name goes into the folder data/ beside this script.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
"${PYTHON:-python3}" -m pip install -r requirements.txt ./*.whl
COMMANDS
"""

README = """\
# TITLE

| file | what it is |
|---|---|
| `run.sh ARGUMENTS` | answers a test file, on the first GPU or the CPU, without a network |
| `predict.py`, `settings.json`, `model/` | the program that does so, what it is told, and the weights |
| `download.sh` | brings `model/` where it is not handed in, and compares `SHA256SUMS` |
| `train/` | `train.sh`: the training, by these recipes, with qakit VERSION |
| `figures/` | the curves; `plot.py` draws them from `curves.json` |
| `report.md` | what was measured |

## Needed

Python 3.10 or later, torch 2.1 or later, transformers 4.40 to 5; nothing else for the answers. `plot.py` needs
matplotlib, `train/` Python 3.11 and the packages in its `requirements.txt`.

`predict.py` was compared with `qakit predict` when this folder was written: byte by byte the same answers to QUESTIONS
questions (COMPARED), with torch TORCH and transformers TRANSFORMERS. Other versions and other devices take
floating-point sums in another order, so a few answers may differ there.

## Handing in

1. Put `model/` where anyone can fetch it without a log-in: `zip -r model.zip model`, upload it, write its address into
   `download.sh` (`URL=`). Leave `model/` out of what you hand in.
2. Write the report from `report.md`.
3. Try it on another machine: `bash download.sh && bash run.sh ARGUMENTS`.
"""


def predictor(settings: Any) -> str:
    """``predict.py`` with the parts that its settings ask for.

    Each part stands below a line ``# For WORD, ...``, whose words are values of settings, names of settings that are
    on, or ``setting=value``; ``all`` is for every predictor. What follows a colon is for readers.
    """
    common, *parts = re.split(r"(?m)^(?=# For )", Path(__file__).with_name("predict.py").read_text("utf-8"))
    wanted = {"all", *_words("", settings)}
    heads = (part.partition("\n")[0].partition(":")[0].removeprefix("# For ").split(", ") for part in parts)
    return common + "".join(part for part, head in zip(parts, heads, strict=True) if wanted.intersection(head))


def _words(name: str, value: Any) -> Iterator[str]:
    if value:
        yield name
    if isinstance(value, str):
        yield from (value, f"{name}={value}")
    elif isinstance(value, dict):
        for inner, each in value.items():
            yield from _words(inner, each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _words(name, each)


def run_script(arguments: Sequence[str]) -> str:
    return answer_script(" ".join(arguments), "README.md", RUN)


def train_script(commands: Sequence[str]) -> str:
    return TRAIN.replace("COMMANDS", "\n".join(commands))


def filled(text: str, **values: object) -> str:
    """A text with its words in capitals replaced."""
    for name, value in values.items():
        text = text.replace(name, str(value))
    return text
