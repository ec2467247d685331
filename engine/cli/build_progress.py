"""What a build says while it goes on: plain lines, the raw documents, or the steps on a terminal, redrawn."""

from __future__ import annotations

import os
import time

from engine.cli.output import encoded, printable, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]

MODES = ("auto", "plain", "tty", "quiet", "rawjson")
_REDRAW_S = 0.1
_TAIL_LINES = 6
_KEPT_LINES = 200


class Plain:
    """Docker's lines, one after the other. What stages that run side by side say is told apart."""

    def __init__(self, fd: int, *, explain: bool) -> None:
        self._fd = fd
        self._explain = explain
        self._step = 0

    def show(self, message: Message) -> None:
        if text := self._said(message):
            write_all(self._fd, encoded(self._where(message, text) + text))

    def _said(self, message: Message) -> str:
        if "stream" in message:
            text = printable(message["stream"], keep="\n\t\r")
            return " ---> CACHED\n" if text == " ---> Using cache\n" else text
        if "status" in message:
            return printable(message["status"]) + "\n"
        own = message.get("docket") or {}
        if own.get("outcome") == "made":
            return f" ---> made in {own['duration_us'] / 1e6:.1f} s\n"
        if own.get("outcome") == "reused" and own.get("reason"):
            return f" ---> {printable(own['reason'])}\n"
        return f" ---> not cached: {printable(own['miss'])}\n" if self._explain and "miss" in own else ""

    def _where(self, message: Message, text: str) -> str:
        """A line that says which step goes on, where another one spoke last."""
        step = message.get("step", 0)
        before, self._step = self._step, step or self._step
        return f"Step {step}, continued :\n" if step and step != before and not text.startswith("Step ") else ""

    def hear(self, line: bytes) -> None:
        """A document as it came, before anything is made of it."""

    def tick(self) -> None:
        """Time goes by."""

    def end(self, *, failed: bool) -> None:
        """Nothing more is said."""


class Quiet(Plain):
    """Nothing, but the last lines of a build that fails."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd, explain=False)
        self._kept: list[str] = []

    def show(self, message: Message) -> None:
        if text := self._said(message):
            self._kept = [*self._kept[-_KEPT_LINES:], text]

    def end(self, *, failed: bool) -> None:
        if failed:
            write_all(self._fd, encoded("".join(self._kept)))


class Raw(Plain):
    """The engine's documents, a line each."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd, explain=False)

    def hear(self, line: bytes) -> None:
        write_all(self._fd, line + b"\n")

    def show(self, message: Message) -> None:
        """It was heard already."""


def _uncoloured(text: str) -> str:
    """Without the sequences by which programs colour their lines (ECMA-48, SGR)."""
    if "\x1b[" not in text:
        return text
    import re

    return re.sub(r"\x1b\[[0-9;:]*m", "", text)


class _Step:
    __slots__ = ("began", "duration_s", "name", "outcome", "reason", "tail", "told")

    def __init__(self, name: str) -> None:
        self.name = name
        self.began = time.monotonic()
        self.duration_s: float | None = None
        self.outcome = ""
        self.reason = ""
        self.tail = ""
        self.told: list[str] = []

    def add(self, text: str) -> None:
        """Output: whole lines are kept, the last ones of them; a carriage return begins its line anew."""
        *whole, self.tail = (self.tail + _uncoloured(text)).split("\n")
        lines = [line.rstrip("\r").rpartition("\r")[2] for line in whole]
        self.told = [*self.told, *lines][-_KEPT_LINES:]
        self.tail = self.tail[-1000:]

    def last(self, count: int) -> list[str]:
        lines = [*self.told[-count:], self.tail.rstrip("\r").rpartition("\r")[2]]
        return [line for line in lines if line.strip()][-count:]


