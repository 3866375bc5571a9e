"""The programs and the README of a hand-in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

RUN = """\
#!/usr/bin/env bash
# Answers a test file: run.sh ARGUMENTS
# PYTHON names another interpreter than python3.
set -euo pipefail
if [ $# -ne COUNT ]; then
    echo "usage: run.sh ARGUMENTS" >&2
    exit 2
fi
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 TOKENIZERS_PARALLELISM=false PYTHONDONTWRITEBYTECODE=1
exec "${PYTHON:-python3}" "$here/predict.py" "$@"
"""

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
# Trains anew. The data files that the recipes name go into the folder data/ beside this script.
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
    """``predict.py`` with the parts that its settings name, each below a line ``# For NAME, ...`` or ``# For all``."""
    common, *parts = re.split(r"(?m)^(?=# For )", Path(__file__).with_name("predict.py").read_text("utf-8"))
    named = {"all", *_words(settings)}
    kept = (part for part in parts if named & set(re.findall(r"\w+", part.partition("\n")[0].partition(":")[0])))
    return common + "".join(kept)


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _words(each)


def run_script(arguments: Sequence[str]) -> str:
    """``run.sh``."""
    return RUN.replace("ARGUMENTS", " ".join(arguments)).replace("COUNT", str(len(arguments)))


def train_script(commands: Sequence[str]) -> str:
    """``train.sh``."""
    return TRAIN.replace("COMMANDS", "\n".join(commands))


def filled(text: str, **values: object) -> str:
    """A text with its words in capitals replaced."""
    for name, value in values.items():
        text = text.replace(name, str(value))
    return text
