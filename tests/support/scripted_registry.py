"""A registry that does what a test tells it: the distribution API over dictionaries, and scripts for what goes wrong.

    registry = ScriptedRegistry()
    registry.on("GET", r"/blobs/", lambda exchange: exchange.drop(), times=1)

A script answers in place of the registry, for the requests whose method and path it matches. ``asked`` is what was
asked.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Mapping, NamedTuple
from urllib.parse import parse_qs, urlsplit

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

_PATHS = re.compile(r"/v2/(?P<path>.+?)/(?P<kind>manifests|blobs/uploads|blobs|tags)(?:/(?P<name>.*))?")


def digest_of(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


class Asked(NamedTuple):
    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes


class Script:
    """``times`` is how often it answers (None: always)."""

    def __init__(self, method: str, pattern: str, action: Callable[[Exchange], None], times: int | None) -> None:
        self.method = method
        self.pattern = re.compile(pattern)
        self.action = action
        self.times = times

    def takes(self, asked: Asked) -> bool:
        if self.times == 0 or asked.method != self.method or not self.pattern.search(asked.path):
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Exchange(BaseHTTPRequestHandler):
    """One request and its answer, as a script sees it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else headers and body, written apart, come 40 ms apart
    server: _Server
    asked: Asked

    def log_message(self, format: str, *arguments: Any) -> None:
        """Tests look into ``asked``."""

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole answer; underscores in names of headers are dashes."""
        self.start(status, **{"Content_Length": str(len(body)), **headers})
        if self.command != "HEAD":
            self.wfile.write(body)

    def reply_json(self, status: int, value: Any, **headers: str) -> None:
        self.reply(status, json.dumps(value).encode(), **{"Content_Type": "application/json", **headers})

    def refuse(self, status: int, code: str, message: str, **headers: str) -> None:
        self.reply_json(status, {"errors": [{"code": code, "message": message}]}, **headers)

    def start(self, status: int, **headers: str) -> None:
        """Status and headers only; the script writes the body."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def write(self, data: bytes) -> bool:
        """False where nobody listens any more."""
        try:
            self.wfile.write(data)
        except OSError:
            return False
        return True

    def drop(self) -> None:
        """Reset the connection in the middle of whatever it is."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.server.shut(self.connection)

    def pass_on(self) -> None:
        """What the registry itself answers."""
        self.server.registry.answer(self)

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        registry = self.server.registry
        begins = Asked(self.command, parts.path, query, self.headers, b"")
        script = next((script for script in registry.early if script.takes(begins)), None)
        if script is None:
            body = self._body()
            begins = begins._replace(body=body)
        self.asked = begins
        with registry.lock:
            registry.asked.append(begins)
            script = script or next((script for script in registry.scripts if script.takes(begins)), None)
        try:
            (script.action if script else registry.answer)(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _handle


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    registry: ScriptedRegistry
    request_queue_size = 64

    def shut(self, connection: socket.socket) -> None:
        connection.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what several tests are about."""


