"""``post_start`` and ``pre_stop``: commands that run in a container beside its own program."""

from __future__ import annotations

from engine.client.api import Client, path_of
from engine.client.framing import FrameReader
from engine.compose.bodies.container import environment
from engine.compose.project import ComposeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

_PIECE_BYTES = 65536


def run_hook(
    client: Client, container_id: str, moment: str, hook: Mapping[str, Any], write: Callable[[bytes], None]
) -> None:
    """Run one to its end; ``write`` gets what it writes. Raises ComposeError where it fails."""
    body = {
        "AttachStdout": True, "AttachStderr": True, "Cmd": list(hook.get("command") or ()),
        "User": hook.get("user") or "", "WorkingDir": hook.get("working_dir") or "",
        "Privileged": bool(hook.get("privileged")), "Env": environment(hook),
    }  # fmt: skip
    id = client.call("POST", path_of("containers", container_id, "exec"), body)["Id"]
    streams = client.hijack(path_of("exec", id, "start"), {"Detach": False, "Tty": False})
    frames = FrameReader()
    try:
        while data := streams.connection.receive(_PIECE_BYTES):
            for _, payload in frames.feed(data):
                write(payload)
    finally:
        streams.close()
    code = client.call("GET", path_of("exec", id, "json"))["ExitCode"]
    if code:
        raise ComposeError(f"{moment} hook exited with status {code}")
