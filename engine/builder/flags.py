"""The flags of Dockerfile instructions: ``--name``, ``--name=value``, before the first other word."""

from __future__ import annotations

import re
from typing import Mapping

_FLAG = re.compile(r"--([a-z][a-z0-9-]*)(?:=(.*))?", re.DOTALL)

SWITCH, TEXT, LIST = "switch", "text", "list"

Flags = dict[str, list[str]]


def take_flags(rest: str, known: Mapping[str, str], escape: str = "\\") -> tuple[Flags, str]:
    """The flags, and what follows them. ``known`` says of each whether it is a SWITCH, a TEXT or a LIST (may be
    repeated). Raises ValueError."""
    flags: Flags = {}
    while rest.startswith("--"):
        word, rest = _first_word(rest, escape)
        if word == "--":
            break
        match = _FLAG.fullmatch(word)
        if match is None or match[1] not in known:
            raise ValueError(f"unknown flag: {word.partition('=')[0]}")
        name, value = match[1], match[2]
        if value is None and known[name] != SWITCH:
            raise ValueError(f"missing a value on flag: --{name}")
        if name in flags and known[name] != LIST:
            raise ValueError(f"duplicate flag specified: --{name}")
        if known[name] == SWITCH and value not in (None, "true", "false"):
            raise ValueError(f"expecting boolean value for flag --{name}, not {value!r}")
        flags.setdefault(name, []).append("true" if value is None else value)
    return flags, rest


def _first_word(text: str, escape: str) -> tuple[str, str]:
    """A word up to white space, its quotes and escapes taken off, and what comes after."""
    word, quote, at = "", "", 0
    while at < len(text) and (quote or not text[at].isspace()):
        char = text[at]
        at += 1
        if char == escape and quote != "'" and at < len(text):
            following = text[at]
            at += 1
            word += following if following in (escape, "'", '"', " ") else char + following
        elif char in "'\"" and quote in ("", char):
            quote = "" if quote else char
        else:
            word += char
    if quote:
        raise ValueError(f"the quote {quote} is not closed")
    return word, text[at:].lstrip()
