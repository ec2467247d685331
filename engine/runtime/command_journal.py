"""The journal of ``docket-runtime``: a line of JSON for each verb that changed something, with the hash of the line
before and its own (SHA-256). Written under a lock and synced; read by ``docket audit verify``, too."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from typing import Any

NAME = "journal"
_START = "0" * 64


def append(root: str, verb: str, container_id: str, facts: dict[str, Any]) -> None:
    """Add a line, durably. Raises OSError."""
    os.makedirs(root, 0o711, exist_ok=True)
    fd = os.open(os.path.join(root, NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        last = _last(fd)
        body = {
            "seq": last["seq"] + 1, "time_us": time.time_ns() // 1000, "verb": verb, "id": container_id,
            "actor": {"uid": os.getuid(), "pid": os.getpid(), "parent": os.getppid()}, "facts": facts,
            "prev_hash": last["hash"],
        }  # fmt: skip
        line = _canonical({**body, "hash": _hash(body)}) + "\n"
        os.lseek(fd, last["end"], os.SEEK_SET)
        os.ftruncate(fd, last["end"])  # the half of a line that a crash left
        os.write(fd, line.encode())
        os.fsync(fd)
    finally:
        os.close(fd)


def verify(root: str) -> tuple[int, str]:
    """Number of lines and the last hash. Raises ValueError that names the first line that is wrong."""
    try:
        with open(os.path.join(root, NAME), "rb") as file:
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return 0, _START
    if lines.pop():
        raise ValueError("the journal's last line is cut")
    previous = _START
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            found = record.pop("hash")
        except (ValueError, KeyError, AttributeError) as error:
            raise ValueError(f"line {number} of the journal is no record") from error
        if record.get("prev_hash") != previous or record.get("seq") != number or _hash(record) != found:
            raise ValueError(f"line {number} of the journal is not what was written")
        if _canonical({**record, "hash": found}).encode() != line:
            raise ValueError(f"line {number} of the journal is not what was written")
        previous = found
    return len(lines), previous


def _last(fd: int) -> dict[str, Any]:
    """Sequence, hash and end of the last whole line."""
    with os.fdopen(os.dup(fd), "rb") as file:
        file.seek(0)
        data = file.read()
    whole, newline, _ = data.rpartition(b"\n")
    if not newline:
        return {"seq": 0, "hash": _START, "end": 0}
    record = json.loads(whole.rpartition(b"\n")[2])
    return {"seq": record["seq"], "hash": record["hash"], "end": len(whole) + 1}


def _canonical(record: dict[str, Any]) -> str:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _hash(body: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(body).encode()).hexdigest()
