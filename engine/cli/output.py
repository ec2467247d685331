"""What is written to the terminal or the pipe, and what must not reach a terminal as it is."""

from __future__ import annotations

import os

STDOUT, STDERR = 1, 2


class CommandError(Exception):
    """A command failed: the line to print and the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def write_all(fd: int, data: bytes) -> None:
    """All of ``data`` to a descriptor. Raises BrokenPipeError and whatever else write(2) says."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def encoded(text: str) -> bytes:
    """UTF-8; bytes that were none when they came in (PEP 383) leave as they came."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character, which JSON can spell
        return text.encode("utf-8", "replace")


def out(text: str) -> None:
    """Text to standard output, at once."""
    write_all(STDOUT, encoded(text))


def err(line: str) -> None:
    """One message to standard error."""
    write_all(STDERR, encoded(printable(line, keep="\n\t") + "\n"))


def printable(text: str, keep: str = "") -> str:
    """The text with control characters spelled out (``\\x1b``): names, labels and messages may come from anybody, and
    escape sequences in them must not command the administrator's terminal."""
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() or mark in keep else _spelled(mark) for mark in text)


def _spelled(mark: str) -> str:
    code = ord(mark)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8 (PEP 383)
        code -= 0xDC00
    if mark in "\n\t\r":
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}[mark]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def quoted(text: str) -> str:
    """In double quotes as Go's strconv.Quote writes them."""
    return '"' + printable(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'
