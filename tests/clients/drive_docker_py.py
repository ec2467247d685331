"""The driver of docker-py (see ``clients.calls``), whose module it is told: it runs in an interpreter that has it."""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
import tarfile
import threading
import time
from typing import Any

docker = importlib.import_module(sys.argv[1])


def tar_of(name: str, content: bytes) -> bytes:
    """An archive with one file."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def names_in(chunks: Any) -> list[str]:
    """What an archive holds."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        return sorted(archive.getnames())


def soon(probe: Any, seconds: float = 10) -> Any:
    """The probe's value once it is true, or its last one."""
    deadline = time.monotonic() + seconds
    while not (value := probe()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return value


def later(action: Any) -> None:
    """Do it in a moment, beside what waits for it."""
    threading.Timer(0.3, action).start()


def ask(sock: Any, data: bytes, *, end: bool) -> str:
    """Write into a hijacked connection, close our half, and read the other to its end."""
    raw = getattr(sock, "_sock", sock)
    raw.sendall(data)
    if end:
        raw.shutdown(1)
    whole = b""
    while chunk := raw.recv(65536):
        whole += chunk
    return whole.decode("utf-8", "replace")


def plain(value: Any) -> Any:
    """Bytes as text, objects by their name."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return value if isinstance(value, (str, int, float, bool, type(None))) else type(value).__name__


def main() -> None:
    version = os.environ.get("DOCKER_API_VERSION", "auto")
    client = docker.DockerClient(base_url=os.environ["DOCKER_HOST"], version=version, timeout=30)
    scope: dict[str, Any] = {
        "client": client, "api": client.api, "docker": docker, "tar_of": tar_of, "names_in": names_in, "soon": soon,
        "later": later, "ask": ask, "io": io,
    }  # fmt: skip
    outcomes: list[dict[str, Any]] = []
    for code in json.load(sys.stdin):
        try:
            outcomes.append({"gave": plain(eval(code, scope))})
        except Exception as error:  # whatever it is, it is the outcome
            outcomes.append({"raised": type(error).__name__, "said": str(error)[:500]})
    json.dump(outcomes, sys.stdout)


main()
