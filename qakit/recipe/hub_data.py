"""Data on the hub, as a recipe names it: files of a dataset's repository by their path, or one of its splits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator, field_validator

from qakit.errors import HubError
from qakit.hub import COMMIT, commit_of, snapshot
from qakit.names import below, plain_name
from qakit.recipe.section import IsPath, RecipePath, Section
from qakit.system import without_tilde

HUB = "hf://"
"""How a path on the hub begins."""
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_FILES = re.compile(
    rf"hf://datasets/(?P<repository>{_NAME}/{_NAME})(@(?P<revision>refs/(convert|pr)/[^/]+|[^/@]+))?/(?P<path>[^/].*)"
)
_WILDCARDS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True, slots=True)
class HubFiles:
    """``hf://datasets/OWNER/NAME[@REVISION]/PATH``: files of a dataset's repository."""

    repository: str
    revision: str | None
    path: str
    """Relative to the repository; ``*`` and ``?`` stand for anything within a name, ``**/`` for any folders."""

    @classmethod
    def parse(cls, text: str) -> HubFiles:
        """The parts of such a text.

        Raises:
            ValueError: it is of another form.
        """
        found = _FILES.fullmatch(text)
        if found is None:
            raise ValueError(f"a file on the hub is written hf://datasets/OWNER/NAME[@REVISION]/PATH, not {text!r}")
        revision = found["revision"]
        return cls(found["repository"], None if revision is None else unquote(revision), found["path"])

    def __str__(self) -> str:
        at = "" if self.revision is None else f"@{self.revision.replace('/', '%2F')}"
        return f"{HUB}datasets/{self.repository}{at}/{self.path}"

    def among(self, names: Sequence[str]) -> list[str]:
        """Those of a repository's files that are meant."""
        parts = re.split(r"(\*\*/|\*\*|\*|\?)", self.path)
        pattern = re.compile("".join(_WILDCARDS.get(part, re.escape(part)) for part in parts))
        return [name for name in names if name == self.path or pattern.fullmatch(name)]


def _checked(text: str) -> str:
    if text.startswith(HUB):
        HubFiles.parse(text)
    return text


class HubSplit(Section):
    """A split of a dataset on the hub, read through the package `datasets`; its loading scripts are never run."""

    dataset: str
    """The repository: `OWNER/NAME`."""
    config: str | None = None
    """Which configuration (subset), where the dataset has several: `sst2`."""
    split: str
    """`train`, `validation` or whatever the dataset calls it."""
    revision: str | None = None
    """Branch, tag or commit; by default the newest. A run keeps the commit that it began with."""
    local: RecipePath | None = None
    """A file that is read instead where it exists. One that is named by an environment variable must exist."""

    @field_validator("dataset")
    @classmethod
    def _repository(cls, value: str) -> str:
        if re.fullmatch(rf"({_NAME}/)?{_NAME}", value) is None:
            raise ValueError(f"a dataset on the hub is called OWNER/NAME, not {value!r}")
        return value

    @field_validator("split")
    @classmethod
    def _whole_split(cls, value: str) -> str:
        if re.fullmatch(r"\w+(\.\w+)*", value) is None:
            raise ValueError(
                f"{value!r} is no split's name, such as train; for a part of one set data.train_limit or "
                "data.validation_limit, for several write a list"
            )
        return value

    @field_validator("config")
    @classmethod
    def _named(cls, value: str | None) -> str | None:
        return None if value is None else plain_name(value)  # the converted split lies in a folder of this name

    @field_validator("revision")
    @classmethod
    def _revision(cls, value: str | None) -> str | None:
        if value is not None:
            below(Path(), value)  # the hub's cache notes it under this name
        return value

    def __str__(self) -> str:
        at = "" if self.revision is None else f"@{self.revision}"
        return " ".join(filter(None, (f"{self.dataset}{at}", self.config, self.split)))


DataPath = Annotated[str, IsPath(or_hub=True), AfterValidator(_checked)]
"""A path in a recipe, or ``hf://datasets/...``."""
DataSource = DataPath | HubSplit
"""Where a recipe's examples come from."""


def is_on_hub(source: str | HubSplit) -> bool:
    """Whether data has to be fetched."""
    return isinstance(source, HubSplit) or source.startswith(HUB)


def is_commit(revision: str | None) -> bool:
    """Whether a revision can only ever mean the same files."""
    return revision is not None and COMMIT.fullmatch(revision) is not None


def newest_commit(repository: str, revision: str | None, *, subject: str) -> str:
    """The commit that a dataset's revision stands for now; without the hub, the one that it stood for last.

    Args:
        subject: how the user named it, for the error's line.

    Raises:
        HubError: there is no such dataset or revision, it asks for rights, or neither hub nor cache can say.
    """
    if revision is not None and is_commit(revision):
        return revision
    return commit_of(snapshot(repository, choose=_small, kind="dataset", revision=revision, subject=subject))


def _small(names: Sequence[str]) -> list[str]:
    """A file that costs nothing to fetch: with it the cache notes the commit."""
    return next(([name] for name in ("README.md", ".gitattributes") if name in names), list(names[:1]))


def model_commit(name: str, revision: str | None) -> str | None:
    """The commit that a model's revision stands for now; without the hub, the one that it stood for last.

    None where it is no model on the hub, or nobody can say: whoever needs the model has more to tell of that.

    Args:
        name: as recipes name a backbone: a folder, an installed package or a repository.
    """
    if revision is not None and is_commit(revision):
        return revision
    if without_tilde(name).is_dir() or re.fullmatch(f"({_NAME}/)?{_NAME}", name) is None:
        return None
    with suppress(PackageNotFoundError):
        if "/" not in name and distribution(name):
            return None
    with suppress(HubError):
        return commit_of(snapshot(name, choose=_model_card, revision=revision, subject=f"backbone {name!r}"))
    return None


def _model_card(names: Sequence[str]) -> list[str]:
    return [name for name in names if name == "config.json"] or _small(names)
