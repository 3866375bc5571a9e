"""The service over HTTP: a page to ask, ``POST /answer``, ``/health``, and what OpenAPI says of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect

from qakit import __version__
from qakit.errors import QakitError, UsageError
from qakit.inference.answerer import Reply
from qakit.inference.questions import examples_of
from qakit.report.html import heading, page, paragraph
from qakit.serving.batching import Batcher, ClosedError, FullError


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may hold."""

    questions: int = 64
    characters: int = 1_000_000
    """Of all its texts together."""
    top_k: int = 50
    seconds: float = 30
    """Until all of its body is here."""

    @property
    def bytes(self) -> int:
        """Of its body: six for each character, as in the escape ``\\u00e9``."""
        return 6 * self.characters + 65_536


_HALF = re.compile("[\ud800-\udfff]")


def _sound(text: str) -> str:
    """The text with U+FFFD for halves of surrogate pairs, which no reply could hold; offsets stay the same."""
    return _HALF.sub("\ufffd", text)


Text = Annotated[str, AfterValidator(_sound)]


class Question(BaseModel):
    """A question, and the text, or the texts, that hold the answer."""

    model_config = ConfigDict(extra="forbid")
    question: Text
    context: Text | list[Text]


class OneQuestion(Question):
    """A request with one question."""

    top_k: Annotated[int, Field(ge=1)] = 3


class ManyQuestions(BaseModel):
    """A request with several questions."""

    model_config = ConfigDict(extra="forbid")
    questions: Annotated[list[Question], Field(min_length=1)]
    top_k: Annotated[int, Field(ge=1)] = 3


class RefusedReply(BaseModel):
    """Why there is no answer."""

    detail: str


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": RefusedReply, "description": "Something about the questions is wrong."},
    408: {"model": RefusedReply, "description": "The request took too long to come."},
    413: {"model": RefusedReply, "description": "The request is too large."},
    503: {"model": RefusedReply, "description": "Too many questions wait, or the service is stopping."},
}


def build_app(batcher: Batcher, *, model: str, threshold: float | None, limits: Limits) -> FastAPI:
    """The application; it closes the batcher when it ends.

    Args:
        model: what is asked, for people.
        threshold: the no-answer threshold; None where every question has an answer.
    """

    @asynccontextmanager
    async def until_the_end(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(batcher.close)

    # No pages of FastAPI's own: they fetch scripts from elsewhere.
    app = FastAPI(title=f"qakit: {model}", version=__version__, docs_url=None, redoc_url=None, lifespan=until_the_end)
    app.add_exception_handler(RequestValidationError, _malformed)
    ask_page = _ask_page(model, threshold, limits)

    @app.middleware("http")
    async def bounded(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        """Refuse what is too large before it is read; a length that is not said is counted while it comes."""
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > limits.bytes:
            return _refused(413, f"the request is larger than {limits.bytes:,} bytes")
        if "transfer-encoding" in request.headers:
            return _refused(413, "say how long the request is (Content-Length)")
        try:
            async with asyncio.timeout(limits.seconds):
                await request.body()
        except TimeoutError:
            return _refused(408, f"the request was not here within {limits.seconds:g} seconds")
        except ClientDisconnect:
            return _refused(400, "the request ended before its end")  # which nobody hears
        return await call_next(request)

    @app.get("/", include_in_schema=False)
    async def ask() -> HTMLResponse:
        return HTMLResponse(ask_page)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Whether the service answers, and how many questions wait."""
        return {"status": "ok", "model": model, "waiting": batcher.waiting, "version": __version__}

    @app.post("/answer", responses=REFUSALS)
    async def answer(asked: OneQuestion | ManyQuestions) -> Reply | list[Reply]:
        """Answer one question, ``{"question", "context", "top_k"}``, or several, ``{"questions": [...], "top_k"}``."""
        several = asked.questions if isinstance(asked, ManyQuestions) else [asked]
        _check(several, asked.top_k, limits)
        questions = [{"question": each.question, "context": each.context} for each in several]
        replies = await asyncio.wrap_future(batcher.submit(questions, asked.top_k))
        return replies if isinstance(asked, ManyQuestions) else replies[0]

    @app.exception_handler(QakitError)
    async def refused(_: Request, error: QakitError) -> JSONResponse:
        if isinstance(error, FullError | ClosedError):
            return _refused(503, str(error), {"Retry-After": "1"})
        return _refused(400 if isinstance(error, UsageError) else 500, str(error))

    return app


def _check(questions: list[Question] | list[OneQuestion], top_k: int, limits: Limits) -> None:
    """Raises:
    UsageError: it is more than one request may hold, or a text is empty.
    """
    if len(questions) > limits.questions:
        raise UsageError(f"{len(questions)} questions; one request may hold {limits.questions}")
    if top_k > limits.top_k:
        raise UsageError(f"top_k is {top_k}; it must be at most {limits.top_k}")
    texts = [each.context if isinstance(each.context, list) else [each.context] for each in questions]
    characters = sum(len(text) for own in texts for text in own) + sum(len(each.question) for each in questions)
    if characters > limits.characters:
        raise UsageError(f"{characters:,} characters; one request may hold {limits.characters:,}")
    examples_of([{"question": each.question, "context": each.context} for each in questions])


async def _malformed(_: Request, error: Exception) -> JSONResponse:
    """One line on the first thing that is wrong."""
    assert isinstance(error, RequestValidationError)
    problems = error.errors()
    if problems[0]["type"] == "json_invalid":
        return _refused(400, "the request is no JSON")
    loc = map(str, problems[0]["loc"][1:])  # among them are the types that were tried
    place = ".".join(part for part in loc if part not in ("OneQuestion", "ManyQuestions") and "[" not in part)
    asked = 'give {"question": TEXT, "context": TEXT or list of texts} or {"questions": [these]}'
    return _refused(400, f"{place or 'the request'}: {problems[0]['msg'][:1].lower()}{problems[0]['msg'][1:]}; {asked}")


def _refused(code: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, code, headers)


_FORM = """\
<form id="ask"><div id="contexts"></div><p><button type="button" id="more">another text</button></p>
<div class="bar"><input type="search" id="question" placeholder="Question" aria-label="question" autofocus>
<button>Ask</button></div></form>
<section id="threshold"></section><div id="answer" aria-live="polite"></div>"""


def _ask_page(model: str, threshold: float | None, limits: Limits) -> str:
    parts = [
        heading("Ask", 1),
        paragraph(model, style="lead"),
        _FORM,
        paragraph(f"qakit {__version__}", style="soft"),
    ]
    data = {"threshold": threshold, "characters": limits.characters, "top_k": 10}
    return page(f"qakit: {model}", parts, data=data, script="ask.js", asks=True)
