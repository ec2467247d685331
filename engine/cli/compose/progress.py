"""How far a plan is: a line a resource that is written over on a terminal, plain lines elsewhere. On standard error,
since standard output belongs to containers and answers."""

from __future__ import annotations

import os
import threading
import time

from engine.cli.output import STDERR, encoded, printable, write_all
from engine.compose.running.listening import WITHOUT_BEGINNING, Listener, done_word, subject, working_word
from engine.compose.running.plan import BUILD, START, WAIT, Action

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

_ESCAPE = "\x1b["
_GREEN, _YELLOW, _RED, _PLAIN = _ESCAPE + "32m", _ESCAPE + "33m", _ESCAPE + "31m", _ESCAPE + "0m"
AUTO, TTY, PLAIN, QUIET, JSON = "auto", "tty", "plain", "quiet", "json"


def progress_for(kind: str, ansi: str, *, quiet_pull: bool = False, quiet_build: bool = False) -> Progress:
    """``kind`` and ``ansi`` as ``--progress`` and ``--ansi`` have them."""
    on_terminal = kind == TTY or (kind == AUTO and ansi != "never" and (os.isatty(STDERR) or ansi == "always"))
    made = {QUIET: Progress, JSON: JsonLines}.get(kind, Screen if on_terminal else Lines)
    return made(quiet_pull=quiet_pull, quiet_build=quiet_build)


class Progress(Listener):
    """Shows nothing but warnings. ``close`` leaves the terminal as plain lines can go on."""

    def __init__(self, *, quiet_pull: bool = False, quiet_build: bool = False) -> None:
        self._quiet_pull = quiet_pull
        self._quiet_build = quiet_build
        self._lock = threading.Lock()
        self.on_start: Callable[[Action, str], None] | None = None
        """Who wants to attach to each container before it starts."""

    def will_start(self, action: Action, container_id: str) -> None:
        if self.on_start is not None:
            self.on_start(action, container_id)

    def warns(self, text: str) -> None:
        with self._lock:
            _write(f"WARN: {printable(text)}\n")

    def unchanged(self, names: tuple[str, ...]) -> None:
        """Containers that are as they should be."""

    def close(self) -> None: ...

    def beside(self, write: Callable[[], None]) -> None:
        """Have somebody else's lines written where nothing of ours is drawn over them."""
        with self._lock:
            write()

    def is_attached(self, action: Action) -> bool:
        """Whether it is about starts in the foreground, which the containers' output tells by itself."""
        return action.verb in (START, WAIT) and self.on_start is not None

    def is_quiet(self, action: Action) -> bool:
        return self._quiet_build if action.verb == BUILD else self._quiet_pull

    def hook_writes(self, action: Action, data: bytes) -> None:
        with self._lock:
            for line in data.decode("utf-8", "replace").splitlines():
                _write(f"{printable(action.name)} | {printable(line)}\n")


class Lines(Progress):
    """A line for each thing that begins or ends."""

    def begins(self, action: Action) -> None:
        if action.verb not in WITHOUT_BEGINNING and not self.is_attached(action):
            self._line(subject(action), working_word(action))

    def ends(self, action: Action, skipped: str = "") -> None:
        if not self.is_attached(action):
            self._line(subject(action), skipped or done_word(action))

    def fails(self, action: Action, error: BaseException) -> None:
        if not self.is_attached(action):
            self._line(subject(action), "Error" if action.verb == WAIT else f"Error {error}")

    def gets_on(self, action: Action, text: str) -> None:
        if not self.is_quiet(action):
            self._line(subject(action), text)

    def unchanged(self, names: tuple[str, ...]) -> None:
        for name in names:
            self._line(f"Container {name}", "Running")

    def _line(self, subject_shown: str, text: str) -> None:
        with self._lock:
            for line in text.splitlines() or [""]:
                _write(f" {printable(subject_shown)}  {printable(line)}\n")


class JsonLines(Lines):
    """The same as JSON, a line an event."""

    def _line(self, subject_shown: str, text: str) -> None:
        from engine.client import jsontext

        with self._lock:
            _write(jsontext.encode({"id": subject_shown, "status": text}) + "\n")

    def warns(self, text: str) -> None:
        self._line("", text)


class Screen(Progress):
    """Every resource has its row; the rows are drawn anew where something changes. What scrolled away is left alone."""

    def __init__(self, *, quiet_pull: bool = False, quiet_build: bool = False) -> None:
        super().__init__(quiet_pull=quiet_pull, quiet_build=quiet_build)
        self._rows: dict[str, tuple[str, str, str]] = {}  # subject -> mark, text, duration
        self._since: dict[str, float] = {}
        self._drawn = 0

    def begins(self, action: Action) -> None:
        with self._lock:
            self._since.setdefault(subject(action), time.monotonic())
        self._set(subject(action), f"{_YELLOW}·{_PLAIN}", working_word(action))

    def ends(self, action: Action, skipped: str = "") -> None:
        mark = f"{_YELLOW}!{_PLAIN}" if skipped else f"{_GREEN}✔{_PLAIN}"
        self._set(subject(action), mark, skipped or done_word(action))

    def fails(self, action: Action, error: BaseException) -> None:
        self._set(subject(action), f"{_RED}✘{_PLAIN}", f"Error {error}".splitlines()[0])

    def gets_on(self, action: Action, text: str) -> None:
        if text.strip() and not self.is_quiet(action):
            self._set(subject(action), f"{_YELLOW}·{_PLAIN}", text.splitlines()[-1].strip())

    def unchanged(self, names: tuple[str, ...]) -> None:
        for name in names:
            self._set(f"Container {name}", f"{_GREEN}✔{_PLAIN}", "Running")

    def warns(self, text: str) -> None:
        with self._lock:
            self._erase()
            _write(f"WARN: {printable(text)}\n")
            self._draw()

    def hook_writes(self, action: Action, data: bytes) -> None:
        with self._lock:
            self._erase()
            for line in data.decode("utf-8", "replace").splitlines():
                _write(f"{printable(action.name)} | {printable(line)}\n")
            self._draw()

    def beside(self, write: Callable[[], None]) -> None:
        with self._lock:
            self._erase()
            write()
            self._draw()

    def close(self) -> None:
        with self._lock:
            self._rows.clear()
            self._drawn = 0

    def _set(self, subject_shown: str, mark: str, text: str) -> None:
        with self._lock:
            passed_s = time.monotonic() - self._since.get(subject_shown, time.monotonic())
            self._rows[subject_shown] = (mark, text, f"{passed_s:.1f}s")
            self._erase()
            self._draw()

    def _erase(self) -> None:
        if self._drawn:
            _write(f"{_ESCAPE}{self._drawn}A\r{_ESCAPE}J")
            self._drawn = 0

    def _draw(self) -> None:
        columns, lines = _size()
        width = max((len(name) for name in self._rows), default=0)
        rows = list(self._rows.items())[-(lines - 1) :]
        text = ""
        for name, (mark, said, duration) in rows:
            room = max(columns - width - len(duration) - 8, 8)
            said = printable(said)
            said = said if len(said) <= room else said[: room - 1] + "…"
            text += f" {mark} {printable(name):<{width}}  {said:<{room}} {duration}\n"
        _write(text)
        self._drawn = len(rows)


def _size() -> tuple[int, int]:
    try:
        size = os.get_terminal_size(STDERR)
    except OSError:
        return 80, 24
    return size.columns or 80, size.lines or 24


def _write(text: str) -> None:
    write_all(STDERR, encoded(text))
