"""scripts/install: the files of a service, in a folder of their own; and the word that a service manager waits for."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from engine.kernel.service_manager import notify
from support.machine import mount, private_mounts
from support.sources import REPOSITORY


def test_bad_words_are_refused() -> None:
    done = subprocess.run([REPOSITORY / "scripts" / "install", "--now"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "unknown word --now" in done.stderr


@pytest.mark.deadline(300)
def test_a_package_s_files(tmp_path: Path) -> None:
    alone = {**os.environ, "PIP_NO_DEPS": "1"}  # the packages that the engine needs are no matter of the script's
    command = [REPOSITORY / "scripts" / "install", "--destdir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=alone)
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("no package index is in reach")
    assert done.returncode == 0, done.stderr
    unit = (tmp_path / "etc/systemd/system/docket.service").read_text()
    assert "ExecStart=/opt/docket/bin/docket daemon\n" in unit
    assert all(line in unit for line in ("Type=notify", "KillMode=process", "Delegate=yes"))
    runtime, command = tmp_path / "opt/docket/bin/docket-runtime", tmp_path / "opt/docket/bin/docket"
    for program in (runtime, command):
        first = program.read_text().splitlines()[0]
        assert first == "#!/opt/docket/bin/python -IS", "nothing of the caller's is imported"
    assert os.readlink(tmp_path / "usr/local/bin/docket-runtime") == "/opt/docket/bin/docket-runtime"
    answer = [tmp_path / "opt/docket/bin/python", "-IS", runtime, "--version"]
    said = subprocess.run(answer, capture_output=True, text=True, check=True).stdout
    assert said.startswith("docket-runtime version")
    assert "_docket" in (tmp_path / "usr/share/bash-completion/completions/docket").read_text()
    version = [tmp_path / "opt/docket/bin/python", "-IS", command, "--version"]
    assert subprocess.run(version, capture_output=True, text=True, check=True).stdout.startswith("Docket version")
    subprocess.run([REPOSITORY / "scripts" / "install", "--destdir", str(tmp_path), "--remove"], check=True)
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []


SYSTEMCTL = """#!/bin/sh
echo "$*" >> "${0%/*}/told"
"""
PYTHON = """#!/bin/sh
[ "$2" = venv ] || exit 0
mkdir -p "$3/bin"
cp "$0" "$3/bin/python"
echo '#!x' | tee "$3/bin/docket" > "$3/bin/docket-runtime"
"""
PLACES = ("/opt", "/usr/local", "/usr/share", "/etc", "/run")


def empty_places() -> None:
    private_mounts()
    for place in PLACES:
        mount("none", place, "tmpfs")
    os.makedirs("/run/systemd/system")


@pytest.mark.requires("root", "mounts")
def test_who_installs_again_has_the_new_engine_running(tmp_path: Path) -> None:
    """An old one would find the modules of the new one."""
    if str(REPOSITORY).startswith(PLACES):
        pytest.skip("the checkout lies where the script installs to")
    for name, text in (("systemctl", SYSTEMCTL), ("groupadd", SYSTEMCTL), ("python", PYTHON)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    known = {"PATH": f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin", "PYTHON": str(tmp_path / "python")}
    command = [REPOSITORY / "scripts" / "install"]
    subprocess.run(command, env=known, check=True, capture_output=True, preexec_fn=empty_places)
    told = (tmp_path / "told").read_text().splitlines()
    assert told == ["--system docket", "daemon-reload", "enable docket.service", "restart docket.service"]


@pytest.mark.parametrize("prefix", ["", "@"])
def test_the_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name if prefix else name)
        monkeypatch.setenv("NOTIFY_SOCKET", prefix + name)
        assert notify("READY=1", "STATUS=fine")
        assert manager.recv(100) == b"READY=1\nSTATUS=fine"
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert not notify("READY=1")
