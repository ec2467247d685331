"""Bringing blobs and manifests into a repository (distribution specification, "Pushing").

    HEAD  /v2/PATH/blobs/DIGEST                      it is there
    POST  /v2/PATH/blobs/uploads/?mount=D&from=P     201: it was in another repository; 202: an upload has begun
    PATCH LOCATION, Content-Range: 0-N               the bytes; after an interruption GET LOCATION says how many arrived
    PUT   LOCATION?digest=D                          201
"""

from __future__ import annotations

import hashlib
import os
import re
from functools import partial
from typing import BinaryIO, Iterator, Sequence
from urllib.parse import urlencode, urlsplit

from engine.domain.errors import (
    Conflict,
    Forbidden,
    InvalidArgument,
    NotFound,
    NotSupported,
    Unauthorized,
    Unavailable,
)
from engine.images.content import ContentStore
from engine.images.manifests import Descriptor
from engine.images.registry.addresses import target_of
from engine.images.registry.cancellation import Cancellation
from engine.images.registry.endpoint import Endpoint, Request
from engine.images.registry.exchange import Retries
from engine.images.registry.meter import Meter
from engine.images.registry.transfers import Document, Listener, Pushed
from engine.images.registry.transport import Answer, Untrusted

_SMALL_BYTES = 64 * 1024
"""What is uploaded by one PUT, without a PATCH before it."""
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,19})")
_OCTETS = {"Content-Type": "application/octet-stream"}


def scopes_of(path: str, mount_from: str = "") -> frozenset[str]:
    """What a token must allow."""
    own = f"repository:{path}:pull,push"
    return frozenset((own, f"repository:{mount_from}:pull")) if mount_from else frozenset((own,))


def put_manifest(endpoint: Endpoint, path: str, document: Document, name: str) -> str:
    """Raises as Repository.put_manifest."""
    headers = {"Content-Type": document.media_type}
    request = Request("PUT", f"/v2/{path}/manifests/{name}", headers, document.body, scopes_of(path))
    answer = endpoint.ask(request, (200, 201, 202))
    announced = answer.headers.get("Docker-Content-Digest", "")
    answer.discard()
    algorithm, _, encoded = announced.partition(":")
    if algorithm in ("sha256", "sha512") and hashlib.new(algorithm, document.body).hexdigest() != encoded:
        raise InvalidArgument(f"the registry says that it has stored {announced[:140]} in place of {document.digest}")
    return document.digest


def push_blob(
    endpoint: Endpoint, path: str, blob: Descriptor, store: ContentStore, listener: Listener,
    mount_from: Sequence[str], cancellation: Cancellation,
) -> Pushed:  # fmt: skip
    """Raises as Repository.push_blob."""
    if store.size_bytes(blob.digest) != blob.size_bytes:
        raise InvalidArgument(f"blob {blob.digest} in the store has not the {blob.size_bytes} bytes of its descriptor")
    return _Push(endpoint, path, blob, store, listener, cancellation).run(mount_from)


