"""Containers that set traps for who copies their files: nothing of the host is read, written or executed (T9, T10)."""

from __future__ import annotations

import io
import lzma
import tarfile
import time
from pathlib import Path

import pytest

from support.engine import Engine

pytestmark = [pytest.mark.kernel, pytest.mark.requires("root", "namespaces", "mounts", "overlay", "cgroups")]

RACE_S = 2.0
TAR = {"Content-Type": "application/x-tar"}


def archive(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.uid, info.gid = len(content), 1000, 1000
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def test_a_folder_that_turns_into_a_link_leads_nowhere_on_the_host(engine: Engine, tmp_path: Path) -> None:
    """CVE-2018-15664: the path is a folder when it is looked at, and a link to the host's when it is used."""
    (tmp_path / "key").write_text("of the host")
    flip = f"while :; do mkdir /trap; echo mine >/trap/key; rm -r /trap; ln -s {tmp_path} /trap; rm /trap; done"
    engine.run("-d", "--name", "web", "base", "sh", "-c", flip)
    outcomes: set[tuple[str, int]] = set()
    deadline = time.monotonic() + RACE_S
    while time.monotonic() < deadline:
        read = engine.api("GET", "/containers/web/archive?path=/trap/key")
        assert b"of the host" not in read.body
        written = engine.api("PUT", "/containers/web/archive?path=/trap", archive(planted=b"x"), **TAR)
        outcomes |= {("read", read.status), ("written", written.status)}
        assert [path.name for path in tmp_path.iterdir()] == ["key"]
    assert ("written", 200) in outcomes and ("written", 404) in outcomes, f"the trap was not sprung: {outcomes}"


def test_a_link_of_the_image_on_the_way_to_a_mount_point_still_works(engine: Engine, tmp_path: Path) -> None:
    """/var/run is a link to /run in most images: what is copied by that name is in the volume that is mounted there."""
    (tmp_path / "Dockerfile").write_text("FROM base\nRUN rm -rf /var/run && ln -s /run /var/run\n")
    engine.docket("build", "-q", "--network", "none", "-t", "linked", str(tmp_path))
    engine.run("-d", "--name", "web", "-v", "data:/var/run/app", "linked", "sleep", "1000")
    answer = engine.api("PUT", "/containers/web/archive?path=/var/run/app", archive(f=b"content"), **TAR)
    assert answer.status == 200, answer.body
    assert engine.docket("exec", "web", "cat", "/run/app/f").stdout == "content"
    engine.docket("rm", "-f", "web")
    engine.docket("rmi", "linked")


def test_programs_and_libraries_of_the_container_are_not_used(engine: Engine, tmp_path: Path) -> None:
    """CVE-2019-14271: nothing that lies in the container is executed or loaded by who unpacks an archive there."""
    mark = tmp_path / "executed"
    script = "; ".join(
        [f"printf '#!/bin/sh\\ntouch {mark}\\n' >/tmp/trap; chmod 755 /tmp/trap"]
        + [f"rm -f /bin/{name}; cp /tmp/trap /bin/{name}" for name in ("tar", "xz", "gzip", "gunzip", "unxz", "bzip2")]
        + ["mkdir -p /lib64 /usr/lib/python3", "cp /tmp/trap /lib64/libnss_files.so.2",
           "cp /tmp/trap /usr/lib/python3/lzma.py",
           "echo 'passwd: files' >/etc/nsswitch.conf", "sleep 1000"]
    )  # fmt: skip
    engine.run("-d", "--name", "web", "base", "sh", "-c", script)
    engine.docket("exec", "web", "sh", "-c", "while ! [ -e /etc/nsswitch.conf ]; do sleep 0.02; done")
    packed = lzma.compress(archive(f=b"content"))
    path = "/containers/web/archive?path=/srv"
    assert engine.api("PUT", f"{path}&copyUIDGID=1", packed, **TAR).status == 200
    assert engine.api("GET", f"{path}/f").status == 200
    assert engine.docket("exec", "web", "cat", "/srv/f").stdout == "content"
    assert not mark.exists()
