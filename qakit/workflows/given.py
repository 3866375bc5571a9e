"""What callers of the Python API give, checked and as the commands have it. What is wrong is a UsageError."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

from qakit.errors import UsageError
from qakit.outputs import new_folder, new_path

StrPath = str | PathLike[str]
Values = Mapping[str, Any]
"""Recipe values by dotted key: ``{"train.epochs": 1}``."""


def texts(values: Values | None) -> list[str]:
    """Values as ``a.b=value`` texts."""
    return [f"{key}={_text(key, value)}" for key, value in mapping("set", values).items()]


def _text(key: str, value: object) -> str:
    """JSON is YAML, but for its numbers that are not finite."""
    try:
        return json.dumps(value, default=_plain, ensure_ascii=False, allow_nan=False)
    except TypeError:
        rule = "is no value of a recipe: use numbers, texts, lists and dicts"
    except ValueError:
        rule = "is not allowed: numbers must be finite"
    raise UsageError(f"set: {key}: {value!r:.80} {rule}")


def mapping(name: str, values: object) -> Values:
    """Empty for None."""
    if values is not None and not isinstance(values, Mapping):
        raise UsageError(f"{name}: {values!r:.80} is no mapping: write it like {{'train.epochs': 1}}")
    return values or {}


def weights(value: object) -> tuple[float, ...] | Literal["learn"] | None:
    """A number for each member of an ensemble."""
    if value is None or value == "learn":
        return value
    try:
        if isinstance(value, str):
            raise TypeError
        return tuple(map(float, value))  # type: ignore[call-overload]  # whatever it is
    except (TypeError, ValueError):
        raise UsageError(f"weights: {value!r:.80} is neither 'learn' nor a number for each member") from None


def whole_number(name: str, value: object, *, least: int = 0) -> int:
    """At least ``least``."""
    if not isinstance(value, int) or value < least:
        raise UsageError(f"{name}: {value!r:.80} is no whole number from {least:,} up")
    return value


def _plain(value: Any) -> Any:
    """A path's text; numpy's and torch's numbers and arrays as Python has them."""
    if isinstance(value, PathLike):
        return fspath(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError


def devices(value: str | int | Sequence[int] | None) -> str | None:
    """As the command's option has it: numbers in a list have a comma, one that counts has none."""
    if not isinstance(value, str | int | Sequence | None):
        raise UsageError(
            f"devices: {value!r:.80} is neither a number nor a list of numbers, nor a text such as 'cpu:2'"
        )
    if value is None or isinstance(value, str | int):
        return None if value is None else str(value)
    return ",".join(map(str, value)) + ","


def text(named: StrPath | None) -> str | None:
    """A path, or the name of something on the hub, as text."""
    return None if named is None else fspath(place(named))


def path(named: StrPath | None) -> Path | None:
    """A path that may be left out."""
    return None if named is None else place(named)


def place(named: object) -> Path:
    """A path that must be given."""
    if not isinstance(named, str | PathLike) or not str(named):
        raise UsageError(f"{named!r:.80} is no file or folder: give a path, or a name as text")
    return Path(named)


def places(named: object) -> list[Path]:
    """Several runs."""
    if isinstance(named, str | PathLike) or not isinstance(named, Sequence):
        raise UsageError(f"{named!r:.80} is no list of runs: give several, [run, other]")
    return [place(each) for each in named]


def new_file(named: StrPath | None) -> Path | None:
    """The name of something to be written; see :func:`qakit.outputs.new_path`. It stays the same place when the program
    goes to another folder meanwhile, or afterwards."""
    return absolute(new_path(path(named)))


def new_run(named: StrPath | None) -> Path | None:
    """The name of a folder that will be a run; see :func:`qakit.outputs.new_folder`. As :func:`new_file`."""
    return absolute(new_folder(path(named)))


def absolute(named: Path | None) -> Path | None:
    """The same place wherever the program goes."""
    return None if named is None else named.absolute()
