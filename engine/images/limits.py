"""How large an archive may become: the bounds against decompression bombs."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

from engine.domain.errors import InvalidArgument

RATIO_FLOOR_BYTES = 1 << 30
"""The ratio is looked at from here on: a small layer of zeros is no attack."""


class Limits(NamedTuple):
    """``bytes`` uncompressed (and as files, holes included), ``entries`` of the tar, ``ratio`` of uncompressed to
    compressed bytes beyond the first GiB."""

    bytes: int = 256 << 30
    entries: int = 1_000_000
    ratio: int = 200

    @classmethod
    def from_json(cls, values: Mapping[str, Any] | None) -> Limits:
        """From a job's arguments; what is not given keeps its default. Raises InvalidArgument."""
        for name, value in (values or {}).items():
            if name not in cls._fields:
                raise InvalidArgument(f"no archive limit is named {name!r}")
            if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
                raise InvalidArgument(f"archive limit {name!r} must be a positive number, not {value!r}")
        return cls(**(values or {}))

    def check_stream(self, produced: int, consumed: int) -> None:
        """After ``produced`` uncompressed bytes out of ``consumed`` compressed ones. Raises InvalidArgument."""
        if produced > self.bytes:
            raise InvalidArgument(f"archive unpacks to more than the limit of {self.bytes} bytes")
        if produced > RATIO_FLOOR_BYTES and produced > self.ratio * max(consumed, 1):
            raise InvalidArgument(f"archive unpacks to more than {self.ratio} times its size: a decompression bomb")
