"""Small tokenizers of every common style, trained on the spot."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CORPUS = [
    "The Norman conquest of England began in 1066, when William's army landed at Pevensey.",
    "Photosynthesis turns carbon dioxide and water into sugar; the light is captured by chlorophyll.",
    "Ein Zug fährt über die Brücke, naïve café façade, the coöperation of co-workers.",
    "台北市是中華民國的首都,位於台灣北部,人口約兩百六十萬人。",
    "《紅樓夢》是清代作家曹雪芹的作品,共一百二十回。魯迅(1881年—1936年)是中國作家。",
    "人工智慧研究始於1956年的達特茅斯會議,約翰·麥卡錫提出了這個名詞。",
] * 4

BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
NAMES = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]"}
ROBERTA_NAMES = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "mask_token": AddedToken("<mask>", lstrip=True, special=True),
}
WITH_TYPES = ["input_ids", "token_type_ids", "attention_mask"]
WITHOUT_TYPES = ["input_ids", "attention_mask"]


def _bert_template(tokenizer: Tokenizer, *, types: bool) -> None:
    second = 1 if types else 0
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair=f"[CLS] $A [SEP] $B:{second} [SEP]:{second}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )


def bert() -> PreTrainedTokenizerFast:
    """WordPiece over Chinese and English; [CLS] A [SEP] B [SEP] with type ids."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=500, special_tokens=BERT_SPECIAL))
    _bert_template(tokenizer, types=True)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=WITH_TYPES, **NAMES)


def _byte_level(special: list[str], *, add_prefix_space: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=450, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def roberta(*, add_prefix_space: bool) -> PreTrainedTokenizerFast:
    """Byte-level BPE with trimmed offsets; <s> A </s></s> B </s>."""
    tokenizer = _byte_level(ROBERTA_SPECIAL, add_prefix_space=add_prefix_space)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", tokenizer.token_to_id("</s>")),
        ("<s>", tokenizer.token_to_id("<s>")),
        trim_offsets=True,
        add_prefix_space=add_prefix_space,
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=WITHOUT_TYPES, **ROBERTA_NAMES)


def modernbert() -> PreTrainedTokenizerFast:
    """Byte-level BPE with untrimmed offsets; [CLS] A [SEP] B [SEP] without type ids."""
    tokenizer = _byte_level(BERT_SPECIAL, add_prefix_space=False)
    tokenizer.normalizer = normalizers.NFC()
    _bert_template(tokenizer, types=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=WITHOUT_TYPES, **NAMES)


def _unigram(special: list[str], unknown: str) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=special, unk_token=unknown)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def xlm_roberta() -> PreTrainedTokenizerFast:
    """SentencePiece's unigram with metaspace; <s> A </s></s> B </s>."""
    tokenizer = _unigram(ROBERTA_SPECIAL, "<unk>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")],
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=WITHOUT_TYPES, **ROBERTA_NAMES)


def deberta_v3() -> PreTrainedTokenizerFast:
    """The same with ALBERT's and DeBERTa-v3's template: [CLS] A [SEP] B [SEP] with type ids; accents are stripped."""
    tokenizer = _unigram(BERT_SPECIAL, "[UNK]")
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()]
    )
    _bert_template(tokenizer, types=True)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=WITH_TYPES, **NAMES)


STYLES: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "bert": bert,
    "roberta": lambda: roberta(add_prefix_space=False),
    "roberta_prefix_space": lambda: roberta(add_prefix_space=True),
    "modernbert": modernbert,
    "xlm_roberta": xlm_roberta,
    "deberta_v3": deberta_v3,
}
_made: dict[str, PreTrainedTokenizerFast] = {}


@pytest.fixture(params=list(STYLES))
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    """Each style in turn."""
    return _make(request.param)


@pytest.fixture
def bert_tokenizer() -> PreTrainedTokenizerFast:
    return _make("bert")


@pytest.fixture
def make_tokenizer() -> Callable[[str], PreTrainedTokenizerFast]:
    """A style by name; the same object every time."""
    return _make


def _make(style: str) -> PreTrainedTokenizerFast:
    if style not in _made:
        _made[style] = STYLES[style]()
        _made[style].name_or_path = style
    return _made[style]
