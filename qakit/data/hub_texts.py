"""Rows of a dataset's JSON and CSV files -> Arrow tables in which every value is what the file says.

Not as ``datasets`` reads them: there ``007`` becomes 7 and ``NA`` nothing; rows of CSV that have one cell more than the
header move all columns by one; texts that look like dates become times; where a column of JSON holds numbers and
texts, the texts get quotation marks. An id that has become another one spoils a submission without a word.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from qakit.errors import DataError

if TYPE_CHECKING:
    import pyarrow

Row = dict[str, Any]
_GZIP = b"\x1f\x8b"
_ROWS = 1_000
_OWN = {"name", "version", "data_dir", "data_files", "description", "features", "field", "chunksize"}
_OWN_CSV = _OWN | {"sep", "delimiter", "names", "column_names"}
"""Settings of ``datasets`` for such files, as cards may make them, that are followed or mean nothing here."""


def rows_of(builder: Any) -> Callable[[Path], Iterator[Row]] | None:
    """How the files of a builder of ``datasets`` are read here; None: they are no JSON or CSV files.

    Raises:
        DataError: the dataset's card wants them read in a way that is not known here.
    """
    config = builder.config
    kind = type(config).__name__
    if kind not in ("JsonConfig", "CsvConfig"):
        return None
    default = type(config)()
    known = _OWN if kind == "JsonConfig" else _OWN_CSV
    asked = [one.name for one in fields(config) if one.name not in known]
    if odd := [name for name in asked if getattr(config, name) != getattr(default, name)]:
        raise DataError(f"its card wants its files read with {odd[0]}={getattr(config, odd[0])!r}")
    if kind == "JsonConfig":
        return lambda file: _json_rows(file, config.field)
    return lambda file: _csv_rows(file, config.sep, config.names)


def text_tables(read: Callable[[Path], Iterator[Row]], files: Sequence[Path], features: Any) -> Iterator[pyarrow.Table]:
    """The rows of the files in order, in tables of one schema; they are read twice.

    Args:
        read: see :func:`rows_of`.
        files: of the split.
        features: types of the columns as the dataset's card gives them, or None.

    Raises:
        DataError: a column holds values of several types. What the files' content makes the libraries raise.
    """
    import pyarrow

    schema = pyarrow.schema([])
    for rows in _batches(read, files):
        found = pyarrow.schema([(name, _array(name, rows, None).type) for name in _names(rows)])
        try:
            schema = pyarrow.unify_schemas([schema, found], promote_options="permissive")
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
            raise DataError(f"a column holds values of several types: {error}") from error
    for rows in _batches(read, files):
        arrays = [_array(field.name, rows, field.type) for field in schema]
        yield _as_the_card_says(pyarrow.Table.from_arrays(arrays, schema=schema), features)


def _batches(read: Callable[[Path], Iterator[Row]], files: Sequence[Path]) -> Iterator[tuple[Row, ...]]:
    rows = chain.from_iterable(read(file) for file in files)
    return iter(lambda: tuple(islice(rows, _ROWS)), ())


def _names(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _array(name: str, rows: Sequence[Row], kind: pyarrow.DataType | None) -> pyarrow.Array:
    import pyarrow

    try:
        return pyarrow.array([row.get(name) for row in rows], type=kind)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, OverflowError) as error:
        raise DataError(f"column {name!r} holds values of several types, or too large ones: {error}") from error


def _as_the_card_says(table: pyarrow.Table, features: Any) -> pyarrow.Table:
    if features is None:
        return table
    import pyarrow
    from datasets.table import table_cast

    wanted = features.arrow_schema
    for place, name in enumerate(table.column_names):
        if name in wanted.names and wanted.field(name).type != table.schema.field(name).type == pyarrow.string():
            cells = [cell or None for cell in table[name].to_pylist()]  # an empty cell of CSV is no number
            table = table.set_column(place, name, pyarrow.array(cells, pyarrow.string()))
    for name in set(wanted.names) - set(table.column_names):
        table = table.append_column(name, pyarrow.nulls(len(table), wanted.field(name).type))
    return table_cast(table, wanted)


def _json_rows(file: Path, field: str | None) -> Iterator[Row]:
    """One object a line, or a document: a list of objects or texts, an object of columns, or a single object."""
    with _opened(file) as binary, io.TextIOWrapper(binary, "utf-8-sig") as text:
        line = next((line for line in text if line.strip()), "")
        if field is None and not line.lstrip().startswith("["):
            try:
                first = _parsed(line)
            except json.JSONDecodeError:
                if not line.lstrip().startswith("{"):
                    raise
            else:
                rest = (_parsed(line) for line in text if line.strip())
                yield from map(_row, chain([first], rest))
                return
        document = _parsed(line + text.read())
    if field is not None:
        document = document[field]
    if isinstance(document, dict):
        columns = list(document.values())
        is_table = columns and all(isinstance(one, list) and len(one) == len(columns[0]) for one in columns)
        cells = zip(*columns, strict=True) if is_table else [columns]
        document = [dict(zip(document, row, strict=True)) for row in cells]
    yield from map(_row, document)


def _row(value: Any) -> Row:
    if isinstance(value, str):
        return {"text": value}
    if not isinstance(value, dict):
        raise DataError(f"its rows are no objects: {str(value)[:40]!r}")
    return value


def _parsed(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> Row:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise DataError(f"an object names a key twice: {', '.join(key for key, _ in pairs)[:200]}")
    return values


def _csv_rows(file: Path, separator: str, names: Sequence[str] | None) -> Iterator[Row]:
    """Cells are text; quotation marks enclose them."""
    csv.field_size_limit(1 << 28)
    with _opened(file) as binary, io.TextIOWrapper(binary, "utf-8-sig", newline="") as text:
        reader = csv.reader(text, delimiter=separator, strict=True)
        header = list(names) if names else next(reader, [])
        if len(set(header)) != len(header):
            raise DataError(f"{file.name}: the header names a column twice")
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                line = f"{file.name}, line {reader.line_num}"
                raise DataError(f"{line}: the row has {len(row)} cells where the header has {len(header)}")
            if separator == "\t" and any("\t" in cell or "\n" in cell for cell in row):
                line = f"{file.name}, line {reader.line_num}"
                raise DataError(f"{line}: do quotation marks enclose the cells, or are they text?")
            yield dict(zip(header, row, strict=True))


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked."""
    from fsspec.compression import compr  # type: ignore[import-untyped]
    from fsspec.utils import infer_compression  # type: ignore[import-untyped]

    with file.open("rb") as raw:
        packing = infer_compression(file.name)
        if raw.peek(2).startswith(_GZIP):
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield unpacked  # type: ignore[misc]
        elif packing in (None, "gzip"):
            yield raw
        elif packing == "zip":  # it may hold several files
            raise DataError(f"{file.name} is a zip archive")
        else:
            with compr[packing](raw, mode="rb") as unpacked:
                yield unpacked
