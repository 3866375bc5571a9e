"""What the doctor says about tokens: lengths, unknown tokens, windows, and the ceiling of exact match."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from qakit.data.checks.ceiling import PlacedAnswers, ceiling, low_ceiling
from qakit.data.checks.span_search import same_text
from qakit.data.checks.tokens import TokenSetup, check_tokens
from qakit.data.encode import EncodedExamples, encode
from qakit.data.windows import Windows
from qakit.metrics import cmrc, squad, text
from qakit.protocols import WindowRuntime
from qakit.registry import load_registry
from qakit.values import Answer, Example


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """Words and single digits of a closed vocabulary; anything else is [UNK]."""
    words = ["[UNK]", "[PAD]", *"abcdefghij", "one", "two", "three", "1066", "."]
    backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]")


def setup(tokenizer, *, max_length=10, overlap=2, **options) -> TokenSetup:
    runtime = WindowRuntime(max_length=max_length, max_question_length=4, special_tokens=3, training=False, seed=0)
    preprocessor = load_registry().build("preprocessors", "stride", {"overlap": overlap}, runtime)
    return TokenSetup(tokenizer, preprocessor, runtime, **options)


def qa(identifier, context, *answers, question="a b"):
    placed = tuple(Answer(text, context.index(text)) for text in answers)
    return Example(identifier, question, (context,), answers=placed)


def names(report):
    return {finding.name: finding.count for finding in report.findings}


def test_everything_reachable(tokenizer):
    report = check_tokens([qa("1", "one two three", "two", "two three")], setup(tokenizer))
    assert report.ceiling is not None
    assert (report.ceiling.answers, report.ceiling.reachable, report.ceiling.of_questions) == (2, 2, 100.0)
    assert (report.windows, report.longer_inputs, report.findings) == (1, 0.0, ())
    assert report.lengths["input"].max == 2 + 3 + 3


def test_answers_within_a_token(tokenizer):
    report = check_tokens([qa("1", "in 1066", "66"), qa("2", "in 1066", "1066", "10")], setup(tokenizer))
    assert report.ceiling is not None
    assert (report.ceiling.inside_tokens, report.ceiling.outside_windows) == (2, 0)
    assert (report.ceiling.reachable, report.ceiling.answers) == (1, 3)
    assert (report.ceiling.reachable_questions, report.ceiling.questions) == (
        1,
        2,
    )  # any of a question's answers counts
    assert report.ceiling.examples[0] == "id 1: '66': would be cut as '1066'"


def test_blanks_around_an_answer_do_not_count(tokenizer):
    report = check_tokens([qa("1", "one two three", " two ")], setup(tokenizer))
    assert report.ceiling is not None
    assert report.ceiling.reachable == 1


def test_answers_in_no_window(tokenizer):
    context = "a b c d e f g h i j"  # windows of 5 tokens, 2 shared: [0, 5) [3, 8) [6, 10)
    examples = [qa("1", context, "c d e"), qa("2", context, "c d e f"), qa("3", context, "b c d e f g h")]
    report = check_tokens(examples, setup(tokenizer))
    assert report.ceiling is not None
    assert (report.ceiling.outside_windows, report.ceiling.reachable) == (2, 1)
    assert names(report) == {"answer_longer_than_window": 1}
    assert report.windows == 9
    assert report.longer_inputs == 100.0
    assert report.ceiling.examples[0].endswith("no window holds it")


def test_unknown_tokens_and_long_answers_and_questions(tokenizer):
    examples = [
        qa("1", "one zebra three", "zebra", "three"),
        qa("2", "one two three", "one two three", question="a b c d e"),
    ]
    report = check_tokens(examples, setup(tokenizer, max_answer_length=2))
    assert names(report) == {"unknown_in_answer": 1, "answer_longer_than_decoding": 1, "long_question": 1}


def test_an_answer_without_tokens(tokenizer):
    report = check_tokens([Example("1", "a", ("one   two",), answers=(Answer("  ", 4),))], setup(tokenizer))
    assert report.ceiling is not None
    assert names(report) == {"answer_without_tokens": 1}
    assert report.ceiling.reachable == 0


def test_unplaced_answers_lower_the_ceiling_of_questions(tokenizer):
    examples = [qa("1", "one", "one"), Example("2", "a", ("two",), answers=(Answer("three", None),))]
    report = check_tokens(examples, setup(tokenizer))
    assert report.ceiling is not None
    assert (report.ceiling.of_answers, report.ceiling.of_questions) == (100.0, 50.0)


def test_several_contexts(tokenizer):
    example = Example(
        "1", "a", ("one two", "in 1066", "three"), answers=(Answer("66", 5, context=1), Answer("three", 0, context=2))
    )
    report = check_tokens([example], setup(tokenizer))
    assert report.ceiling is not None
    assert (report.windows, report.ceiling.answers, report.ceiling.reachable) == (3, 2, 1)


def test_unlabelled_and_single_texts(tokenizer):
    unlabelled = check_tokens([Example("1", "a", ("one",))], setup(tokenizer))
    assert (unlabelled.ceiling, unlabelled.windows) == (None, 1)
    single = check_tokens([Example("1", "a b c", label="1")], setup(tokenizer))
    assert (single.ceiling, single.windows) == (None, 0)
    assert set(single.lengths) == {"text", "input"}


@dataclass(frozen=True)
class Slow:
    """The ceiling's definition, word by word."""

    examples: list[Example]
    encoded: EncodedExamples
    windows: Windows

    def reachable(self, row: int, answer: Answer) -> bool:
        pair = int(self.encoded.pointers[row]) + answer.context
        text_row = int(self.encoded.context[pair])
        begin, end = self.encoded.store.pointers[text_row : text_row + 2]
        spans = self.encoded.store.offsets[begin:end].tolist()
        covering = [n for n, (a, b) in enumerate(spans) if a < answer.end and b > answer.start]
        if not covering:
            return False
        cut = self.examples[row].contexts[answer.context][spans[covering[0]][0] : spans[covering[-1]][1]]
        held = any(
            self.windows.pair[s] == pair
            and self.windows.first[s] <= covering[0]
            and covering[-1] < self.windows.stop[s]
            for s in range(len(self.windows.pair))
        )
        return held and cut.strip() == answer.text.strip()


