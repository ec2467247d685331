"""``--chmod``: octal (``0644``), or symbolic as of chmod(1) (``u+x,go=r``, ``g=u``); no umask counts."""

from __future__ import annotations

import re
import stat
from typing import Callable

from engine.domain.errors import InvalidArgument

Mode = Callable[[int], int]
"""From a file's st_mode to the permissions that it gets."""

_OCTAL = re.compile(r"[0-7]{1,5}")
_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}


def parse_mode(text: str) -> Mode | None:
    """None for "". Raises InvalidArgument."""
    if not text:
        return None
    if _OCTAL.fullmatch(text):
        fixed = int(text, 8) & 0o7777
        return lambda mode: fixed
    clauses = [_CLAUSE.fullmatch(part) for part in text.split(",")]
    if not all(clauses):
        raise InvalidArgument(f"invalid --chmod {text!r}: use an octal mode such as 0644, or one such as u+x,go=r")
    changes = [
        (_who(match[1]), *action) for match in clauses if match for action in _ACTION.findall(match[2])
    ]  # fmt: skip

    def apply(mode: int) -> int:
        for who, operator, letters in changes:
            mode = _changed(mode, who, operator, letters)
        return stat.S_IMODE(mode)

    return apply


def _who(letters: str) -> str:
    return "ugo" if not letters or "a" in letters else letters


def _changed(mode: int, who: str, operator: str, letters: str) -> int:
    bits = mask = 0
    for one in who:
        given = _bits(mode, letters)
        bits |= given << _SHIFTS[one]
        mask |= 7 << _SHIFTS[one]
    if "s" in letters and letters not in _SHIFTS:
        bits |= (stat.S_ISUID if "u" in who else 0) | (stat.S_ISGID if "g" in who else 0)
    if "t" in letters:
        bits |= stat.S_ISVTX
    if operator == "+":
        return mode | bits
    return mode & ~bits if operator == "-" else mode & ~mask | bits


def _bits(mode: int, letters: str) -> int:
    """The three bits that the letters mean for a file of this mode."""
    if letters in _SHIFTS:
        return mode >> _SHIFTS[letters] & 7
    bits = sum({_BITS[letter] for letter in letters if letter in _BITS})
    return bits | (1 if "X" in letters and (stat.S_ISDIR(mode) or mode & 0o111) else 0)
