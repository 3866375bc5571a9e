"""Passages with questions, made from lists of words: as many as one likes, the same ones each time."""

from __future__ import annotations

from dataclasses import dataclass

RIVERS = ("Wear", "Tamar", "Severn", "Avon", "Medway", "Dee", "Trent", "Exe")
TOWNS = ("Ashford", "Belmont", "Calder", "Dunmore", "Elstow", "Fenwick", "Garston", "Holme", "Ilkley", "Jarrow")
TRADES = ("wool", "cheese", "slate", "glass", "paper", "salt", "copper")
FOUNDERS = ("Alice Moore", "John Carter", "Mary Lowell", "Peter Vance", "Ruth Hale")
HAN_TOWNS = ("安平", "白河", "東港", "南莊", "北投", "鹿港", "美濃", "金山", "三峽", "大溪")
HAN_RIVERS = ("淡水河", "大甲溪", "濁水溪", "曾文溪", "秀姑巒溪", "蘭陽溪", "頭前溪", "後龍溪")
HAN_TRADES = ("茶葉", "木材", "陶器", "食鹽", "紙傘", "樟腦", "蔗糖")
HAN_FOUNDERS = ("林文安", "陳國華", "王美玲", "李志明", "張秀英")


@dataclass(frozen=True)
class Passage:
    """A text and one question about it.

    Attributes:
        context: the text.
        question: about it.
        answer: a piece of the context.
        start: character where the answer begins.
    """

    context: str
    question: str
    answer: str
    start: int


def passages(count: int, *, han: bool = False) -> list[Passage]:
    """``count`` different passages; ``han``: in Chinese."""
    return [_passage(number, han=han) for number in range(count)]


def _passage(number: int, *, han: bool) -> Passage:
    names = (HAN_TOWNS, HAN_RIVERS, HAN_TRADES, HAN_FOUNDERS) if han else (TOWNS, RIVERS, TRADES, FOUNDERS)
    town, river, trade, founder = (words[number % len(words)] for words in names)
    year, people = 1201 + 37 * number % 700, 1000 + 53 * number
    if han:
        context = f"{town}位於{river}旁，{year}年由{founder}建立。當地以{trade}聞名，人口約{people}人。"
        asked = ((f"{town}位於哪條河旁？", river), (f"{town}由誰建立？", founder), (f"{town}以什麼聞名？", trade))
    else:
        context = (
            f"The town of {town} lies on the river {river}. It was founded in {year} by {founder}. "
            f"Its people, about {people} of them, live on {trade}."
        )
        asked = (
            (f"On which river does {town} lie?", river),
            (f"Who founded {town}?", founder),
            (f"What do the people of {town} live on?", trade),
        )
    question, answer = asked[number % len(asked)]
    return Passage(context, question, answer, context.index(answer))


def corpus(*, han: bool = False) -> list[str]:
    """Enough text to train a small vocabulary on."""
    return [text for one in passages(70, han=han) for text in (one.context, one.question)]