@st.composite
def answered(draw):
    contexts = tuple(draw(st.lists(st.text("ab 1.", min_size=1, max_size=24), min_size=1, max_size=2)))
    answers = []
    for _ in range(draw(st.integers(0, 3))):
        where = draw(st.integers(0, len(contexts) - 1))
        start = draw(st.integers(0, len(contexts[where]) - 1))
        end = draw(st.integers(start + 1, len(contexts[where])))
        answers.append(Answer(contexts[where][start:end], start, where))
    return contexts, tuple(answers)


@settings(max_examples=150, deadline=None)
@given(st.lists(answered(), min_size=1, max_size=4), st.integers(0, 3))
def test_the_ceiling_is_what_its_definition_says(tokenizer, drawn, overlap):
    examples = [Example(str(n), "a b", contexts, answers=answers) for n, (contexts, answers) in enumerate(drawn)]
    encoded = encode(examples, tokenizer)
    windows = setup(tokenizer, overlap=overlap).preprocessor.windows(encoded, epoch=0)
    top = ceiling(examples, encoded, windows, PlacedAnswers.of(examples, encoded))
    slow = Slow(examples, encoded, windows)
    reached = [
        {answer: slow.reachable(row, answer) for answer in example.answers or ()}
        for row, example in enumerate(examples)
    ]
    assert top.answers == sum(map(len, reached))
    assert top.reachable == sum(sum(one.values()) for one in reached)
    assert top.answerable == sum(bool(one) for one in reached)
    assert top.questions == len(examples)
    assert top.reachable_questions - top.reachable_answerable == top.questions - top.answerable
    assert top.reachable >= top.answers - top.outside_windows - top.inside_tokens


EXACT = {
    "same_text": same_text,
    "squad_v1": lambda example, answer: squad.score_v1(example, answer)[0] == 1,
    "squad_v2": lambda example, answer: squad.score_v2(example, answer)[0] == 1,
    "cmrc": lambda example, answer: cmrc.score(example, answer)[0] == 1,
    "key without b": lambda example, answer: text.score(example, answer, remove_characters="b,")[0] == 1,
}
PIECE = st.sampled_from([*"abBet .-\u200b\u5317\u00df", "the ", " a ", "An", "b."])
PIECES = st.lists(PIECE, min_size=1, max_size=9).map("".join)


