"""The kinds of problem that these readers report beside those of qakit."""

from __future__ import annotations

from qakit.api import ProblemKind

ANSWER_END = ProblemKind(
    "answer_end",
    "the answer's end does not agree with its start and text",
    "repair",
    ("error", "skip", "repair"),
    repair="text and start win, since they agree with the context",
)
BAD_LABEL = ProblemKind("bad_label", "a label that the task does not have")
BAD_REFERENCE = ProblemKind(
    "bad_reference",
    "a number of a paragraph, of characters or tokens, or the name of a document, that points nowhere",
)
BAD_ROW = ProblemKind("bad_row", "a table row with too many or too few cells")
IS_IMPOSSIBLE = ProblemKind(
    "is_impossible", "the flag contradicts the answers; when kept, the answers win", "error", ("error", "skip", "keep")
)
PARAGRAPH_COUNT = ProblemKind(
    "paragraph_count", "not as many paragraphs as promised", "error", ("error", "skip", "keep")
)
