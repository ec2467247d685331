"""Twenty Dockerfiles built by a real Docker's classic builder and by us: equal configurations, equal trees.

Together they use every form that Docker's builder knows. Times, ids and the history's words are each builder's own.
In two things we do what BuildKit does and the classic builder doesn't: an absolute WORKDIR is kept without ``..`` and
slashes at its end, and a HEALTHCHECK takes nothing over from the one before.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import Any, Iterator

import pytest

from support.builds import context_of
from support.engine import Engine

pytestmark = [pytest.mark.kernel, pytest.mark.requires("real docker")]

BASE = "docket-test-build-base"
CLASSIC = {**os.environ, "DOCKER_BUILDKIT": "0"}
DOCKERS_OWN = ("AttachStderr", "AttachStdin", "AttachStdout", "ArgsEscaped", "Domainname", "Hostname", "Image",
               "OpenStdin", "StdinOnce", "Tty")  # fmt: skip
"""What the classic builder says of the container that an image came from."""
MADE_FOR_CONTAINERS = (".dockerenv", "dev", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf", "proc", "sys")

FILES = {
    "a.txt": "a", "b.txt": "b", "package.json": "{}", "package-lock.json": "{}", "src/x.c": "x", "src/y.c": "y",
    "src/deep/z.c": "z", "with space.txt": "s", ".hidden": "h", "ignored.log": "no", "kept.log": "yes",
    ".dockerignore": "*.log\n!kept.log\n# comment\n**/y.c\n",
}  # fmt: skip

DOCKERFILES = {
    "article": "FROM {b}\nWORKDIR /app\nCOPY . /app\nRUN ls > /list\nEXPOSE 3000\nCMD [\"cat\",\"/list\"]\n",
    "article, better": "FROM {b}\nWORKDIR /app\nCOPY package*.json /app/\nRUN ls > /list\nCOPY . /app\nEXPOSE 3000\n",
    "labels": "FROM {b}\nLABEL a=1 \"b c\"=\"d e\" f='g'\nLABEL a=2\nMAINTAINER somebody <x@y>\n",
    "environment": "FROM {b}\nENV A=1 B=\"x y\" C=$A\nENV D the rest of $A it\nENV A=2 E=${A}_${N:-n}_${A:+p}\n"
                   "RUN echo $A-$E > /e\n",
    "arguments": "ARG V=1\nFROM {b}\nARG V\nARG W=w$V\nARG U\nENV X=$V-$W-$U\nRUN echo $V $W $U > /args\n",
    "workdir": "FROM {b}\nWORKDIR /x\nWORKDIR y/z\nENV D=q\nWORKDIR $D\nRUN pwd > /pwd\nWORKDIR /tmp/w\n",
    "users": "FROM {b}\nUSER 12:34\nRUN id -u > /tmp/id; id -g >> /tmp/id\nUSER 0\nCOPY --chown=5:6 a.txt /d/\n"
             "COPY --chown=root src /e/\nADD --chown=7 b.txt /f/g\n",
    "copies": "FROM {b}\nCOPY a.txt /one\nCOPY a.txt b.txt /two/\nCOPY src /three\nCOPY src/ /four/five/\n"
              "COPY *.txt /six/\nCOPY [\"with space.txt\", \"/seven eight\"]\nCOPY .hidden /\nCOPY s?c/deep /nine/\n",
    "copies over": "FROM {b}\nRUN mkdir -p /d/deep && echo old > /d/x.c && chmod 700 /d && ln -s d /l\nCOPY src /d\n"
                   "COPY a.txt /l/\nCOPY b.txt /d/x.c\n",
    "copies by text": "FROM {b}\nWORKDIR /w/x\nCOPY a.txt /p/../q/\nCOPY b.txt ../y\nCOPY a.txt ..\n"
                      "COPY src ../../z/.\n",
    "archives": "FROM {b}\nADD archive.tar /plain/\nADD archive.tgz /squeezed/\nADD a.txt archive.tar /both/\n"
                "COPY archive.tar /as-it-is/\n",
    "stages": "FROM {b} AS one\nRUN mkdir /o; echo 1 > /o/f; chmod 711 /o/f; chown 3:4 /o/f\nFROM {b} AS Two\n"
              "COPY --from=one /o /o2\nFROM {b}\nCOPY --from=two /o2/f /x/\nCOPY --from=0 /o/f /y\n",
    "scratch": "FROM {b} AS one\nRUN echo 1 > /f\nFROM scratch\nCOPY --from=one /f /bin/f\nCOPY a.txt /\n"
               "CMD [\"/bin/f\"]\n",
    "an image": "FROM {b}\nCOPY --from={b} /etc/passwd /copied/\n",
    "commands": "FROM {b}\nCMD echo \"a b\" $HOME\nENTRYPOINT [\"sh\", \"-c\"]\nCMD [\"a\", \"b\"]\nSTOPSIGNAL SIGINT\n"
                "SHELL [\"/bin/sh\", \"-ec\"]\nRUN echo x > /x\nENTRYPOINT exec cat\n",
    "entrypoint drops cmd": "FROM {b}\nCMD [\"x\"]\nENTRYPOINT [\"y\"]\n",
    "health": "FROM {b}\nHEALTHCHECK --interval=1m30s --timeout=3s --start-period=2s --retries=4 CMD true || exit 1\n",
    "ports and volumes": "FROM {b}\nENV P=90\nEXPOSE 80 443/tcp 53/udp $P\nEXPOSE 1000-1002\nVOLUME /v /w\n"
                         "VOLUME [\"/x y\"]\n",
    "triggers": "FROM {b}\nONBUILD COPY a.txt /t/\nONBUILD RUN echo x > /x\n",
    "words": "# escape=`\nFROM {b}\nENV A=a`\n B=`$A\n# between\nRUN echo one && `\n  # comment\n  echo two > /two\n"
             "RUN echo 'a  b' \"c $A\" > /q\n",
    "removals": "FROM {b}\nRUN mkdir /d && echo 1 > /d/a && echo 2 > /d/b\nRUN rm /d/a && ln -s b /d/c && mkfifo /d/p\n"
                "RUN rm -r /d && mkdir /d && echo 3 > /d/c && chmod 1777 /d && chown 9:8 /d\n",
}  # fmt: skip


def docker(*arguments: str, **options: Any) -> bytes:
    command = ["docker", "-H", os.environ["DOCKET_TEST_DOCKER_HOST"], *arguments]
    return subprocess.run(command, check=True, capture_output=True, env=CLASSIC, **options).stdout


@pytest.fixture(scope="module")
def base(rootfs: Path, module_engine: Engine) -> Iterator[str]:
    docker("import", str(rootfs), BASE)
    module_engine.docket("tag", "base", BASE)
    yield BASE
    docker("rmi", "-f", BASE)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_both_build_the_same(engine: Engine, base: str, tmp_path: Path, name: str) -> None:
    folder = context_of(tmp_path, DOCKERFILES[name].replace("{b}", base))
    for path, content in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    (tmp_path / "src/x.c").chmod(0o755)
    for archive_name, mode in (("archive.tar", "w"), ("archive.tgz", "w:gz")):
        with tarfile.open(tmp_path / archive_name, mode) as archive:  # type: ignore[call-overload]
            for member, kind in (("top", tarfile.DIRTYPE), ("top/file", tarfile.REGTYPE)):
                info = tarfile.TarInfo(member)
                info.type, info.uid, info.gid, info.mode = kind, 11, 12, 0o750
                archive.addfile(info)
    arguments = ["--network", "none", "--build-arg", "U=u", "-t", "docket-test-built", folder]
    docker("build", "-q", *arguments)
    try:
        theirs, their_tree = config_of(docker("image", "inspect", "docket-test-built")), tree_of(their_export())
    finally:
        docker("rmi", "-f", "docket-test-built")
    engine.docket("build", "-q", *arguments)
    ours = config_of(engine.docket("image", "inspect", "docket-test-built").stdout.encode())
    container = engine.docket("create", "--network", "none", "docket-test-built", "x").stdout.strip()
    our_tree = tree_of(engine.api("GET", f"/containers/{container}/export").body)
    engine.docket("rm", container)
    assert ours == theirs
    assert our_tree == their_tree


def their_export() -> bytes:
    container = docker("create", "docket-test-built", "x").decode().strip()
    try:
        return docker("export", container)
    finally:
        docker("rm", "-v", container)


def config_of(inspected: bytes) -> dict[str, Any]:
    config = json.loads(inspected)[0]["Config"]
    return {key: value for key, value in config.items() if key not in DOCKERS_OWN and value not in (None, "", {}, [])}


def tree_of(archive: bytes) -> dict[str, tuple[Any, ...]]:
    """Name -> kind, mode, owner, link, content. Folders that a start makes for mounts are no part of an image."""
    found: dict[str, tuple[Any, ...]] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        for member in members:
            name = member.name.strip("/").removeprefix("./")
            if not name or name.startswith(MADE_FOR_CONTAINERS):
                continue
            file = members.extractfile(member) if member.isreg() else None
            content = hashlib.sha256(file.read()).hexdigest() if file is not None else ""
            found[name] = (member.type, stat.S_IMODE(member.mode), member.uid, member.gid, member.linkname, content)
    if not any(name.startswith("etc/") for name in found):
        found.pop("etc", None)  # made for the files that a start mounts there
    return found
