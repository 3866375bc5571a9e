"""The page of `qakit view` in Chromium, as people use it; skipped where no browser is installed."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import start_browser
from view_pages import REGISTRY, answered, asked, said

from qakit.inference.answering import Examined
from qakit.inference.error_analysis import ErrorAnalysis
from qakit.inference.evaluation import Evaluation, Judge, choices_of
from qakit.report.view import view_page
from qakit.report.view_data import Findings
from qakit.values import ContextPrediction, Example, LabelPrediction, SpanPrediction

ATTACK = "<img src=x onerror='document.title=`hacked`'></script><script>document.title='hacked'</script>"
ARABIC = "تقع المدينة القديمة على ضفة النهر الكبير"
ASTRAL = "𝒜𝒷 the 🐎 runs in the 🏔 north"
MARKS = unicodedata.normalize("NFD", "Đường phố Hà Nội rất đông")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    driver = start_browser()
    yield driver
    driver.quit()


class Page:
    """An open page."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser

    def all(self, selector: str) -> list[str]:
        """The texts of all that fit."""
        found: list[str] = self.browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent)", selector
        )
        return found

    def set(self, id_: str, value: object, event: str) -> None:
        """As if somebody had chosen the value."""
        self.browser.execute_async_script(
            "const [id, value, name, done] = arguments; const at = document.getElementById(id); at.value = value;"
            "at.dispatchEvent(new Event(name)); setTimeout(done, 200);",
            id_,
            value,
            event,
        )

    def press(self, key: str) -> None:
        self.browser.switch_to.active_element.send_keys(key)

    @property
    def count(self) -> str:
        return self.all("#count")[0]


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Any:
    """``opened(run, ...)``: their page, without a complaint of the browser."""

    def open_page(*runs: Any, findings: Findings | None = None) -> Page:
        file = tmp_path / "page.html"
        file.write_text(view_page(runs, REGISTRY, findings=findings), "utf-8")
        browser.get("about:blank")
        browser.get(file.as_uri())
        assert browser.get_log("browser") == []
        return Page(browser)

    return open_page


TEXT = "The old mill stands by the river Tame, and the mill of Ash by the sea."
EXAMPLES = [
    *(asked(f"q{n}", TEXT, gold, question=f"Question {n}") for n, gold in enumerate(("old mill", "river Tame", None))),
    asked("attack", f"Before {ATTACK} after", "Before", question=ATTACK),
    asked("arabic", ARABIC, "المدينة", question="أين تقع المدينة؟"),
    asked("astral", ASTRAL, "🏔 north"),
    asked("marks", MARKS, MARKS[10:18]),
]
PREDICTIONS = [
    said(EXAMPLES[0], "old mill", "sea", score=1.5),
    said(EXAMPLES[1], "sea", "river Tame", score=0.25),
    said(EXAMPLES[2], "sea", score=-0.25),
    said(EXAMPLES[3], "after", score=-1.0),
    said(EXAMPLES[4], "المدينة القديمة", score=0.75),
    said(EXAMPLES[5], "🐎 runs", score=0.5),
    said(EXAMPLES[6], MARKS[10:18], score=3.0),
]


def test_a_question_is_shown_with_its_answers_marked(opened: Any, tmp_path: Path) -> None:
    page = opened(answered(tmp_path / "run", EXAMPLES, PREDICTIONS))
    assert page.count == "7 of 7 questions"
    assert page.all("#detail h3")[0] == "Question 0"
    assert page.all("mark.gold.said") == ["both", "old mill"]
    page.browser.execute_script("document.querySelectorAll('#detail tr.pick')[1].click()")
    assert page.all("#detail mark.said") == ["sea"]


@pytest.mark.parametrize(
    ("number", "gold", "own"),
    [(4, "المدينة", " القديمة"), (5, "🏔 north", "🐎 runs"), (6, MARKS[10:18], MARKS[10:18])],
)
def test_marks_stand_at_characters_of_any_script(opened: Any, tmp_path: Path, number: int, gold: str, own: str) -> None:
    page = opened(answered(tmp_path / "run", EXAMPLES, PREDICTIONS))
    page.browser.execute_script("select(arguments[0])", number)
    assert page.all("#detail .context") == [EXAMPLES[number].contexts[0]]
    assert page.all("#detail mark.gold")[0] == gold
    assert page.all("#detail mark.said")[-1] == own


def test_windows_lie_where_they_are_in_the_context(opened: Any, tmp_path: Path) -> None:
    run = answered(tmp_path / "run", EXAMPLES, PREDICTIONS)
    errors = ErrorAnalysis((False,) * 7, ("window", *["model"] * 6), 0)  # type: ignore[arg-type]
    evaluation = Evaluation({}, tuple(PREDICTIONS), tuple(PREDICTIONS), 0.0)
    half = len(TEXT) // 2
    examined = Examined(evaluation, errors, windows=[[(0, 0, half), (0, half, len(TEXT))], *[[]] * 6])
    page = opened(run, findings=Findings(0.0, examined))
    bars = page.browser.execute_script(
        "const at = document.querySelector('.windows').getBoundingClientRect();"
        "return [...document.querySelectorAll('.windows div')].map((each) => each.getBoundingClientRect())"
        ".map((each) => [(each.left - at.left) / at.width, each.width / at.width])"
    )
    assert bars == [[pytest.approx(0), pytest.approx(0.5, abs=0.01)], [pytest.approx(0.5, abs=0.01)] * 2]


