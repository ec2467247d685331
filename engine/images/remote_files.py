"""A file from an http or https server, bounded and digested on the way (``ADD https://...`` in a Dockerfile)."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests
import requests.auth
import requests.utils

from engine.domain.errors import Conflict, InvalidArgument, Unavailable
from engine.images.content import CHUNK_BYTES

CONNECT_S, SILENCE_S = 20.0, 60.0
_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}")
_FILE_MODE = 0o600  # Docker's, for what comes from the network


class _Session(requests.Session):
    """Proxies and authorities are the environment's. The .netrc of whoever runs the engine is no business of those who
    write Dockerfiles: only a URL's own user and password are told, and only to its host."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = _by_url

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
    where the server doesn't give it, Conflict where ``stop`` is set meanwhile."""
    if checksum and not _CHECKSUM.fullmatch(checksum):
        raise InvalidArgument(f"invalid --checksum {checksum!r}: sha256:<64 hexadecimal digits> is expected")
    name = name or unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
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
    except (requests.RequestException, UnicodeError) as error:
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
        for piece in answer.iter_content(CHUNK_BYTES):
            if stop.is_set():
                raise Conflict("the build was stopped")
            size += len(piece)
            if size > limit_bytes:
                raise InvalidArgument(f"a file from the network is larger than {limit_bytes} bytes")
            digest.update(piece)
            file.write(piece)
    return f"sha256:{digest.hexdigest()}"


def _moment(modified: str | None) -> float:
    """Seconds since the epoch; the epoch where the server doesn't say, so that equal files make equal layers."""
    try:
        return max(0.0, parsedate_to_datetime(modified).timestamp()) if modified else 0.0
    except (TypeError, ValueError):
        return 0.0


def _shown(url: str) -> str:
    """Without user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()[:200]


def _reason(error: Exception) -> str:
    """The innermost cause in a line."""
    inner: BaseException = error
    while inner.__cause__ or inner.__context__:
        inner = inner.__cause__ or inner.__context__ or inner
    return " ".join(str(inner).split())[:200] or type(error).__name__
