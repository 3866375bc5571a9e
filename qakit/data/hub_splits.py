"""A split of a dataset on the hub -> one Parquet file, as the package ``datasets`` understands the dataset's card.

The package is asked which files hold a split, and reads them; the hub's files are fetched by :mod:`qakit.hub`, as any
others, so that errors, progress and the offline cache are the same. Loading scripts, which are code, are not run.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from qakit.data.hub_texts import rows_of, text_tables
from qakit.data.sources import Fetched, check_pieces, fetched
from qakit.errors import DataError, HubError, QakitError
from qakit.files import atomic_path
from qakit.names import few
from qakit.recipe.hub_data import HubSplit

CARDS = ("README.md", "dataset_infos.json", ".huggingface.yaml")
"""The files that say which others hold what, and the types of the columns."""
_ROWS = 1_000


def convert_split(split: HubSplit, commit: str, target: Path, *, subject: str) -> None:
    """Write a split as one Parquet file with the types of its columns, whole or not at all.

    Raises:
        HubError: its files cannot be fetched.
        DataError: there is no such configuration or split, or its files cannot be read.
        OutputError: the cache cannot be written.
    """
    cards = fetched(split.dataset, commit, _cards, subject=subject)
    with quiet(), tempfile.TemporaryDirectory() as scratch:
        builder, files = _builder(split, cards, Path(scratch), subject)
        found = fetched(split.dataset, commit, lambda names: sorted(set(files) & set(names)), subject=subject)
        paths = [found.folder / name for name in files]
        builder.config.data_files = {split.split: [str(path) for path in paths]}
        try:
            _write(builder, split.split, paths, target)
        except DataError as error:
            raise DataError(
                f"{subject}: its files cannot be read: {error}; to have the reader judge them, name the files: "
                f"hf://datasets/{split.dataset}/PATH"
            ) from error
        except QakitError:
            raise
        except Exception as error:  # whatever the readers of datasets raise about a file's content
            raise DataError(f"{subject}: its files cannot be read: {_line(error)}") from error


def _cards(names: Sequence[str]) -> list[str]:
    return [name for name in (*CARDS, ".gitattributes") if name in names] or list(names[:1])


def _builder(split: HubSplit, cards: Fetched, scratch: Path, subject: str) -> tuple[Any, tuple[str, ...]]:
    """What reads the split, and the names of its files in the repository."""
    import datasets

    name = PurePosixPath(split.dataset).name
    if f"{name}.py" in cards.names:
        raise DataError(
            f"{subject} has a loading script, which is code and is not run; look whether the hub has made Parquet of "
            f"it: hf://datasets/{split.dataset}@refs/convert/parquet/CONFIG/SPLIT/*.parquet"
        )
    likeness = scratch.resolve() / name
    for card in (CARDS[0], CARDS[-1]):
        if card in cards.names:
            _check_card(cards.folder / card, subject)
    try:
        _make_likeness(cards, likeness)
        builder = datasets.load_dataset_builder(str(likeness), split.config, cache_dir=str(scratch / "cache"))
        found = {str(key): list(value) for key, value in (builder.config.data_files or {}).items()}
        beginning = f"{likeness.as_posix()}/"
        named = (Path(file).as_posix().removeprefix(beginning) for file in found.get(split.split, ()))
        files = list(dict.fromkeys(named))  # each once, however often the card names it
    except Exception as error:  # of many types, by what is wrong with names, cards and configurations
        raise _refusal(error, split, cards, likeness, subject) from error
    if not files:
        raise DataError(f"{subject} has no split {split.split!r}; it has {few(list(found), 12)}")
    if strangers := sorted(set(files) - set(cards.names)):
        raise DataError(f"{subject}: its card names {strangers[0]!r}, which is no file of the dataset")
    if cards.is_whole:
        check_pieces(files, cards.names, subject)
    return builder, tuple(files)


def _make_likeness(cards: Fetched, folder: Path) -> None:
    """``datasets`` decides by names and cards alone which files hold what: so it is shown a folder of empty files."""
    for name in cards.names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if name in CARDS:
            shutil.copyfile(cards.folder / name, file)
        else:
            file.touch()


def _refusal(error: Exception, split: HubSplit, cards: Fetched, likeness: Path, subject: str) -> QakitError:
    """What to say of an error of ``datasets``."""
    import datasets
    from datasets.exceptions import DataFilesNotFoundError

    configs: list[str] = []
    with suppress(Exception):  # the same, where no configuration is needed to find it
        configs = datasets.get_dataset_config_names(str(likeness))

    if not cards.is_whole:
        return HubError(
            f"{subject}: without the hub, only a split that was read before can be read (`qakit cache clear datasets` "
            "forgets them), and its cache does not hold all that the card names; give the command once with a network"
        )
    if isinstance(error, DataFilesNotFoundError | FileNotFoundError):
        return DataError(
            f"{subject} has no data files that the package datasets knows ({few(cards.names, 12)}); a file by its "
            f"name: hf://datasets/{split.dataset}/PATH"
        )
    if split.config is None and len(configs) > 1:
        return DataError(f"{subject} has several configurations; set `config` to one of: {few(configs, 12)}")
    if split.config is not None and configs and split.config not in configs:
        return DataError(f"{subject} has no configuration {split.config!r}; it has {few(configs, 12)}")
    return DataError(f"{subject}: its card cannot be read: {_line(error)}")


def _write(builder: Any, split: str, files: Sequence[Path], target: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    read, features = rows_of(builder), builder.info.features or getattr(builder.config, "features", None)
    if read is not None:
        tables = text_tables(read, files, features)
    else:
        dataset = builder.as_streaming_dataset(split=split)
        tables, features = iter(dataset.with_format("arrow").iter(batch_size=_ROWS)), dataset.features
    first: pyarrow.Table | None = next(tables, None)
    schema = features.arrow_schema if features else pyarrow.schema([]) if first is None else first.schema
    count = 0
    with atomic_path(target) as temporary:
        with pyarrow.parquet.ParquetWriter(temporary, schema) as writer:
            while first is not None:
                count += len(first)
                writer.write_table(first.cast(schema))
                first = next(tables, None)
        told = (builder.info.splits or {}).get(split)
        if told is not None and told.num_examples and told.num_examples != count:
            raise DataError(f"they hold {count:,} rows, and the dataset's card says {told.num_examples:,}")


def _check_card(card: Path, subject: str) -> None:
    """Refuse a card whose patterns lead out of the dataset: ``datasets`` would search whole disks for them.

    Raises:
        DataError: it names such a pattern.
    """
    import yaml  # type: ignore[import-untyped]
    from huggingface_hub import DatasetCard

    text = card.read_text("utf-8", errors="replace")
    try:
        held = vars(DatasetCard(text).data) if card.suffix == ".md" else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):  # datasets says so
        return
    for pattern in _patterns(held, inside=False):
        if "://" in pattern or "::" in pattern or PurePosixPath(pattern).is_absolute() or ".." in pattern.split("/"):
            raise DataError(f"{subject}: its card names {pattern[:80]!r}, which is no file of the dataset")


def _patterns(value: Any, *, inside: bool) -> Iterator[str]:
    """The texts below ``data_files`` and ``data_dir``."""
    if isinstance(value, str):
        yield from [value] if inside else []
    elif isinstance(value, Mapping):
        for key, held in value.items():
            yield from _patterns(held, inside=inside or key in ("data_files", "data_dir"))
    elif isinstance(value, list):
        for held in value:
            yield from _patterns(held, inside=inside)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the bars and log lines of ``datasets``."""
    import datasets

    bars, level = datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(level)
        if not bars:
            datasets.enable_progress_bars()


def _line(error: Exception) -> str:
    cause = error.__cause__ if error.__cause__ is not None else error
    return (" ".join(str(cause).split()) or type(cause).__name__)[:300]
