"""The hash chain: SHA-256 over the previous row's hash and the canonical envelope of this one.

    hash = sha256(prev_hash as 64 hexadecimal digits + envelope)

The envelope is canonical JSON of all columns but the two hashes and the running maximum of times, which follows from
the rows before. The stored texts of ``actor``, ``data`` and ``documents`` are spliced in as they are, not parsed and
written again: what is hashed is what is stored, to the bit. Anybody can check it with a JSON library and SHA-256.
"""

from __future__ import annotations

import hashlib
from json.encoder import encode_basestring_ascii as quoted

GENESIS = "0" * 64
"""What the first row continues."""


def envelope(
    seq: int, stream: str, version: int, type: str, schema: int, time_us: int, boot_id: str, actor: str,
    correlation: str, causation: str, data: str, documents: str,
) -> str:  # fmt: skip
    """The canonical envelope; ``actor``, ``data`` and ``documents`` are JSON texts already."""
    return (
        f'{{"actor":{actor},"boot_id":{quoted(boot_id)},"causation":{quoted(causation)},'
        f'"correlation":{quoted(correlation)},"data":{data},"documents":{documents},"schema":{schema},"seq":{seq},'
        f'"stream":{quoted(stream)},"time_us":{time_us},"type":{quoted(type)},"version":{version}}}'
    )


def row_hash(prev_hash: str, envelope_text: str) -> str:
    """64 hexadecimal digits."""
    return hashlib.sha256((prev_hash + envelope_text).encode("utf-8", "surrogateescape")).hexdigest()
