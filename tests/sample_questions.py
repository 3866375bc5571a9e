"""Small SQuAD files cut from the project's sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_first_questions(samples: Path, folder: Path, **counts: int) -> None:
    """``write_first_questions(samples, folder, dev=12)``: dev.json has the first 12 questions of squad-dev.json."""
    for name, left in counts.items():
        document: dict[str, Any] = json.loads((samples / f"squad-{name}.json").read_text("utf-8"))
        articles = []
        for article in document["data"]:
            paragraphs = []
            for paragraph in article["paragraphs"]:
                questions = paragraph["qas"][:left]
                left -= len(questions)
                if questions:
                    paragraphs.append({**paragraph, "qas": questions})
            if paragraphs:
                articles.append({**article, "paragraphs": paragraphs})
        (folder / f"{name}.json").write_text(json.dumps({**document, "data": articles}), "utf-8")
