"""Keeping secrets out of whatever is shown or written down."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote

HIDDEN = "***"
SHORTEST = 6
"""Shorter values are no secrets: hiding them would tear holes into ordinary words."""


@dataclass(frozen=True)
class Redactor:
    """Replaces every known secret in a text, also where it stands encoded."""

    secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, secrets: Iterable[str], *, user: str | None = None) -> Redactor:
        """Hide ``secrets`` and what HTTP makes of them: percent signs, and ``user:secret`` in base64."""
        forms: set[str] = set()
        for secret in secrets:
            if len(secret) < SHORTEST:
                continue
            pair = f"{user}:{secret}" if user else secret
            forms |= {secret, quote(secret, safe=""), base64.b64encode(pair.encode()).decode()}
        return cls(tuple(sorted(forms, key=len, reverse=True)))

    def __call__(self, text: object) -> str:
        """The text without the secrets."""
        shown = str(text)
        for secret in self.secrets:
            shown = shown.replace(secret, HIDDEN)
        return shown
