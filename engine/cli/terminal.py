"""The user's terminal: raw mode that is always taken back, its size, and the keys that detach from it."""

from __future__ import annotations

import os
import termios

from engine.cli.output import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

STDIN, STDOUT = 0, 1
_CONTROL = {**{chr(code): code - 96 for code in range(97, 123)}, "@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}
_DEFAULT_KEYS = b"\x10\x11"


class RawMode:
    """A context in which a terminal passes every key on, and shows everything, untouched (cfmakeraw(3)).

    A descriptor that is no terminal is left as it is."""

    def __init__(self, fd: int = STDIN) -> None:
        self._fd = fd
        self._before: list[object] | None = None

    def __enter__(self) -> RawMode:
        if os.isatty(self._fd):
            self._before = termios.tcgetattr(self._fd)
            try:
                termios.tcsetattr(self._fd, termios.TCSANOW, _made_raw(termios.tcgetattr(self._fd)))
            except BaseException:  # a signal in just this moment
                self.__exit__()
                raise
        return self

    def __exit__(self, *exception: object) -> None:
        if self._before is not None:
            try:
                termios.tcsetattr(self._fd, termios.TCSANOW, self._before)
            except termios.error:
                return  # the terminal has hung up


def _made_raw(mode: list[object]) -> list[object]:
    input_off = "IGNBRK BRKINT PARMRK ISTRIP INLCR IGNCR ICRNL IXON"
    local_off = "ECHO ECHONL ICANON ISIG IEXTEN"
    iflag, oflag, cflag, lflag, ispeed, ospeed, characters = mode
    assert isinstance(iflag, int) and isinstance(oflag, int) and isinstance(lflag, int)
    assert isinstance(cflag, int) and isinstance(characters, list)
    for name in input_off.split():
        iflag &= ~getattr(termios, name)
    for name in local_off.split():
        lflag &= ~getattr(termios, name)
    oflag &= ~termios.OPOST  # the container's terminal has made its line ends already
    cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    characters = [*characters]
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    return [iflag, oflag, cflag, lflag, ispeed, ospeed, characters]


def size() -> tuple[int, int] | None:
    """Rows and columns of the terminal on standard output; None without one, or with an unknown size."""
    try:
        columns, rows = os.get_terminal_size(STDOUT)
    except OSError:
        return None
    return (rows, columns) if rows and columns else None


def parse_detach_keys(text: str) -> bytes:
    """The bytes of "ctrl-p,ctrl-q"; Docker's default where nothing is given. Raises CommandError."""
    if not text:
        return _DEFAULT_KEYS
    keys = bytearray()
    for key in text.split(","):
        if len(key) == 1 and key.isascii():
            keys.append(ord(key))
        elif key.lower().startswith("ctrl-") and key[5:].lower() in _CONTROL:
            keys.append(_CONTROL[key[5:].lower()])
        else:
            raise CommandError(f"docket: invalid detach keys ({text}) provided: unknown character '{key}'", 125)
    return bytes(keys)


class DetachKeys:
    """Watches what is typed for the sequence. Keys of a sequence that breaks off are passed on after all."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0
        self.detached = False

    def feed(self, typed: bytes) -> bytes:
        """What of ``typed`` belongs to the container; ``detached`` is set once the sequence is complete."""
        passed = bytearray()
        for key in self._steps(typed):
            if key is not None:
                passed += key
        return bytes(passed)

    def _steps(self, typed: bytes) -> Iterator[bytes | None]:
        for at in range(len(typed)):
            key = typed[at : at + 1]
            if key != self._keys[self._matched : self._matched + 1]:
                yield self._keys[: self._matched]
                self._matched = 0
                if key != self._keys[:1]:
                    yield key
                    continue
            self._matched += 1
            if self._matched == len(self._keys):
                self.detached = True
                return
