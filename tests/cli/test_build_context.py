"""The context of a build: Docker's patterns, and what of a folder is read and sent."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from engine.cli.build_sources import Context, open_context
from engine.client import tar_header
from engine.client.build_context import ContextError, ContextFolder
from engine.client.dockerignore import Ignored, read_lines


@pytest.mark.parametrize(
    ("patterns", "ignored", "sent"),
    [
        (["node_modules"], ["node_modules", "node_modules/a/b"], ["a/node_modules", "node_modules2"]),
        (["/a", "./b", "c/"], ["a", "b", "c", "c/d"], ["d/a"]),
        (["*.o"], ["x.o"], ["a/x.o", "x.oo"]),
        (["**/*.o"], ["x.o", "a/x.o", "a/b/x.o"], ["x.c"]),
        (["*/temp*"], ["a/temp", "a/temporary/x"], ["temp", "a/b/temp"]),
        (["*/*/temp*"], ["a/b/tempx"], ["a/temp"]),
        (["temp?"], ["tempa"], ["temp", "temp/a"]),
        (["a/**"], ["a/b", "a/b/c"], ["a", "ab"]),
        (["a/**/b"], ["a/b", "a/x/b", "a/x/y/b"], ["a/xb/c"]),
        (["**"], ["a", "a/b"], []),
        (["*.md", "!README.md"], ["a.md"], ["README.md"]),
        (["*.md", "!README*.md", "README-secret.md"], ["a.md", "README-secret.md"], ["README-x.md"]),
        (["*.md", "README-secret.md", "!README*.md"], ["a.md"], ["README-secret.md"]),
        (["a", "!a/b"], ["a/c"], ["a/b", "a/b/c"]),
        (["*", "!src/**/*.py"], ["src/x.c", "b"], ["src/a.py", "src/x/y/a.py"]),
        (["[a-c].txt", "\\*.x"], ["a.txt", "*.x"], ["d.txt", "y.x"]),
        (["[^a].txt"], ["b.txt"], ["a.txt"]),
        (["a.b$"], ["a.b$"], ["axb$"]),
        (["# not a comment here"], ["# not a comment here"], []),
    ],
)  # fmt: skip
def test_patterns(patterns: list[str], ignored: list[str], sent: list[str]) -> None:
    chosen = Ignored(patterns)
    assert [path for path in ignored if not chosen.ignores(path)] == []
    assert [path for path in sent if chosen.ignores(path)] == []


def test_lines_of_a_file() -> None:
    assert read_lines(b"\xef\xbb\xbf# comment\n\n  a  \r\n #b\n!c\n") == ["a", "#b", "!c"]
    for bad in (["!"], ["[z-a]"]):
        with pytest.raises(ValueError):
            Ignored(bad)


def test_many_stars_take_no_exponential_time() -> None:
    for pattern in ("**/" * 30 + "x", "**/a/" * 30 + "x", "*a" * 30 + "b", "**/*a*a*a*b/" * 10 + "x"):
        assert not Ignored([pattern]).ignores("a/" * 200 + "a" * 500)
    assert Ignored(["**/a/**/b/*x*y*z"]).ignores("q/a/b/a/c/b/xxyyzz") and not Ignored(["**/a/**/b"]).ignores("a/c")


def sent_of(folder: ContextFolder) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(folder.pieces()))) as archive:
        return {member.name: member for member in archive.getmembers()}


def test_what_is_sent(tmp_path: Path) -> None:
    for name in ("a/b/c.txt", "a/d", "ignored/x", "ignored/kept/y", "Dockerfile", ".dockerignore"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    os.symlink("/etc/passwd", tmp_path / "a" / "link")
    os.mkfifo(tmp_path / "a" / "pipe")
    (tmp_path / "a/d").chmod(0o750)
    ignored = Ignored(["ignored", "!ignored/kept", "Dockerfile", ".dockerignore", "a/b"])
    folder = ContextFolder(str(tmp_path), ignored, frozenset({"Dockerfile", ".dockerignore"}), {"extra": b"more"})
    sent = sent_of(folder)
    assert list(sent) == [
        ".dockerignore", "Dockerfile", "a", "a/d", "a/link", "a/pipe", "ignored", "ignored/kept", "ignored/kept/y",
        "extra",
    ]  # fmt: skip
    assert sent["a/link"].issym() and sent["a/link"].linkname == "/etc/passwd" and sent["a/pipe"].isfifo()
    assert (sent["a/d"].mode, sent["a/d"].uid, sent["a/d"].gid, sent["a/d"].uname) == (0o750, 0, 0, "")
    assert folder.sent_bytes % 512 == 0


def test_what_is_compressed(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM base\n" * 1000)
    with open_context(str(tmp_path), "") as context:
        plain = b"".join(context.pieces())
        packed = b"".join(context.pieces(compress=True))
    assert gzip.decompress(packed) == plain and len(packed) < len(plain) // 2
    pieces = Context(lambda: iter([b"x"] * 1000), "x").pieces(compress=True)
    assert all(pieces), "an empty piece would end the request's body"
    assert b"".join(Context(lambda: iter([packed]), "x", is_compressed=True).pieces(compress=True)) == packed


def test_what_is_ignored_is_not_read(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    opened: list[str] = []
    real = os.open

    def watched(path: str, *arguments: object, **named: object) -> int:
        opened.append(str(path))
        return real(path, *arguments, **named)  # type: ignore[arg-type]

    (locked / "file").write_text("x")
    patch = pytest.MonkeyPatch()
    patch.setattr(os, "open", watched)
    try:
        assert sent_of(ContextFolder(str(tmp_path), Ignored(["locked"]))) == {}
    finally:
        patch.undo()
    assert opened == [str(tmp_path)]


def test_a_context_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ContextError, match="no such file"):
        list(ContextFolder(str(tmp_path / "absent"), Ignored([])).pieces())


@pytest.mark.parametrize(
    ("name", "link", "size"),
    [
        ("a", "", 0), ("d/", "", 0), ("p" * 90 + "/" + "n" * 90, "", 5), ("n" * 101, "", 5), ("é\udcff", "", 5),
        ("l", "t" * 101, 0), ("l", "\udce9", 0), ("big", "", 8**11), ("p" * 200 + "/n", "", 1), ("x" * 100, "", 1),
    ],
)  # fmt: skip
def test_headers_are_what_tarfile_reads(name: str, link: str, size: int) -> None:
    kind = tar_header.SYMLINK if link else tar_header.FOLDER if name.endswith("/") else tar_header.FILE
    records = {b"SCHILY.xattr.security.capability": b"\x01\x00\xff=\n"} if size == 5 else {}
    made = tar_header.header(
        os.fsencode(name), kind, size=size, mode=0o4755, mtime=12, link=os.fsencode(link), records=records
    )  # fmt: skip
    assert tar_header.is_header(made[:512]) and not tar_header.is_header(b"\1" + made[1:512])
    with tarfile.open(fileobj=io.BytesIO(made + bytes(1024)), errors="surrogateescape") as archive:
        member = archive.next()
    assert member is not None and (member.name, member.linkname, member.size) == (name.rstrip("/"), link, size)
    assert (member.mode, member.mtime, member.uid) == (0o4755, 12, 0)
    found = member.pax_headers.get("SCHILY.xattr.security.capability", "").encode("utf-8", "surrogateescape")
    assert found == records.get(b"SCHILY.xattr.security.capability", b"")
