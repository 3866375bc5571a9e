"""What people see on the terminal is text: escapes, markup and formulas in data take no effect in any command."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qakit.cli.terminal.console import err, out, plain, print_json, print_text
from qakit.registry import load_registry

EVIL = "\x1b]0;evil\x07\x1b[31m[bold red]x[/bold red] :smile: \u202egnp.exe\u2066\x9b2J\x7f\u2028\r"
HARMFUL = set(map(chr, (*range(0x20), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A)))) - set(
    "\n\t"
)


def check(text: str) -> None:
    """Nothing in it that a terminal obeys; markup is still there."""
    assert not HARMFUL & set(text), text
    assert "\U0001f604" not in text


@pytest.fixture(scope="module")
def evil_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every text of the file does its worst; one answer looks like a formula."""
    folder = tmp_path_factory.mktemp("evil")
    context = f"{EVIL} The army {EVIL} landed =HYPERLINK(1) at Pevensey."
    questions = [
        {
            "id": f"{EVIL}{row}",
            "question": f"Where {EVIL}?",
            "answers": [{"text": answer, "answer_start": context.index(answer)}],
        }
        for row, answer in enumerate((f"army {EVIL}", "=HYPERLINK(1)", EVIL))
    ]
    document = {"data": [{"title": EVIL, "paragraphs": [{"context": context, "qas": questions}]}]}
    (folder / "data.json").write_text(json.dumps(document), "utf-8")
    broken = {"data": [{"title": EVIL, "paragraphs": [{"context": context, "qas": [questions[0], questions[0]]}]}]}
    (folder / "broken.json").write_text(json.dumps(broken), "utf-8")
    (folder / "answers.json").write_text(json.dumps({each["id"]: EVIL for each in questions}), "utf-8")
    (folder / "other.json").write_text(json.dumps({each["id"]: "+1" for each in questions}), "utf-8")
    return folder


def said(result: Any) -> str:
    """Everything that a command prints, with the message that it ends with."""
    if result.exception is None or isinstance(result.exception, SystemExit):
        return str(result.output)
    with err.capture() as captured:
        err.print(plain(result.exception))
    return str(result.output) + captured.get()


@pytest.mark.parametrize(
    "arguments",
    [
        ("data", "check", "{data}/data.json", "--reader", "squad"),
        ("data", "check", "{data}/data.json", "--reader", "squad", "--json"),
        ("data", "check", "{data}/broken.json", "--reader", "squad"),
        ("data", "check", "{data}/broken.json", "--reader", EVIL),
        ("score", "-m", "squad_v1", "-g", "{data}/data.json", "-p", "{data}/answers.json"),
        ("score", "-m", "squad_v1", "-g", "{data}/broken.json", "-p", "{data}/answers.json"),
        ("ensemble", "{data}/answers.json", "{data}/other.json", "-o", "{tmp}/" + EVIL.replace("/", "") + ".json"),
        ("ensemble", "{data}/answers.json", "{data}/data.json", "-o", "{tmp}/x.json"),
        ("predict", "{run}", "-i", "{data}/data.json", "-o", "{tmp}/answers.csv"),
        ("predict", "{run}", "-i", "{data}/broken.json", "-o", "{tmp}/answers.csv"),
        ("evaluate", "{run}", "-i", "{data}/data.json"),
        ("ask", "{run}", EVIL, "-c", f"landed {EVIL} at Pevensey {EVIL}"),
        ("ask", "{run}", EVIL, "-c", f"landed {EVIL} at Pevensey {EVIL}", "--json"),
        ("runs", "show", "{tmp}/" + EVIL.replace("/", "")),
        ("recipes", "validate", "{tmp}/evil.yaml"),
        ("recipes", "show", "{tmp}/evil.yaml"),
        ("recipes", "list", "{tmp}"),
        ("train", "{tmp}/evil.yaml"),
        ("plugins", "--kind", EVIL),
    ],
    ids=lambda arguments: " ".join(part for part in arguments if part.isascii() and part.isprintable())[:60],
)
def test_no_command_prints_what_a_terminal_obeys(
    arguments: tuple[str, ...], evil_data: Path, small_run: Path, invoke: Any, tmp_path: Path
) -> None:
    (tmp_path / "evil.yaml").write_text(
        f"description: {json.dumps(EVIL)}\n{json.dumps(EVIL)}: 1\ndata: {{reader: squad, train: {json.dumps(EVIL)}}}\n"
        "backbone: {source: ./nowhere}\n",
        "utf-8",
    )
    names = {"{data}": str(evil_data), "{run}": str(small_run), "{tmp}": str(tmp_path)}
    filled = []
    for argument in arguments:
        for name, value in names.items():
            argument = argument.replace(name, value)
        filled.append(argument)
    text = said(invoke(*filled))
    assert text.strip()
    check(text)


