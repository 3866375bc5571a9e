"""SQuAD 1.1 and 2.0 figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.errors import DataError
from qakit.metrics import squad
from qakit.metrics.per_example import squad_v1_per_example, squad_v2_per_example
from qakit.metrics.squad import best_threshold, squad_v1, squad_v2
from qakit.values import Answer, Example


def example(id_: str, *golds: str) -> Example:
    """A question with these gold answers, none of them placed."""
    return Example(id_, "?", ("context",), tuple(Answer(gold, None) for gold in golds))


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Cat's, a DOG!", "cats dog"),
        ("an", ""),
        ("theatre", "theatre"),
        ("a.b", "ab"),
        ("the-end", "theend"),  # punctuation goes before articles do
        ("\u3000台灣\u00a0a\n", "台灣"),
        ("“quoted”", "“quoted”"),  # only ASCII punctuation
    ],
)
def test_normalize(text: str, normal: str) -> None:
    assert squad.normalize(text) == normal


def test_f1_counts_tokens_as_a_bag() -> None:
    assert squad.token_f1("a b b c", "b b b") == pytest.approx(2 * (2 / 3) * (2 / 3) / (4 / 3))
    assert squad.token_f1("cat", "dog") == 0.0


def test_the_best_gold_answer_counts() -> None:
    assert squad_v1([example("q", "Paris", "the city of Paris")], {"q": "city of paris"}) == {
        "exact_match": 100.0,
        "f1": 100.0,
    }


def test_v1_scores_texts_without_tokens_as_the_official_script_does() -> None:
    assert squad_v1([example("q", "the")], {"q": "a"}) == {"exact_match": 100.0, "f1": 0.0}


def test_v2_gives_them_full_marks() -> None:
    assert squad_v2([example("q")], {"q": "the"})["f1"] == 100.0
    assert squad_v2([example("q", "the")], {"q": ""})["exact"] == 100.0


def test_v1_unanswerable_question_wants_the_empty_answer() -> None:
    assert squad_v1([example("q")], {"q": ""}) == {"exact_match": 100.0, "f1": 100.0}
    assert squad_v1([example("q")], {"q": "x"}) == {"exact_match": 0.0, "f1": 0.0}


def test_a_missing_answer_scores_zero() -> None:
    gold = [example("a", "x"), example("b", "y"), example("c")]
    assert squad_v1(gold[:2], {"a": "x"}) == {"exact_match": 50.0, "f1": 50.0}
    figures = squad_v2(gold, {"a": "x"})
    assert figures["exact"] == pytest.approx(100 / 3)
    assert figures["total"] == 3
    assert figures["HasAns_exact"] == 50.0
    assert figures["NoAns_exact"] == 0.0


def test_parts_that_are_empty_are_left_out() -> None:
    assert "NoAns_exact" not in squad_v2([example("a", "x")], {"a": "x"})
    assert "HasAns_exact" not in squad_v2([example("a")], {"a": "x"})


def test_a_probability_above_the_threshold_means_no_answer() -> None:
    gold = [example("a", "x"), example("b")]
    answers, probabilities = {"a": "x", "b": "y"}, {"a": 0.6, "b": 0.7}
    assert squad_v2(gold, answers, no_answer_probability=probabilities)["exact"] == 50.0
    assert squad_v2(gold, answers, no_answer_probability=probabilities, threshold=0.65)["exact"] == 100.0
    assert squad_v2(gold, answers, no_answer_probability=probabilities, threshold=0.5)["exact"] == 50.0


def test_the_best_threshold_splits_answerable_from_unanswerable() -> None:
    gold = [example("a", "x"), example("b"), example("c", "z")]
    figures = squad_v2(
        gold, {"a": "x", "b": "y", "c": "wrong"}, no_answer_probability={"c": 0.9, "b": 0.8, "a": 0.1, "unknown": 0.0}
    )
    assert figures["best_exact"] == pytest.approx(200 / 3)
    assert figures["best_exact_thresh"] == 0.1


def test_an_answer_without_its_probability_is_named() -> None:
    with pytest.raises(DataError, match=r"1 answered questions have no no-answer probability, the first: b"):
        squad_v2([example("a", "x"), example("b")], {"a": "x", "b": ""}, no_answer_probability={"a": 0.1})


def test_unlabelled_and_no_examples_are_errors() -> None:
    with pytest.raises(DataError, match=r"id q: has no gold answer"):
        squad_v1([Example("q", "?", ("c",))], {"q": "x"})
    with pytest.raises(DataError, match="no gold question"):
        squad_v1([], {})
    with pytest.raises(DataError, match="no gold question"):
        squad_v2([], {})


TEXTS = st.text(alphabet="ab the.,'", max_size=8)


@given(st.lists(st.tuples(st.lists(TEXTS, max_size=3), TEXTS), min_size=1, max_size=8))
def test_each_examples_figures_average_to_the_metric(rows: list[tuple[list[str], str]]) -> None:
    gold = [example(str(number), *golds) for number, (golds, _) in enumerate(rows)]
    texts = [answer for _, answer in rows]
    answers = {item.id: text for item, text in zip(gold, texts, strict=True)}
    for metric, per_example in ((squad_v1, squad_v1_per_example), (squad_v2, squad_v2_per_example)):
        figures = metric(gold, answers)
        for key, values in per_example(gold, texts).items():
            assert all(0 <= value <= 100 for value in values)
            assert figures[key] == pytest.approx(sum(values) / len(values))


@given(
    st.lists(
        st.tuples(
            st.booleans(), st.sampled_from([0.0, 0.5, 1.0]), st.booleans(), st.sampled_from([0.1, 0.3, 0.3, 0.8])
        ),
        min_size=1,
        max_size=10,
    )
)
def test_no_threshold_beats_the_best_one(rows: list[tuple[bool, float, bool, float]]) -> None:
    answerable = {str(i): row[0] for i, row in enumerate(rows)}
    answers = {str(i): "text" if row[2] else "" for i, row in enumerate(rows)}
    scores = {
        id_: rows[int(id_)][1] * bool(answers[id_]) if answerable[id_] else float(not answers[id_]) for id_ in answers
    }
    probabilities = {str(i): row[3] for i, row in enumerate(rows)}
    best, _ = best_threshold(scores, answers, probabilities, answerable)
    for threshold in (-1.0, 0.1, 0.3, 0.8):
        total = sum(float(not answerable[id_]) if probabilities[id_] > threshold else scores[id_] for id_ in scores)
        assert best >= 100 * total / len(scores) - 1e-9
