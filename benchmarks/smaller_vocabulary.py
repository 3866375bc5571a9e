"""A backbone with another tokenizer and the same weights: ``python benchmarks/smaller_vocabulary.py SOURCE FOLDER``.

The WordPiece vocabulary of SOURCE is cut down to its special tokens, its pieces of one character and the first of the
others (they are in order of frequency), and the embedding table with it. Rarer words fall into more and shorter pieces,
so FOLDER is a model whose tokens are others and that still knows its language: what it takes to measure ensembles over
tokenizers where only one pretrained model is at hand.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from qakit.files import replace_folder
from qakit.modeling.sources import find_source


def smaller(source: Path, folder: Path, *, keep: int) -> int:
    """Write the backbone; returns the size of its vocabulary."""
    tokenizer = json.loads((source / "tokenizer.json").read_text("utf-8"))
    before: dict[str, int] = tokenizer["model"]["vocab"]
    special = {token["content"] for token in tokenizer["added_tokens"]}
    pieces = sorted(before, key=lambda piece: before[piece])
    single = {piece for piece in pieces if len(piece.removeprefix("##")) == 1}
    longer = [piece for piece in pieces if piece not in special | single][:keep]
    kept = [piece for piece in pieces if piece in special | single | set(longer)]
    after = {piece: row for row, piece in enumerate(kept)}
    tokenizer["model"]["vocab"] = after
    for token in tokenizer["added_tokens"]:
        token["id"] = after[token["content"]]
    joins = tokenizer.get("post_processor") or {}
    for token in joins.get("special_tokens", {}).values():
        token["ids"] = [after[piece] for piece in token["tokens"]]
    for end in ("sep", "cls"):
        if end in joins:
            joins[end][1] = after[joins[end][0]]
    if tokenizer.get("padding"):
        tokenizer["padding"]["pad_id"] = after[tokenizer["padding"]["pad_token"]]
    weights = load_file(source / "model.safetensors")
    (table,) = [name for name in weights if name.endswith("word_embeddings.weight")]
    weights[table] = weights[table][[before[piece] for piece in kept]].contiguous()
    config = json.loads((source / "config.json").read_text("utf-8"))
    config |= {"vocab_size": len(kept), "pad_token_id": after["[PAD]"]}
    with replace_folder(folder) as made:
        (made / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), "utf-8")
        names = {
            name: (source / name).read_bytes()
            for name in ("tokenizer_config.json", "special_tokens_map.json")
            if (source / name).is_file()
        }
        for name, content in names.items():
            (made / name).write_bytes(content)
        (made / "config.json").write_text(json.dumps(config, indent=2), "utf-8")
        save_file(weights, made / "model.safetensors", metadata={"format": "pt"})
    return len(kept)


def main() -> None:
    """Write the backbone and show what became of a sentence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep", type=int, default=6000)
    arguments = parser.parse_args()
    source = find_source(arguments.source, revision=None, with_code=False).folder
    size = smaller(source, arguments.folder, keep=arguments.keep)
    print(f"{size:,} pieces in {arguments.folder}")
    for folder in (source, arguments.folder):
        print(
            " ".join(AutoTokenizer.from_pretrained(folder).tokenize("The Normans plundered monasteries in Flanders."))
        )


if __name__ == "__main__":
    main()
