"""The members' predictions side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qakit.api import EnsembleMember, Prediction, UsageError, as_shares


def as_members(members: Sequence[Sequence[Prediction]]) -> list[EnsembleMember]:
    """Bare lists of predictions as members, all in the first one's order.

    Raises:
        UsageError: no members, an id twice, or other ids in a member.
    """
    if not members:
        raise UsageError("an ensemble needs at least one member")
    by_id = [_by_id(member, number) for number, member in enumerate(members, start=1)]
    for number, others in enumerate(by_id[1:], start=2):
        if others.keys() != by_id[0].keys():
            odd = sorted(others.keys() ^ by_id[0].keys())
            raise UsageError(f"member {number} and member 1 have other ids, for example {', '.join(odd[:5])}")
    return [
        EnsembleMember(f"member {number}", [member[id_] for id_ in by_id[0]])
        for number, member in enumerate(by_id, start=1)
    ]


def usable_weights(weights: Sequence[float] | None, members: int) -> tuple[float, ...]:
    """The weights, one for each member and by default equal, as shares of 1.

    Raises:
        UsageError: another number of them, a negative one, or none above 0.
    """
    if weights is None:
        return (1.0 / members,) * members
    if len(weights) != members:
        raise UsageError(f"there are {len(weights)} weights for {members} members; give one for each")
    try:
        return as_shares(weights)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _by_id(member: Sequence[Prediction], number: int) -> Mapping[str, Prediction]:
    found = {prediction.id: prediction for prediction in member}
    if len(found) != len(member):
        raise UsageError(f"member {number} has an id more than once")
    return found
