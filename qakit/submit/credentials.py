"""Which credentials the Kaggle client will use, and where they come from. Reads files; never shows what is in them.

The client's own order: an access token (a Kaggle notebook's own, ``KAGGLE_API_TOKEN``, ``~/.kaggle/access_token``),
then a user name and key (``KAGGLE_USERNAME`` and ``KAGGLE_KEY`` over kaggle.json), then the log-in of ``kaggle auth
login``. The first one that is there is used, even when it is wrong and a later one would be right.
"""

from __future__ import annotations

import base64
import codecs
import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from qakit.system import home_folder

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


Way = Literal["token", "key", "login"]

HELP = (
    "no Kaggle credentials: put the kaggle.json of https://www.kaggle.com/settings/api into ~/.kaggle/ (chmod 600), or"
    " set KAGGLE_API_TOKEN, or KAGGLE_USERNAME and KAGGLE_KEY"
)


@dataclass(frozen=True, slots=True)
class Credential:
    """One place that holds credentials."""

    way: Way
    source: str
    """Variable or file."""
    user: str | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Everything that was found, in the client's order: the first one is used."""

    found: tuple[Credential, ...]
    problems: tuple[str, ...]
    """Conflicts, open permissions, damaged files."""

    @property
    def used(self) -> Credential | None:
        return self.found[0] if self.found else None

    @property
    def source(self) -> str:
        """For messages."""
        return self.found[0].source if self.found else "nowhere"

    def redactor(self) -> Redactor:
        """Hides every secret that was found."""
        user = next((each.user for each in self.found if each.user), None)
        return Redactor.of([secret for each in self.found for secret in each.secrets], user=user)


def find_credentials(environment: Mapping[str, str] = os.environ) -> Credentials:
    """Look into all the places where the client looks."""
    problems: list[str] = []
    home = Path(environment.get("HOME") or home_folder()) / ".kaggle"
    tokens = [
        _notebook_token(environment),
        _token_variable(environment),
        *(_token_file(home / name, problems) for name in ("access_token", "access_token.txt")),
    ]
    key = _key(environment, config_folder(environment) / "kaggle.json", problems)
    candidates = (*tokens, key, _login(home / "credentials.json", problems))
    found = tuple(each for each in candidates if each is not None)
    if len(found) > 1:
        others = " and ".join(each.source for each in found[1:])
        problems.append(f"{found[0].source} is used and overrides {others}, even if it is wrong")
    return Credentials(found, tuple(problems))


def config_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder where the client looks for kaggle.json."""
    if given := environment.get("KAGGLE_CONFIG_DIR"):
        return Path(given)
    home = Path(environment.get("HOME") or home_folder())
    if (home / ".kaggle").exists():
        return home / ".kaggle"
    return Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "kaggle"


def _notebook_token(environment: Mapping[str, str]) -> Credential | None:
    """Inside a notebook on Kaggle."""
    inside = "KAGGLE_KERNEL_RUN_TYPE" in environment and "KAGGLE_DATA_PROXY_URL" in environment
    file = environment.get("KAGGLE_API_V1_TOKEN")
    return _token_file(Path(file)) if inside and file else None


def _token_variable(environment: Mapping[str, str]) -> Credential | None:
    value = environment.get("KAGGLE_API_TOKEN", "")
    if not value:
        return None
    named = _token_file(Path(value)) if len(value) < 1024 else None
    secrets = (value, value.strip()) if named is None else named.secrets
    return Credential("token", "KAGGLE_API_TOKEN", secrets=secrets)


def _token_file(path: Path, problems: list[str] | None = None) -> Credential | None:
    """The token in a file; None where there is none that the client could send."""
    try:
        content = path.read_bytes()
    except (OSError, ValueError):  # ValueError: the value of a variable that no path can be
        return None
    encoding = _foreign_encoding(content)
    if encoding is not None and problems is not None:
        problems.append(f"{path} {encoding}")
    try:
        value = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None
    return Credential("token", str(path), secrets=(value,)) if value and encoding is None else None


def _key(environment: Mapping[str, str], file: Path, problems: list[str]) -> Credential | None:
    """A user name and a key: each from its variable, else from kaggle.json, as the client takes them."""
    held = _json(file, problems)
    if held and os.name != "nt" and stat.S_IMODE(file.stat().st_mode) & 0o077:
        problems.append(f"{file} can be read by others: chmod 600 {file}")
    user, key = environment.get("KAGGLE_USERNAME"), environment.get("KAGGLE_KEY")
    if bool(user) != bool(key):
        lone, other = ("KAGGLE_USERNAME", "KAGGLE_KEY") if user else ("KAGGLE_KEY", "KAGGLE_USERNAME")
        problems.append(f"{lone} is set and {other} is not")
    if held and not (held.get("username") and held.get("key")):
        problems.append(f"{file} lacks username or key")
    chosen_user, chosen_key = user or held.get("username"), key or held.get("key")
    if not (chosen_user and chosen_key):
        return None
    names = [name for name, value in (("KAGGLE_USERNAME", user), ("KAGGLE_KEY", key)) if value]
    if not (user and key):
        names.append(str(file))
    secrets = tuple(dict.fromkeys(str(each) for each in (key, held.get("key")) if each))
    return Credential("key", " and ".join(names), str(chosen_user), secrets)


def _login(file: Path, problems: list[str]) -> Credential | None:
    held = _json(file, problems)
    if not held.get("refresh_token"):
        return None
    secrets = tuple(str(held[name]) for name in ("refresh_token", "access_token") if held.get(name))
    return Credential("login", str(file), str(held.get("username") or "") or None, secrets)


def _json(file: Path, problems: list[str]) -> dict[str, Any]:
    """The object in a file; empty when it is not there."""
    try:
        content = file.read_bytes()
        if (encoding := _foreign_encoding(content)) is not None:
            problems.append(f"{file} {encoding}")
            return {}
        value = json.loads(content.decode("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        problems.append(f"{file} cannot be read: {error.strerror}")
        return {}
    except (ValueError, RecursionError):
        problems.append(f"{file} is not JSON")
        return {}
    if not isinstance(value, dict):
        problems.append(f"{file} does not hold an object")
        return {}
    return value


def _foreign_encoding(content: bytes) -> str | None:
    """What keeps the client from reading a file that an editor saved in its own way."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "is UTF-16 text, which the Kaggle client cannot read: save it as UTF-8"
    if content.startswith(codecs.BOM_UTF8):
        return "begins with a byte order mark, which the Kaggle client cannot read: save it as UTF-8 without one"
    return None
