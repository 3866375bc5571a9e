"""`qakit serve` as a process: asked by many at once and by a page in a browser, and told to stop."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from browser import start_browser

import qakit
from qakit.errors import UsageError
from qakit.workflows.serve import serve

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
Invoke = Any
QUESTIONS = [f"How is gate {n} called?" for n in range(8)]
CONTEXT = "The 🐎 of the abbey is called Grey. The gate of the mill is called Stone, and that of the inn Oak."


@pytest.fixture(scope="module")
def run(tiny_backbone: Path, samples: Path, invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    (folder / "tiny.yaml").write_text(
        f"""\
data: {{reader: squad, train: {samples}/squad-train.json, train_limit: 8}}
backbone: {{source: {tiny_backbone}}}
windows: {{max_length: 64, max_question_length: 24}}
train: {{max_steps: 1, precision: fp32}}
predict: {{no_answer: true}}
""",
        "utf-8",
    )
    assert invoke("train", folder / "tiny.yaml", "--output", folder / "run", "--quiet").exit_code == 0
    return folder / "run"


@pytest.fixture(scope="module")
def service(run: Path, forked_python: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Its address, and the process."""
    command = [sys.executable, "-m", "qakit", "serve", str(run), "--port", "0", "--batch", "16"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stderr is not None
    said = process.stderr.readline()
    found = re.match(r"(http://127\.0\.0\.1:\d+) ", said)
    assert found, said + process.stderr.read()
    yield found[1], process
    process.kill()
    process.wait()


def ask(address: str, body: Any) -> Any:
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/answer", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)


def test_many_callers_get_the_answers_of_the_model(service: Any, run: Path) -> None:
    answerer = qakit.load(run)
    expected = {text: answerer.answer(text, CONTEXT, top_k=2) for text in QUESTIONS}
    wrong: list[Any] = []

    def caller(number: int) -> None:
        for turn in range(6):
            text = QUESTIONS[(number + turn) % len(QUESTIONS)]
            got = ask(service[0], {"question": text, "context": CONTEXT, "top_k": 2})
            own = expected[text]
            if (got["answer"], [each["text"] for each in got["candidates"]]) != (
                own.answer,
                [each.text for each in own.candidates],
            ) or got["candidates"][0]["score"] != pytest.approx(own.candidates[0].score, abs=1e-4):
                wrong.append((text, got, own))

    callers = [threading.Thread(target=caller, args=(number,)) for number in range(16)]
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    assert wrong == []


def test_the_page_asks_and_marks_the_answer(service: Any, run: Path) -> None:
    browser = start_browser()
    try:
        browser.get(service[0])
        fill = "const put = (id, text) => { document.querySelector(id).value = text; }; "
        fill += "put('textarea', arguments[0]); put('#question', arguments[1]);"
        browser.execute_script(fill, CONTEXT, QUESTIONS[0])
        browser.execute_script("document.getElementById('ask').requestSubmit()")
        until = time.monotonic() + 30
        while not browser.execute_script("return document.querySelectorAll('#answer tr').length"):
            assert time.monotonic() < until
            time.sleep(0.05)
        best = qakit.load(run).answer(QUESTIONS[0], CONTEXT, top_k=10).candidates[0]
        slide = "const at = document.getElementById('slider'); at.value = at.max; at.dispatchEvent(new Event('input'));"
        browser.execute_script(slide)
        assert browser.execute_script("return document.querySelector('#answer mark').textContent") == best.text
        assert browser.execute_script("return document.querySelector('#answer .context').textContent") == CONTEXT
        browser.execute_script("document.getElementById('question').value = ' '")
        browser.execute_async_script(
            "const done = arguments[0]; document.getElementById('ask').requestSubmit(); setTimeout(done, 500)"
        )
        said = browser.execute_script("return document.getElementById('answer').textContent")
        assert said == "question 1 of 1 is blank"
        complaints = [line for line in browser.get_log("browser") if "400 (Bad Request)" not in line["message"]]
        assert [line for line in complaints if "favicon" not in line["message"]] == []
    finally:
        browser.quit()


def test_what_keeps_it_from_serving_is_one_line(service: Any, run: Path, tmp_path: Path) -> None:
    port = int(service[0].rpartition(":")[2])
    with pytest.raises(UsageError, match=rf"127\.0\.0\.1:{port} cannot be listened at \(Address already in use\)"):
        serve(run, port=port)
    with pytest.raises(UsageError, match="ports are numbers up to 65535"):
        serve(run, port=70000)


def test_what_answers_otherwise_is_refused_before_it_listens(
    tiny_backbone: Path, invoke: Invoke, tmp_path: Path
) -> None:
    """Also an ensemble, whose members answer with what they like."""
    rows = "".join(f"{n},q {n},gate,mill,{'AB'[n % 2]}\n" for n in range(4))
    (tmp_path / "data.csv").write_text("id,q,A,B,right\n" + rows)
    (tmp_path / "choose.yaml").write_text(
        f"""\
data:
  reader: {{name: table, id: id, question: q, choices: [A, B], label: right}}
  train: data.csv
  validation: data.csv
backbone: {{source: {tiny_backbone}}}
windows: {{max_length: 32, max_question_length: 16}}
preprocess: {{train: every_context, predict: every_context}}
head: multiple_choice
train: {{max_steps: 1, batch_size: 4, precision: fp32}}
metric: selection
"""
    )
    runs = [tmp_path / "run-0", tmp_path / "run-1"]
    for seed, folder in enumerate(runs):
        done = invoke("train", tmp_path / "choose.yaml", "--output", folder, "--set", f"seed={seed}", "--quiet")
        assert done.exit_code == 0, done.output
    done = invoke("ensemble", *runs, "--method", "mean", "--folder", tmp_path / "both")
    assert done.exit_code == 0, done.exception
    said: list[str] = []
    with pytest.raises(UsageError, match="not with pieces of a text"):
        serve(runs[0], port=0, ready=said.append)
    with pytest.raises(UsageError, match="do not answer with spans"):
        serve(tmp_path / "both", port=0, ready=said.append)
    assert said == []


def test_a_training_that_is_not_finished_is_named(run: Path, tmp_path: Path) -> None:
    begun, told = tmp_path / "begun", []
    shutil.copytree(run, begun)
    (begun / "metrics.json").unlink()

    def ready(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        serve(begun, port=0, ready=ready, warn=told.append)
    assert told == [f"{begun} is not finished: the best weights that it has so far answer"]


def test_told_to_stop_twice_it_ends_at_once_without_a_word(run: Path) -> None:
    command = [sys.executable, "-m", "qakit", "serve", str(run), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stderr is not None
    address = process.stderr.readline().split()[0]
    asked = {"questions": [{"question": text, "context": CONTEXT * 200} for text in QUESTIONS]}

    def caller() -> None:
        with suppress(OSError, HTTPException):  # it gets no reply
            ask(address, asked)

    threading.Thread(target=caller).start()
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert process.stderr.read() == ""


def test_told_to_stop_it_answers_what_was_asked_and_ends(service: Any) -> None:
    address, process = service
    got: list[Any] = []
    waiting = threading.Thread(target=lambda: got.append(ask(address, {"questions": [
        {"question": text, "context": CONTEXT * 40} for text in QUESTIONS
    ]})))  # fmt: skip
    waiting.start()
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    waiting.join(60)
    assert len(got) == 1 and len(got[0]) == len(QUESTIONS)
    assert process.wait(60) in (0, -signal.SIGTERM, 143)
    assert process.stderr.read() == ""
