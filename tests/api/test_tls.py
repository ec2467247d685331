"""The door for other machines: who gets in, as whom, and that streams over TLS are streams."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Iterator

import pytest

from engine.api import tls
from engine.api.opening import open_all, plan_doors
from engine.client.address import parse_address
from engine.client.api import Client
from engine.client.connection import Connection
from engine.client.errors import ClientError
from engine.client.tls import TLSFiles
from engine.domain.errors import InvalidArgument
from engine.services.settings import Listening
from support.docker_registry import make_authority, make_certificate
from support.waiting import eventually

from .harness import Api

pytestmark = pytest.mark.requires("openssl")


class Far(Api):
    """The same server, and a TLS door beside its own."""

    def __init__(self, folder: Path, pki: Path) -> None:
        self.ca, self.cert, self.key = pki / "ca.crt", pki / "alice.cert", pki / "alice.key"
        settings = Listening(
            ("tcp://127.0.0.1:0",), tlsverify=True, tlscacert=str(self.ca), tlscert=str(pki / "engine.cert"),
            tlskey=str(pki / "engine.key"),
        )  # fmt: skip
        (door,) = open_all(plan_doors(settings, ""))
        super().__init__(folder, door)
        self.port = door.listener.getsockname()[1]

    def client(self, files: TLSFiles | None, node: str = "127.0.0.1") -> Client:
        return Client(parse_address(f"tcp://{node}:{self.port}", files))

    def alice(self) -> Client:
        return self.client(TLSFiles(str(self.ca), str(self.cert), str(self.key)))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, the engine's certificate, and those of a client and of a stranger, who has his own authority."""
    folder = tmp_path_factory.mktemp("pki")
    authority = make_authority(folder)
    for name in ("engine", "alice"):
        cert, key = make_certificate(authority, name)
        cert.rename(folder / f"{name}.cert")
        key.rename(folder / f"{name}.key")
    cert, key = make_certificate(make_authority(folder / "other"), "mallory")
    cert.rename(folder / "mallory.cert")
    key.rename(folder / "mallory.key")
    return folder


@pytest.fixture
def far(tmp_path: Path, pki: Path) -> Iterator[Far]:
    running = Far(tmp_path, pki)
    running.server.start()
    yield running
    running.connection.close()
    running.server.stop()


def test_the_actor_is_the_certificate(far: Far) -> None:
    with far.alice() as client:
        client.call("POST", "/containers/create", {"Image": "base"}, query={"name": "web"})
        client.call("GET", "/containers/json")  # the connection is kept
    actor = far.services.log.records[-1].actor
    assert actor["subject"] == "CN=alice" and actor["door"] == "python" and "uid" not in actor
    assert actor["address"].startswith("127.0.0.1:") and actor["fingerprint"].startswith("sha256:")
    body = subprocess.run(["openssl", "x509", "-in", far.cert, "-noout", "-fingerprint", "-sha256"],
                          capture_output=True, text=True, check=True).stdout  # fmt: skip
    assert body.strip().rpartition("=")[2].replace(":", "").lower() == actor["fingerprint"].removeprefix("sha256:")


@pytest.mark.parametrize(
    ("cert", "ca", "message"),
    [
        ("", "ca.crt", "refuses this client"),
        ("mallory", "ca.crt", "refuses this client"),
        ("alice", "other/ca.crt", "self-signed|unable to get local issuer"),
        ("alice", "none.crt", "none.crt: no such file"),
    ],
)
def test_strangers_stay_outside(far: Far, pki: Path, cert: str, ca: str, message: str) -> None:
    own = (str(pki / f"{cert}.cert"), str(pki / f"{cert}.key")) if cert else ("", "")
    with far.client(TLSFiles(str(pki / ca), *own)) as client, pytest.raises(ClientError, match=message):
        client.call("GET", "/containers/json")
    assert far.server.connection_count == 0, "nobody served them"


def test_who_speaks_no_tls_is_not_answered(far: Far) -> None:
    with far.client(None) as client, pytest.raises(ClientError, match="does it want TLS"):
        client.call("GET", "/containers/json")


def attached(far: Far, client: Client) -> tuple[Connection, Any]:
    response = client.hijack("/containers/web/attach", query={"stream": 1, "stdin": 1, "stdout": 1})
    attachment = eventually(lambda: far.services.containers.attachments and far.services.containers.attachments[-1])
    return response.connection, attachment


