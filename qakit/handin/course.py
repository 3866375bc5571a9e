"""A course's rules as data, and what of a hand-in keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, ValidationError, field_validator

from qakit.errors import UsageError
from qakit.recipe.section import Section

FOLDER = Path(__file__).with_name("courses")
BYTES = 1_000_000_000
NEEDS = "Python 3.10, torch 2.1, transformers 4.40 to 5, or later ones of the first two"

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Course(Section):
    """What graders run, and where they draw lines; None where they draw none."""

    title: str
    arguments: list[Literal["CONTEXT", "TEST", "OUTPUT"]] | None = None
    """Of `run.sh`, in their order; by default what the reader needs."""
    output: Literal[".csv", ".json", ".jsonl"] | None = None
    """The answer file's ending; by default the recipe's writer's."""
    readers: list[str] | None = None
    """Formats that the graders' files have."""
    predict_hours: Positive | None = None
    """For all answers."""
    download_hours: Positive | None = None
    download_gigabytes: Positive | None = None
    card_gigabytes: Positive | None = None
    """Memory of the graders' GPU."""
    curve_points: PositiveInt = 5
    """Evaluations that a curve needs."""
    forbidden_backbones: list[str] = Field(default_factory=list)
    """Parts of the names of backbones that may not be used, in lower case."""
    environment: str = ""
    """What the graders' machine has."""

    @field_validator("arguments")
    @classmethod
    def _whole(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and not {"TEST", "OUTPUT"} <= set(value):
            raise ValueError("the script needs TEST and OUTPUT")
        return value


def read_course(name: str) -> Course:
    """A course that qakit knows, or a file of the same form.

    Raises:
        UsageError: there is none of that name, or the file says something else.
    """
    import yaml  # type: ignore[import-untyped]

    file = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.yaml")))
    try:
        return Course.model_validate(yaml.safe_load(file.read_text("utf-8")))
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"--course {name}: there is no such course ({known}), and no such file") from None
    except yaml.YAMLError as error:
        raise UsageError(f"--course {name}: no YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(f"--course {name}: {place}: {first['msg']}") from None


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of a hand-in when it is written."""

    backbones: Sequence[str]
    weights: int
    """Bytes of all models."""
    largest: int
    """Bytes of the largest model's weights: one at a time is in memory."""
    seconds: float
    """That the predictor took, with its start."""
    questions: int
    """That it answered in them."""
    asked: int
    """Questions that the graders ask: those of the test file, where the recipe names one."""
    points: int
    """Evaluations on the shortest curve."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One of a course's rules, and how the hand-in stands to it."""

    rule: str
    found: str
    kept: bool


def check(course: Course, measured: Measured) -> Iterator[Rule]:
    """All rules that can be judged before the graders do."""
    if course.environment:
        yield Rule(f"runs with {course.environment}", f"predict.py is for {NEEDS}", True)
    if course.forbidden_backbones:
        bad = [each for each in measured.backbones if any(w in each.lower() for w in course.forbidden_backbones)]
        found = ", ".join(dict.fromkeys(bad or measured.backbones))
        yield Rule(f"no backbone named like {', '.join(course.forbidden_backbones)}", found, not bad)
    if (limit := course.download_gigabytes) is not None:
        size = measured.weights / BYTES
        yield Rule(f"downloads of at most {limit:g} GB", f"{size:.2f} GB", size <= limit)
    if (limit := course.download_hours) is not None:
        speed = measured.weights * 8 / (limit * 3600) / 1e6
        yield Rule(f"downloaded within {limit:g} h", f"takes {speed:.1f} Mbit/s or more", True)
    if (limit := course.card_gigabytes) is not None:
        size = measured.largest / BYTES
        found = f"weights of {size:.2f} GB at a time; batches are halved where the rest does not suffice"
        yield Rule(f"a card of {limit:g} GB", found, size < limit)
    if (limit := course.predict_hours) is not None:
        hours = measured.seconds / max(1, measured.questions) * measured.asked / 3600
        found = f"{hours:.2f} h for {measured.asked:,} questions at the pace of this machine"
        yield Rule(f"answers within {limit:g} h", found, hours <= limit)
    few = measured.points < course.curve_points
    remedy = f"; train with --set train.evaluations={course.curve_points}" if few else ""
    yield Rule(f"curves of {course.curve_points} points", f"{measured.points}{remedy}", not few)
