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
