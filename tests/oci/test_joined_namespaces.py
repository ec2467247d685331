"""Existing user and mount namespaces by their paths (config-linux.md, "Namespaces"), beside runc where it is there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from conftest import Runtime  # type: ignore[import-not-found]
from support.waiting import eventually

pytestmark = pytest.mark.kernel

ROOT_UID, ROOT_GID = 300_000, 400_000
MAPS = {
    name: [{"containerID": 0, "hostID": first, "size": 65_536}]
    for name, first in (("uidMappings", ROOT_UID), ("gidMappings", ROOT_GID))
}
PLACEHOLDER = {name: [{"containerID": 0, "hostID": 0, "size": 1}] for name in MAPS}
"""What podman gives beside the path."""


@contextmanager
def somebody(*flags: str, setup: str = ":") -> Iterator[int]:
    """The pid of a process in namespaces of its own."""
    command = ["unshare", *flags, "sh", "-c", f"{setup}; echo ready; exec sleep 1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process.pid
        finally:
            process.kill()


@contextmanager
def user_namespace(*flags: str) -> Iterator[int]:
    with somebody("--user", *flags) as pid:
        for name, first in (("uid", ROOT_UID), ("gid", ROOT_GID)):
            Path(f"/proc/{pid}/{name}_map").write_text(f"0 {first} 65536\n")
        yield pid


def join(spec: dict[str, Any], pid: int | str, *files: str) -> None:
    """Take the process's namespaces instead of own ones."""
    kinds = {"mnt": "mount", "net": "network"}
    for file in files:
        entry = {"type": kinds.get(file, file), "path": f"/proc/{pid}/ns/{file}"}
        others = [one for one in spec["linux"]["namespaces"] if one["type"] != entry["type"]]
        spec["linux"]["namespaces"] = [*others, entry]


def give_root(runtime: Runtime) -> None:
    """To the root of the user namespace."""
    runtime.home.chmod(0o711)
    os.chown(runtime.bundle / "rootfs", ROOT_UID, ROOT_GID)


def namespaces_of(pid: int, *files: str) -> list[str]:
    return [os.readlink(f"/proc/{pid}/ns/{file}") for file in files]


