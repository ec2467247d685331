"""Sparse files in tar: GNU's old header, and the three forms in PAX records (0.0, 0.1, 1.0).

A map is a list of (offset, length) of the data; between lie holes. GNU tar manual, "Storing Sparse Files".
"""

from __future__ import annotations

from typing import Callable, Mapping, Sequence

from engine.images.tar_fields import decimal, number

Fragments = list[tuple[int, int]]

FRAGMENT_LIMIT = 200_000
_BLOCK = 512


def check(fragments: Fragments, size_bytes: int, stored_bytes: int) -> Fragments:
    """The map, where it is in order and fits the file and the data. Raises ValueError."""
    end = total = 0
    for offset, length in fragments:
        if offset < end or length < 0 or offset + length > size_bytes:
            raise ValueError("the sparse map overlaps or leaves the file")
        end = offset + length
        total += length
    if total != stored_bytes:
        raise ValueError("the sparse map does not match the data")
    return fragments


def gnu_header_map(header: bytes, read: Callable[[int], bytes]) -> tuple[Fragments, int]:
    """Map and real size of an old GNU sparse header (type ``S``); ``read`` gives the blocks that continue it."""
    size_bytes = number(header[483:495])
    fragments = _gnu_table(header[386:482])
    extended = header[482]
    while extended:
        block = read(_BLOCK)
        fragments += _gnu_table(block[:504])
        extended = block[504]
        _check_count(len(fragments))
    return fragments, size_bytes


def _gnu_table(table: bytes) -> Fragments:
    pairs = (table[start : start + 24] for start in range(0, len(table) - 23, 24))
    return [(number(pair[:12]), number(pair[12:])) for pair in pairs if pair[0]]


def pax_map(records: Sequence[tuple[bytes, bytes]]) -> Fragments:
    """The map of formats 0.0 (repeated offset and numbytes) and 0.1 (one list). Raises ValueError."""
    listed = next((value for key, value in records if key == b"GNU.sparse.map"), None)
    if listed is not None:
        numbers = [decimal(value, "GNU.sparse.map") for value in listed.split(b",")] if listed else []
    else:
        wanted = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
        pairs = [(key, value) for key, value in records if key in wanted]
        if [key for key, _ in pairs] != list(wanted) * (len(pairs) // 2):
            raise ValueError("the sparse map is not in pairs")
        numbers = [decimal(value, "GNU.sparse") for _, value in pairs]
    if len(numbers) % 2:
        raise ValueError("the sparse map is not in pairs")
    _check_count(len(numbers) // 2)
    return list(zip(numbers[::2], numbers[1::2]))


def data_map(read: Callable[[int], bytes]) -> tuple[Fragments, int]:
    """The map of format 1.0, at the start of the data; with the bytes that it took (a multiple of 512)."""
    taken = 0
    buffer = b""

    def next_number() -> int:
        nonlocal taken, buffer
        while b"\n" not in buffer:
            if len(buffer) > _BLOCK:
                raise ValueError("the sparse map is no list of numbers")
            buffer += read(_BLOCK)
            taken += _BLOCK
        line, _, buffer = buffer.partition(b"\n")
        return decimal(line, "sparse map")

    count = next_number()
    _check_count(count)
    return [(next_number(), next_number()) for _ in range(count)], taken


def real_size(pax: Mapping[bytes, bytes]) -> int:
    """The file's size with its holes. Raises ValueError."""
    for key in (b"GNU.sparse.realsize", b"GNU.sparse.size"):
        if key in pax:
            return decimal(pax[key], key.decode())
    raise ValueError("the sparse file has no real size")


def _check_count(count: int) -> None:
    if count > FRAGMENT_LIMIT:
        raise ValueError(f"the sparse map has more than {FRAGMENT_LIMIT} fragments")
