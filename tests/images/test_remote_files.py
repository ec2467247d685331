"""What a server is told of whoever runs the engine: nothing, but for what the URL itself says."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from engine.domain.errors import Conflict, Forbidden, InvalidArgument, Unavailable
from engine.images.remote_files import download


class _Handler(BaseHTTPRequestHandler):
    """Answers with what it was told; ``/elsewhere`` leads to another name of the same host, ``/inside`` to where clouds
    keep their machines' secrets."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        port = self.server.server_address[1]
        leads = {
            "/elsewhere": f"http://localhost:{port}/told", "/inside": "http://169.254.169.254/secrets",
            "/again": "/inside",
        }  # fmt: skip
        if self.path in leads:
            self.send_response(302)
            self.send_header("Location", leads[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = self.headers.get("Authorization", "nothing").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://{}/told", b"nothing"),
        ("http://me:secret@{}/told", b"Basic " + base64.b64encode(b"me:secret")),
        ("http://me:secret@{}/elsewhere", b"nothing"),
    ],
)
def test_only_what_the_url_says(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, told: bytes
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login root password hidden\nmachine localhost login root password hidden\n")
    monkeypatch.setenv("NETRC", str(netrc))
    download(url.format(address), tmp_path, "", 100, threading.Event(), name="answer")
    assert (tmp_path / "answer").read_bytes() == told


@pytest.mark.parametrize("path", ["inside", "again"])
def test_nobody_is_led_further_inside(address: str, tmp_path: Path, path: str) -> None:
    with pytest.raises(Forbidden, match="refused to be led to .*169.254.169.254.* is a link-local address"):
        download(f"http://{address}/{path}", tmp_path, "", 100, threading.Event(), name="answer")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["abc", "nowhere://host/x", "http:///x", "http://[::1/x"])
def test_what_is_no_url_is_the_requests_fault(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidArgument):
        download(url, tmp_path, "", 100, threading.Event(), name="answer")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nshort",
        b"rubbish\r\n\r\n",
    ],
)
def test_an_answer_that_is_cut_short_or_rubbish_is_no_file(tmp_path: Path, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=say, args=(server, answer))
        thread.start()
        with pytest.raises(Unavailable):
            download(f"http://127.0.0.1:{server.getsockname()[1]}/file", tmp_path, "", 10**6, threading.Event())
        thread.join()


def say(server: socket.socket, answer: bytes) -> None:
    client, _ = server.accept()
    with client:
        client.recv(65536)
        client.sendall(answer)


def test_a_drip_is_left_when_the_build_is_stopped(tmp_path: Path) -> None:
    """It would go on for as long as the server likes."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server, stop))
        thread.start()
        threading.Timer(0.5, stop.set).start()
        began = time.monotonic()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/file"
        with pytest.raises(Conflict, match="the build was stopped"):
            download(url, tmp_path, "", 10**6, stop)
        assert time.monotonic() - began < 3
        thread.join()


def drip(server: socket.socket, stop: threading.Event) -> None:
    """A byte each tenth of a second, for ten seconds."""
    client, _ = server.accept()
    with client:
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            time.sleep(0.1)
            try:
                client.sendall(b"x")
            except OSError:
                return
