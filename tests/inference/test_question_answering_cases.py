"""The cases of the old pipeline's own tests (transformers 4, ``test_pipelines_question_answering.py``), counted.

===== ================================================================= ===============================================
case  what is asked of the pipeline                                     here
===== ================================================================= ===============================================
1-13  shapes, errors, windows and batches, with every architecture      :data:`EVERY_MODEL`, :data:`ARCHITECTURES`
14    a small model's answer, with its score                            ``test_case_14_...``, and so on: their models
15    items out of an iterator                                          are on the hub, with weights that nobody can
16    logits so large that a careless softmax overflows                 make here. Ours are tiny ones that have learnt
17    a text in which the tokenizer sees one word: given whole          their answers, and the score is compared with
18    the same text, without alignment to words                         what :mod:`old_pipeline` computes another way
19    a long text that does not say it: the empty answer
20    case 14 in TensorFlow                                             cannot be had: transformers 5 has PyTorch alone
21    the model that is taken where none is named
22    a question in a dict, about a text of several windows
23    a text of several windows with emoji and lists
24    case 21 in TensorFlow                                             cannot be had
25    several answers are of different texts
26-35 ways to write one question or two                                 :data:`ANSWERED`
36-57 questions and contexts that are missing, empty, or do not match   :data:`REFUSED`
58    two questions with two contexts, in lists                         :data:`ANSWERED`
59-61 arguments that are nothing at all                                 :data:`REFUSED`
===== ================================================================= ===============================================

What differs on purpose: an error is a :class:`qakit.errors.UsageError` and no ValueError or KeyError, and ``top_k``
answers are fewer where the text holds no more texts (docs/coming-from.md).
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import published
import pytest
import torch
from hub.server import HubServer
from hub.texts import passages
from huggingface_hub import QuestionAnsweringOutputElement
from old_pipeline import Reference
from tokenizers import Tokenizer, models, processors
from transformers import AutoModelForQuestionAnswering, AutoTokenizer, PreTrainedTokenizerFast

import qakit
from qakit.errors import UsageError
from qakit.inference.question_answering import Parameters, QuestionAnsweringPipeline
from qakit.workflows.loading import DEFAULT_MODEL

TENSORFLOW = {20, 24}
ARCHITECTURES = (
    "Albert", "Bert", "BigBird", "Camembert", "ConvBert", "Data2VecText", "Deberta", "DebertaV2", "DistilBert",
    "Electra", "Ernie", "GPT2", "Llama", "Longformer", "MPNet", "MegatronBert", "MobileBert", "ModernBert",
    "RemBert", "RoFormer", "Roberta", "Splinter", "SqueezeBert", "XLMRoberta", "XLMRobertaXL",
)  # fmt: skip

FOUNDED, FIELD, WHERE = "Where was the firm founded ?", "In what field does the firm work ?", "Which town is it in ?"
LISBON, SHIPS, LEEDS = "The firm was founded in Lisbon.", "It is a firm that builds ships in Hull", "A firm from Leeds"
LONG = LISBON * 25
UNEVEN = " ".join(random.Random(0).choices(f"{LISBON} {SHIPS} {LEEDS}".split(), k=170))
"""As long, without spans that differ by nothing but their place: of equal ones either may be the better."""
ITEM = {"question": FOUNDED, "context": LISBON}
Answer = dict[str, Any]
Call = tuple[tuple[Any, ...], dict[str, Any]]


def call(*args: Any, **named: Any) -> Call:
    return args, named


def check(answer: Any, context: str) -> None:
    """It has the four fields, and names a place in the context."""
    types = {key: type(value) for key, value in answer.items()}
    assert types == {"score": float, "start": int, "end": int, "answer": str}
    assert context[answer["start"] : answer["end"]] == answer["answer"]
    assert answer["score"] > 0  # and more than 1 where windows add up


def close_to(answer: Answer) -> Any:
    return answer | {"score": pytest.approx(answer["score"], abs=1e-5)}


# ------------------------------------------------------------------------------------------------ cases 1 to 13
@dataclasses.dataclass
class Small:
    """A pipeline of one architecture with random weights, and what the old one would say."""

    pipe: QuestionAnsweringPipeline
    reference: Reference

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self.pipe(*args, **named)

    def check(self, answer: Any, question: str, context: str, **parameters: Any) -> None:
        """It is the best one by the old way, too; of equal ones, either."""
        check(answer, context)
        given = Parameters(**({"max_seq_len": 160, "doc_stride": 12} | parameters))
        best, *_ = self.reference.answers(question, context, given)
        assert answer["score"] == pytest.approx(best.score, abs=1e-5)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Small]:
    root = tmp_path_factory.mktemp("published")

    @cache
    def make(kind: str) -> Small:
        folder = published.publish(kind, [FOUNDED, FIELD, LISBON, SHIPS, LEEDS], root / kind)
        model, tokenizer = AutoModelForQuestionAnswering.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        return Small(qakit.pipeline("question-answering", model=folder, device="cpu"), Reference(model, tokenizer))

    return make


def one_question(ask: Small) -> None:
    ask.check(ask(question=FOUNDED, context=LISBON), FOUNDED, LISBON)


def answers_that_may_be_empty(ask: Small) -> None:
    answer = ask(question=FOUNDED, context=LISBON, handle_impossible_answer=True)
    ask.check(answer, FOUNDED, LISBON, handle_impossible_answer=True)


def two_questions_about_one_text(ask: Small) -> None:
    answers = ask(question=[FIELD, FIELD], context=LISBON)
    assert len(answers) == 2
    for answer in answers:
        ask.check(answer, FIELD, LISBON)


def two_questions_about_two_texts(ask: Small) -> None:
    first, second = ask(question=[WHERE, FIELD], context=[SHIPS, LEEDS])
    ask.check(first, WHERE, SHIPS)
    ask.check(second, FIELD, LEEDS)


def refused(question: Any, context: Any) -> Callable[[Small], None]:
    def case(ask: Small) -> None:
        with pytest.raises(UsageError):
            ask(question=question, context=context)

    return case


def twenty_answers(ask: Small) -> None:
    answers = ask(question=FOUNDED, context=LISBON, top_k=20)
    wanted = ask.reference.answers(FOUNDED, LISBON, Parameters(top_k=20, max_seq_len=160, doc_stride=12))
    assert [answer["score"] for answer in answers] == pytest.approx([each.score for each in wanted], abs=1e-5)
    for answer in answers:
        check(answer, LISBON)


def fields_as_the_hub_describes_them(ask: Small) -> None:
    fields = {field.name for field in dataclasses.fields(QuestionAnsweringOutputElement)}
    for answer in ask(question=FOUNDED, context=LISBON, top_k=20):
        assert answer.keys() == fields


def a_text_of_several_windows(ask: Small) -> None:
    assert len(ask.reference.tokenizer(FOUNDED, LONG)["input_ids"]) > 160
    check(ask(question=FOUNDED, context=LONG), LONG)


def the_same_in_batches(ask: Small) -> None:
    check(ask(question=FOUNDED, context=LONG, batch_size=2), LONG)


def batches_change_no_answer(ask: Small) -> None:
    windows = {"max_seq_len": 48, "doc_stride": 12}
    alone, together = (ask(question=FOUNDED, context=UNEVEN, batch_size=size, **windows) for size in (1, 4))
    assert together == close_to(alone)
    ask.check(alone, FOUNDED, UNEVEN, **windows)


EVERY_MODEL: dict[int, Callable[[Small], None]] = {
    1: one_question,
    2: answers_that_may_be_empty,
    3: two_questions_about_one_text,
    4: two_questions_about_two_texts,
    5: refused("", LISBON),
    6: refused(None, LISBON),
    7: refused(FIELD, ""),
    8: refused(FIELD, None),
    9: twenty_answers,
    10: fields_as_the_hub_describes_them,
    11: a_text_of_several_windows,
    12: the_same_in_batches,
    13: batches_change_no_answer,
}


@pytest.mark.sweep(3)
@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("number", EVERY_MODEL, ids=lambda number: f"case_{number}")
def test_every_architecture(small: Callable[[str], Small], kind: str, number: int) -> None:
    EVERY_MODEL[number](small(kind))


# ----------------------------------------------------------------------------------------------- cases 14 to 25
REPORT = " ".join(each.context for each in passages(12))
GUIDE = """
🤗 Paints: colours for everyone

