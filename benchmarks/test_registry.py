"""Images from and to a local registry (Debian's docker-registry), against a real Docker and podman in the same run.

The image is a Debian root made by mmdebstrap where that program and its mirror are in reach (DOCKET_BENCH_LAYER names a
tarball that is at hand), else a generated tree of about as many files of about the same sizes.

Both engines need a file system with a journal: without one, ext4 looks through all inodes that were deleted in the last
seconds whenever it makes a file, and a pull takes either engine ten seconds, most of it there. Where / has none
(``dumpe2fs -h``), and so that both write to the same one, all of it goes into a file of its own, in a mount namespace:

    truncate -s 12G disk; mkfs.ext4 -q disk; unshare -m
    mount -o loop disk /mnt; mkdir /mnt/tmp
    dockerd --data-root /mnt/docker --exec-root /run/bench -p /run/bench.pid -H unix:///run/bench.sock \
        --bridge none --iptables=false &
    TMPDIR=/mnt/tmp DOCKET_TEST_DOCKER_HOST=unix:///run/bench.sock scripts/benchmark benchmarks/test_registry.py
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import tarfile
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from conftest import Peer, note
from support.docker_registry import DockerRegistry
from support.engine import Engine
from support.waiting import eventually
from test_containers import timed
from test_unpack import bootstrap, generate

ROUNDS = 3
MANY = 500
LAYERS = 20
PULL_AGAINST_DOCKER, PULL_AGAINST_PODMAN, PUSH, LISTS = 0.4, 1.2, 0.5, 2.5
GROWTH_BYTES = 64 << 20


@pytest.fixture(scope="module", autouse=True)
def needs_registry() -> None:
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed (Debian's docker-registry)")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def root_tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("root") / "root.tar"
    if given := os.environ.get("DOCKET_BENCH_LAYER"):
        shutil.copyfile(given, path)
    elif not bootstrap(path):
        generate(path)
    with tarfile.open(path, "a") as tar:  # so that no peer has just this layer already
        info = tarfile.TarInfo("of-this-run")
        info.size = 16
        tar.addfile(info, io.BytesIO(os.urandom(16)))
    return path


@pytest.fixture(scope="module")
def debian(engine: Engine, registry: DockerRegistry, root_tar: Path) -> str:
    """A system's root in one layer, in the registry only."""
    name = f"{registry.address}/docket-bench/debian:1"
    engine.docket("import", str(root_tar), name, timeout_s=300)
    engine.docket("push", name, timeout_s=300)
    engine.docket("rmi", name)
    return name


