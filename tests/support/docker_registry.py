"""A real registry (Debian's docker-registry) on a free port of loopback, its data in a folder of the test."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any, Sequence

from support.waiting import eventually

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
RSA = ("-newkey", "rsa:2048")
USER, PASSWORD = "someone", "open sesame"
HTPASSWD = f"{USER}:$2b$04$/svYbxn5TTr71n.aI096Wu6ZcsLBERs9X0/d/h2Wum.DnRZc9gOJy\n"
"""bcrypt, the only hash that the registry takes."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class DockerRegistry:
    """Runs until ``close``. ``auth`` and ``tls`` are sections of its configuration (as JSON, which is YAML)."""

    def __init__(self, folder: Path, auth: dict[str, Any] | None = None, tls: dict[str, Any] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        config = {
            "version": 0.1,
            "log": {"accesslog": {"disabled": True}, "level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
            "http": {"addr": self.address, **({"tls": tls} if tls else {})},
            **({"auth": auth} if auth else {}),
        }
        (folder / "config.yml").write_text(json.dumps(config))
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", str(folder / "config.yml")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        eventually(self._listens, timeout_s=60, what="docker-registry listens")

    @classmethod
    def with_password(cls, folder: Path, **options: Any) -> DockerRegistry:
        """One that wants USER and PASSWORD."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "htpasswd").write_text(HTPASSWD)
        return cls(folder, {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}, **options)

    def _listens(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()

    def __enter__(self) -> DockerRegistry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def skopeo(*arguments: str) -> str:
    """Run skopeo, which may lie unpacked with its libraries beside it, and answer with what it prints."""
    program = shutil.which("skopeo")
    assert program is not None
    folder = Path(program).resolve().parents[2]
    libraries = [*folder.glob("usr/lib/*-linux-gnu"), *folder.glob("lib/*-linux-gnu")]
    unpacked = {"LD_LIBRARY_PATH": ":".join(map(str, libraries))} if ".venv" in program else {}
    done = subprocess.run(
        [program, "--insecure-policy", *arguments], capture_output=True, text=True, check=False,
        env={**os.environ, **unpacked},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_authority(folder: Path) -> Path:
    """A CA of the test's own: ``ca.crt`` and ``ca.key``. Answers with the certificate."""
    folder.mkdir(parents=True, exist_ok=True)
    _openssl(
        "req", "-x509", *_CURVE, "-nodes", "-days", "2", "-subj", "/CN=tests CA",
        "-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.crt"),
    )  # fmt: skip
    return folder / "ca.crt"


def make_certificate(
    authority: Path, name: str, addresses: str = "IP:127.0.0.1,DNS:localhost", kind: Sequence[str] = _CURVE
) -> tuple[Path, Path]:
    """A certificate by the CA, and its key."""
    folder = authority.parent
    key, request, certificate = (folder / f"{name}.{kind}" for kind in ("key", "csr", "cert"))
    _openssl("req", *kind, "-nodes", "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request))
    extensions = folder / f"{name}.ext"
    extensions.write_text(f"subjectAltName={addresses}\n")
    _openssl(
        "x509", "-req", "-in", str(request), "-CA", str(authority), "-CAkey", str(folder / "ca.key"),
        "-CAcreateserial", "-days", "2", "-extfile", str(extensions), "-out", str(certificate),
    )  # fmt: skip
    return certificate, key


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
