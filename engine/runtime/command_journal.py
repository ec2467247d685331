"""The journal of ``docket-runtime``: what was done on whose word, in its ``--root``.

A line of JSON for each intent, written before anything is touched, and one for its outcome, with the hash of the line
before and its own (SHA-256), appended under a lock and synced:

    {"seq", "time_us", "verb", "id", "phase": "intent" | "done" | "failed", "actor", "facts", "prev_hash", "hash"}

An outcome names its intent by ``facts.intent``. An intent without an outcome is of a command that was killed.
"""

from __future__ import annotations

import fcntl
import os
import time

from engine.kernel import json_text
from engine.kernel.digest import sha256_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Iterator

NAME = "journal"
START = "0" * 64
_TAIL_BYTES = 16384

_encode = json_text.dumps_sorted


class Actor:
    """Who asked: by default the caller. A command that another process carries out has its own user."""

    __slots__ = ("uid", "pid", "parent")

    def __init__(self, uid: int, pid: int, parent: int) -> None:
        self.uid, self.pid, self.parent = uid, pid, parent


_actor: Actor | None = None


def act_for(actor: Actor) -> None:
    """From now on this process writes in the name of another one."""
    global _actor
    _actor = actor


class Deed:
    """``with Deed(root, verb, id, facts) as deed:`` intent before, outcome after; ``deed.facts`` belong to the outcome.

    What leaves the block as an exception is the outcome "failed". Raises OSError where the journal can't be written,
    and then before anything was done.
    """

    def __init__(self, root: str, verb: str, container_id: str, facts: dict[str, Any]) -> None:
        self._where = root, verb, container_id
        self._intent = facts
        self.facts: dict[str, Any] = {}

    def __enter__(self) -> Deed:
        self._seq = append(*self._where, "intent", self._intent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        reason = {"reason": str(error) or type(error).__name__} if error is not None else {}
        append(*self._where, "done" if error is None else "failed", {"intent": self._seq, **self.facts, **reason})


def append(root: str, verb: str, container_id: str, phase: str, facts: dict[str, Any]) -> int:
    """Add a line, durably: its number. Raises OSError."""
    actor = _actor or Actor(os.getuid(), os.getpid(), os.getppid())
    fd = _open(root)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        seq, last_hash, end = _last(fd)
        body = {
            "seq": seq + 1, "time_us": time.time_ns() // 1000, "verb": verb, "id": container_id, "phase": phase,
            "actor": {"uid": actor.uid, "pid": actor.pid, "parent": actor.parent}, "facts": facts,
            "prev_hash": last_hash,
        }  # fmt: skip
        line = (_encode({**body, "hash": _hash(body)}) + "\n").encode()
        os.ftruncate(fd, end)  # the half of a line that a crash left
        if os.pwrite(fd, line, end) != len(line):
            os.ftruncate(fd, end)
            raise OSError(28, "No space left on device", os.path.join(root, NAME))
        os.fsync(fd)
        return seq + 1
    finally:
        os.close(fd)


def _open(root: str) -> int:
    path, flags = os.path.join(root, NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        os.makedirs(root, 0o711, exist_ok=True)
        return os.open(path, flags, 0o600)


def read(root: str, after: int = 0, after_hash: str = START) -> Iterator[dict[str, Any]]:
    """The records after number ``after``, whose hash is ``after_hash``, each checked. Raises ValueError that names the
    first line that is wrong. The half of a line that is being written is no line yet."""
    try:
        with open(os.path.join(root, NAME), "rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                if number > after:
                    record = _check(line[:-1], number, after_hash)
                    after_hash = record["hash"]
                    yield record
                elif number == after and _hash_of(line[:-1]) != after_hash:
                    raise ValueError(f"line {number} of the journal is not the one that was read before")
    except FileNotFoundError:
        return


def verify(root: str) -> tuple[int, str]:
    """Number of lines and the last hash. Raises ValueError that names the first line that is wrong."""
    count, head = 0, START
    for record in read(root):
        count, head = record["seq"], record["hash"]
    if count and not _ends_whole(root):
        raise ValueError("the journal's last line is cut")
    return count, head


def _ends_whole(root: str) -> bool:
    with open(os.path.join(root, NAME), "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _check(line: bytes, number: int, previous: str) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json_text.loads(line.decode())
        found = record.pop("hash")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"line {number} of the journal is no record") from error
    whole = {**record, "hash": found}
    if (
        record.get("prev_hash") != previous or record.get("seq") != number or _hash(record) != found
        or _encode(whole).encode() != line
    ):  # fmt: skip
        raise ValueError(f"line {number} of the journal is not what was written")
    return whole


def _hash_of(line: bytes) -> str:
    """What a line's hash should be, whatever it says itself; nothing for what is no record."""
    try:
        record: dict[str, Any] = json_text.loads(line.decode())
        del record["hash"]
    except (ValueError, KeyError, TypeError):
        return ""
    return _hash(record)


def _last(fd: int) -> tuple[int, str, int]:
    """Sequence, hash and end of the last whole line. Raises OSError where that is no record."""
    size = os.fstat(fd).st_size
    window = _TAIL_BYTES
    while True:
        start = max(0, size - window)
        data = os.pread(fd, size - start, start)
        whole, newline, _ = data.rpartition(b"\n")
        if not newline and start == 0:
            return 0, START, 0
        before, cut, line = whole.rpartition(b"\n")
        if newline and (cut or start == 0):
            break
        window *= 4  # a line longer than that
    try:
        record = json_text.loads(line.decode())
        return record["seq"], record["hash"], start + len(whole) + 1
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(5, "its last line is no record: the journal was changed", NAME) from error


def _hash(body: dict[str, Any]) -> str:
    return sha256_hex(_encode(body).encode())