def test_chosen_paragraphs_are_counted_from_1_everywhere(opened: Any, tmp_path: Path) -> None:
    example = Example("0", "Which?", ("one", "two", "three"), None, None, 0)
    prediction = ContextPrediction("0", 2, (0.25, 0.25, 0.5))
    page = opened(answered(tmp_path / "run", [example], [prediction], metric="selection", no_answer=False))
    assert page.all("#detail h3")[1] == "paragraph 3 ✗"
    assert page.all(".row .soft span:nth-child(2)") == ["paragraph 3"]
    assert page.all("#detail summary") == ["paragraph 1 (right)", "paragraph 2", "paragraph 3 (said)"]


def test_texts_are_texts(opened: Any, tmp_path: Path) -> None:
    page = opened(answered(tmp_path / ATTACK.replace("/", ""), EXAMPLES, PREDICTIONS))
    page.browser.execute_script("select(3)")
    assert page.all("#detail h3")[0] == ATTACK
    assert page.browser.title != "hacked"
    assert page.browser.execute_script("return document.images.length") == 0
    assert page.browser.get_log("browser") == []


def test_the_slider_gives_the_figures_of_every_threshold(opened: Any, tmp_path: Path) -> None:
    run = answered(tmp_path / "run", EXAMPLES, PREDICTIONS)
    page = opened(run)
    choices = choices_of(PREDICTIONS, EXAMPLES, Judge.of(run.recipe, REGISTRY))
    assert choices is not None
    for threshold in (-4.0, -1.0, -0.5, 0.1, 0.5, 1.5):
        page.set("slider", threshold, "input")
        cells = page.all("#threshold-figures tbody tr:first-child td")
        answers = int((choices.differences <= threshold).sum())
        figures = [f"{choices.curve(name).at(threshold):.1f}" for name in ("exact", "f1")]
        assert cells == ["all", "7", str(answers), *figures]
        right = sum(mark == "✓" for mark in page.all(".row .soft span:first-child"))
        assert figures[0] == f"{100 * right / 7:.1f}"


def test_questions_are_searched_filtered_and_sorted(opened: Any, tmp_path: Path) -> None:
    page = opened(answered(tmp_path / "run", EXAMPLES, PREDICTIONS))
    page.set("search", "QUESTION 1", "input")
    assert page.count == "1 of 7 questions" and page.all("#detail h3")[0] == "Question 1"
    page.set("search", "", "input")
    page.set("outcome", "wrong", "change")
    assert page.count == "5 of 7 questions"
    page.set("outcome", "cause ranked lower", "change")
    assert page.all(".row div:first-child") == ["Question 1"]
    page.set("outcome", "unanswerable", "change")
    assert page.all(".row div:first-child") == ["Question 2"]
    page.set("search", "no such text", "input")
    assert page.count == "0 of 7 questions" and page.all("#detail") == ["No question fits."]


def test_the_keyboard_goes_through_the_questions(opened: Any, tmp_path: Path) -> None:
    page = opened(answered(tmp_path / "run", EXAMPLES, PREDICTIONS))
    for key, expected in (("j", "Question 1"), ("j", "Question 2"), ("k", "Question 1"), ("k", "Question 0")):
        page.press(key)
        assert page.all("#detail h3")[0] == expected
    page.press("/")
    page.press("j")
    assert page.browser.switch_to.active_element.get_attribute("value") == "j"
    assert page.browser.current_url.endswith("#q0")


def test_two_runs_show_what_one_knows_and_the_other_does_not(opened: Any, tmp_path: Path) -> None:
    other = [said(EXAMPLES[0], "sea"), said(EXAMPLES[1], "river Tame"), *PREDICTIONS[2:]]
    page = opened(
        answered(tmp_path / "first", EXAMPLES, PREDICTIONS), answered(tmp_path / "second", EXAMPLES, other, seed=1)
    )
    page.set("outcome", "only 0", "change")
    assert page.all(".row div:first-child") == ["Question 0"]
    page.set("outcome", "only 1", "change")
    assert page.all(".row div:first-child") == ["Question 1"]
    assert [text.split(":")[0] for text in page.all("#detail h3")][1:] == ["first", "second"]
    page.set("outcome", "differ", "change")
    assert page.count == "2 of 7 questions"


def test_classes_have_their_table_and_no_threshold(opened: Any, tmp_path: Path) -> None:
    examples = [Example(str(n), f"text {n}", (), None, "ab"[n % 2]) for n in range(6)]
    predictions = [LabelPrediction(str(n), "a", (0.75, 0.25)) for n in range(6)]
    run = answered(tmp_path / "run", examples, predictions, metric="accuracy", no_answer=False, classes=("a", "b"))
    page = opened(run)
    assert page.all("#detail td:first-child") == ["a", "b"]
    assert page.all("#marks") == []
    assert page.all("#confusion td") == ["3", "0", "3", "0"]
    assert page.all("#threshold") == []
    page.set("outcome", "wrong", "change")
    assert page.count == "3 of 6 questions"
    assert page.all("#detail p strong") == ["b"]


def test_a_phone_sees_all_of_it_without_scrolling_sideways(opened: Any, tmp_path: Path, browser: Any) -> None:
    page = opened(answered(tmp_path / "run", EXAMPLES, PREDICTIONS))
    try:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": True}
        )
        for number in range(len(EXAMPLES)):
            page.browser.execute_script("select(arguments[0])", number)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_only_the_rows_in_sight_are_made(opened: Any, tmp_path: Path) -> None:
    examples = [asked(f"id{n}", TEXT, "sea", question=f"Question {n}") for n in range(10_000)]
    predictions = [SpanPrediction(each.id, "sea") for each in examples]
    page = opened(answered(tmp_path / "run", examples, predictions, metric="squad_v1", no_answer=False))
    assert page.count == "10,000 of 10,000 questions"
    assert len(page.all(".row")) < 60
    page.browser.execute_script("select(9999)")
    assert page.all("#detail h3")[0] == "Question 9999"
