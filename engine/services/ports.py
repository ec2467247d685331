"""What the services need from outside, as protocols: the composition root brings the real ones, tests bring fakes."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import Any, Protocol, Sequence

from engine.runtime.attachment import Attachment


_STUB_FOLDERS = ("", "dev", "etc", "proc", "sys")
_STUB_FILES = {"etc/hostname": 0o644, "etc/hosts": 0o644, "etc/resolv.conf": 0o644, ".dockerenv": 0o755}
_STUB_LINKS = {"etc/mtab": "/proc/mounts"}


class Clock(Protocol):
    def now_us(self) -> int:
        """Wall clock, microseconds since the epoch. May jump; nothing is ordered by it."""

    def monotonic_s(self) -> float:
        """Seconds of a clock that never jumps, for deadlines."""


class Randomness(Protocol):
    def hex(self, length: int) -> str:
        """``length`` hexadecimal digits."""

    def below(self, limit: int) -> int:
        """An integer in [0, limit)."""


class Runtime(Protocol):
    """The half that touches the kernel (engine.runtime.supervisor.Supervisor)."""

    def launch(
        self, plan: dict[str, Any], lock_fd: int, attachments: Sequence[Attachment] = (), held: Sequence[int] = ()
    ) -> dict[str, Any]: ...
    def serve_names(self, container_id: str) -> None: ...
    def hold_ports(self, container_id: str, held: Sequence[int], listeners: Sequence[dict[str, Any]]) -> None: ...
    def release_ports(self, container_id: str) -> None: ...
    def adopt(self, container_id: str, directory: str) -> list[dict[str, Any]]: ...
    def signal(self, container_id: str, signal: int) -> None: ...
    def pause(self, container_id: str) -> None: ...
    def resume(self, container_id: str) -> None: ...
    def update(self, container_id: str, resources: dict[str, Any]) -> dict[str, Any]: ...
    def resize(self, container_id: str, exec_id: str | None, rows: int, cols: int) -> None: ...
    def attach(self, container_id: str, attachment: Attachment) -> None: ...
    def exec(self, container_id: str, plan: dict[str, Any], attachment: Attachment | None) -> dict[str, Any]: ...
    def kill_first(self, pid: int, pid_namespace: int) -> None: ...
    def probe(self, container_id: str, plan: dict[str, Any], timeout_s: float) -> dict[str, Any]: ...
    def run_job(self, name: str, arguments: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]: ...


class SystemClock:
    """The host's clocks."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        return time.monotonic()


class SystemRandomness:
    """The kernel's random numbers."""

    def hex(self, length: int) -> str:
        return secrets.token_hex((length + 1) // 2)[:length]

    def below(self, limit: int) -> int:
        return secrets.randbelow(limit)


class Store:
    """Where everything lies below the data root. Folders are made by the composition root, mode 0700."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.containers = root / "containers"
        self.content = root / "content"
        self.layers = root / "layers"
        self.remaps = root / "remaps"
        """Copies of layers with the owners of a user namespace, where mounts can't give them."""
        self.volumes = root / "volumes"
        self.trash = root / "trash"
        self.stubs = root / "stubs"
        """The lowest layer of every container: what the engine mounts on, so that it need not be made in each; and what
        programs look for that want to know whether they are in a container, or what is mounted."""
        self.mounted_root = root / "rootfs"
        """Where each container's root is mounted, in a mount namespace of its own."""

    def make(self) -> None:
        """Make what is missing. Only the volumes' parent may be entered by others (0711), as Docker has it; nothing by
        anybody where it is an ordinary user's."""
        entered = (self.root, self.volumes) if os.geteuid() == 0 else ()
        below = (
            self.containers, self.content, self.layers, self.remaps, self.volumes, self.trash, self.mounted_root
        )  # fmt: skip
        for folder in (self.root, *below):
            folder.mkdir(mode=0o711 if folder in entered else 0o700, exist_ok=True)
        self._make_stubs()

    def _make_stubs(self) -> None:
        for path in _STUB_FOLDERS:
            (self.stubs / path).mkdir(exist_ok=True)
            os.chmod(self.stubs / path, 0o755)
        for path, mode in _STUB_FILES.items():
            (self.stubs / path).touch(exist_ok=True)
            os.chmod(self.stubs / path, mode)
        for path, target in _STUB_LINKS.items():
            if not (self.stubs / path).is_symlink():
                (self.stubs / path).symlink_to(target)

    def container(self, container_id: str) -> Path:
        return self.containers / container_id

    def layer(self, chain_id: str) -> Path:
        return self.layers / chain_id.removeprefix("sha256:")

    def remap(self, remap_id: str) -> Path:
        return self.remaps / remap_id.removeprefix("sha256:")

    def volume(self, name: str) -> Path:
        return self.volumes / name / "_data"


def boot_id() -> str:
    """The kernel's random id of this boot (proc(5))."""
    fd = os.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 64).decode().strip()
    finally:
        os.close(fd)
