"""The members' predictions side by side, as a whole or in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from qakit.data.predictions_file import first_ids
from qakit.ensembling.kept import Kept
from qakit.errors import DataError
from qakit.protocols import EnsembleMember
from qakit.values import Prediction

BLOCK = 500
"""Questions whose candidates are in memory at a time."""


class OtherOrderError(Exception):
    """The members have their questions in different orders, or not the same ones, or one twice."""


def blocks(kept: Sequence[Kept], *, characters: bool) -> Iterator[list[EnsembleMember]]:
    """Block by block of questions, all members; never more than a block of candidates in memory.

    Raises:
        OtherOrderError: at the block where the members' questions differ, or where an id comes again.
        DataError: a file cannot be read.
    """
    streams = [each.predictions() for each in kept]
    scores = [each.characters() if characters else None for each in kept]
    seen = set[str]()
    begin = 0
    while True:
        columns: list[list[Prediction]] = [list(islice(stream, BLOCK)) for stream in streams]
        ids = [each.id for each in columns[0]]
        if any([each.id for each in column] != ids for column in columns[1:]):
            raise OtherOrderError
        if not ids:
            return
        stop = begin + len(ids)
        seen.update(ids)
        if len(seen) != stop:
            raise OtherOrderError
        for own, score in zip(kept, scores, strict=True):
            if score is not None and list(score.ids[begin:stop]) != ids:
                raise DataError("its character scores are of other questions: predict the file again", path=own.path)
        yield [
            EnsembleMember(str(own.source.path), column, None if score is None else score.part(begin, stop))
            for own, column, score in zip(kept, columns, scores, strict=True)
        ]
        begin = stop


def whole(kept: Sequence[Kept], *, characters: bool) -> list[EnsembleMember]:
    """All questions at once, in the first member's order.

    Raises:
        DataError: a file cannot be read, or a member lacks questions, has others, has one twice, or (with
            ``characters``) has them in another order.
    """
    members = [EnsembleMember(str(each.source.path), list(each.predictions())) for each in kept]
    ids = [each.id for each in members[0].predictions]
    aligned = []
    for own, member in zip(kept, members, strict=True):
        by_id = {each.id: each for each in member.predictions}
        if len(by_id) != len(member.predictions):
            raise DataError("has an id more than once", path=own.path)
        _check_ids(ids, by_id, own, kept[0])
        scores = own.characters() if characters else None
        if scores is not None and list(scores.ids) != ids:
            raise DataError(
                f"its character scores have other questions, or another order, than {kept[0].path}: predict the file "
                "again",
                path=own.path,
            )
        aligned.append(replace(member, predictions=[by_id[id_] for id_ in ids], characters=scores))
    return aligned


def _check_ids(ids: Sequence[str], found: dict[str, Prediction], own: Kept, first: Kept) -> None:
    known = set(ids)
    missing = [id_ for id_ in ids if id_ not in found]
    unknown = [id_ for id_ in found if id_ not in known]
    parts = [
        *([f"{len(missing)} ids of {first.path} are missing here: {first_ids(missing)}"] if missing else []),
        *([f"{len(unknown)} ids are not in {first.path}: {first_ids(unknown)}"] if unknown else []),
    ]
    if parts:
        raise DataError("; ".join(parts), path=own.path)