class _Push:
    """One blob to one repository."""

    def __init__(
        self, endpoint: Endpoint, path: str, blob: Descriptor, store: ContentStore, listener: Listener,
        cancellation: Cancellation,
    ) -> None:  # fmt: skip
        self._endpoint = endpoint
        self._path = path
        self._blob = blob
        self._store = store
        self._cancellation = cancellation
        self._meter = Meter(listener, "uploading", blob.size_bytes)

    def run(self, mount_from: Sequence[str]) -> Pushed:
        digest, size = self._blob.digest, self._blob.size_bytes
        if self._exists():
            return Pushed(digest, size, "exists")
        location = ""
        for other in [path for path in mount_from if path != self._path]:
            unused, location = location, self._begin(other)
            if unused:
                self._give_up(unused)
            if not location:
                return Pushed(digest, size, "mounted", other)
        self._upload(location or self._begin())
        self._meter.finished(size)
        return Pushed(digest, size, "uploaded")

    def _ask(self, request: Request, expected: Sequence[int]) -> Answer:
        return self._endpoint.ask(request, expected, self._retrying, self._cancellation)

    def _exists(self) -> bool:
        request = Request("HEAD", f"/v2/{self._path}/blobs/{self._blob.digest}", scopes=scopes_of(self._path))
        answer = self._ask(request, (200, 404))
        found = answer.status == 200 and answer.length in (None, self._blob.size_bytes)
        answer.discard()
        return found

    def _begin(self, mount_from: str = "") -> str:
        """Where to upload to; "" where the blob was mounted."""
        query = f"?{urlencode({'mount': self._blob.digest, 'from': mount_from})}" if mount_from else ""
        url = f"/v2/{self._path}/blobs/uploads/{query}"
        request = Request("POST", url, scopes=scopes_of(self._path, mount_from))
        try:
            answer = self._ask(request, (201, 202))
        except (InvalidArgument, NotFound, Unauthorized, Forbidden, NotSupported):
            if mount_from:  # what may not be read there is uploaded like anything else
                return self._begin()
            raise
        answer.discard()
        return "" if answer.status == 201 and mount_from else self._location(answer)

    def _give_up(self, location: str) -> None:
        """Registries forget uploads by themselves, too, and many let only their administrators do it."""
        try:
            self._ask(Request("DELETE", location, scopes=self._scopes, once=True), (200, 202, 204, 404)).discard()
        except (InvalidArgument, NotSupported, Unauthorized, Forbidden, Unavailable):
            return

    def _location(self, answer: Answer) -> str:
        location = answer.headers.get("Location", "")
        if not location:
            raise InvalidArgument("the registry does not say where to upload to")
        return target_of(location, answer.url)

    def _upload(self, location: str) -> None:
        """Interruptions are gone on from; content that the registry can't put together is sent anew, once."""
        retries = Retries(self._endpoint.patience, self._cancellation, self._retrying)
        at, interrupted = 0, False
        while True:
            try:
                self._send(location, at)
                return
            except Untrusted:
                raise
            except Unavailable as error:
                retries.pause(error)
                interrupted = True
                arrived = self._arrived(location)
                location, at = arrived or (self._begin(), 0)
            except (InvalidArgument, NotFound, Conflict):
                if not interrupted:
                    raise
                location, at, interrupted = self._begin(), 0, False

    def _arrived(self, location: str) -> tuple[str, int] | None:
        """Where to go on and from which byte; None where the registry has forgotten the upload."""
        answer = self._ask(Request("GET", location, scopes=scopes_of(self._path)), (200, 204, 404))
        answer.discard()
        match = _RANGE.fullmatch(answer.headers.get("Range", ""))
        if answer.status == 404 or not match:
            return None
        last = int(match[1])
        at = last + 1 if last else 0  # "0-0" is said of nothing and of one byte
        if at > self._blob.size_bytes:
            return None
        return (self._location(answer) if "Location" in answer.headers else location), at

    def _send(self, location: str, at: int) -> None:
        size = self._blob.size_bytes
        with self._store.open(self._blob.digest) as file:
            body: object = b""
            if size <= _SMALL_BYTES:
                body = file.read()
            elif at < size:
                headers = {**_OCTETS, "Content-Range": f"{at}-{size - 1}", "Content-Length": str(size - at)}
                rest = partial(_Body, file, at, size, self)
                answer = self._ask(Request("PATCH", location, headers, rest, self._scopes, once=True), (202, 201, 204))
                answer.discard()
                location = self._location(answer) if "Location" in answer.headers else location
            separator = "&" if urlsplit(location).query else "?"
            url = f"{location}{separator}{urlencode({'digest': self._blob.digest})}"
            # the registry digests the whole blob now, or moves it to where it keeps them
            put = Request("PUT", url, _OCTETS, body, self._scopes, once=True, slow=True)
            self._ask(put, (201, 204)).discard()

    @property
    def _scopes(self) -> frozenset[str]:
        return scopes_of(self._path)

    def _retrying(self, note: str) -> None:
        self._meter.retrying(0, note)

    def sent(self, count: int) -> None:
        """Called as bytes leave."""
        self._cancellation.check()
        self._meter.moved(count)


class _Body:
    """The rest of a file as the body of a request, from byte ``at`` on."""

    def __init__(self, file: BinaryIO, at: int, size: int, push: _Push) -> None:
        self._file = file
        self._at = at
        self._size = size
        self._push = push
        file.seek(at)

    def __len__(self) -> int:
        return self._size - self._at

    def read(self, size: int = -1) -> bytes:
        self._push.sent(self._file.tell())
        return self._file.read(size)

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(os.stat(self._file.fileno()).st_blksize):
            yield piece
