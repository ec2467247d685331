"""Unpacking a layer, digests included, against GNU tar on the same file in the same run.

The layer is a Debian root made by mmdebstrap where that program and its mirror are in reach (DOCKET_BENCH_LAYER names
one that is at hand), else a generated tree of about as many files of about the same sizes.
"""

from __future__ import annotations

import gzip
import io
import os
import random
import shutil
import statistics
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
from conftest import note

from engine.images.jobs import JOBS, unpack_into
from engine.images.limits import Limits

WANTED = 1.3
ROUNDS = 7
FILES = 8000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("not root: run it as root (sudo)")
    folder = tmp_path_factory.mktemp("unpack")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def layers(home: Path) -> dict[str, Path]:
    """The layer, plain and compressed."""
    plain = Path(os.environ.get("DOCKET_BENCH_LAYER") or home / "layer.tar")
    if not plain.exists() and not bootstrap(plain):
        generate(plain)
    squeezed = home / "layer.tar.gz"
    with plain.open("rb") as source, gzip.open(squeezed, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return {"plain": plain, "gzip": squeezed}


def bootstrap(path: Path) -> bool:
    if shutil.which("mmdebstrap") is None:
        return False
    command = ["mmdebstrap", "--variant=minbase", "bookworm", str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def generate(path: Path) -> None:
    """Folders of a dozen files, most of a few kB, few of some MB: a system's root in the small."""
    chance = random.Random(1)
    content = chance.randbytes(8 << 20)
    with tarfile.open(path, "w") as archive:
        for number in range(FILES):
            name = f"usr/share/d{number // 250}/e{number // 12}"
            if number % 12 == 0:
                add(archive, name, tarfile.DIRTYPE, b"")
            size = min(int(chance.lognormvariate(7.5, 1.9)), len(content))
            add(archive, f"{name}/f{number}", tarfile.REGTYPE, content[:size])


def add(archive: tarfile.TarFile, name: str, kind: bytes, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode = kind, len(data), 0o755
    archive.addfile(info, io.BytesIO(data))


def timed_tar(layer: Path, target: Path, synced: bool) -> float:
    shutil.rmtree(target, ignore_errors=True)
    begun = time.perf_counter()
    target.mkdir()
    subprocess.run(["tar", "-xf", str(layer), "-C", str(target), "--numeric-owner"], check=True)
    if synced:
        subprocess.run(["sync", "-f", str(target)], check=True)
    return time.perf_counter() - begun


@pytest.mark.parametrize("synced", [False, True], ids=["unsynced", "synced"])
@pytest.mark.parametrize("compression", ["plain", "gzip"])
def test_unpack(benchmark: Any, home: Path, layers: dict[str, Path], compression: str, synced: bool) -> None:
    layer, ours, theirs = layers[compression], home / "ours", home / "theirs"
    theirs_s: list[float] = []

    def prepare() -> None:
        os.sync()
        theirs_s.append(timed_tar(layer, theirs, synced))
        shutil.rmtree(ours, ignore_errors=True)
        os.sync()

    def unpack() -> None:
        if synced:
            JOBS["layer.unpack"]({"blob": str(layer), "target": str(ours)}, [])
        else:
            with layer.open("rb", buffering=0) as blob:
                unpack_into(blob, ours, Limits())

    benchmark.pedantic(unpack, setup=prepare, rounds=ROUNDS, warmup_rounds=1)
    median_s = statistics.median(benchmark.stats.stats.data)
    size_mb = sum(path.lstat().st_size for path in ours.rglob("*")) / 1e6
    what = f"unpack {size_mb:.0f} MB, {compression}, {'synced' if synced else 'not synced'}, peer GNU tar"
    note(what, median_s, statistics.median(theirs_s[1:]), WANTED)
