"""The key sequence that leaves an attached container running: "ctrl-p,ctrl-q" in Docker's notation."""

from __future__ import annotations

from engine.domain.errors import InvalidArgument

DEFAULT = b"\x10\x11"

_CONTROL = {**{chr(code): code - 96 for code in range(97, 123)}, "@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def parse_detach_keys(text: str) -> bytes:
    """The bytes of a sequence; the default where none is given. Raises InvalidArgument."""
    if not text:
        return DEFAULT
    keys = bytearray()
    for key in text.split(","):
        if len(key) == 1 and ord(key) < 128:
            keys.append(ord(key))
        elif key.startswith("ctrl-") and key[5:] in _CONTROL:
            keys.append(_CONTROL[key[5:]])
        else:
            raise InvalidArgument(f"invalid detach keys ({text}) provided: unknown character '{key}'")
    return bytes(keys)
