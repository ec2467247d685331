"""A file from an http or https server, bounded and digested on the way (``ADD https://...`` in a Dockerfile)."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
import requests.auth
import requests.certs
import requests.utils
import urllib3.exceptions

from engine.domain.errors import Conflict, InvalidArgument, Unavailable
from engine.images.content import CHUNK_BYTES
from engine.images.registry.addresses import Place, Reach, check_reach
from engine.images.registry.cancellation import Cancellation
from engine.images.registry.certificates import make_context
from engine.images.registry.connections import Adapter, Call

CONNECT_S, SILENCE_S = 20.0, 60.0
_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}")
_FILE_MODE = 0o600  # Docker's, for what comes from the network


class _Session(requests.Session):
    """Proxies are the environment's, and authorities the system's. The .netrc of whoever runs the engine is no business
    of those who write Dockerfiles: only a URL's own user and password are told, and only to its host.

    Redirects may lead no further inside than the server that was asked, since it is the engine's host that follows."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = _by_url
        self._reach: Reach | None = None
        adapter = Adapter(lambda place: make_context(None, None, True, requests.certs.where()))
        for scheme in ("http://", "https://"):
            self.mount(scheme, adapter)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """The first request, and by way of requests itself each that a redirect asks for. Raises Forbidden."""
        url = request.url = _bare(request.url or "")  # what it says of a user is in a header by now
        if self._reach is not None:
            check_reach(Place.of(url).host, self._reach, url)
        with Call(url, Cancellation(), self._reach) as call:
            self._following = call
            return super().send(request, **options)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        if self._following.reach is not None:  # else it went over the same connection, or to a proxy
            self._reach = self._following.reach
        return super().get_redirect_target(resp)

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        if self.should_strip_auth(response.request.url, prepared_request.url):
            prepared_request.headers.pop("Authorization", None)


def _by_url(request: requests.PreparedRequest) -> requests.PreparedRequest:
    user, password = requests.utils.get_auth_from_url(request.url or "")
    return requests.auth.HTTPBasicAuth(user, password)(request) if user else request


def download(
    url: str, folder: Path, checksum: str, limit_bytes: int, stop: threading.Event, *, name: str = ""
) -> str:
    """Bring what a server answers with into the folder. Answers with the file's name: ``name``, or the URL's last part.

    ``checksum`` is ``sha256:...`` or "". Raises InvalidArgument where the content isn't what is expected, Unavailable
    where the server doesn't give it, Forbidden where it leads further inside, Conflict where ``stop`` is set."""
    if checksum and not _CHECKSUM.fullmatch(checksum):
        raise InvalidArgument(f"invalid --checksum {checksum!r}: sha256:<64 hexadecimal digits> is expected")
    last = _last_part(url)
    name = name or last
    if name in ("", ".", "..") or "\0" in name or "/" in name:
        raise InvalidArgument(f"cannot determine filename from url: {_shown(url)}")
    path = folder / name
    try:
        with _Session() as session, session.get(url, stream=True, timeout=(CONNECT_S, SILENCE_S)) as answer:
            if answer.status_code != 200:
                said = f"{answer.status_code} {answer.reason or ''}".rstrip()
                raise Unavailable(f"{_shown(url)}: the server answers {said}")
            digest = _save(answer, path, limit_bytes, stop)
            modified = answer.headers.get("Last-Modified")
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, ValueError) as error:
        raise InvalidArgument(f"{_shown(url)}: {_reason(error)}") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise Unavailable(f"{_shown(url)}: {_reason(error)}") from error
    if checksum and digest != checksum:
        raise InvalidArgument(f"{_shown(url)} has the digest {digest} where {checksum} is expected")
    moment = _moment(modified)
    os.utime(path, (moment, moment))
    return name


def _save(answer: requests.Response, path: Path, limit_bytes: int, stop: threading.Event) -> str:
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        os.fchmod(file.fileno(), _FILE_MODE)
        while piece := answer.raw.read1(CHUNK_BYTES, decode_content=True):  # as it comes: a drip hides no stop
            if stop.is_set():
                raise Conflict("the build was stopped")
            size += len(piece)
            if size > limit_bytes:
                raise InvalidArgument(f"a file from the network is larger than {limit_bytes} bytes")
            digest.update(piece)
            file.write(piece)
    return f"sha256:{digest.hexdigest()}"


def _last_part(url: str) -> str:
    """Raises InvalidArgument."""
    try:
        return unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    except ValueError as error:
        raise InvalidArgument(f"invalid URL: {error}") from error  # itself not shown: it may hold a password


def _moment(modified: str | None) -> float:
    """Seconds since the epoch; the epoch where the server doesn't say, so that equal files make equal layers."""
    try:
        return max(0.0, parsedate_to_datetime(modified).timestamp()) if modified else 0.0
    except (TypeError, ValueError):
        return 0.0


def _bare(url: str) -> str:
    """Without user and password. Raises ValueError."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _shown(url: str) -> str:
    return _bare(url)[:200]


def _reason(error: Exception) -> str:
    """The innermost cause in a line."""
    inner: BaseException = error
    while inner.__cause__ or inner.__context__:
        inner = inner.__cause__ or inner.__context__ or inner
    return " ".join(str(inner).split())[:200] or type(error).__name__
