"""Units that numbers are often given with."""

from __future__ import annotations

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

COMMON: tuple[str, ...] = tuple(dict.fromkeys(f"{_CHINESE} {_ENGLISH}".split()))
"""Chinese, traditional and simplified, and English."""
