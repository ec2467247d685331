"""Root file system tarballs for tests, made in pure Python: a static busybox, or the machine's own programs."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Mapping

from support.sources import REPOSITORY

ETC = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    "etc/group": "root:x:0:\nstaff:x:50:user\nuser:x:1000:\nnogroup:x:65534:\n",
    "etc/os-release": "ID=test\n",
}
FOLDERS = ("bin", "dev", "etc", "home", "proc", "root", "run", "srv", "sys", "tmp", "usr", "usr/bin", "var", "var/tmp")


def static_busybox() -> Path | None:
    """The machine's busybox if it is a static one (Debian: package busybox-static)."""
    found = shutil.which("busybox")
    if found is None:
        return None
    path = Path(found).resolve()
    # a dynamic program names its loader in the first page
    return None if b"/ld-linux" in path.read_bytes()[:4096] or b"/ld-musl" in path.read_bytes()[:4096] else path


def write_rootfs(target: Path, extra: Mapping[str, bytes] | None = None) -> Path:
    """Write a small root file system with sh and the usual commands to ``target``; ``extra`` adds files (mode 755)."""
    busybox = static_busybox()
    if busybox is None:
        subprocess.run([sys.executable, REPOSITORY / "scripts" / "base-image", "-q", target], check=True)
        mode = "a"
    else:
        _write_busybox(target, busybox)
        mode = "a"
    with tarfile.open(target, mode) as tar:
        for name, content in (extra or {}).items():
            add_file(tar, name, content, 0o755)
    return target


def _write_busybox(target: Path, busybox: Path) -> None:
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    with tarfile.open(target, "w") as tar:
        for name in FOLDERS:
            add_folder(tar, name, 0o1777 if name.endswith("tmp") else 0o755)
        add_file(tar, "bin/busybox", busybox.read_bytes(), 0o755)
        for name in sorted({*applets} - {"busybox"}):
            add_link(tar, f"bin/{name}", "busybox")
        for name, text in ETC.items():
            add_file(tar, name, text.encode())


def add_file(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    """A regular file of root's."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


def add_folder(tar: tarfile.TarFile, name: str, mode: int = 0o755) -> None:
    """A folder of root's."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    tar.addfile(entry)


def add_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    """A symbolic link."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
    tar.addfile(entry)
