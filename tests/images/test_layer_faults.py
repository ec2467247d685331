"""Unpacking that is interrupted: a layer's folder is whole or not there, and a refusal leaves no temporary one."""

from __future__ import annotations

import errno
import io
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest
from layer_tars import Store, folder, member, tar
from support.forked import in_child
from support.machine import mount, private_mounts
from support.sources import REPOSITORY

from engine.images import jobs
from engine.images.jobs import JOBS
from engine.images.limits import Limits

pytestmark = pytest.mark.requires("root")

UNPACK = """
import sys
from engine.images.jobs import JOBS
try:
    JOBS["layer.unpack"]({"blob": sys.argv[1], "diff_id": None, "target": sys.argv[2]}, [])
except OSError as error:
    sys.exit(f"{error.step}: {error.strerror}")
"""
STEPS = ["layer.unpack", "layer.sync", "layer.rename"]


def unpack_with(store: Store, failpoints: str) -> subprocess.CompletedProcess[str]:
    (store.home / "blob").write_bytes(tar(folder("d"), member("d/f", b"text")))
    environment = {**os.environ, "DOCKET_FAILPOINTS": failpoints, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", UNPACK, str(store.home / "blob"), str(store.layers / "layer")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("step", STEPS)
def test_killed(store: Store, step: str) -> None:
    assert unpack_with(store, f"{step}=kill").returncode == -9
    assert not (store.layers / "layer").exists()
    left = list(store.layers.iterdir())
    assert all(path.name.startswith("tmp-") for path in left), "what recovery sweeps"
    for path in left:
        JOBS["tree.remove"]({"path": str(path)}, [])
    assert unpack_with(store, "").returncode == 0
    assert (store.layers / "layer/d/f").read_bytes() == b"text" and os.listdir(store.layers) == ["layer"]


@pytest.mark.parametrize("step", STEPS)
def test_failed(store: Store, step: str) -> None:
    done = unpack_with(store, f"{step}=error(EIO)")
    assert done.stderr.strip() == f"{step}: Input/output error"
    assert list(store.layers.iterdir()) == []


def test_an_early_sync_that_failed_is_not_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel tells of what it could not write once: a later sync would find nothing wrong."""
    tried_fd, trying_fd = os.pipe()

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert self.tell() < 1 << 20 or select.select([tried_fd], [], [], 20)[0]
            return super().read(size)

    def fail(fd: int) -> None:
        os.write(trying_fd, b".")
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(jobs, "syncfs", fail)
    monkeypatch.setattr(jobs, "_SYNC_BYTES", 0)
    with pytest.raises(OSError, match="Input/output error"):
        jobs.unpack_into(Slow(tar(member("f", bytes(2 << 20)))), store.layers / "tree", Limits(), early=True)
    os.close(tried_fd)
    os.close(trying_fd)


@pytest.mark.requires("mounts")
@pytest.mark.parametrize("options", ["size=1m", "nr_inodes=20"])
def test_a_full_disk(tmp_path: Path, options: str) -> None:
    def attempt() -> None:
        private_mounts()
        mount("tmpfs", str(tmp_path), "tmpfs", data="mode=700")
        store = Store.made(tmp_path)
        mount("tmpfs", str(store.layers), "tmpfs", data=options)
        with pytest.raises(OSError, match="No space left on device") as refused:
            store.unpack(tar(*(member(f"f{number}", os.urandom(100_000)) for number in range(30))))
        assert refused.value.filename.startswith("layer entry f")
        assert refused.value.step == "layer.unpack"  # type: ignore[attr-defined]
        assert list(store.layers.iterdir()) == []

    in_child(attempt)


def test_a_blob_that_is_not_there(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        JOBS["layer.unpack"]({"blob": str(store.home / "missing"), "target": str(store.layers / "layer")}, [])
    assert list(store.layers.iterdir()) == []
