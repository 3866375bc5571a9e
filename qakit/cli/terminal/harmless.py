"""Text without what a terminal obeys: the escapes for it, and what anybody logs or warns of."""

from __future__ import annotations

import logging
import warnings

HARMFUL = (
    *(code for code in range(0x20) if chr(code) not in "\n\t"),
    *range(0x7F, 0xA0),  # delete, and the second set of control characters: U+009B begins an escape sequence, too
    *range(0x2028, 0x202F),  # line separators, and marks that turn the direction of what follows
    *range(0x2066, 0x206A),
    *range(0xD800, 0xE000),  # halves of characters: names of files may hold them, and no stream takes them
)
"""Code points that a terminal obeys, or that make it show something else than what is there."""
SHOWN = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in HARMFUL}
IN_JSON = {code: f"\\u{code:04x}" for code in HARMFUL}


class _PlainRecord(logging.LogRecord):
    """What anybody logs, harmless: libraries log what files hold, with handlers of their own."""

    def getMessage(self) -> str:  # noqa: N802 - logging's name
        """The message, control characters shown as escapes."""
        return super().getMessage().translate(SHOWN)


class _Warnings(logging.Handler):
    """Shows what the core logs."""

    def emit(self, record: logging.LogRecord) -> None:
        from qakit.cli.terminal.console import print_warning  # rich, which a command without warnings may not need

        print_warning(self.format(record))


def show_logged_warnings() -> None:
    """From here on, warnings that the core logs appear as warnings of the command, and nothing that anybody logs or
    warns of holds what a terminal obeys."""
    logging.setLogRecordFactory(_PlainRecord)
    warnings.formatwarning = _plain_warning
    logger = logging.getLogger("qakit")
    if not any(isinstance(handler, _Warnings) for handler in logger.handlers):
        logger.addHandler(_Warnings(logging.WARNING))


def _plain_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,  # noqa: ARG001 - of the protocol
) -> str:
    return f"{filename}:{lineno}: {category.__name__}: {message}\n".translate(SHOWN)
