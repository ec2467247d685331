"""What a build shows while it goes on, and what ``--output`` asks for."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import termios
from typing import Any

import pytest

from engine.cli.build_outputs import ArchiveStream, parse_output
from engine.cli.build_progress import Plain, Terminal, progress_of
from engine.cli.output import CommandError


def begun(step: int, stage: str, instruction: str) -> dict[str, Any]:
    return {"docket": {"begun": step, "of": 3, "stage": stage, "instruction": instruction}, "step": step}


def done(step: int, outcome: str, reason: str = "") -> dict[str, Any]:
    own = {"step": step, "outcome": outcome, "reason": reason, "duration_us": 1_200_000}
    return {"docket": own, "step": step}


MESSAGES = [
    begun(1, "one", "FROM base"), {"stream": "Step 1/3 : FROM base\n", "step": 1}, done(1, "set"),
    begun(2, "one", "COPY . ."), {"stream": " ---> Using cache\n", "step": 2}, done(2, "reused", "from app:1"),
    begun(3, "0", "RUN make \x1b[2J"), {"docket": {"miss": "src changed"}, "step": 3},
    {"stream": "first\n\x1b[31msecond\x1b[0m\nthird", "step": 3, "output": True},
]  # fmt: skip


def drawn(columns: int, rows: int, *, failed: bool | None) -> str:
    """What a terminal of this size gets of MESSAGES; ``failed`` None: while the last step runs."""
    mine, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
    display = Terminal(theirs, explain=True)
    for message in MESSAGES:
        display.show(message)
    display._latest = 0
    display.tick()
    if failed is False:
        display.show(done(3, "made"))
        display.show({"stream": "Successfully tagged app:1\n"})
    if failed is not None:
        display.end(failed=failed)
    os.set_blocking(mine, False)
    pieces = list(iter(lambda: _read(mine), b""))
    os.close(mine)
    os.close(theirs)
    return b"".join(pieces).decode().replace("\r\n", "\n")


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 16)
    except BlockingIOError:
        return b""


def test_steps_on_a_terminal() -> None:
    running = drawn(60, 24, failed=None)
    assert " => [one 1/3] FROM base " in running and " => CACHED [one 2/3] COPY . . " in running
    assert " => => from app:1" in running and " => => not cached: src changed" in running
    assert " => [stage-0 3/3] RUN make \\x1b[2J " in running and " => => # second\x1b[K\n => => # third" in running
    assert not re.search(r"\x1b\[(?!\d*[AK]|J|\?25[lh])", running)  # nothing but what the drawing itself needs
    finished = drawn(60, 24, failed=False).rpartition("[+] Building")[2]
    assert "(3/3) FINISHED" in finished and " => tagged app:1" in finished and "# third" not in finished
    failed = drawn(60, 24, failed=True)
    assert failed.endswith("------\n > [stage-0 3/3] RUN make \\x1b[2J:\nfirst\nsecond\nthird\n------\n")


def test_a_small_terminal_shows_what_runs() -> None:
    shown = drawn(40, 8, failed=None).rpartition("[+] Building")[2]
    assert "RUN make" in shown and "FROM base" not in shown and shown.count("\n") <= 7
    assert all(len(re.sub(r"\x1b\[[0-9?]*\w", "", line)) < 40 for line in shown.splitlines())


def test_plain_lines(capfd: pytest.CaptureFixture[str]) -> None:
    display = Plain(1, explain=True)
    for message in MESSAGES:
        display.show(message)
    display.show({"stream": "late\n", "step": 2})
    said = capfd.readouterr().out
    assert "Step 1/3 : FROM base\n" in said and " ---> CACHED\n ---> from app:1\n" in said
    assert "Step 3, continued :\n ---> not cached: src changed\n" in said
    assert said.endswith("Step 2, continued :\nlate\n")
    with pytest.raises(ValueError, match="needs a terminal"):
        progress_of("tty", os.open(os.devnull, os.O_WRONLY), explain=False)


@pytest.mark.parametrize(
    ("text", "kind", "archive", "dest"),
    [
        ("out", "local", "tar", "out"), ("-", "tar", "tar", "-"), ("type=local,dest=d", "local", "tar", "d"),
        ("type=tar,dest=x.tar", "tar", "tar", "x.tar"), ("type=oci", "oci", "oci", "-"),
        ("type=docker", "docker", "", ""),
        ("type=docker,dest=f", "docker", "oci", "f"), ('type=tar,"dest=a,b"', "tar", "tar", "a,b"),
        ("type=image,name=a", "image", "", ""),
    ],
)  # fmt: skip
def test_outputs(text: str, kind: str, archive: str, dest: str) -> None:
    found = parse_output([text])
    assert found is not None and (found.kind, found.archive, found.dest) == (kind, archive, dest)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a", "b"], "only one --output"), (["type=registry,name=x"], "docket push"),
        (["type=local"], "dest is required"), (["type=what"], "not supported: use local"), (["dest=x"], "needs a type"),
        (["type=tar,what=x"], "what= is not"), (["type=image,push=true"], "docket push"),
        (["type=oci,tar=false"], "tar=false"), (["type=tar,x"], "NAME=VALUE"),
        (["type=local,dest=-"], "needs a folder"),
    ],
)  # fmt: skip
def test_outputs_that_are_refused(given: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=re.escape(message)):
        parse_output(given)


def test_an_archive_between_lines() -> None:
    told: list[bytes] = []
    frames = [(2, b"one\r\ntw"), (1, b"arch"), (2, b"o\r\n"), (1, b"ive"), (2, b"three\n")]
    stream = ArchiveStream(iter(frames), told.append)
    assert stream.begins() and told == [b"one"]
    assert b"".join(iter(lambda: stream.read(3), b"")) == b"archive" and told == [b"one", b"two", b"three"]
