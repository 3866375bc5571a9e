"""The service as programs see it: answers, refusals in one line, and what it says of itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
from fastapi.testclient import TestClient

from qakit.errors import DataError
from qakit.inference.answerer import Reply
from qakit.serving.app import Limits, build_app
from qakit.serving.batching import Batcher
from qakit.values import Candidate, NoAnswer

LIMITS = Limits(questions=3, characters=100, top_k=5)


def model(asked: Sequence[Any], top_k: int) -> list[Reply]:
    """Answers with the question, which is somewhere in the last text; "crash" and "data" are errors."""
    replies = []
    for each in asked:
        if each["question"] == "crash":
            raise DataError("the model is damaged")
        texts = [each["context"]] if isinstance(each["context"], str) else each["context"]
        best = Candidate(each["question"], 1, 2, len(texts) - 1, 1.5, 0.75)
        replies.append(Reply(best.text, (best,) * top_k, NoAnswer(-1.0, 0.25)))
    return replies


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    batcher = Batcher(model, most=8, wait=0, room=100)
    app = build_app(batcher, model="runs/<b>x", threshold=0.5, limits=LIMITS)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_a_question_is_answered(client: TestClient) -> None:
    got = client.post("/answer", json={"question": "who", "context": "x who", "top_k": 1})
    assert got.status_code == 200
    candidate = {"text": "who", "start": 1, "end": 2, "context": 0, "score": 1.5, "probability": 0.75}
    assert got.json() == {
        "answer": "who", "candidates": [candidate], "no_answer": {"score": -1.0, "probability": 0.25}
    }  # fmt: skip


def test_several_questions_have_a_list_of_answers(client: TestClient) -> None:
    questions = [{"question": "a", "context": "x"}, {"question": "b", "context": ["x", "y"]}]
    got = client.post("/answer", json={"questions": questions})
    assert [each["answer"] for each in got.json()] == ["a", "b"]
    assert [len(each["candidates"]) for each in got.json()] == [3, 3]
    assert got.json()[1]["candidates"][0]["context"] == 1


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({"question": "a"}, 400, "context: field required"),
        ({"question": 3, "context": "x"}, 400, "question: input should be a valid string"),
        ({"question": "a", "context": 3}, 400, "context: input should be a valid string"),
        ({"question": "a", "context": "x", "topk": 1}, 400, "topk: extra inputs are not permitted"),
        ({"question": "a", "context": "x", "top_k": 0}, 400, "top_k"),
        ({"question": "a", "context": "x", "top_k": 6}, 400, "top_k is 6; it must be at most 5"),
        ({"question": " ", "context": "x"}, 400, "question 1 of 1 is blank"),
        ({"question": "a", "context": []}, 400, "context 1 of 1 is empty"),
        ({"questions": []}, 400, "questions"),
        ({"questions": [{"question": "a", "context": "x"}] * 4}, 400, "4 questions; one request may hold 3"),
        ({"question": "a", "context": "x" * 100}, 400, "101 characters; one request may hold 100"),
        ({"question": "crash", "context": "x"}, 500, "the model is damaged"),
    ],
)
def test_what_cannot_be_answered_is_one_line(client: TestClient, body: Any, code: int, said: str) -> None:
    got = client.post("/answer", json=body)
    assert got.status_code == code, got.text
    assert list(got.json()) == ["detail"]
    assert said in got.json()["detail"] and "\n" not in got.json()["detail"]


def test_half_a_surrogate_pair_takes_one_place_as_before(client: TestClient) -> None:
    json_type = {"Content-Type": "application/json"}
    got = client.post("/answer", content=b'{"question": "a\\udfffb", "context": ["x", "\\ud800y"]}', headers=json_type)
    assert got.status_code == 200 and got.json()["answer"] == "a\ufffdb"


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"3", b'"a"', b"\xff\xfe"])
def test_what_is_no_request_is_refused(client: TestClient, body: bytes) -> None:
    got = client.post("/answer", content=body, headers={"Content-Type": "application/json"})
    assert got.status_code == 400, got.text
    assert "\n" not in got.json()["detail"]


def test_a_large_body_is_refused_before_it_is_read(client: TestClient) -> None:
    got = client.post("/answer", content=b"x" * (LIMITS.bytes + 1))
    assert got.status_code == 413
    got = client.post("/answer", content=iter([b"{}"]))  # chunks, without a length
    assert got.status_code == 413
    got = client.post("/answer", content=b"{}", headers={"Content-Length": "many"})
    assert got.status_code in (400, 413)


def test_a_request_that_does_not_come_to_its_end_is_given_up() -> None:
    batcher = Batcher(model, most=8, wait=0, room=100)
    app = build_app(batcher, model="m", threshold=None, limits=replace(LIMITS, seconds=0.05))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"100")]
    scope = {"type": "http", "method": "POST", "path": "/answer", "query_string": b"", "headers": headers}
    sent: list[Any] = []
    parts = iter([{"type": "http.request", "body": b"{", "more_body": True}])

    async def receive() -> Any:
        if (part := next(parts, None)) is None:
            await asyncio.sleep(60)
        return part

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(asyncio.wait_for(app(scope, receive, send), 20))
    batcher.close()
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"]) == {"detail": "the request was not here within 0.05 seconds"}


def test_it_says_how_it_is_and_what_it_takes(client: TestClient) -> None:
    assert client.get("/health").json()["status"] == "ok"
    described = client.get("/openapi.json").json()
    assert set(described["paths"]["/answer"]["post"]["responses"]) >= {"200", "400", "413", "503"}
    assert "/docs" not in {route.path for route in client.app.routes}  # type: ignore[attr-defined]


def test_the_page_holds_no_text_that_could_be_html(client: TestClient) -> None:
    page = client.get("/").text
    assert "runs/&lt;b&gt;x" in page and "<b>" not in page
    held = page.split('id="data">')[1].split("</script>")[0]
    assert json.loads(held)["threshold"] == 0.5


def test_full_and_stopping_services_say_so() -> None:
    batcher = Batcher(model, most=8, wait=0, room=1)
    with TestClient(build_app(batcher, model="m", threshold=None, limits=LIMITS)) as client:
        batcher.close()
        got = client.post("/answer", json={"question": "a", "context": "x"})
        assert got.status_code == 503 and got.headers["Retry-After"] == "1"
