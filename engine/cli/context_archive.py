"""``docket context export`` and ``import``: Docker's archives (tar, zip) of ``meta.json`` and ``tls/docker/*.pem``."""

from __future__ import annotations

import io
import os

from engine.cli.command import Command
from engine.cli.contexts import exists, get, material, read_file
from engine.cli.flags import Options
from engine.cli.output import STDOUT, CommandError, err, out, write_all
from engine.cli.session import Session
from engine.client import jsontext
from engine.client.contexts import ENDPOINT, TLS_NAMES, Context, ContextStore, check_name, context_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any, Iterator

META = "meta.json"
SIZE_LIMIT_BYTES = 10 << 20
_TLS = f"tls/{ENDPOINT}/"


def write(file: IO[bytes], document: dict[str, Any], tls: dict[str, bytes]) -> None:
    """Private keys are among it: nobody else should read the file."""
    import tarfile

    with tarfile.open(fileobj=file, mode="w") as archive:
        _add(archive, META, jsontext.encode(document).encode(), 0o644)
        for folder in ("tls", f"tls/{ENDPOINT}") if tls else ():
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o700
            archive.addfile(entry)
        for name, data in tls.items():
            _add(archive, _TLS + name, data, 0o600)


def _add(archive: Any, name: str, data: bytes, mode: int) -> None:
    import tarfile

    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))


def read(data: bytes) -> tuple[Context, dict[str, bytes]]:
    """The context and its certificates; nothing is unpacked. Raises CommandError, ClientError."""
    if len(data) > SIZE_LIMIT_BYTES:
        raise CommandError(f"the archive is larger than {SIZE_LIMIT_BYTES >> 20} MiB: that is no context")
    members = dict(_zipped(data) if data.startswith(b"PK") else _tarred(data))
    if META not in members:
        raise CommandError("invalid context: no metadata found")
    tls = {name: members[_TLS + name] for name in TLS_NAMES if _TLS + name in members}
    return context_of(members[META], META), tls


def _tarred(data: bytes) -> Iterator[tuple[str, bytes]]:
    import tarfile

    whole = data + bytes(-len(data) % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)  # Docker's end after the last byte
    try:
        with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
            for entry in archive:
                if entry.isfile() and (file := archive.extractfile(entry)) is not None:
                    yield entry.name, file.read(SIZE_LIMIT_BYTES)
    except (tarfile.TarError, EOFError) as error:
        raise CommandError(f"the archive can't be read: {error}") from error


def _zipped(data: bytes) -> Iterator[tuple[str, bytes]]:
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist():
                if entry.file_size > SIZE_LIMIT_BYTES:
                    raise CommandError(f"{entry.filename} is larger than {SIZE_LIMIT_BYTES >> 20} MiB")
                yield entry.filename, archive.read(entry)
    except zipfile.BadZipFile as error:
        raise CommandError(f"the archive can't be read: {error}") from error


def export_context(session: Session, options: Options, arguments: list[str]) -> int:
    store, name = ContextStore(), arguments[0]
    context = get(session, store, check_name(name))
    path = arguments[1] if len(arguments) > 1 else f"{name}.dockercontext"
    if path == "-" and os.isatty(STDOUT):
        raise CommandError("cowardly refusing to export to a terminal, specify a file path")
    archive = io.BytesIO()
    write(archive, context.document(), material(store, name))
    if path == "-":
        write_all(STDOUT, archive.getvalue())
        return 0
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or str(error)).lower()}") from error
    with open(fd, "wb") as file:
        file.write(archive.getvalue())
    err(f'Written file "{path}"')
    return 0


def import_context(session: Session, options: Options, arguments: list[str]) -> int:
    store, name, path = ContextStore(), check_name(arguments[0]), arguments[1]
    if exists(store, name):
        raise CommandError(f'context "{name}" already exists')
    if path == "-":
        with open(0, "rb", closefd=False) as file:
            data = file.read(SIZE_LIMIT_BYTES + 1)
    else:
        data = read_file(path)
    context, tls = read(data)
    context.name = name
    store.put(context, tls)
    out(f"{name}\n")
    err(f'Successfully imported context "{name}"')
    return 0


EXPORT = Command(
    export_context,
    "CONTEXT [FILE|-]",
    least=1,
    most=2,
    examples="docket context export prod prod.tar\ndocket context export prod - | ssh far docket context import prod -",
)
IMPORT = Command(import_context, "CONTEXT FILE|-", least=2, most=2, examples="docket context import prod prod.tar")
