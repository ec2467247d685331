"""What a server is told of whoever runs the engine: nothing, but for what the URL itself says."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from engine.domain.errors import Forbidden
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
