"""Weights as they were published years ago: read without running code, checked, converted once."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hub import models
from hub.server import HubServer
from safetensors.torch import load_file, save_file
from torch import Tensor

from qakit.data import cache
from qakit.errors import ModelError
from qakit.modeling.backbones import load_backbone, tokenizer_of
from qakit.modeling.checkpoints import checkpoint_in, choose_weights, weights_sha256
from qakit.modeling.pickles import ALIASES
from qakit.recipe.model import BackboneSection

WEIGHTS: dict[str, Tensor] = {"one.weight": torch.arange(6.0).reshape(2, 3), "two": torch.ones(2)}


def put(folder: Path, held: Any, *, name: str = "pytorch_model.bin", zipped: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    torch.save(held, folder / name, _use_new_zipfile_serialization=zipped)
    return folder


def equal(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A layout of the hub in a folder, made once."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = models.write(name, tmp_path_factory.mktemp("layout"))
        return made[name]

    return folder


@pytest.mark.parametrize("name", models.LAYOUTS)
def test_every_layout_gives_its_encoder_and_its_tokenizer(layouts: Callable[[str], Path], name: str) -> None:
    folder = layouts(name)
    section = BackboneSection.model_validate({"source": str(folder)})
    tokenizer = tokenizer_of(section)
    loaded = load_backbone(section, attention="eager", vocabulary=len(tokenizer))
    assert {parameter.dtype for parameter in loaded.module.parameters()} == {torch.float32}
    published = [each for file in folder.glob("pytorch_model*.bin") for each in torch.load(file).items()]
    embeddings = next(value for key, value in published if key.endswith("word_embeddings.weight"))
    assert torch.equal(loaded.module.get_input_embeddings().weight, embeddings.float())  # type: ignore[operator]
    text = "Paris is a city."
    offsets = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"]
    covered = {place for start, end in offsets for place in range(start, end) if text[place] != " "}
    assert covered == {place for place, char in enumerate(text) if char != " "}


def test_a_pickle_is_converted_once_and_the_folder_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put(tmp_path / "model", WEIGHTS)
    folder.chmod(0o555)
    try:
        first = checkpoint_in(folder)
        assert equal(first.tensors(), WEIGHTS)
        assert (
            first.files[0]
            == cache.default_cache() / cache.WEIGHTS / f"{weights_sha256(folder / 'pytorch_model.bin')}.safetensors"
        )
        monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("unpickled again"))
        assert equal(checkpoint_in(folder).tensors(), WEIGHTS)
    finally:
        folder.chmod(0o755)
    assert [file.name for file in folder.iterdir()] == ["pytorch_model.bin"]


def test_files_from_before_pytorch_1_6_are_read(tmp_path: Path) -> None:
    assert equal(checkpoint_in(put(tmp_path / "model", WEIGHTS, zipped=False)).tensors(), WEIGHTS)


def test_a_damaged_copy_in_the_cache_is_made_anew(tmp_path: Path) -> None:
    folder = put(tmp_path / "model", {"one": torch.rand(3, 3)})
    (copy,) = checkpoint_in(folder).files
    copy.write_bytes(copy.read_bytes()[:-4])
    assert checkpoint_in(folder).tensors().keys() == {"one"}


def test_shared_tensors_are_kept_once_and_found_under_every_name(tmp_path: Path) -> None:
    table = torch.rand(8, 4)
    held = {"embeddings": table, "decoder": table, "rows": table[2:5], "turned": table.T}
    checkpoint = checkpoint_in(put(tmp_path / "model", held))
    assert equal(checkpoint.tensors(), held)
    assert checkpoint.shapes() == {name: tuple(value.shape) for name, value in held.items()}
    assert load_file(checkpoint.files[0]).keys() == {"embeddings", "rows", "turned"}


def test_names_of_tensorflows_time_and_of_wrappers_are_todays(tmp_path: Path) -> None:
    held = {"module.a.LayerNorm.gamma": torch.ones(1), "module.a.LayerNorm.beta": torch.zeros(1)}
    found = checkpoint_in(put(tmp_path / "model", held))
    assert found.shapes().keys() == found.tensors().keys() == {"a.LayerNorm.weight", "a.LayerNorm.bias"}
    assert found.tensors(["a.LayerNorm.bias", "b"]).keys() == {"a.LayerNorm.bias"}


def test_safetensors_win_where_both_are_there(tmp_path: Path) -> None:
    folder = put(tmp_path / "model", {"one": torch.zeros(1)})
    save_file(WEIGHTS, folder / "model.safetensors")
    assert checkpoint_in(folder).files == (folder / "model.safetensors",)
    assert equal(checkpoint_in(folder).tensors(), WEIGHTS)


def test_a_list_of_shards_that_was_left_behind_hides_no_weights(tmp_path: Path) -> None:
    folder = put(tmp_path / "model", WEIGHTS)
    listed = dict.fromkeys(WEIGHTS, "model-00001-of-00002.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": listed}))
    assert equal(checkpoint_in(folder).tensors(), WEIGHTS)
    assert choose_weights(file.name for file in folder.iterdir()) == ["pytorch_model.bin"]
    save_file(WEIGHTS, folder / "model-00002-of-00002.safetensors")
    with pytest.raises(ModelError, match=r"lacks model-00001-of-00002\.safetensors"):  # a download that broke
        checkpoint_in(folder)
    (folder / "pytorch_model.bin").unlink()
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match=r"lacks model-00001-of-00002\.safetensors"):
        checkpoint_in(folder)


def test_what_is_changed_in_memory_does_not_reach_the_file(tmp_path: Path) -> None:
    tmp_path.joinpath("model").mkdir()
    file = tmp_path / "model" / "model.safetensors"
    save_file(WEIGHTS, file)
    before = file.read_bytes()
    checkpoint_in(file.parent).tensors()["two"].add_(1)
    assert file.read_bytes() == before


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = models.write("OWNER/sharded", tmp_path / "model")
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(ModelError, match=r"lacks pytorch_model-00002-of-00002.bin, which pytorch_model.bin.index.json"):
        checkpoint_in(folder)


def in_shards(folder: Path, *shards: dict[str, Tensor], listed: dict[str, int], pickled: bool) -> Path:
    """Shards of weights, and a list that says in which of them, counted from 1, each one lies."""
    stem, ending = ("pytorch_model", "bin") if pickled else ("model", "safetensors")
    folder.mkdir()
    for number, held in enumerate(shards, start=1):
        (torch.save if pickled else save_file)(held, folder / f"{stem}-0000{number}-of-00002.{ending}")
    places = {name: f"{stem}-0000{number}-of-00002.{ending}" for name, number in listed.items()}
    (folder / f"{stem}.{ending}.index.json").write_text(json.dumps({"weight_map": places}))
    return folder


@pytest.mark.parametrize("pickled", [False, True])
def test_what_an_earlier_save_left_in_another_shard_does_not_count(tmp_path: Path, *, pickled: bool) -> None:
    """Whichever of the two shards is read last."""
    one, two = ({name: value} for name, value in WEIGHTS.items())
    old = {name: value + 100 for name, value in WEIGHTS.items()}
    listed = {"one.weight": 1, "two": 2}
    for number, shards in enumerate(((one, old | two), (old | one, two))):
        folder = in_shards(tmp_path / str(number), *shards, listed=listed, pickled=pickled)
        assert equal(checkpoint_in(folder).tensors(), WEIGHTS)
        assert equal(checkpoint_in(folder).tensors(["two"]), {"two": WEIGHTS["two"]})


def test_a_weight_in_two_shards_of_which_none_is_listed_is_refused(tmp_path: Path) -> None:
    old = {"two": WEIGHTS["two"] + 1}
    folder = in_shards(tmp_path / "model", WEIGHTS, old, listed={"one.weight": 1, "three": 2}, pickled=False)
    for read in (checkpoint_in(folder).shapes, checkpoint_in(folder).tensors):
        with pytest.raises(ModelError, match=r"both hold two.*which of them is the model's"):
            read()
    renamed = in_shards(
        tmp_path / "renamed",
        {"LayerNorm.gamma": WEIGHTS["two"]},
        {"LayerNorm.weight": WEIGHTS["two"] + 1},
        listed={"LayerNorm.gamma": 1, "LayerNorm.weight": 2},
        pickled=False,
    )
    with pytest.raises(ModelError, match=r"both hold LayerNorm.weight \(as LayerNorm.gamma and LayerNorm.weight\)"):
        checkpoint_in(renamed).tensors()


@pytest.mark.parametrize("name", ["../secret.bin", "/etc/passwd", "other.bin", 3])
def test_an_index_names_shards_beside_it_only(tmp_path: Path, name: object) -> None:
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"one": name}}))
    with pytest.raises(ModelError, match="which is no shard of a checkpoint beside it"):
        checkpoint_in(tmp_path)


@pytest.mark.parametrize(
    ("held", "says"),
    [
        ({"epoch": 3, "state_dict": WEIGHTS}, r"more than tensors: 'epoch' \(int\), 'state_dict' \(dict\).*checkpoint"),
        (torch.ones(3), "holds one Tensor, not a model's weights"),
        ({}, "holds one dict, not a model's weights"),
        ({3: torch.ones(1)}, "holds one dict"),
        ({"__metadata__": torch.ones(1)}, "holds one dict"),
        ({"one": torch.eye(3).to_sparse()}, "one is no plain tensor"),
        ({"one": torch.ones(2, dtype=torch.complex64)}, "one is no plain tensor"),
        ({"one": torch.zeros(1).expand(10**12)}, "one claims to be larger than the file"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_of_anything_else_is_refused_with_what_it_holds(
    tmp_path: Path, held: object, says: str, zipped: bool
) -> None:
    folder = put(tmp_path / "model", held, zipped=zipped)
    with pytest.raises(ModelError, match=says) as caught:
        checkpoint_in(folder)
    assert "\n" not in str(caught.value)


def test_many_views_of_one_memory_are_refused(tmp_path: Path) -> None:
    """Each would be a tensor of its own in the copy: a small file would fill the disk."""
    table = torch.rand(64, 64)
    held = {f"view{start}": table.flatten()[start : start + 2048] for start in range(1000)}
    with pytest.raises(ModelError, match=r"tensors claim to be \d+ times as large"):
        checkpoint_in(put(tmp_path / "model", held))


def test_the_name_of_a_file_is_not_believed_to_be_its_hash(tmp_path: Path) -> None:
    """But in the hub's own cache, where the client names files by what they hold."""
    good = put(tmp_path / "good", {"one": torch.ones(3)}) / "pytorch_model.bin"
    folder = tmp_path / "evil"
    folder.mkdir()
    put(folder / "blobs", {"one": torch.zeros(3)}, name=weights_sha256(good))
    (folder / "pytorch_model.bin").symlink_to(folder / "blobs" / weights_sha256(good))
    assert checkpoint_in(folder).tensors()["one"].tolist() == [0, 0, 0]
    assert checkpoint_in(good.parent).tensors()["one"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("noted", ["[1", "[1,2]", '{"a":1}', '{"x":"nothere"}', "3", "null", '"abc"'])
def test_only_our_own_copies_have_names_that_stand_for_others(tmp_path: Path, noted: str) -> None:
    save_file(WEIGHTS, tmp_path / "model.safetensors", metadata={"format": "pt", ALIASES: noted})
    assert equal(checkpoint_in(tmp_path).tensors(), WEIGHTS)


def test_without_a_cache_that_can_be_written_the_copy_is_for_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("a file, no folder")
    monkeypatch.setenv("QAKIT_CACHE", str(tmp_path / "file"))
    folder = put(tmp_path / "model", {"one": torch.rand(4)})
    for _ in range(2):
        assert checkpoint_in(folder).tensors().keys() == {"one"}
    (message,) = caplog.messages
    assert message.startswith("cannot write") and "point QAKIT_CACHE at a folder" in message


def test_a_list_of_shards_may_not_be_nested_without_end(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text("[" * 100_000)
    with pytest.raises(ModelError, match="is no list of shards"):
        checkpoint_in(tmp_path)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1,000,000,000; it must be from 0 to 1,000"),
        ({"num_hidden_layers": -1}, "num_hidden_layers is -1"),
        ({"num_labels": 10**9}, "num_labels is 1,000,000,000"),
        ({"hidden_dropout_prob": float("nan")}, "hidden_dropout_prob is nan"),
        ({"vocab_size": 10**400}, "the number 10"),
    ],
)
def test_numbers_that_no_model_has_are_refused_before_one_is_built(
    tiny_backbone: Path, tmp_path: Path, entry: dict[str, Any], says: str
) -> None:
    config = json.loads((tiny_backbone / "config.json").read_text("utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | entry), "utf-8")
    with pytest.raises(ModelError, match=says):
        load_backbone(BackboneSection.model_validate({"source": str(tmp_path)}), attention="eager")


def test_a_packed_archive_is_refused(tmp_path: Path) -> None:
    folder = put(tmp_path / "model", WEIGHTS)
    with zipfile.ZipFile(folder / "pytorch_model.bin") as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    with pytest.raises(ModelError, match="compressed archive"):
        checkpoint_in(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_the_note_of_git_lfs_is_called_that(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(ModelError, match="Git LFS's note of the file, not the file: run `git lfs pull`"):
        checkpoint_in(tmp_path)


@pytest.mark.parametrize("kept", [0, 30, 200])
@pytest.mark.parametrize("zipped", [True, False])
def test_half_a_file_is_called_damaged(tmp_path: Path, kept: int, zipped: bool) -> None:
    file = put(tmp_path / "model", WEIGHTS, zipped=zipped) / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ModelError, match="is damaged or no PyTorch checkpoint"):
        checkpoint_in(file.parent)


def test_weights_for_others_are_named(tmp_path: Path) -> None:
    (tmp_path / "tf_model.h5").write_bytes(b"")
    (tmp_path / "flax_model.msgpack").write_bytes(b"")
    with pytest.raises(
        ModelError, match=r"holds TensorFlow weights \(tf_model.h5\), Flax weights \(flax_model.msgpack\)"
    ):
        checkpoint_in(tmp_path)


def test_a_configuration_that_names_no_architecture_is_told_from_the_weights(layouts: Callable[[str], Path]) -> None:
    section = BackboneSection.model_validate({"source": str(layouts("SpanBERT/spanbert-base-cased"))})
    assert load_backbone(section, attention="eager").config.model_type == "bert"


def test_or_one_line_says_which_override_to_set(tmp_path: Path) -> None:
    folder = put(tmp_path / "model", WEIGHTS)
    (folder / "config.json").write_text('{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}')
    section = {"source": str(folder)}
    with pytest.raises(ModelError, match=r"has no model_type.*--set backbone.overrides.model_type=bert"):
        load_backbone(BackboneSection.model_validate(section), attention="eager")
    with pytest.raises(ModelError, match=r"weights are not in the file"):
        named = section | {"overrides": {"model_type": "bert"}}
        load_backbone(BackboneSection.model_validate(named), attention="eager")
    with pytest.raises(ModelError, match="transformers knows no model_type 'brt'"):
        named = section | {"overrides": {"model_type": "brt"}}
        load_backbone(BackboneSection.model_validate(named), attention="eager")


def test_from_the_hub_each_needed_file_comes_once(hub: HubServer) -> None:
    name = "hfl/chinese-lert-base"
    hub.publish(name, models.files_of(name))
    section = BackboneSection.model_validate({"source": name})
    for _ in range(2):
        tokenizer_of(section)
        load_backbone(section, attention="eager")
    assert sorted(hub.fetched(name)) == [
        "added_tokens.json",
        "config.json",
        "pytorch_model.bin",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]


def test_a_tokenizers_repository_keeps_its_weights(hub: HubServer) -> None:
    hub.publish("SpanBERT/spanbert-base-cased", models.files_of("SpanBERT/spanbert-base-cased"))
    hub.publish("bert-base-cased", models.files_of("bert-base-cased"), branch="v1")
    recipe = {"source": "SpanBERT/spanbert-base-cased", "tokenizer": "bert-base-cased", "tokenizer_revision": "v1"}
    section = BackboneSection.model_validate(recipe)
    tokenizer_of(section)
    load_backbone(section, attention="eager")
    assert hub.fetched("bert-base-cased") == ["config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]
