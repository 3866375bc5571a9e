"""Numbers with their units, or without, as the gold answers have them.

In NTU ML HW7's public files 1,294 gold answers are a number and then what it counts (``1995年``, ``12%``);
32 are a number alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from qakit.api import Example, Prediction, SpanPrediction
from qakit_postprocess import NumberUnitsSettings
from qakit_postprocess.place import Place, place_of

_CHINESE = """
平方公里 平方公尺 平方米 立方公尺 立方米 公里/小時 公里 公尺 公分 公頃 公斤 公噸 公克 公升 千米 厘米 毫米 米 里
尺 英里 英尺 英寸 海里 畝 頃 噸 克 年代 年級 年 個月 月 日 號線 號 週 天 小時 分鐘 秒鐘 秒 點 世紀 歲 世 代 屆
個 人 名 位 種 次 座 所 家 支 隻 艘 架 輛 部 本 篇 首 張 條 棟 間 層 樓 站 度 倍 分 元 美元 日元 日圓 歐元 英鎊
港元 人民幣 票 場 回合 字 卷 集 件 項 塊 顆 台 席 戶 國 省 縣 市 區 公顷 吨 亩 顷 个月 个 号线 号 周 小时 分钟
秒钟 点 世纪 岁 届 种 只 辆 张 条 栋 间 层 楼 欧元 英镑 人民币 场 项 块 颗 户 国 县 区 % ％ ‰ ℃ °C ° KB MB GB TB
"""
_ENGLISH = """
percent years year months month weeks week days day hours hour minutes minute seconds second miles mile feet foot inches
inch yards acres km kilometres kilometers m metres meters cm centimetres centimeters mm kg kilograms g grams tonnes tons
pounds ft mph km/h K °F people million billion trillion dollars euros degrees
"""

_OTHER = """
分之 分類 分类 分店 分支 分別 分别 分布 分佈 世界 世家 日本 日語 日语 日軍 日军 日報 日报 個人 个人 人物 人員 人员
人民 人口 人類 人类 人士 人才 年輕 年轻 年齡 年龄 年度 月球 月亮 月台 代表 代理 代碼 代码 代號 代号 代替 名單 名单
名稱 名称 名字 名額 名额 位於 位于 位置 位元 次級 次级 次要 家族 家庭 家人 家具 家鄉 部分 部份 部門 部门 部長 部长
部隊 部队 部落 本人 本地 本土 本身 座位 座標 座标 所有 所以 所在 種族 种族 種類 种类 支持 支援 支線 支线 架構 架构
站點 站点 站長 站长 層次 层次 層級 层级 場地 场地 場所 场所 場館 场馆 張開 张开 條件 条件 條約 条约 條例 条例 度假
國家 国家 國際 国际 國王 国王 國會 国会 國民 国民 國小 國中 省份 省會 省会 省長 省长 縣長 县长 縣城 县城 縣市 市民
市長 市长 市場 市场 市區 市区 區域 区域 區間 区间 元素 元年 元首 元帥 元帅 台灣 台湾 台北 台中 台南 台東 台詞 台词
里程 號碼 号码 號稱 号称 倍數 倍数 篇幅 字母 字幕 字體 字体 字符 項目 项目 席位 席次 集團 集团 集合 尺寸 歲月 岁月
天空 天文 天主 天然 天才 天使 週年 週期 週刊 周年 周期 周刊 周邊 周边 點名 点名 點數 点数 級別 级别 小時候 小时候
回合制 樓梯 楼梯 度數 度数
"""

OTHER_WORDS: tuple[str, ...] = tuple(dict.fromkeys(_OTHER.split()))
"""Words that are no unit and begin like one: ``3分之一``, ``第3世界大戰``. A list, and so never complete."""
LARGE: tuple[str, ...] = ("million", "billion", "trillion")
"""Units that are a part of the number itself."""
COMMON: tuple[str, ...] = tuple(dict.fromkeys(f"{_CHINESE} {_ENGLISH}".split()))
"""Chinese, traditional and simplified, and English."""


ENOUGH = 5
"""Gold answers with a unit within reach that say how it is written; with fewer it is left as it is."""
_NUMBER = r"(?<![^\W\d_])[0-9０-９](?:[0-9０-９]|[.,，．](?=[0-9０-９]))*"
"""Not the end of a name such as B52."""


class NumberUnits:
    """Add a number's unit from the context, or take it away."""

    def __init__(self, settings: NumberUnitsSettings) -> None:
        self._magnitudes = settings.magnitudes
        add = tuple(unit for unit in COMMON if unit not in settings.drop) if settings.add is None else settings.add
        self._add, self._drop = add, settings.drop
        self._beside = _unit(add, settings.magnitudes)
        self._at_end = _numbers_with(settings.drop, settings.magnitudes)
        self._number = re.compile(_number(settings.magnitudes))

    def __call__(self, prediction: Prediction, example: Example) -> Prediction:
        """The prediction with the number's unit added or gone; answers that are no number stay."""
        if not isinstance(prediction, SpanPrediction) or not prediction.answer:
            return prediction
        if bare := self._at_end.fullmatch(prediction.answer):
            return prediction.with_answer(bare["number"])
        if not self._number.fullmatch(prediction.answer):
            return prediction
        place = place_of(prediction, example)
        unit = None if place is None else _beside(self._beside, place)
        return prediction if unit is None else prediction.with_answer(prediction.answer + unit[0])

    def learn(self, examples: Sequence[Example]) -> Mapping[str, object]:
        """``add`` and ``drop``: the known units, by what most gold answers do with each.

        Words for large numbers, such as "million", are never dropped: without them it is another number.
        """
        units = tuple(dict.fromkeys((*self._add, *self._drop)))
        beside, whole = _unit(units, self._magnitudes), _numbers_with(units, self._magnitudes)
        written, left = Counter[str](), Counter[str]()
        for place in _golds(examples):
            if found := whole.fullmatch(place.text):
                written[found["unit"]] += 1
            elif self._number.fullmatch(place.text) and (unit := _beside(beside, place)):
                left[unit["unit"]] += 1
        seen = [unit for unit in units if written[unit] + left[unit] >= ENOUGH]
        return {
            "add": [unit for unit in seen if written[unit] > left[unit]],
            "drop": [unit for unit in seen if written[unit] < left[unit] and unit not in LARGE],
        }


