"""A part of a document that a program writes: what stands between two comments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


@dataclass(frozen=True)
class WrittenPart:
    """``begin`` and ``end`` are lines of the document, each there once."""

    document: Path
    begin: str
    end: str

    def read(self) -> str:
        """What stands there."""
        _, rest = self.document.read_text("utf-8").split(self.begin)
        return rest.split(self.end)[0].strip()

    def write(self, text: str) -> None:
        """Put something else there."""
        before, rest = self.document.read_text("utf-8").split(self.begin)
        _, after = rest.split(self.end)
        self.document.write_text(f"{before}{self.begin}\n\n{text.strip()}\n\n{self.end}{after}", "utf-8")
