"""Owners of files in a container with a user namespace: the numbers inside, and the host's (user_namespaces(7)).

The writable layer of such a container has the host's numbers on disk, its image's layers have the numbers inside. Those
of the host's ranges are above any that images use; so a number that lies in no range is one from inside already.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Sequence

Ranges = tuple[tuple[int, int, int], ...]
"""First number inside, first number of the host, count."""


class Owners(NamedTuple):
    """Without ranges every number stays what it is."""

    users: Ranges = ()
    groups: Ranges = ()

    @classmethod
    def from_json(cls, mappings: Mapping[str, Any] | None) -> Owners:
        """``{"uidMappings": [{"containerID", "hostID", "size"}], "gidMappings": [...]}``, or nothing."""
        if not mappings:
            return cls()
        return cls(_ranges(mappings["uidMappings"]), _ranges(mappings["gidMappings"]))

    def inside(self, uid: int, gid: int) -> tuple[int, int]:
        """What the container calls an owner on disk."""
        return _shift(uid, self.users, 1, 0), _shift(gid, self.groups, 1, 0)

    def on_disk(self, uid: int, gid: int) -> tuple[int, int]:
        """What an owner of the container's is on disk."""
        return _shift(uid, self.users, 0, 1), _shift(gid, self.groups, 0, 1)


def _ranges(mappings: Sequence[Mapping[str, int]]) -> Ranges:
    return tuple((one["containerID"], one["hostID"], one["size"]) for one in mappings)


def _shift(number: int, ranges: Ranges, source: int, target: int) -> int:
    for one in ranges:
        if one[source] <= number < one[source] + one[2]:
            return one[target] + number - one[source]
    return number