🤗 Paints is a box with thousands of colours for walls, doors and boats, in over 100 shades.

Why should I use 🤗 Paints?

1. Easy to mix:
  - Few tools, just three brushes to learn.
  - Lower costs, smaller tins:

2. Painters can share a mixed colour instead of mixing it again.

🤗 Paints is backed by the three oldest dye works — Jay, Pyke and Tenby — and all three fit together.
"""
LEARNT = {
    "founded": (FOUNDED, LISBON, "Lisbon"),
    "report": ("Who founded Calder?", REPORT, "Mary Lowell"),
    "guide": ("Which dye works back 🤗 Paints?", GUIDE, "Jay, Pyke and Tenby"),
    "nothing": ("Who was the first on the moon?", REPORT, ""),
}
"""Questions, texts and answers."""
WINDOWS = {"max_seq_len": 64, "doc_stride": 16}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny DistilBERT that has learnt :data:`LEARNT` by heart, window by window."""
    texts = [text for question, context, _ in LEARNT.values() for text in (question, context)]
    folder = published.publish("DistilBert", texts, tmp_path_factory.mktemp("published") / "taught")
    model, tokenizer = AutoModelForQuestionAnswering.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    model.qa_outputs.reset_parameters()
    ids, mask, starts, ends = [], [], [], []
    for question, context, answer in LEARNT.values():
        first = context.index(answer)
        encoded = tokenizer(
            question,
            context,
            truncation="only_second",
            max_length=WINDOWS["max_seq_len"],
            stride=WINDOWS["doc_stride"],
            padding="max_length",
            return_overflowing_tokens=True,
        )
        for each in encoded.encodings:
            places = [place for place, part in enumerate(each.sequence_ids) if part == 1]
            begin = [place for place in places if answer and each.offsets[place][0] == first]
            end = [place for place in places if answer and each.offsets[place][1] == first + len(answer)]
            ids.append(each.ids)
            mask.append(each.attention_mask)
            starts.append(begin[0] if begin and end else 0)
            ends.append(end[0] if begin and end else 0)
    batch = [torch.tensor(each) for each in (ids, mask, starts, ends)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(200):
        names = ("input_ids", "attention_mask", "start_positions", "end_positions")
        loss = model.train(False)(**dict(zip(names, batch, strict=True))).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.01:
            break
    model.save_pretrained(folder)
    return folder


def ask_taught(folder: Path, name: str, **arguments: Any) -> Any:
    """The answer to one of :data:`LEARNT`, checked: it is right, and its score is the old pipeline's."""
    question, context, right = LEARNT[name]
    answer: Any = qakit.pipeline(model=folder, device="cpu")(question=question, context=context, **WINDOWS, **arguments)
    model, tokenizer = AutoModelForQuestionAnswering.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    best, *_ = Reference(model, tokenizer).answers(question, context, Parameters(**WINDOWS, **arguments))
    assert answer == {
        "score": pytest.approx(best.score, abs=1e-5),
        "start": context.index(right),
        "end": context.index(right) + len(right),
        "answer": right,
    }
    assert best.text == right and best.score > 0.9
    return answer


def test_case_14_a_small_models_answer_has_its_score(taught: Path) -> None:
    ask_taught(taught, "founded")


def test_case_15_items_of_an_iterator_are_taken_as_they_come(taught: Path) -> None:
    taken: list[int] = []

    def data() -> Iterator[dict[str, str]]:
        for number in range(10):
            taken.append(number)
            yield ITEM

    answers: Any = qakit.pipeline(model=taught, batch_size=16, framework="pt", device="cpu")(data())
    assert taken == []
    wanted = ask_taught(taught, "founded")
    assert list(answers) == [close_to(wanted)] * 10


def test_case_16_large_logits_are_probabilities(taught: Path) -> None:
    model, tokenizer = AutoModelForQuestionAnswering.from_pretrained(taught), AutoTokenizer.from_pretrained(taught)
    with torch.no_grad():
        model.qa_outputs.weight *= 1e6
        model.qa_outputs.bias *= 1e6
    pipe = qakit.pipeline("question-answering", model=model, tokenizer=tokenizer, device="cpu")
    assert pipe(ITEM) == {"score": pytest.approx(1.0), "start": 24, "end": 30, "answer": "Lisbon"}


JAPANESE = {"question": "国語", "context": "全学年にわたって小学校の国語の教科書に挿し絵が用いられている"}


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> QuestionAnsweringPipeline:
    """A model whose tokenizer divides words at blanks alone, and Japanese has none."""
    folder = published.publish("Bert", [FOUNDED], tmp_path_factory.mktemp("published") / "japanese")
    letters = sorted(set("".join(JAPANESE.values())))
    vocabulary = {token: number for number, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters])}
    backend = Tokenizer(models.BPE(vocabulary, [], unk_token="[UNK]"))
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=["input_ids", "attention_mask", "token_type_ids"],
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    ).save_pretrained(folder)
    return qakit.pipeline(model=folder, device="cpu")


