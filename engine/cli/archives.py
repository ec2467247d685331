"""Archives: ``docket import`` (a root file system), ``docket load`` and ``docket save`` (images)."""

from __future__ import annotations

import os

from engine.cli.command import Command
from engine.cli.flags import Options, listed, switch, text
from engine.cli.output import STDOUT, CommandError, write_all
from engine.cli.progress import show_progress
from engine.cli.references import new_tag, split_tag
from engine.cli.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

_PIECE_BYTES = 1 << 20
_STDIN = 0


def import_image(session: Session, options: Options, arguments: list[str]) -> int:
    source, reference = arguments[0], arguments[1] if len(arguments) > 1 else ""
    if reference:
        new_tag(reference)
    repository, tag = split_tag(reference)
    is_url = source.startswith(("http://", "https://"))
    query = {
        "fromSrc": source if is_url else "-",
        "repo": repository or None,
        "tag": tag or None,
        "message": options.message or None,
        "platform": options.platform or None,
    }
    changes = [("changes", change) for change in options.change]
    with _Source("" if is_url else source) as file:
        response = session.client.stream(
            "POST", "/images/create", query=[*query.items(), *changes], upload=() if is_url else file.pieces()
        )
        show_progress(response)
        response.close()
    return 0


def load_images(session: Session, options: Options, arguments: list[str]) -> int:
    if not options.input and os.isatty(_STDIN):
        raise CommandError("requested load from stdin, but stdin is empty")
    query = {"quiet": options.quiet or not os.isatty(1), "platform": options.platform or None}
    with _Source(options.input or "-") as file:
        response = session.client.stream("POST", "/images/load", query=query, upload=file.pieces())
        show_progress(response, quiet=options.quiet)
        response.close()
    return 0


def save_images(session: Session, options: Options, arguments: list[str]) -> int:
    """A file is written beside its name, and takes it when it is whole."""
    if not options.output and os.isatty(STDOUT):
        raise CommandError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    query = [*(("names", name) for name in arguments), ("platform", options.platform or None)]
    response = session.client.stream("GET", "/images/get", query=query)
    with Target(options.output) as fd:
        while piece := response.read_some():
            write_all(fd, piece)
    response.close()
    return 0


class Target:
    """A file to be written whole or not at all; standard output where no path is given."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._temporary = f"{path}.{os.getpid()}.tmp"
        self._fd = STDOUT

    def __enter__(self) -> int:
        if self._path:
            if os.path.exists(self._path) and not os.path.isfile(self._path):
                self._temporary = self._path  # a pipe or a device
            try:
                self._fd = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise CommandError(f"open {self._path}: {(error.strerror or '').lower()}") from error
        return self._fd

    def __exit__(self, kind: object, *exception: object) -> None:
        if self._fd == STDOUT:
            return
        os.close(self._fd)
        if self._temporary == self._path:
            return
        if kind is None:
            os.rename(self._temporary, self._path)
        else:
            os.unlink(self._temporary)


class _Source:
    """An archive to be sent: a file, "-" for standard input, "" for nothing."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = _STDIN

    def __enter__(self) -> _Source:
        if self._path not in ("", "-"):
            try:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise CommandError(f"open {self._path}: {(error.strerror or '').lower()}") from error
        return self

    def pieces(self) -> Iterator[bytes]:
        while True:
            try:
                piece = os.read(self._fd, _PIECE_BYTES)
            except OSError as error:
                raise CommandError(f"read {self._path}: {(error.strerror or '').lower()}") from error
            if not piece:
                return
            yield piece

    def __exit__(self, *exception: object) -> None:
        if self._fd != _STDIN:
            os.close(self._fd)


IMPORT = Command(
    import_image,
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    listed("-c, --change", "Apply Dockerfile instruction to the created image"),
    text("-m, --message", "Set commit message for imported image"),
    text("--platform", "Set platform if server is multi-platform capable"),
    least=1,
    most=2,
    examples="""
docket import rootfs.tar base
tar -C rootfs -c . | docket import -c 'CMD ["/bin/sh"]' - base:1
""",
)
LOAD = Command(
    load_images,
    "[OPTIONS]",
    text("-i, --input", "Read from tar archive file, instead of STDIN"),
    text("--platform", "Load only the given platform variant"),
    switch("-q, --quiet", "Suppress the load output"),
    most=0,
    examples="docket load -i saved.tar\nxz -dc saved.tar.xz | docket load",
)
SAVE = Command(
    save_images,
    "[OPTIONS] IMAGE [IMAGE...]",
    text("-o, --output", "Write to a file, instead of STDOUT"),
    text("--platform", "Save the images only if they are for this platform, as linux/arm64"),
    least=1,
    examples="docket save -o saved.tar base:1 web\ndocket save base | xz > base.tar.xz",
)
