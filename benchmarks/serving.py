"""`qakit serve` under many callers, beside the same model asked at once: questions per second, and equal answers.

    python benchmarks/serving.py RUN --input recipes/samples/squad-dev.json --clients 64

Both answer the same questions with the same weights, in alternating rounds; the service has one question in a request.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from sample import squad_examples


def served(address: str, questions: list[dict[str, str]], clients: int) -> tuple[float, dict[str, str], list[float]]:
    """Seconds for all questions, the answers, and each request's own time."""
    waiting: Queue[dict[str, str]] = Queue()
    for each in questions:
        waiting.put(each)
    answers: dict[str, str] = {}
    times: list[float] = []

    def client() -> None:
        while True:
            try:
                each = waiting.get_nowait()
            except Empty:
                return
            body = json.dumps({"question": each["question"], "context": each["context"], "top_k": 1}).encode()
            request = urllib.request.Request(f"{address}/answer", body, {"Content-Type": "application/json"})
            began = time.perf_counter()
            with urllib.request.urlopen(request, timeout=600) as reply:
                answers[each["id"]] = json.load(reply)["answer"]
            times.append(time.perf_counter() - began)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began, answers, times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    examples = squad_examples(options.input)
    questions = [{"id": each.id, "question": each.question, "context": each.contexts[0]} for each in examples]
    command = [sys.executable, "-m", "qakit", "serve", str(options.run), "--port", "0"]
    service = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert service.stderr is not None
    said = service.stderr.readline()
    found = re.match(r"(http://\S+) ", said)
    if found is None:
        sys.exit(said + service.stderr.read())
    results: list[dict[str, Any]] = []
    try:
        served(found[1], questions[:64], options.clients)  # warm
        import qakit

        answerer = qakit.load(options.run)
        for _ in range(options.rounds):
            seconds, answers, times = served(found[1], questions, options.clients)
            began = time.perf_counter()
            replies = answerer.answer(
                [{"question": each["question"], "context": each["context"]} for each in questions], top_k=1
            )
            alone = time.perf_counter() - began
            expected = {each["id"]: reply.answer for each, reply in zip(questions, replies, strict=True)}
            results.append(
                {
                    "served_questions_per_second": len(questions) / seconds,
                    "predicted_questions_per_second": len(questions) / alone,
                    "ratio": alone / seconds,
                    "different_answers": sum(answers[id_] != expected[id_] for id_ in expected),
                    "median_ms": 1000 * statistics.median(times),
                    "p95_ms": 1000 * sorted(times)[int(0.95 * len(times))],
                }
            )
            print(json.dumps(results[-1]), flush=True)
    finally:
        service.terminate()
        service.wait()
    print(json.dumps({"questions": len(questions), "median_ratio": statistics.median(r["ratio"] for r in results)}))


if __name__ == "__main__":
    main()