def _golds(examples: Iterable[Example]) -> Iterable[Place]:
    """The gold answers whose place is known, each text of a question once."""
    for example in examples:
        for answer in dict.fromkeys(example.answers or ()):
            if answer.start is not None and answer.end is not None and answer.context < len(example.contexts):
                yield Place(example.contexts[answer.context], answer.start, answer.end)


def _unit(units: Sequence[str], magnitudes: str) -> re.Pattern[str]:
    """A space or none, orders of magnitude, and a unit, the longest that fits."""
    known = {*units, *COMMON, *OTHER_WORDS}
    several = "|".join(_whole(unit, known) for unit in sorted(units, key=len, reverse=True)) or r"(?!)"
    return re.compile(rf"[ \u00a0]?{_one_of(magnitudes)}*(?P<unit>{several})")


def _whole(unit: str, known: Collection[str]) -> str:
    """A unit that is no beginning of a longer word: of any if it ends in a letter of A to Z, else of a known one."""
    if unit[-1].isascii() and unit[-1].isalpha():
        return re.escape(unit) + r"(?!-?[^\W_])"
    rests = "|".join(re.escape(word[len(unit) :]) for word in sorted(known) if word.startswith(unit) and word != unit)
    return re.escape(unit) + (f"(?!{rests})" if rests else "")


def _one_of(characters: str) -> str:
    return f"[{re.escape(characters)}]" if characters else "(?:)"


def _number(magnitudes: str) -> str:
    """A number with its orders of magnitude, which no unit takes away: ``3萬``."""
    return rf"{_NUMBER}(?:[ \u00a0]?{_one_of(magnitudes)}+)?" if magnitudes else _NUMBER


def _numbers_with(units: Sequence[str], magnitudes: str) -> re.Pattern[str]:
    return re.compile(f"(?P<number>{_number(magnitudes)}){_unit(units, magnitudes).pattern}")


def _beside(pattern: re.Pattern[str], place: Place) -> re.Match[str] | None:
    """The unit right after the number; None where the number continues, or is the tail of one."""
    if place.before and (place.before in ".," or place.before.isdigit() or re.match("[A-Za-z]", place.before)):
        return None
    return pattern.match(place.context, place.end)