def test_case_17_a_text_that_is_one_word_is_given_whole(letters: QuestionAnsweringPipeline) -> None:
    whole: Any = letters(JAPANESE)
    assert (whole["answer"], whole["start"], whole["end"]) == (JAPANESE["context"], 0, 30)


def test_case_18_without_alignment_to_words_a_part_of_it_is_given(letters: QuestionAnsweringPipeline) -> None:
    part: Any = letters(JAPANESE, align_to_words=False)
    assert 0 < len(part["answer"]) <= 15
    check(part, JAPANESE["context"])


def test_case_19_a_long_text_that_does_not_say_it_has_the_empty_answer(taught: Path) -> None:
    assert len(REPORT) > 1_500
    ask_taught(taught, "nothing", handle_impossible_answer=True)


def test_case_21_without_a_name_the_old_default_is_taken(hub: HubServer, taught: Path) -> None:
    hub.publish(DEFAULT_MODEL, taught)
    assert qakit.pipeline("question-answering", device="cpu")(ITEM) == close_to(ask_taught(taught, "founded"))


def test_case_22_a_dict_may_ask_about_a_text_of_several_windows(taught: Path) -> None:
    wanted = ask_taught(taught, "report")
    question, context, _ = LEARNT["report"]
    pipe = qakit.pipeline(model=taught, device="cpu", **WINDOWS)
    assert pipe({"context": context, "question": question}) == close_to(wanted)


