"""``--output``: the result of a build as files of the user's, instead of an image or beside it.

    -o DIR            type=local,dest=DIR       the files, in a folder
    -o -              type=tar,dest=-           an archive of the files on standard output
    type=tar,dest=FILE        type=oci,dest=FILE (or -)        type=docker[,dest=FILE]        type=image,name=NAME
"""

from __future__ import annotations

import os

from engine.cli.output import STDOUT, CommandError, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Callable, Iterator

_FIELDS = {
    "local": {"dest"}, "tar": {"dest"}, "oci": {"dest", "tar"}, "docker": {"dest", "tar", "name"},
    "image": {"name", "push"},
}  # fmt: skip
_STDOUT = "-"


class Output:
    """``archive`` is what the engine is asked for ("" for an image alone), ``names`` are names that the image gets."""

    def __init__(self, kind: str, fields: dict[str, str]) -> None:
        self.kind = kind
        self.dest = fields.get("dest", "")
        self.archive = {"local": "tar", "tar": "tar", "oci": "oci", "docker": "oci" if self.dest else ""}.get(kind, "")
        self.names = [name for name in fields.get("name", "").split(",") if name]

    @property
    def to_stdout(self) -> bool:
        return bool(self.archive) and self.dest == _STDOUT

    def prepare(self) -> None:
        """Refuse what can't end well before anything is built. Raises CommandError."""
        if self.to_stdout and os.isatty(STDOUT):
            raise CommandError("dest is required: an archive is not written to a terminal")
        folder = self.dest if self.kind == "local" else os.path.dirname(self.dest) or "."
        if self.kind != "local" and self.archive and not self.to_stdout and not os.path.isdir(folder):
            raise CommandError(f"the folder of the destination does not exist: {folder}")
        if self.kind == "local" and os.path.lexists(folder) and not os.path.isdir(folder):
            raise CommandError(f"destination {folder} is not a folder")

    def take(self, stream: IO[bytes]) -> None:
        """Write what comes to its place: a file appears there when it is whole. Raises OSError, CommandError."""
        if self.kind == "local":
            from engine.client.file_archive import unpack

            os.makedirs(self.dest, exist_ok=True)
            unpack(stream, self.dest)
            while stream.read(1 << 18):
                continue  # what follows the archive's end
        elif self.to_stdout:
            while piece := stream.read(1 << 18):
                write_all(STDOUT, piece)
        else:
            self._write_file(stream)

    def _write_file(self, stream: IO[bytes]) -> None:
        if os.path.lexists(self.dest) and not os.path.isfile(self.dest):
            with open(self.dest, "wb", buffering=0) as device:  # or a pipe: it stays what it is
                while piece := stream.read(1 << 18):
                    write_all(device.fileno(), piece)
            return
        target = os.path.realpath(self.dest)
        temporary = f"{target}.{os.getpid()}.tmp"
        try:
            with open(temporary, "xb") as file:
                while piece := stream.read(1 << 18):
                    file.write(piece)
            os.replace(temporary, target)
        except BaseException:
            if os.path.exists(temporary):
                os.unlink(temporary)
            raise


def parse_output(given: list[str]) -> Output | None:
    """None where none is given. Raises CommandError."""
    if not given:
        return None
    if len(given) > 1:
        raise CommandError("only one --output is supported")
    text = given[0]
    if text == _STDOUT:
        return Output("tar", {"dest": _STDOUT})
    if "=" not in text:
        return Output("local", {"dest": text})
    import csv

    fields: dict[str, str] = {}
    for part in next(csv.reader([text]), []):
        name, has_value, value = part.partition("=")
        if not has_value:
            raise CommandError(f"invalid value {part!r} of --output: NAME=VALUE is expected")
        fields[name.strip().lower()] = value
    kind = fields.pop("type", "")
    if kind not in _FIELDS:
        hint = ": push the image with docket push" if kind == "registry" else f": use {', '.join(_FIELDS)}"
        raise CommandError(f"--output type={kind} is not supported{hint}" if kind else "--output needs a type")
    _check(kind, fields)
    return Output(kind, fields)


def _check(kind: str, fields: dict[str, str]) -> None:
    if unknown := sorted(set(fields) - _FIELDS[kind]):
        raise CommandError(f"{unknown[0]}= is not supported with --output type={kind}")
    if fields.get("tar", "true") != "true":
        raise CommandError("tar=false is not supported: the layout is written as an archive")
    if fields.get("push", "false") != "false":
        raise CommandError("push=true is not supported: push the image with docket push")
    if kind in ("local", "tar", "oci") and not fields.get("dest"):
        if kind == "local":
            raise CommandError("dest is required for --output type=local")
        fields["dest"] = _STDOUT
    if kind == "local" and fields["dest"] == _STDOUT:
        raise CommandError("--output type=local needs a folder as dest")


class ArchiveStream:
    """The archive out of the engine's answer, as a file to read from; ``told`` gets the lines that come between."""

    def __init__(self, pieces: Iterator[tuple[int, bytes]], told: Callable[[bytes], None]) -> None:
        self._pieces = pieces
        self._told = told
        self._waiting = b""
        self._rest = b""
        self.ended = False

    def begins(self) -> bool:
        """Read up to the archive's first byte; False where the answer ends before it."""
        if not self._waiting:
            self._waiting = self._next()
        return bool(self._waiting)

    def read(self, size: int = -1) -> bytes:
        if not self.begins():
            return b""
        if size < 0:
            size = len(self._waiting)
        piece, self._waiting = self._waiting[:size], self._waiting[size:]
        return piece

    def _next(self) -> bytes:
        for stream, payload in self._pieces:
            if stream == STDOUT:
                return payload
            *lines, self._rest = (self._rest + payload).split(b"\n")
            for line in lines:
                if line.strip():
                    self._told(line.rstrip(b"\r"))
        self.ended = True
        return b""


def frames_of(pieces: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    from engine.client.framing import FrameReader

    reader = FrameReader()
    for piece in pieces:
        yield from reader.feed(piece)
