"""Files of containers: diff, copy in both directions, export, and commit."""

from __future__ import annotations

import base64
import stat
from typing import Any

from engine.api.documents import encode
from engine.api.exchange import OK, Answer, Reply, Request, Stream, reply
from engine.api.router import Route
from engine.api.streams import byte_stream
from engine.api.times import rfc3339nano
from engine.domain.errors import InvalidArgument

TAR = "application/x-tar"
_KINDS = {"modified": 0, "added": 1, "deleted": 2}
_GO_MODES = (
    (stat.S_ISDIR, 1 << 31), (stat.S_ISLNK, 1 << 27), (stat.S_ISBLK, 1 << 26), (stat.S_ISFIFO, 1 << 25),
    (stat.S_ISSOCK, 1 << 24), (stat.S_ISCHR, 1 << 26 | 1 << 21),
)  # fmt: skip
_GO_BITS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


def changes(services: Any, request: Request) -> Answer:
    found = services.commits.changes(request.params[0])
    return reply([{"Path": path, "Kind": _KINDS[kind]} for path, kind in found] or None)


def export(services: Any, request: Request) -> Answer:
    return byte_stream(services.files.export(request.params[0], request.context), TAR)


def _stat_header(services: Any, request: Request) -> dict[str, str]:
    found = services.files.stat(request.params[0], request.text("path"))
    shown = {
        "name": found["name"], "size": found["size_bytes"], "mode": go_mode(found["mode"]),
        "mtime": rfc3339nano(found["mtime_ns"] // 1000), "linkTarget": found["link"],
    }  # fmt: skip
    return {"X-Docker-Container-Path-Stat": base64.b64encode(encode(shown).strip()).decode()}


def go_mode(mode: int) -> int:
    """st_mode in the bits of Go's os.FileMode, which Docker's header carries."""
    kinds = sum(bits for is_kind, bits in _GO_MODES if is_kind(mode))
    return mode & 0o777 | kinds | sum(bits for bit, bits in _GO_BITS if mode & bit)


def stat_archive(services: Any, request: Request) -> Answer:
    return Reply(200, headers=_stat_header(services, request))


def read_archive(services: Any, request: Request) -> Answer:
    headers = _stat_header(services, request)
    answer = byte_stream(services.files.read(request.params[0], request.text("path"), request.context), TAR)
    assert isinstance(answer, Stream)
    answer.headers = headers
    return answer


def write_archive(services: Any, request: Request) -> Answer:
    """Without ``copyUIDGID`` everything has the owners that the archive says, as in Docker."""
    services.files.write(
        request.params[0], request.text("path"), request.body, keep_kinds=request.flag("noOverwriteDirNonDir"),
        as_own_user=request.flag("copyUIDGID"), context=request.context,
    )  # fmt: skip
    return OK


def commit(services: Any, request: Request) -> Answer:
    """The body is Docker's ``Config``: what it says overrides the container's own."""
    container, repository, tag = request.text("container"), request.text("repo"), request.text("tag")
    if not container:
        raise InvalidArgument("no container named: give one in container")
    target = f"{repository}:{tag}" if repository and tag else repository
    image_id = services.commits.commit(
        container, target=target or None, config=request.json(required=False), changes=_instructions(request),
        author=request.text("author"), comment=request.text("comment"), pause=request.flag("pause", True),
        context=request.context,
    )  # fmt: skip
    return reply({"Id": image_id}, 201)


def _instructions(request: Request) -> list[str]:
    """One parameter an instruction, or several lines in one."""
    return [line for text in request.texts("changes") for line in text.splitlines() if line.strip()]


ROUTES: tuple[Route, ...] = (
    ("GET", "/containers/{*}/changes", changes),
    ("GET", "/containers/{*}/export", export),
    ("HEAD", "/containers/{*}/archive", stat_archive),
    ("GET", "/containers/{*}/archive", read_archive),
    ("PUT", "/containers/{*}/archive", write_archive),
    ("POST", "/commit", commit),
)
