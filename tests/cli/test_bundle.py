"""A container as a bundle: what comes from the engine stays in its folder."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from engine.cli import bundle
from engine.cli.output import CommandError


class Answer:
    """The body of an answer, in one piece."""

    def __init__(self, *members: tuple[str, bytes, str, bytes]) -> None:
        """Name, type, target of a link, and content of each."""
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as archive:
            for name, kind, target, content in members:
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname, entry.size = kind, target, len(content)
                archive.addfile(entry, io.BytesIO(content))
        self.pieces = [file.getvalue()]

    def read_some(self) -> bytes:
        return self.pieces.pop() if self.pieces else b""


@pytest.mark.parametrize("second", [
    ("a", tarfile.REGTYPE, "", b"evil"), ("a", tarfile.DIRTYPE, "", b""), ("a/b", tarfile.REGTYPE, "", b"evil"),
    ("../b", tarfile.REGTYPE, "", b"evil"), ("b", tarfile.LNKTYPE, "../outside", b""),
])  # fmt: skip
def test_nothing_is_written_through_a_link(tmp_path: Path, second: Any) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    answer = Answer(("a", tarfile.SYMTYPE, str(outside), b""), second)
    with pytest.raises(CommandError):
        bundle._unpack(answer, str(root))  # type: ignore[arg-type]
    assert not list(outside.iterdir()) and sorted(path.name for path in tmp_path.iterdir()) == ["outside", "root"]
    assert outside.stat().st_mode & 0o777 == 0o755


def test_folders_may_come_before_and_after_what_is_in_them(tmp_path: Path) -> None:
    answer = Answer(("d/f", tarfile.REGTYPE, "", b"1"), ("d", tarfile.DIRTYPE, "", b""))
    bundle._unpack(answer, str(tmp_path))  # type: ignore[arg-type]
    assert (tmp_path / "d/f").read_bytes() == b"1"
