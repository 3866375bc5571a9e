"""What can go wrong, as a tree.

::

    QakitError                    a message for the user; the CLI prints it without a traceback
    ├── UsageError                a command's options contradict each other             exit 2
    ├── RecipeError               problems in a recipe, all of them at once             exit 2
    ├── PluginError
    │   ├── PluginLoadError       a plugin package cannot be imported                   exit 2
    │   ├── PluginConflictError   two components of one kind share a name               exit 2
    │   ├── PluginFaultError      a plugin's own code fails, or gives what it must not  exit 2
    │   └── UnknownPluginError    a recipe names a component that nobody offers         exit 2
    ├── DataError                 a file, a record, a field                             exit 2
    ├── ModelError                backbone, tokenizer or weights                        exit 2
    ├── HubError                  a repository on the model hub                         exit 2
    ├── RunError                  a run folder                                          exit 2
    ├── OutputError               a file or folder that cannot be written               exit 2
    └── SubmissionError           Kaggle                                                its own codes

Anything that is not a ``QakitError`` is a bug and keeps its traceback. With ``QAKIT_DEBUG=1`` all have one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qakit.recipe.issues import Issue


DEBUG_VARIABLE = "QAKIT_DEBUG"
"""Environment variable: a command that ends with an error shows the whole traceback before its line."""

_LINE_BREAKS = {ord(char): repr(char)[1:-1] for char in "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"}


class QakitError(Exception):
    """A problem that the user can act on. ``str(error)`` says what is wrong and what to do."""

    exit_code: int = 2


class UsageError(QakitError):
    """Options or arguments of a command that do not go together."""


class RecipeError(QakitError):
    """One or more problems in a recipe, each with its place in the file."""

    def __init__(self, issues: Sequence[Issue]) -> None:
        self.issues = tuple(issues)
        super().__init__("\n\n".join(str(issue) for issue in self.issues))


class PluginError(QakitError):
    """Something is wrong with a plugin."""


class PluginLoadError(PluginError):
    """A plugin package that is needed cannot be imported or misbehaves."""


class PluginConflictError(PluginError):
    """Two components of the same kind have the same name."""


class PluginFaultError(PluginError):
    """A plugin's own code has failed, or has given what it must not.

    Args:
        whose: the component and its plugin.
        what: what it did, and where in its file.
    """

    def __init__(self, whose: str, what: str) -> None:
        self.whose, self.what = whose, what
        super().__init__(f"in {whose}: {what}")


class UnknownPluginError(PluginError):
    """No installed plugin offers a component of that name."""


class DataError(QakitError):
    """One problem in an input file, or several.

    Args:
        problem: what is wrong and what to do, one sentence; or several, which become a list, one a line.
        path: the file.
        row: the record, as a person would find it: ``"record 17"``, ``"line 4"``, ``"id 3f2a"``.
        field: the field within the record.
    """

    def __init__(
        self,
        problem: str | Sequence[str],
        *,
        path: str | Path | None = None,
        row: str | None = None,
        field: str | None = None,
    ):
        self.problems = (problem,) if isinstance(problem, str) else tuple(problem)
        self.path, self.row, self.field = path, row, field
        place = ", ".join(str(part) for part in (path, row, field and f"field {field!r}") if part)
        lines = [line.translate(_LINE_BREAKS) for line in (place, *self.problems)]  # an id or a name may hold a break
        before = f"{lines[0]}: " if place else ""
        if len(self.problems) == 1:
            super().__init__(before + lines[1])
        else:
            super().__init__("\n  - ".join([f"{before}{len(self.problems)} problems:", *lines[1:]]))

    @property
    def problem(self) -> str:
        """What is wrong, without the place; of several, the first."""
        return self.problems[0]


class ModelError(QakitError):
    """A backbone, tokenizer or weight file that cannot be used."""


class HubError(QakitError):
    """A repository on the model hub that cannot be used.

    Args:
        message: what is wrong and what to do.
        unreachable: the hub did not give it, rather than not having it: a name may be right all the same.
    """

    def __init__(self, message: str, *, unreachable: bool = False) -> None:
        super().__init__(message)
        self.unreachable = unreachable


class RunError(QakitError):
    """A run folder that is missing something, or in use."""


class OutputError(QakitError):
    """A file or folder that cannot be written; the system's own error is the cause."""


class SubmissionError(QakitError):
    """A submission that was refused; carries its own exit code."""

    def __init__(self, message: str, *, exit_code: int = 4) -> None:
        super().__init__(message)
        self.exit_code = exit_code