@pytest.fixture(scope="module")
def layered(engine: Engine, registry: DockerRegistry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Twenty layers of 200 files, in the registry only."""
    chance = random.Random(2)
    words = [chance.randbytes(40).hex().encode() for _ in range(2000)]

    def text(size: int) -> bytes:
        return b"\n".join(chance.choices(words, k=size // 80))

    layers = [
        archive((f"opt/{number}/{file}", text(int(chance.lognormvariate(9, 1)))) for file in range(200))
        for number in range(LAYERS)
    ]
    name = f"{registry.address}/docket-bench/layered:1"
    path = tmp_path_factory.mktemp("layered") / "saved.tar"
    path.write_bytes(saved([(layers, name)]))
    engine.docket("load", "-i", str(path), timeout_s=300)
    engine.docket("push", name, timeout_s=300)
    engine.docket("rmi", name)
    return name


def archive(files: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def saved(images: list[tuple[list[bytes], str]]) -> bytes:
    """What ``docker save`` writes, of images (layers, name)."""
    files: dict[str, bytes] = {}
    listed = []
    for layers, name in images:
        digests = [hashlib.sha256(layer).hexdigest() for layer in layers]
        files.update({f"{digest}.tar": layer for digest, layer in zip(digests, layers)})
        rootfs = {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]}
        labels = {"name": name}
        config = json.dumps(
            {"architecture": "amd64", "os": "linux", "created": "2026-01-02T03:04:05Z", "config": {"Labels": labels},
             "rootfs": rootfs}
        ).encode()  # fmt: skip
        config_name = hashlib.sha256(config).hexdigest() + ".json"
        files[config_name] = config
        listed.append(
            {"Config": config_name, "RepoTags": [name], "Layers": [f"{digest}.tar" for digest in digests]}
        )
    return archive([*files.items(), ("manifest.json", json.dumps(listed).encode())])


def settle(engine: Engine) -> None:
    """Nothing of what was removed before is still being deleted or written."""
    eventually(lambda: not list((engine.root / "trash").iterdir()), timeout_s=120, what="the trash is empty")
    os.sync()


def against(
    engine: Engine, benchmark: Any, what: str, ours: Callable[[], Any], theirs: Callable[[], Any],
    prepare: Callable[[], Any], wanted: float,
) -> None:  # fmt: skip
    """Both in turn, each on a disk that has nothing left to write."""
    theirs_s: list[float] = []

    def set_up() -> None:
        prepare()
        settle(engine)
        theirs_s.append(timed(theirs))
        settle(engine)

    benchmark.pedantic(ours, setup=set_up, rounds=ROUNDS, warmup_rounds=1)
    note(what, statistics.median(benchmark.stats.stats.data), statistics.median(theirs_s[1:]), wanted)


@pytest.mark.parametrize("image", ["debian", "layered"])
def test_pull_against_docker(benchmark: Any, engine: Engine, peer: Peer, image: str, request: Any) -> None:
    name = request.getfixturevalue(image)

    def forget() -> None:
        engine.docket("rmi", name, check=False)
        subprocess.run(["docker", "-H", peer.host, "rmi", name], capture_output=True, check=False)

    against(
        engine, benchmark, f"pull {image}, peer docker", lambda: engine.docket("pull", "-q", name, timeout_s=300),
        lambda: peer.docker("pull", "-q", name), forget, PULL_AGAINST_DOCKER,
    )  # fmt: skip
    forget()


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., None]]:
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed (Debian's podman)")
    home = tmp_path_factory.mktemp("podman")
    policy = home / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    folders = ["--root", str(home / "root"), "--runroot", str(home / "run"), "--storage-driver", "overlay"]

    def run(*words: str) -> None:
        more = ["--signature-policy", str(policy), "--tls-verify=false"] if words[0] == "pull" else []
        command = ["podman", *folders, words[0], *more, *words[1:]]
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == 0 or words[0] == "rmi", done.stderr

    yield run
    subprocess.run(["umount", str(home / "root" / "overlay")], capture_output=True, check=False)


@pytest.mark.parametrize("image", ["debian", "layered"])
def test_pull_against_podman(benchmark: Any, engine: Engine, podman: Any, image: str, request: Any) -> None:
    name = request.getfixturevalue(image)

    def forget() -> None:
        engine.docket("rmi", name, check=False)
        podman("rmi", "-f", name)

    against(
        engine, benchmark, f"pull {image}, peer podman", lambda: engine.docket("pull", "-q", name, timeout_s=300),
        lambda: podman("pull", "-q", name), forget, PULL_AGAINST_PODMAN,
    )  # fmt: skip
    forget()


def test_push(benchmark: Any, engine: Engine, peer: Peer, debian: str, tmp_path: Path) -> None:
    """Each round to a registry that is empty: neither finds anything there."""
    running: list[DockerRegistry] = []
    names: list[str] = []
    engine.docket("pull", "-q", debian, timeout_s=300)
    peer.docker("pull", "-q", debian)

    def prepare() -> None:
        for old in running:
            old.close()
        running[:] = [DockerRegistry(tmp_path / str(len(names)))]
        names.append(f"{running[0].address}/docket-bench/debian:1")
        engine.docket("tag", debian, f"{names[-1]}-ours")
        peer.docker("tag", debian, names[-1])

    against(
        engine, benchmark, "push debian, peer docker",
        lambda: engine.docket("push", f"{names[-1]}-ours", timeout_s=300), lambda: peer.docker("push", names[-1]),
        prepare, PUSH,
    )  # fmt: skip
    running[0].close()
    engine.docket("rmi", debian, *(f"{name}-ours" for name in names))
    peer.docker("rmi", debian, *names)


def test_memory_of_a_pull(engine: Engine, debian: str) -> None:
    """The daemon's memory grows by less than GROWTH_BYTES, whatever the layer's size."""
    pid = engine.daemon_pid()
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    before = status_bytes(pid, "VmRSS")
    engine.docket("pull", "-q", debian, timeout_s=300)
    grown = status_bytes(pid, "VmHWM") - before
    engine.docket("rmi", debian)
    print(f"a pull makes the daemon's memory grow by {grown >> 20} MiB at most")
    assert grown < GROWTH_BYTES


def status_bytes(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


@pytest.fixture(scope="module")
def many(engine: Engine, peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """500 images on either side; the name of one."""
    layer = archive([("file", b"content")])
    names = [f"docket-bench-{number}:1" for number in range(MANY)]
    path = tmp_path_factory.mktemp("many") / "saved.tar"
    path.write_bytes(saved([([layer], name) for name in names]))
    engine.docket("load", "-i", str(path), timeout_s=300)
    peer.docker("load", "-i", str(path))
    yield names[MANY // 2]
    peer.docker("rmi", *names)
    engine.docket("rmi", *names, timeout_s=300)


@pytest.mark.parametrize("words", ["images", "inspect"])
def test_many_images(benchmark: Any, engine: Engine, peer: Peer, many: str, words: str) -> None:
    asked = [words] if words == "images" else [words, many]
    against(
        engine, benchmark, f"{words} with {MANY} images, peer docker", lambda: engine.docket(*asked),
        lambda: peer.docker(*asked), lambda: None, LISTS,
    )  # fmt: skip