def test_case_23_emoji_and_lists_shift_no_place(taught: Path) -> None:
    ask_taught(taught, "guide")


def test_case_25_several_answers_are_of_different_texts(taught: Path) -> None:
    answers: Any = qakit.pipeline(model=taught, device="cpu")(question=FOUNDED, context=LISBON * 3, top_k=10)
    texts = [answer["answer"] for answer in answers]
    assert len(texts) == len(set(texts)) > 1


# ----------------------------------------------------------------------------------------------- cases 26 to 61
ANSWERED: dict[int, tuple[Call, int]] = {
    26: (call(FOUNDED, LISBON), 1),
    27: (call(question=FOUNDED, context=LISBON), 1),
    28: (call(context=LISBON, question=FOUNDED), 1),
    29: (call(question=[FOUNDED, FOUNDED], context=LISBON), 2),
    30: (call(ITEM), 1),
    31: (call([ITEM]), 1),
    32: (call([ITEM, ITEM]), 2),
    33: (call(X=ITEM), 1),
    34: (call(X=[ITEM]), 1),
    35: (call(data=ITEM), 1),
    58: (call(question=[FOUNDED, FOUNDED], context=[LISBON, LISBON]), 2),
}
"""Arguments, and how many questions they are."""
REFUSED: dict[int, Call] = {
    36: call({"context": LISBON}),
    37: call({"question": FOUNDED}),
    38: call([{"context": LISBON}]),
    39: call(None, LISBON),
    40: call("", LISBON),
    41: call(FOUNDED, None),
    42: call(FOUNDED, ""),
    43: call(question=None, context=LISBON),
    44: call(question="", context=LISBON),
    45: call(question=FOUNDED, context=None),
    46: call(question=FOUNDED, context=""),
    47: call(ITEM | {"question": None}),
    48: call(ITEM | {"question": ""}),
    49: call(ITEM | {"context": None}),
    50: call(ITEM | {"context": ""}),
    51: call([ITEM, ITEM | {"question": None}]),
    52: call([ITEM, ITEM | {"question": ""}]),
    53: call([ITEM, ITEM | {"context": None}]),
    54: call([ITEM, ITEM | {"context": ""}]),
    55: call(question={"no": "question"}, context=LISBON),
    56: call(question=[FOUNDED] * 2, context=[LISBON] * 3),
    57: call(question=[FOUNDED] * 3, context=[LISBON] * 2),
    59: call(None),
    60: call(Y=None),
    61: call(1),
}


@pytest.mark.parametrize("number", ANSWERED, ids=lambda number: f"case_{number}")
def test_ways_to_ask(small: Callable[[str], Small], number: int) -> None:
    (args, named), count = ANSWERED[number]
    ask = small("Bert")
    alone = ask(question=FOUNDED, context=LISBON)
    assert ask(*args, **named) == (close_to(alone) if count == 1 else [close_to(alone)] * count)


@pytest.mark.parametrize("number", REFUSED, ids=lambda number: f"case_{number}")
def test_what_cannot_be_asked(small: Callable[[str], Small], number: int) -> None:
    args, named = REFUSED[number]
    with pytest.raises(UsageError) as raised:
        small("Bert")(*args, **named)
    assert "\n" not in str(raised.value)


def test_every_case_is_here() -> None:
    alone = [int(found[1]) for name in globals() if (found := re.match(r"test_case_(\d+)_", name))]
    assert sorted([*EVERY_MODEL, *alone, *ANSWERED, *REFUSED, *TENSORFLOW]) == list(range(1, 62))
