"""Seccomp programs for ``linux.seccomp``, compiled once for each profile and kept on disk by the profile's digest."""

from __future__ import annotations

import errno
import os

from engine.kernel import seccomp
from engine.kernel.digest import sha256_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Json = dict[str, "Any"]
_MOST_KEPT = 256


def seccomp_plan(profile: Json | None, cache: str) -> Json | None:
    """What the init installs. ``cache`` is a folder that only root can write. Raises OSError."""
    if not profile:
        return None
    try:
        seccomp.check_flags(profile.get("flags") or [])
        listens = seccomp.wants_listener(profile)
        if listens and not profile.get("listenerPath"):
            raise ValueError("SCMP_ACT_NOTIFY needs a listenerPath")
        digest = seccomp.digest(profile)
        path = os.path.join(cache, digest.partition(":")[2])
        program = _kept(path)
        if program is None:
            program = seccomp.compile_filter(profile)
            _keep(path, program)
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(errno.EINVAL, f"invalid seccomp profile: {error}", "linux.seccomp") from error
    import binascii  # here: a library of its own, for who has a profile

    found = {
        "program": binascii.b2a_base64(program, newline=False).decode(), "flags": profile.get("flags") or [],
        "digest": digest,
    }  # fmt: skip
    if listens:
        found["listener"] = {"path": profile["listenerPath"], "metadata": profile.get("listenerMetadata") or ""}
    return found


def _kept(path: str) -> bytes | None:
    """The program with the digest of itself before it: what is torn or was changed is compiled again."""
    try:
        with open(path, "rb") as file:
            digest, program = file.read(64), file.read()
    except OSError:
        return None
    return program if digest == sha256_hex(program).encode() else None


def _keep(path: str, program: bytes) -> None:
    """Where that fails, the next one compiles it again."""
    folder = os.path.dirname(path)
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
        if len(os.listdir(folder)) >= _MOST_KEPT:
            return
        fresh = f"{path}.{os.getpid()}"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(sha256_hex(program).encode() + program)
        os.rename(fresh, path)
    except OSError:
        return