@pytest.fixture(scope="module")
def pairs_of_characters() -> PreTrainedTokenizerFast:
    """Every two characters are a token, whatever they are."""
    backend = Tokenizer(models.WordLevel({"[UNK]": 0, "[PAD]": 1}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("..?"), "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]")


@settings(max_examples=150, deadline=None)
@given(
    contexts=st.lists(PIECES, min_size=1, max_size=2),
    golds=st.lists(PIECES, max_size=2),
    cuts=st.lists(st.tuples(st.integers(0, 12), st.integers(1, 8)), max_size=2),
    longest=st.integers(1, 5),
    no_answer=st.booleans(),
    metric=st.sampled_from(list(EXACT)),
)
def test_the_ceiling_of_questions_is_the_best_that_any_span_reaches(
    pairs_of_characters, contexts, golds, cuts, longest, no_answer, metric
):
    slices = [contexts[0][start : start + length] for start, length in cuts]
    answers = tuple(Answer(gold, None) for gold in [*golds, *filter(None, slices)])
    examples = [Example("1", "a", tuple(contexts), answers=answers)]
    encoded = encode(examples, pairs_of_characters)
    windows = setup(pairs_of_characters, max_length=8, overlap=1).preprocessor.windows(encoded, epoch=0)
    possible: list[str] = []
    for pair, first, stop in zip(windows.pair, windows.first, windows.stop, strict=True):
        row = encoded.context[pair]
        offsets = encoded.store.offsets[encoded.store.pointers[row] :]
        spans = [(i, j) for i in range(first, stop) for j in range(i, min(stop, i + longest))]
        possible += filter(None, (contexts[pair][offsets[i, 0] : offsets[j, 1]].strip() for i, j in spans))
    if no_answer or not possible:
        possible.append("")
    top = ceiling(
        examples, encoded, windows, PlacedAnswers.of(examples, encoded),
        max_answer_length=longest, no_answer=no_answer, exact=EXACT[metric],
    )  # fmt: skip
    assert top.reachable_questions == any(EXACT[metric](examples[0], answer) for answer in possible)


def test_percentiles_are_lengths_that_occur():
    from qakit.data.checks.texts import percentiles

    assert percentiles(np.array([1, 10])).p50 in (1, 10)


def test_a_low_ceiling_names_its_reasons_and_a_high_one_is_no_warning(tokenizer):
    examples = [qa(str(i), "in 1066 one two three", answer) for i, answer in enumerate(["66", "one two three", "two"])]
    encoded = encode(examples, tokenizer)
    message = low_ceiling(examples, encoded, split="training", max_answer_length=2)
    assert message is not None
    assert message.startswith("only 33.3% of the 3 training answers can be predicted exactly: ")
    assert "1 begin or end within a token, 1 are longer than predict.max_answer_length (id 0: '66'" in message
    assert low_ceiling(examples[1:], encode(examples[1:], tokenizer), split="training") is None
    assert low_ceiling([], encode([], tokenizer), split="training") is None


def test_a_training_says_it_before_its_first_step(tiny_backbone, tmp_path, invoke):
    record = '{"id": "1", "question": "Where?", "answers": [{"text": "hich", "answer_start": 5}]}'
    (tmp_path / "train.json").write_text(
        f'{{"data": [{{"paragraphs": [{{"context": "and which of the", "qas": [{record}]}}]}}]}}', "utf-8"
    )
    (tmp_path / "recipe.yaml").write_text(
        f"data: {{reader: squad, train: train.json, validation: train.json}}\nbackbone: {{source: {tiny_backbone}}}\n"
        "windows: {max_length: 32, max_question_length: 8}\n",
        "utf-8",
    )
    result = invoke("train", tmp_path / "recipe.yaml", "--dry-run")
    assert result.exit_code == 0
    for split in ("training", "validation"):
        assert f"only 0.0% of the 1 {split} answers can be predicted exactly" in " ".join(result.output.split())