class Terminal(Plain):
    """The steps with their times, and the last lines of those that run. What is done and no longer fits leaves the
    drawing; the end shows all of it once."""

    def __init__(self, fd: int, *, explain: bool) -> None:
        super().__init__(fd, explain=explain)
        self._steps: dict[int, _Step] = {}
        self._notes: list[str] = []
        self._results: list[str] = []
        self._drawn = 0
        self._total = 0
        self._began = time.monotonic()
        self._latest = 0.0
        self._ended = False

    def show(self, message: Message) -> None:
        own, number = message.get("docket") or {}, message.get("step", 0)
        if "begun" in own:
            self._total = max(self._total, own["of"])
            stage = f"stage-{own['stage']}" if own["stage"].isdigit() else own["stage"]
            self._steps[own["begun"]] = _Step(f"[{stage} {own['begun']}/{own['of']}] {own['instruction']}")
        elif "outcome" in own:
            self._finish(own)
        elif "miss" in own and self._explain and number in self._steps:
            self._steps[number].reason = f"not cached: {own['miss']}"
        elif "status" in message:
            self._note(number, message["status"])
        elif "stream" in message:
            self._hear(number, message["stream"], is_output=bool(message.get("output")))
        self._draw(time.monotonic())

    def _finish(self, own: Message) -> None:
        if (step := self._steps.get(own["step"])) is not None:
            step.outcome, step.duration_s = own["outcome"], own["duration_us"] / 1e6
            if own["outcome"] == "reused":
                step.reason = own["reason"]

    def _hear(self, number: int, text: str, *, is_output: bool) -> None:
        if is_output and number in self._steps:
            self._steps[number].add(text)
        elif text.startswith("Successfully "):
            self._results.append(text.removeprefix("Successfully ").rstrip("\n"))
        elif not text.startswith(("Step ", " ---> ")):  # those the drawing itself says
            self._note(number, text)

    def _note(self, number: int, text: str) -> None:
        text = text.rstrip("\n")
        if number in self._steps:
            self._steps[number].add(text + "\n")
        elif text and text not in self._notes:
            self._notes.append(text)

    def tick(self) -> None:
        self._draw(time.monotonic())

    # --- drawing ---

    def _draw(self, now: float, *, last: bool = False) -> None:
        if now - self._latest < _REDRAW_S and not last:
            return
        self._latest = now
        columns, rows = self._size()
        lines = self._lines(now, None if last else rows - 1)
        back = f"\x1b[{self._drawn}A" if self._drawn else ""
        body = "".join(f"{printable(line)[: columns - 1]}\x1b[K\n" for line in lines)
        write_all(self._fd, encoded(f"\x1b[?25l{back}\r{body}\x1b[J\x1b[?25h"))
        self._drawn = len(lines)

    def _lines(self, now: float, rows: int | None) -> list[str]:
        columns, _ = self._size()
        done = sum(step.duration_s is not None for step in self._steps.values())
        blocks = [(step, self._block(step, now, columns)) for _, step in sorted(self._steps.items())]
        head = f"[+] Building {now - self._began:.1f}s ({done}/{max(self._total, done)})"
        if self._ended:
            head += " FINISHED" if done == len(self._steps) else " FAILED"
        notes = [f" {note}" for note in self._notes[-3:]]
        if rows is not None:
            room = rows - 1 - len(notes) - len(self._results)
            while sum(len(lines) for _, lines in blocks) > room and blocks:
                at = next((n for n, (step, _) in enumerate(blocks) if step.duration_s is not None), 0)
                del blocks[at]
        results = [f" => {result}" for result in self._results]
        return [head, *notes, *(line for _, lines in blocks for line in lines), *results]

    def _block(self, step: _Step, now: float, columns: int) -> list[str]:
        seconds = now - step.began if step.duration_s is None else step.duration_s
        mark = "CACHED " if step.outcome == "reused" else ""
        left, right = f" => {mark}{step.name}", f"{seconds:.1f}s"
        room = max(10, columns - len(right) - 3)
        block = [f"{left[:room]:<{room}} {right}"]
        if step.reason:
            block.append(f" => => {step.reason}")
        if step.duration_s is None and not self._ended:
            block += [f" => => # {line.expandtabs()}" for line in step.last(_TAIL_LINES)]
        return block

    def _size(self) -> tuple[int, int]:
        try:
            columns, rows = os.get_terminal_size(self._fd)
        except OSError:
            columns, rows = 80, 24
        return columns or 80, max(4, rows or 24)

    def end(self, *, failed: bool) -> None:
        self._ended = True
        self._draw(time.monotonic(), last=True)
        if not failed:
            return
        for step in self._steps.values():
            if step.duration_s is None and (lines := step.last(_KEPT_LINES)):
                text = "".join(f"{printable(line.expandtabs())}\n" for line in lines)
                write_all(self._fd, encoded(f"------\n > {printable(step.name)}:\n{text}------\n"))


def progress_of(mode: str, fd: int, *, explain: bool) -> Plain:
    """``mode`` is one of MODES. Raises ValueError."""
    if mode == "quiet":
        return Quiet(2)
    if mode == "rawjson":
        return Raw(fd)
    is_terminal = os.isatty(fd) and os.environ.get("TERM") != "dumb"
    if mode == "tty" and not is_terminal:
        raise ValueError("--progress tty needs a terminal")
    return Terminal(fd, explain=explain) if mode != "plain" and is_terminal else Plain(fd, explain=explain)


def parse_mode(text: str) -> str:
    """Raises ValueError."""
    if text not in MODES:
        raise ValueError(f"use one of {', '.join(MODES)}")
    return text
