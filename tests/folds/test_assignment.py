"""Which fold an example belongs to."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.data.checks.repeats import text_key
from qakit.data.folds import assign, own_contexts
from qakit.errors import DataError
from qakit.recipe.staged import FoldsSection
from qakit.values import Answer, Example


def example(
    id_: str, *, question: str = "", contexts: tuple[str, ...] = (), document: str = "", **more: Any
) -> Example:
    return Example(id_, question or f"Question {id_}?", contexts or (f"Context {id_}.",), document=document, **more)


ARTICLES = [
    example(f"{article}{number}", document=article, contexts=(f"{article} {number // 2}",))
    for article, size in zip("abcdefg", (9, 4, 4, 3, 2, 1, 1), strict=True)
    for number in range(size)
]


def test_an_article_stays_whole_and_the_folds_are_as_even_as_articles_allow() -> None:
    found = assign(ARTICLES, FoldsSection(k=3))
    by_article = {each.document: fold for each, fold in zip(ARTICLES, found.fold, strict=True)}
    assert [by_article[each.document] for each in ARTICLES] == list(found.fold)
    assert sorted(Counter(found.fold).values()) == [7, 8, 9]
    assert found.sizes(3)[0].keys() == {"fold", "examples", "groups"}
    assert sum(size["groups"] for size in found.sizes(3)) == 7


def test_another_seed_splits_otherwise() -> None:
    splits = {
        assign(ARTICLES, FoldsSection(k=3, group_by="none", repeats="together", seed=seed)).fold for seed in (0, 1)
    }
    assert len(splits) == 2


def test_the_same_context_in_two_articles_is_an_error_that_names_both() -> None:
    twins = [
        example(f"{name}{number}", document=name, contexts=("The SAME, text!",) if number == 0 else ())
        for name in "ab"
        for number in range(2)
    ]
    with pytest.raises(DataError) as caught:
        assign(twins, FoldsSection(k=2))
    assert "ids a0 and b0: both have the same context" in str(caught.value)
    assert "set folds.group_by: context or folds.repeats: together" in str(caught.value)
    several = [*twins, example("c0", document="c")]
    found = assign(several, FoldsSection(k=2, repeats="together"))
    assert len(set(found.fold[:4])) == 1


def test_the_same_question_in_two_contexts_is_an_error() -> None:
    asked = [example("a", question="Who?"), example("b", question="who")]
    with pytest.raises(DataError, match=r"ids a and b: both have the same question.*folds\.repeats: together"):
        assign(asked, FoldsSection(k=2, group_by="context"))


def test_of_several_contexts_only_that_of_the_answer_counts() -> None:
    shared = "A distractor."
    pool = [
        example(f"q{number}", contexts=(shared, f"Own {number}."), answers=(Answer("Own", 0, 1),), relevant=1)
        for number in range(4)
    ]
    assert Counter(assign(pool, FoldsSection(k=2, group_by="context")).fold) == {1: 2, 2: 2}
    assert own_contexts(replace(pool[0], relevant=None)) == ("Own 0.",)
    with pytest.raises(DataError, match=r"1 group \(by \w+\) for 2 folds: choose smaller groups"):
        assign([replace(each, answers=None, relevant=None) for each in pool], FoldsSection(k=2, group_by="context"))


def test_without_documents_contexts_stay_whole_and_an_explicit_document_is_an_error() -> None:
    same = [example(name, contexts=("One.",)) for name in "ab"]
    found = assign([*same, example("c")], FoldsSection(k=2))
    assert found.fold[0] == found.fold[1] != found.fold[2]
    with pytest.raises(DataError, match=r"id a: there is no document to group by: set folds.group_by: context"):
        assign(same, FoldsSection(group_by="document"))
    with pytest.raises(DataError, match=r"id c: there is no document to group by"):
        assign([example("a", document="d"), example("c")], FoldsSection())


TWEETS = [
    example(
        str(number),
        question=("positive", "negative", "neutral")[number % 3],
        contexts=(f"tweet {number}",),
        answers=(Answer(f"tweet {number}", 0) if number % 3 == 2 else Answer("tweet", 0),),
    )
    for number in range(31)
]


def test_questions_of_a_few_words_may_be_on_all_sides() -> None:
    with pytest.raises(DataError, match=r"set folds\.repeats: together, .* or ignore, where questions are a few words"):
        assign(TWEETS, FoldsSection(k=3))
    with pytest.raises(DataError, match=r"3 groups .* for 5 folds: choose fewer folds or .* or folds\.repeats: ignore"):
        assign(TWEETS, FoldsSection(k=5, repeats="together"))
    found = assign(TWEETS, FoldsSection(k=5, repeats="ignore"))
    assert sorted(Counter(found.fold).values()) == [6, 6, 6, 6, 7]


@pytest.mark.parametrize("by", ["question", "answer", "label"])
def test_strata_have_the_same_share_of_each_fold(by: str) -> None:
    tweets = [replace(each, label=each.question) for each in TWEETS]
    found = assign(tweets, FoldsSection(k=5, repeats="ignore", stratify_by=by))
    strata = [len(each.answers[0].text) > 5 if by == "answer" else each.question for each in tweets]
    for stratum in set(strata):
        counts = Counter(fold for fold, own in zip(found.fold, strata, strict=True) if own == stratum)
        assert max(counts.values()) - min(counts[fold] for fold in range(1, 6)) <= 1


@pytest.mark.parametrize("by", ["answer", "label"])
def test_what_has_no_strata_is_an_error(by: str) -> None:
    with pytest.raises(DataError, match=rf"id 0: there is no {by} to stratify by: leave folds\.stratify_by out"):
        assign([replace(each, answers=None) for each in TWEETS], FoldsSection(stratify_by=by))
    with pytest.raises(DataError, match="the label is a number, no class"):
        assign([replace(each, label=0.5) for each in TWEETS], FoldsSection(stratify_by="label"))


texts = st.sampled_from(["", "One.", "one", "Two!", "Three", "Four", "Five", "Six", "Seven", "Eight"])
example_lists = st.lists(
    st.builds(
        lambda question, contexts, document: Example("", question, contexts, answers=(), document=document),
        question=texts,
        contexts=st.lists(texts, min_size=1, max_size=2).map(tuple),
        document=st.sampled_from("abcdefghij"),
    ),
    min_size=4,
    max_size=40,
).map(lambda found: [replace(each, id=str(number)) for number, each in enumerate(found)])


@given(
    examples=example_lists,
    section=st.builds(
        FoldsSection,
        k=st.integers(2, 4),
        group_by=st.sampled_from(["document", "context", "none"]),
        repeats=st.sampled_from(["error", "together"]),
        stratify_by=st.sampled_from(["none", "question", "answer"]),
        seed=st.integers(0, 3),
    ),
    order=st.randoms(use_true_random=False),
)
def test_nothing_is_on_two_sides_whatever_the_order(examples: list[Example], section: FoldsSection, order: Any) -> None:
    try:
        found = assign(examples, section)
    except DataError:
        return
    sides: dict[tuple[str, str], int] = {}
    for each, fold in zip(examples, found.fold, strict=True):
        keys = [("question", text_key(each.question)), *(("context", text_key(text)) for text in each.contexts)]
        keys = [key for key in keys if key[1]]
        keys += [("document", each.document)] if section.group_by == "document" else []
        for key in keys:
            assert sides.setdefault(key, fold) == fold
    sizes = [size["examples"] for size in found.sizes(section.k)]
    assert sum(sizes) == len(examples)
    if section.stratify_by == "none":
        assert max(sizes) - min(sizes) <= max(Counter(found.group).values())
    shuffled = list(examples)
    order.shuffle(shuffled)
    again = dict(zip([each.id for each in shuffled], assign(shuffled, section).fold, strict=True))
    assert [again[each.id] for each in examples] == list(found.fold)


@given(examples=example_lists, seed=st.integers(0, 5))
def test_what_is_kept_together_never_leaks(examples: list[Example], seed: int) -> None:
    section = FoldsSection(k=2, group_by="none", repeats="together", seed=seed)
    try:
        assign(examples, section)
    except DataError as error:
        assert "for 2 folds" in str(error)
