"""Proxies of the environment, as Docker honours them."""

from __future__ import annotations

import shutil
import socket
import threading
from pathlib import Path
from typing import Iterator

import pytest

from engine.domain.errors import NotFound, Unavailable
from engine.images.references import Reference
from engine.images.registry.client import Registries
from engine.images.registry.settings import RegistrySettings
from support.docker_registry import DockerRegistry, make_authority, make_certificate
from support.scripted_registry import ScriptedRegistry

NAME = "registry.invalid"


class Proxy:
    """Knows CONNECT, and one place: wherever it is asked to go, it goes there."""

    def __init__(self, port: int) -> None:
        self.asked: list[str] = []
        self._port = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head and (data := client.recv(4096)):
            head += data
        self.asked.append(head.decode().split("\r\n")[0])
        target = socket.create_connection(("127.0.0.1", self._port))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        threading.Thread(target=self._pass, args=(target, client), daemon=True).start()
        self._pass(client, target)

    @staticmethod
    def _pass(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """In front of a registry with TLS, whose name nobody else resolves."""
    authority = make_authority(tmp_path / "ca")
    certificate, key = make_certificate(authority, "server", f"DNS:{NAME}")
    folder = tmp_path / "certs.d" / NAME
    folder.mkdir(parents=True)
    shutil.copy(authority, folder / "ca.crt")
    with DockerRegistry(tmp_path / "registry", tls={"certificate": str(certificate), "key": str(key)}) as registry:
        made = Proxy(registry.port)
        yield made
        made.close()


def tags(settings: RegistrySettings) -> list[str]:
    with Registries(settings).repository(Reference.parse(f"{NAME}/team/app")) as repository:
        return repository.tags()


@pytest.mark.requires("docker registry", "openssl")
def test_a_registry_behind_a_proxy(proxy: Proxy, settings: RegistrySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    with pytest.raises(NotFound, match="repository does not exist"):
        tags(settings)
    assert proxy.asked == [f"CONNECT {NAME}:443 HTTP/1.1"] or proxy.asked == [f"CONNECT {NAME}:443 HTTP/1.0"]
    monkeypatch.setenv("NO_PROXY", ".invalid")
    with pytest.raises(Unavailable, match="no such host|name resolution"):
        tags(settings)
    assert len(proxy.asked) == 1


def test_loopback_is_never_proxied(
    registry: ScriptedRegistry, settings: RegistrySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    registry.add_image("team/app", "1", [b"layer"])
    for host in ("127.0.0.1", "localhost"):
        with Registries(settings).repository(Reference.parse(f"{host}:{registry.port}/team/app")) as repository:
            assert repository.tags() == ["1"]