def test_a_runs_own_files_are_data_too(small_run: Path, invoke: Any, tmp_path: Path) -> None:
    run = Path(shutil.copytree(small_run, tmp_path / "run[bold]"))
    meta = json.loads((run / "meta.json").read_text("utf-8"))
    (run / "meta.json").write_text(json.dumps(meta | {"precision": EVIL, "git_commit": EVIL}), "utf-8")
    with (run / "metrics.jsonl").open("a") as log:
        log.write(json.dumps({"type": "evaluation", "step": 9, EVIL: 1.0, "note": EVIL}) + "\n")
    for arguments in (("runs", "show", run), ("runs", "show", run, "--json"), ("runs", "list", tmp_path)):
        text = said(invoke(*arguments))
        check(text)
        assert "run[bold]" in text


@pytest.fixture
def fresh_registry() -> Iterator[None]:
    """This process looks for plugins again, and once more afterwards."""
    load_registry.cache_clear()
    yield
    load_registry.cache_clear()


@pytest.mark.usefixtures("fresh_registry")
def test_a_plugins_summary_is_text(install: Callable[..., Any], invoke: Any) -> None:
    install(
        "evil",
        odd=f"""
        @hookimpl
        def qakit_register_postprocessors():
            return [component("odd", summary={EVIL!r})]
        """,
    )
    for arguments in (("plugins",), ("plugins", "--json"), ("recipes", "reference", "--package", "")):
        text = said(invoke(*arguments))
        check(text)
        assert "[bold red]x[/bold red]" in text


def test_tables_and_streams_hold_to_it_whatever_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where somebody forgot ``plain``."""
    from rich.table import Table

    table = Table(EVIL, title=EVIL)
    table.add_row(EVIL)
    out.print(table)
    out.print(EVIL)
    err.print(EVIL, "\ud800")
    print_json({EVIL: EVIL + "\ud800"})
    print_text(EVIL + "\n")
    captured = capsys.readouterr()
    check(captured.out + captured.err)
    assert "[bold red]x[/bold red]" in captured.out and "\\ud800" in captured.err
    captured.out.encode("utf-8")


def test_json_for_programs_is_the_same_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({EVIL: "\ud800台北"})
    text = capsys.readouterr().out
    assert json.loads(text) == {EVIL: "\ud800台北"} and "台北" in text


def test_formulas_are_told_and_stay_what_they_are(evil_data: Path, invoke: Any, tmp_path: Path) -> None:
    for name, answer in (("one", "=1+1"), ("two", "=1+1")):
        (tmp_path / f"{name}.json").write_text(json.dumps({"@a": answer, "b": "x", "c": "-3"}), "utf-8")
    result = invoke("ensemble", tmp_path / "one.json", tmp_path / "two.json", "-o", tmp_path / "both.csv")
    assert result.exit_code == 0
    assert "3 ids or answers begin like a spreadsheet formula" in result.output
    with (tmp_path / "both.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == [["@a", "=1+1"], ["b", "x"], ["c", "-3"]]
    report = invoke("data", "check", evil_data / "data.json", "--reader", "squad").output
    assert "a spreadsheet takes for formulas" in " ".join(report.split())