def run(runtime: Runtime, program: str) -> str:
    """What the bundle's command prints under docket-runtime or runc."""
    words = ["run", "--bundle", str(runtime.bundle), "one"]
    if program != "runc":
        return runtime(*words)
    command = ["runc", "--root", str(runtime.home / "runc"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout


def runtimes() -> list[str]:
    return ["docket-runtime", *(["runc"] if shutil.which("runc") else [])]


@pytest.mark.parametrize("maps", [MAPS, PLACEHOLDER, {}], ids=["maps", "placeholder", "none"])
def test_an_existing_user_namespace(runtime: Runtime, maps: dict[str, Any]) -> None:
    """Its root is the container's, and owns the namespaces that are made: it may mount, and be seen as nobody."""
    with user_namespace() as pid:
        def change(spec: dict[str, Any]) -> None:
            join(spec, pid, "user")
            spec["linux"] |= maps
            spec["root"]["readonly"] = False

        script = "id -u; id -g; readlink /proc/self/ns/user; cat /proc/self/uid_map; touch /made"
        runtime.configure("sh", "-c", script, change=change)
        give_root(runtime)
        for program in runtimes() if maps else ["docket-runtime"]:
            shown = run(runtime, program).split()
            assert shown[:6] == ["0", "0", *namespaces_of(pid, "user"), "0", str(ROOT_UID), "65536"], program
            made = (runtime.bundle / "rootfs/made").stat()
            assert (made.st_uid, made.st_gid) == (ROOT_UID, ROOT_GID), program
            (runtime.bundle / "rootfs/made").unlink()


def test_one_more_process_in_an_existing_user_namespace(runtime: Runtime) -> None:
    with user_namespace() as pid:
        runtime.configure("sleep", "1000", change=lambda spec: join(spec, pid, "user"))
        give_root(runtime)
        runtime.create()
        runtime("start", "one")
        shown = runtime("exec", "one", "sh", "-c", "id -u; readlink /proc/self/ns/user; echo x > /dev/stdout").split()
        assert shown == ["0", *namespaces_of(pid, "user"), "x"]
        runtime("delete", "--force", "one")


def test_what_belongs_to_the_host_is_joined_before_the_user_namespace(runtime: Runtime) -> None:
    """Its root may not: of the runtimes runc 1.2 was the first one that could."""
    with user_namespace("--uts") as pid:
        def change(spec: dict[str, Any]) -> None:
            join(spec, "self", "net")
            join(spec, pid, "user", "uts")
            spec["mounts"] = [mount for mount in spec["mounts"] if mount["type"] not in ("sysfs", "cgroup")]

        runtime.configure("sh", "-c", "readlink /proc/self/ns/net; readlink /proc/self/ns/uts", change=change)
        give_root(runtime)
        assert run(runtime, "docket-runtime").split() == [
            os.readlink("/proc/self/ns/net"), *namespaces_of(pid, "uts")
        ]  # fmt: skip


def test_maps_that_are_not_those_of_the_namespace_are_refused(runtime: Runtime) -> None:
    wrong = {**MAPS, "uidMappings": [{"containerID": 0, "hostID": 5, "size": 9}]}
    with user_namespace() as pid:
        def change(spec: dict[str, Any]) -> None:
            join(spec, pid, "user")
            spec["linux"] |= wrong

        runtime.configure("true", change=change)
        assert "not those of the user namespace" in runtime.refused("run", "--bundle", str(runtime.bundle), "one")
    runtime.configure("true", change=lambda spec: join(spec, "self", "user"))
    assert "the caller's own" in runtime.refused("run", "--bundle", str(runtime.bundle), "one")


def a_mount_in_it(folder: Path) -> str:
    return f"mount -t tmpfs inside {folder} && echo inside > {folder}/file"


def test_an_existing_mount_namespace(runtime: Runtime) -> None:
    """All that is mounted is mounted there, what is named is found there, and its root becomes the container's."""
    (runtime.home / "only").mkdir()

    def change(spec: dict[str, Any]) -> None:
        join(spec, pid, "mnt")
        bind = {"destination": "/only", "type": "bind", "source": str(runtime.home / "only"), "options": ["bind"]}
        spec["mounts"].append(bind)

    for program in runtimes():
        with somebody("--mount", setup=a_mount_in_it(runtime.home / "only")) as pid:
            runtime.configure("sh", "-c", "readlink /proc/self/ns/mnt; cat /only/file; ls /", change=change)
            there, inside, *names = run(runtime, program).split()
            assert [there] == namespaces_of(pid, "mnt") and inside == "inside", program
            assert sorted(names) == sorted(os.listdir(f"/proc/{pid}/root")), program
            spec = json.loads((runtime.bundle / "config.json").read_text())
            spec["mounts"].pop()
            (runtime.bundle / "config.json").write_text(json.dumps(spec))


def test_one_more_process_in_an_existing_mount_namespace(runtime: Runtime) -> None:
    with somebody("--mount") as pid:
        runtime.configure("sleep", "1000", change=lambda spec: join(spec, pid, "mnt"))
        runtime.create()
        runtime("start", "one")
        assert runtime("exec", "one", "readlink", "/proc/self/ns/mnt").split() == namespaces_of(pid, "mnt")
        runtime("delete", "--force", "one")


def test_a_mount_namespace_of_an_existing_user_namespace(runtime: Runtime) -> None:
    folder = runtime.home / "only"
    folder.mkdir()
    give_root(runtime)
    with user_namespace() as pid:
        script = f"{a_mount_in_it(folder)} && exec sleep 1000"
        inside = ["nsenter", "-t", str(pid), "-U", "unshare", "--mount", "sh", "-c", script]
        with subprocess.Popen(inside) as process:
            try:
                eventually(lambda: Path(f"/proc/{process.pid}/root{folder}/file").exists())

                def change(spec: dict[str, Any]) -> None:
                    join(spec, process.pid, "user", "mnt")
                    source = {"type": "bind", "source": str(folder), "options": ["rbind"]}
                    spec["mounts"].append({"destination": "/only", **source})

                runtime.configure("sh", "-c", "readlink /proc/self/ns/mnt; cat /only/file", change=change)
                words = ["run", "--pid-file", "pid", "--bundle", str(runtime.bundle), "one"]
                shown = runtime(*words, cwd=runtime.home).split()
                assert shown == [*namespaces_of(process.pid, "mnt"), "inside"]
                assert (runtime.home / "pid").exists(), "relative paths are those of the caller"
            finally:
                process.kill()


def test_what_lies_in_a_joined_mount_namespace_is_never_executed_by_the_engine(runtime: Runtime) -> None:
    """In the place of Python's own folders: modules that say so."""
    poison = runtime.home / "poison"
    for name in ("shutil", "stat", "json", "tempfile", "engine"):
        (poison / name).mkdir(parents=True)
        (poison / name / "__init__.py").write_text(f"open({str(runtime.home / 'executed')!r}, 'w').close()\n")
    library = os.path.dirname(os.__file__)
    covers = f"mount --bind {poison} {library} && mount --bind {poison} {Path(__file__).parents[2]}"
    with somebody("--mount", setup=covers) as pid:
        runtime.configure("echo", "fine", change=lambda spec: join(spec, pid, "mnt"))
        assert run(runtime, "docket-runtime") == "fine\n"
    assert not (runtime.home / "executed").exists()
