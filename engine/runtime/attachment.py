"""A client's socket on its way to a shim."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Sequence


@dataclass(frozen=True, slots=True)
class Attachment:
    """A client's own socket, handed to the shim: ``fd`` belongs to whoever gets the attachment.

    ``framed``: Docker's 8-byte multiplex header before each piece of output; False for a terminal's raw stream.
    ``early``: bytes of input that were read from the socket already. ``logs``: what is in the log comes first.
    """

    fd: int
    stdin: bool
    stdout: bool
    stderr: bool
    framed: bool
    detach_keys: bytes = b""
    early: bytes = b""
    logs: bool = False

    @property
    def streams(self) -> tuple[str, ...]:
        """Those that the client gets."""
        return tuple(name for name in ("stdin", "stdout", "stderr") if getattr(self, name))


def wishes(attachment: Attachment) -> dict[str, Any]:
    """What a shim is told of it, the socket itself apart."""
    return {
        "stdin": attachment.stdin, "stdout": attachment.stdout, "stderr": attachment.stderr,
        "framed": attachment.framed, "detach_keys": attachment.detach_keys.hex(), "early": attachment.early.hex(),
        "logs": attachment.logs,
    }  # fmt: skip


def close_all(attachments: Sequence[Attachment]) -> None:
    """They were handed over, or won't be."""
    for attachment in attachments:
        os.close(attachment.fd)
