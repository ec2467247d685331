"""Bringing a blob from a registry into the store (distribution specification, "Pulling blobs").

Every byte is counted and digested on its way; the descriptor says how many there are to be and what they digest to.
What came before a connection broke is kept, and the rest asked for by Range, in this attempt or a later one.
"""

from __future__ import annotations

import os
import re
from typing import Callable

from engine.domain.errors import Conflict, InvalidArgument, Unavailable
from engine.images.content import ContentStore, PartialWriter
from engine.images.manifests import Descriptor
from engine.images.registry.cancellation import Cancellation
from engine.images.registry.endpoint import Endpoint, Request
from engine.images.registry.exchange import Retries
from engine.images.registry.meter import Meter
from engine.images.registry.transfers import Fetched, Listener, stored
from engine.images.registry.transport import Answer, ConnectionFailed

_PROGRESS_BYTES = 1 << 20
"""An attempt that came so much further than all before was worth it: the count of failures starts over."""
_LOCK_POLL_S = 0.05
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)")


def fetch(
    endpoint: Endpoint, path: str, blob: Descriptor, store: ContentStore, listener: Listener,
    cancellation: Cancellation,
) -> Fetched:  # fmt: skip
    """Raises what Repository.fetch raises."""
    with _writer(blob, store, cancellation) as writer:
        if (found := stored(blob, store)) is not None:  # who had it until now has committed it
            return found
        _check_space(writer, blob)
        return _Fetch(endpoint, path, blob, writer, listener, cancellation).run()


def _writer(blob: Descriptor, store: ContentStore, cancellation: Cancellation) -> PartialWriter:
    """An attempt that was cancelled a moment ago may still have it."""
    while True:
        try:
            return store.partial(blob.digest)
        except Conflict:
            cancellation.wait(_LOCK_POLL_S)


def _check_space(writer: PartialWriter, blob: Descriptor) -> None:
    """Before anything is asked for: a size is a claim, and a full disk hurts everybody."""
    disk = os.statvfs(writer.path.parent)
    free, missing = disk.f_bavail * disk.f_frsize, blob.size_bytes - writer.size_bytes
    if missing > free:
        raise Unavailable(f"no space left for blob {blob.digest}: {missing} bytes are to come, {free} are free")


class _Fetch:
    """One blob from one endpoint."""

    def __init__(
        self, endpoint: Endpoint, path: str, blob: Descriptor, writer: PartialWriter, listener: Listener,
        cancellation: Cancellation,
    ) -> None:  # fmt: skip
        self._endpoint = endpoint
        self._url = f"/v2/{path}/blobs/{blob.digest}"
        self._scopes = frozenset((f"repository:{path}:pull",))
        self._blob = blob
        self._writer = writer
        self._cancellation = cancellation
        self._meter = Meter(listener, "downloading", blob.size_bytes)
        self._received = 0

    def run(self) -> Fetched:
        """Until the blob is in the store. A leftover that turns out to be wrong is fetched anew, once."""
        left_over = self._writer.size_bytes > 0
        while True:
            self._complete()
            blob, writer = self._blob, self._writer
            if left_over and writer.digest != blob.digest:
                left_over = False
                writer.restart()
                continue
            try:
                writer.commit(blob.digest, blob.size_bytes)
            except InvalidArgument as error:
                writer.restart()
                raise InvalidArgument(f"blob {blob.digest} from {self._endpoint.source}: {error}") from error
            self._meter.finished(blob.size_bytes)
            return Fetched(blob.digest, blob.size_bytes, self._received, self._endpoint.source)

    def _complete(self) -> None:
        """Until as many bytes are there as the descriptor says."""
        retries = Retries(self._endpoint.patience, self._cancellation, self._retrying)
        if self._writer.size_bytes > self._blob.size_bytes:
            self._writer.restart()
        furthest = self._writer.size_bytes
        began = False
        while self._writer.size_bytes < self._blob.size_bytes or not began:
            if self._writer.size_bytes == self._blob.size_bytes > 0:
                return
            began = True
            answer = self._ask()
            try:
                with answer:
                    self._receive(answer)
            except ConnectionFailed as error:
                if self._writer.size_bytes - furthest >= _PROGRESS_BYTES:
                    furthest = self._writer.size_bytes
                    retries.start_over()
                retries.pause(error)

    def _ask(self) -> Answer:
        """An answer whose body is what is missing."""
        while True:
            at = self._writer.size_bytes
            request = Request("GET", self._url, {"Range": f"bytes={at}-"} if at else {}, scopes=self._scopes)
            expected = (200, 206, 416) if at else (200,)
            answer = self._endpoint.ask(request, expected, self._retrying, self._cancellation)
            if answer.status == 416:
                answer.discard()
                self._writer.restart()
                continue
            try:
                self._check(answer, at)
            except BaseException:
                answer.close()
                raise
            return answer

    def _check(self, answer: Answer, at: int) -> None:
        """Of the headers. Raises InvalidArgument where they promise something else than the descriptor."""
        size = self._blob.size_bytes
        if answer.status == 206:
            match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if not match or int(match[1]) != at or int(match[2]) >= size or match[3] not in ("*", str(size)):
                self._writer.restart()
                raise InvalidArgument(
                    f"blob {self._blob.digest}: the registry answers to a request for bytes from {at} of {size} with "
                    f"the range {answer.headers.get('Content-Range', '')[:100]!r}"
                )
            size = int(match[2]) + 1
        elif at:  # a registry that knows no ranges
            self._writer.restart()
            at = 0
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise InvalidArgument(f"blob {self._blob.digest} comes with a content encoding, which nobody asked for")
        if answer.length is not None and answer.length != size - at:
            raise InvalidArgument(
                f"blob {self._blob.digest}: the registry announces {answer.length} bytes where {size - at} are expected"
            )

    def _receive(self, answer: Answer) -> None:
        writer, size = self._writer, self._blob.size_bytes
        before = writer.size_bytes
        while piece := answer.read():
            self._cancellation.check()
            if writer.size_bytes + len(piece) > size:
                writer.restart()
                raise InvalidArgument(f"blob {self._blob.digest} is larger than the {size} bytes of its descriptor")
            writer.write(piece)
            self._received += len(piece)
            self._meter.moved(writer.size_bytes)
        self._cancellation.check()
        if writer.size_bytes < size and answer.status == 200:
            raise ConnectionFailed(f"blob {self._blob.digest} ended after {writer.size_bytes} of {size} bytes")
        if writer.size_bytes == before < size:
            raise ConnectionFailed(f"blob {self._blob.digest}: no byte of a range came, {before} of {size} are there")

    @property
    def _retrying(self) -> Callable[[str], None]:
        return lambda note: self._meter.retrying(self._writer.size_bytes, note)