class ScriptedRegistry:
    """Listens on a free port of loopback until ``close``."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.uploads: dict[str, bytes] = {}
        self.asked: list[Asked] = []
        self.scripts: list[Script] = []
        self.early: list[Script] = []
        self.lock = threading.Lock()
        self.released = threading.Event()
        self._server = _Server((host, 0), Exchange)
        self._server.registry = self
        self.port = self._server.server_address[1]
        self.address = f"{host}:{self.port}"
        self.url = f"http://{self.address}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def on(
        self, method: str, pattern: str, action: Callable[[Exchange], None], times: int | None = None,
        early: bool = False,
    ) -> None:  # fmt: skip
        """``early`` scripts see the request before its body was read."""
        (self.early if early else self.scripts).append(Script(method, pattern, action, times))

    def requests(self, method: str, pattern: str = "") -> list[Asked]:
        with self.lock:
            return [asked for asked in self.asked if asked.method == method and re.search(pattern, asked.path)]

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> ScriptedRegistry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what it holds ---

    def add_blob(self, body: bytes) -> str:
        digest = digest_of(body)
        self.blobs[digest] = body
        return digest

    def add_manifest(self, path: str, name: str, document: Any, media_type: str = MANIFEST) -> str:
        """By its name and by its digest; a dictionary is written as JSON."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        for key in (name, digest_of(body)):
            self.manifests[f"{path}/{key}"] = (media_type, body)
        return digest_of(body)

    def add_image(self, path: str, name: str, layers: list[bytes], config: bytes = b"{}") -> str:
        """An image of layers, which need not be tars. Answers with the digest of its manifest."""
        return self.add_manifest(path, name, self.manifest(layers, config))

    def manifest(self, layers: list[bytes], config: bytes = b"{}") -> dict[str, Any]:
        """The manifest of an image, whose blobs are here from then on."""

        def descriptor(body: bytes, kind: str) -> dict[str, Any]:
            return {"mediaType": kind, "digest": self.add_blob(body), "size": len(body)}

        return {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(config, CONFIG),
            "layers": [descriptor(layer, LAYER) for layer in layers],
        }

    # --- the API ---

    def answer(self, exchange: Exchange) -> None:
        """As a well-behaved registry does."""
        if exchange.asked.path == "/v2/":
            exchange.reply_json(200, {})
            return
        match = _PATHS.fullmatch(exchange.asked.path)
        if not match:
            exchange.refuse(404, "NAME_UNKNOWN", "repository name not known to registry")
            return
        kind = {"manifests": self._manifest, "blobs": self._blob, "blobs/uploads": self._upload, "tags": self._tags}
        kind[match["kind"]](exchange, match["path"], match["name"] or "")

    def _manifest(self, exchange: Exchange, path: str, name: str) -> None:
        if exchange.command == "PUT":
            body = exchange.asked.body
            self.add_manifest(path, name, body, exchange.headers["Content-Type"])
            exchange.reply(201, Docker_Content_Digest=digest_of(body), Location=f"/v2/{path}/manifests/{name}")
            return
        if f"{path}/{name}" not in self.manifests:
            exchange.refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")
            return
        media_type, body = self.manifests[f"{path}/{name}"]
        exchange.reply(200, body, Content_Type=media_type, Docker_Content_Digest=digest_of(body))

    def _blob(self, exchange: Exchange, path: str, digest: str) -> None:
        if digest not in self.blobs:
            exchange.refuse(404, "BLOB_UNKNOWN", "blob unknown to registry")
            return
        body = self.blobs[digest]
        wanted = re.fullmatch(r"bytes=(\d+)-", exchange.headers.get("Range", ""))
        if not wanted:
            exchange.reply(200, body)
        elif int(wanted[1]) >= len(body):
            exchange.reply(416)
        else:
            rest = f"bytes {wanted[1]}-{len(body) - 1}/{len(body)}"
            exchange.reply(206, body[int(wanted[1]) :], Content_Range=rest)

    def _tags(self, exchange: Exchange, path: str, _: str) -> None:
        names = [key.removeprefix(f"{path}/") for key in self.manifests if key.startswith(f"{path}/")]
        tags = [name for name in names if ":" not in name and "/" not in name]
        exchange.reply_json(200, {"name": path, "tags": tags or None})

    def _upload(self, exchange: Exchange, path: str, name: str) -> None:
        query, method = exchange.asked.query, exchange.command
        if method == "POST":
            if query.get("mount") in self.blobs and "from" in query:
                exchange.reply(201, Location=f"/v2/{path}/blobs/{query['mount']}")
                return
            name = f"upload-{len(self.uploads)}"
            self.uploads[name] = b""
            exchange.reply(202, Location=f"/v2/{path}/blobs/uploads/{name}?state=0", Range="0-0")
        elif name not in self.uploads:
            exchange.refuse(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        elif method == "DELETE":
            del self.uploads[name]
            exchange.reply(204)
        elif method == "PUT":
            self._finish(exchange, self.uploads.pop(name) + exchange.asked.body, query["digest"])
        else:
            self.uploads[name] += exchange.asked.body
            last = max(len(self.uploads[name]) - 1, 0)
            location = f"/v2/{path}/blobs/uploads/{name}?state={last}"
            exchange.reply(204 if method == "GET" else 202, Location=location, Range=f"0-{last}")

    def _finish(self, exchange: Exchange, body: bytes, digest: str) -> None:
        if digest_of(body) != digest:
            exchange.refuse(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
            return
        exchange.reply(201, Location=f"/v2/x/blobs/{self.add_blob(body)}", Docker_Content_Digest=digest)