def test_a_stream_has_both_directions_and_two_ends(far: Far) -> None:
    far.create(OpenStdin=True)
    with far.alice() as client:
        connection, attachment = attached(far, client)
        eventually(lambda: far.server.connection_count <= 1, what="the server's thread lets go")
        threading.Thread(target=os.write, args=(attachment.fd, b"o" * 300_000)).start()
        threading.Thread(target=connection.send, args=(b"i" * 300_000,)).start()
        assert read(attachment.fd, 300_000) == b"i" * 300_000
        received = b""
        while len(received) < 300_000:
            received += connection.receive(65536)
        assert received == b"o" * 300_000
        connection.close_write()
        assert os.read(attachment.fd, 100) == b""
        os.write(attachment.fd, b"last words")
        os.close(attachment.fd)
        assert connection.receive(100) == b"last words" and connection.receive(100) == b""
        connection.close()


def read(fd: int, count: int) -> bytes:
    whole = b""
    while len(whole) < count and (piece := os.read(fd, count - len(whole))):
        whole += piece
    return whole


def test_who_leaves_is_noticed_and_leaves_no_thread(far: Far) -> None:
    far.create(OpenStdin=True)
    with far.alice() as client:
        connection, attachment = attached(far, client)
        connection.close()
    assert os.read(attachment.fd, 100) == b""
    os.close(attachment.fd)
    eventually(lambda: not carriers(), what="the threads of TLS end")


def carriers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "api-tls"]


def test_who_does_not_read_holds_up_nobody(far: Far) -> None:
    far.create(OpenStdin=True)
    with far.alice() as stuck, far.alice() as other:
        connection, attachment = attached(far, stuck)
        os.set_blocking(attachment.fd, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(attachment.fd, b"x" * 65536)  # what is behind the socket is bounded
        began = time.monotonic()
        assert len(other.call("GET", "/containers/json", query={"all": 1})) == 1
        assert time.monotonic() - began < 2
        connection.close()
        os.close(attachment.fd)


def test_renewed_certificates_count_from_the_next_connection_on(
    tmp_path: Path, pki: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    live = tmp_path / "live"
    shutil.copytree(pki, live)
    far = Far(tmp_path, live)
    far.server.start()
    try:
        with far.alice() as old:
            old.call("GET", "/containers/json")
            (live / "ca.crt").write_text("half of a fi")
            with far.client(TLSFiles(str(pki / "ca.crt"), str(far.cert), str(far.key))) as client:
                client.call("GET", "/containers/json")
            assert "ca.crt" in (said := capfd.readouterr().err) and "former certificates stay in use" in said
            shutil.copy(pki / "other" / "ca.crt", live / "ca.crt")
            with far.client(TLSFiles(str(pki / "ca.crt"), str(far.cert), str(far.key))) as client:
                with pytest.raises(ClientError, match="refuses this client"):
                    client.call("GET", "/containers/json")
            mallory = TLSFiles(str(pki / "ca.crt"), str(pki / "mallory.cert"), str(pki / "mallory.key"))
            with far.client(mallory) as client:
                client.call("GET", "/containers/json")
            old.call("GET", "/containers/json")  # who is in stays in
    finally:
        far.connection.close()
        far.server.stop()


def test_a_stranger_who_says_nothing_is_sent_away(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE_S", 0.2)
    with socket.create_connection(("127.0.0.1", far.port), timeout=10) as sock:
        assert sock.recv(1) == b""
    eventually(lambda: not carriers(), what="its thread ends")


@pytest.mark.parametrize(
    ("listening", "message"),
    [
        (Listening(("tcp://0.0.0.0:2375",)), "without client certificates.*--tlsverify, --tlscacert"),
        (Listening(("tcp://:1",), tls=True, tlscacert="a", tlscert="b", tlskey="c"), "--tlsverify is missing"),
        (Listening(("tcp://:1",), tlsverify=True, tlscacert="/a", tlscert="/b", tlskey="/c"), "/a: no such file"),
        (Listening(("tcp://:x",), tlsverify=True), "can't listen on"),
        (Listening(("fd://",)), "can't listen on"),
        (Listening(("unix://relative",)), "can't listen on"),
    ],
)
def test_doors_that_are_none(listening: Listening, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        plan_doors(listening, "unix:///x")


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (((("organizationName", "Ops, Inc"),), (("commonName", "alice"),)), "CN=alice,O=Ops\\, Inc"),
        (((("commonName", "#a"), ("userId", "7")),), "CN=\\#a+UID=7"),
        ((), ""),
    ],
)
def test_subjects_are_written_as_the_rfc_does(names: Any, shown: str) -> None:
    assert tls.subject_of(names) == shown
