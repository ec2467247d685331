"""Files of containers: cp in both directions, diff, export, commit; and containers that set traps for who copies."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from support.engine import Engine, base_config

pytestmark = [pytest.mark.kernel, pytest.mark.requires("root", "namespaces", "mounts", "overlay", "cgroups")]


def names(archive: bytes) -> list[str]:
    return tarfile.open(fileobj=io.BytesIO(archive)).getnames()


def archive_of(engine: Engine, reference: str, path: str) -> bytes:
    answer = engine.api("GET", f"/containers/{reference}/archive?path={path}")
    assert answer.status == 200, answer.body
    return answer.body


@pytest.fixture(params=["running", "stopped", "created"])
def web(engine: Engine, request: pytest.FixtureRequest) -> str:
    """A container with a volume, in each status in which files can be copied."""
    engine.docket("create", "--network", "none", "--name", "web", "-v", "data:/data", "base", "sleep", "1000")
    if request.param != "created":
        engine.docket("start", "web")
    if request.param == "stopped":
        engine.docket("stop", "-t", "0", "web")
    return "web"


def test_files_and_folders_go_in_and_come_out_the_same(engine: Engine, web: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "file").write_bytes(os.urandom(300_000))
    os.link(source / "sub" / "file", source / "second")
    (source / "link").symlink_to("sub/file")
    (source / "sub").chmod(0o710)
    os.chown(source / "sub" / "file", 1234, 5678)
    for target in ("/tmp", "/data"):
        engine.docket("cp", str(source), f"web:{target}/copied")
        engine.docket("cp", "-a", f"web:{target}/copied", str(tmp_path / f"back{target.replace('/', '-')}"))
    for back in (tmp_path / "back-tmp", tmp_path / "back-data"):
        compared = subprocess.run(["diff", "-r", "--no-dereference", source, back], capture_output=True, check=False)
        assert compared.returncode == 0, compared.stdout
        found = (back / "sub" / "file").stat()
        assert (found.st_uid, found.st_gid, found.st_nlink) == (1234, 5678, 2)
        assert (back / "sub").stat().st_mode & 0o777 == 0o710
        assert os.readlink(back / "link") == "sub/file"


def test_the_rules_of_cp(engine: Engine, web: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f").write_text("f")
    (tmp_path / "one").write_text("1")
    engine.docket("cp", str(tmp_path / "one"), "web:/tmp")  # into a folder
    engine.docket("cp", str(tmp_path / "one"), "web:/tmp/two")  # under another name
    engine.docket("cp", str(tmp_path / "a"), "web:/tmp")  # a folder into a folder
    engine.docket("cp", str(tmp_path / "a") + "/.", "web:/tmp")  # what is in it
    assert sorted(names(archive_of(engine, "web", "/tmp/."))) == [".", "./a", "./a/f", "./f", "./one", "./two"]
    engine.docket("cp", "web:/tmp/two", str(tmp_path / "a"))
    engine.docket("cp", "web:/tmp/a", str(tmp_path / "fresh"))
    engine.docket("cp", "web:/tmp/a/.", str(tmp_path / "contents"))
    assert (tmp_path / "a" / "two").read_text() == "1"
    assert [path.name for path in (tmp_path / "fresh").iterdir()] == ["f"]
    assert [path.name for path in (tmp_path / "contents").iterdir()] == ["f"]
    stream = engine.docket("cp", "web:/tmp/a", "-").stdout
    assert names(stream.encode()) == ["a", "a/f"]
    (tmp_path / "link").symlink_to("/tmp/two")
    engine.docket("cp", str(tmp_path / "link"), "web:/tmp")
    engine.docket("cp", "-L", "web:/tmp/link", str(tmp_path / "fresh"))
    assert (tmp_path / "fresh" / "link").read_text() == "1"  # what it leads to, by the name that was asked for


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["web:/nope", "x"], "Could not find the file /nope in container"),
        (["/no/such", "web:/tmp"], "lstat /no/such: no such file or directory"),
        (["/etc/hostname", "web:/nodir/"], "no such directory"),
        (["/etc/hostname", "web:/nodir/x"], "Could not find the file /nodir in container"),
        (["/etc", "web:/etc/passwd"], "cannot copy directory"),
        (["web:/etc", "/etc/hostname"], "cannot copy directory"),
        (["web:/etc/passwd", "/no/such/place"], 'directory "/no/such" does not exist'),
        (["web:/a", "web:/b"], "copying between containers is not supported"),
        (["a", "b"], "must specify at least one container source"),
        (["absent:/a", "b"], "No such container: absent"),
    ],
)
def test_what_can_not_be_copied(engine: Engine, arguments: list[str], words: str) -> None:
    engine.docket("create", "--name", "web", "--network", "none", "base", "true")
    assert words in engine.refused("cp", *arguments)


def test_links_of_a_container_lead_nowhere_on_the_host(engine: Engine, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("of the host")
    script = f"mkdir -p /trap && ln -s {secret} /trap/out && ln -s {'../' * 30}{str(secret)[1:]} /trap/up; sleep 1000"
    engine.run("-d", "--name", "web", "base", "sh", "-c", script)
    (tmp_path / "new").write_text("x")
    for link in ("out", "up"):
        assert engine.api("GET", f"/containers/web/archive?path=/trap/{link}/key").status == 404
        engine.docket("cp", str(tmp_path / "new"), f"web:/trap/{link}/new", check=False)
    assert [path.name for path in secret.iterdir()] == ["key"]


@pytest.mark.parametrize(
    "member", ["../escaped", "/../escaped", "link/escaped", "a/../../escaped"], ids=["up", "root", "link", "middle"]
)
def test_archives_do_not_leave_the_root(engine: Engine, tmp_path: Path, member: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo(member))
    engine.run("-d", "--name", "web", "base", "sleep", "1000")
    headers = {"Content-Type": "application/x-tar"}
    answer = engine.api("PUT", "/containers/web/archive?path=/tmp", buffer.getvalue(), **headers)
    assert answer.status in (400, 404), answer.body
    assert list(outside.iterdir()) == []


def test_a_read_only_root_and_volume(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    engine.run("-d", "--name", "web", "--read-only", "-v", "data:/data", "-v", "other:/ro:ro", "base", "sleep", "1000")
    for _ in range(2):
        assert "marked read-only" in engine.refused("cp", str(tmp_path / "x"), "web:/root")
        assert "marked read-only" in engine.refused("cp", str(tmp_path / "x"), "web:/ro")
        engine.docket("cp", str(tmp_path / "x"), "web:/data")
        engine.docket("stop", "-t", "0", "web", check=False)


def test_what_was_copied_is_on_record_and_told(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    engine.docket("create", "--name", "web", "--network", "none", "base", "true")
    engine.docket("cp", str(tmp_path / "x"), "web:/tmp")
    engine.docket("cp", "web:/etc/passwd", str(tmp_path))
    engine.docket("export", "-o", str(tmp_path / "out.tar"), "web")
    facts = [event["data"] for event in engine.trail("web") if event["type"] == "container.files_accessed"]
    assert [(fact["access"], fact["path"]) for fact in facts] == [
        ("write", "/tmp"), ("read", "/etc/passwd"), ("export", "/")
    ]  # fmt: skip
    told = engine.docket("events", "--since", "1m", "--until", "0s", "--filter", "container=web").stdout
    assert all(word in told for word in ("extract-to-dir", "archive-path", "export"))


def test_export_is_the_root_without_what_is_mounted(engine: Engine, tmp_path: Path) -> None:
    engine.run("-d", "--name", "web", "-v", "data:/data", "--tmpfs", "/scratch", "base", "sh", "-c",
               "touch /data/v /scratch/t /mine; exec sleep 1000")  # fmt: skip
    engine.docket("exec", "web", "test", "-e", "/mine")
    exported = set(names(engine.api("GET", "/containers/web/export").body))
    assert {"mine", "data", "etc/passwd", "proc"} <= exported
    assert not {"data/v", "scratch/t", "proc/1", "sys/kernel", "dev/null"} & exported
    engine.docket("stop", "-t", "0", "web")
    assert set(names(engine.api("GET", "/containers/web/export").body)) == exported


def test_diff_and_commit(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "-e", "A=b", "--label", "l=m", "base", "sh", "-c",
               "echo new > /tmp/new; rm /etc/group; mkdir /made; chmod 700 /root; exec sleep 1000")  # fmt: skip
    engine.docket("exec", "web", "test", "-e", "/made")
    expected = {"C /tmp", "A /tmp/new", "C /etc", "D /etc/group", "A /made", "C /root"}
    assert set(engine.docket("diff", "web").stdout.splitlines()) == expected
    assert set(engine.docker("diff", "web").stdout.splitlines()) == expected
    image = engine.docket("commit", "-a", "me", "-m", "why", "-c", "ENV C=d", "-c", 'CMD ["cat", "/tmp/new"]', "web",
                          "mine:1").stdout.strip()  # fmt: skip
    found = engine.inspect("mine:1")
    assert found["Id"] == image and found["Author"] == "me"
    assert {"A=b", "C=d"} <= set(found["Config"]["Env"]) and found["Config"]["Labels"] == {"l": "m"}
    assert engine.run("--rm", "mine:1") == "new\n"
    assert engine.run("--rm", "mine:1", "sh", "-c", "test -e /etc/group || stat -c %a /root") == "700\n"
    assert engine.docket("history", "--format", "{{.Comment}}", "mine:1").stdout.splitlines()[0] == "why"
    assert engine.event_types("web").count("container.paused") == 1
    assert engine.docker("commit", "--pause=false", "web", "two").stdout.startswith("sha256:")
    assert engine.event_types("web").count("container.paused") == 1
    told = engine.docket("events", "--since", "1m", "--until", "0s", "--filter", "event=commit").stdout
    assert told.count("container commit ") == 2 and "name=web" in told
    engine.docket("rm", "-f", "web")
    engine.docket("rmi", "mine:1", "two")


def test_a_container_that_changed_nothing(engine: Engine) -> None:
    engine.docket("create", "--name", "idle", "--network", "none", "base", "true")
    engine.run("--name", "ran", "base", "true")
    upper = engine.root / "containers" / engine.inspect("ran")["Id"] / "upper"
    assert not list(upper.iterdir()), "not even what the engine mounts on"
    for name in ("idle", "ran"):
        assert engine.docket("diff", name).stdout == ""
        engine.docket("commit", "-c", "LABEL x=y", name, f"{name}:1")
        layers: Any = engine.inspect(f"{name}:1")["RootFS"]["Layers"]
        assert layers == engine.inspect("base")["RootFS"]["Layers"], "no layer for no change"
        engine.docket("rmi", f"{name}:1")


def test_the_docker_client_copies_both_ways(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "f").write_text("content")
    engine.run("-d", "--name", "web", "base", "sleep", "1000")
    engine.docker("cp", str(tmp_path / "dir"), "web:/tmp/there")
    assert engine.docker("exec", "web", "cat", "/tmp/there/f").stdout == "content"
    engine.docker("cp", "web:/tmp/there", str(tmp_path / "back"))
    assert (tmp_path / "back" / "f").read_text() == "content"
    assert engine.docker("cp", "web:/nope", "x", check=False).returncode == 1


def test_removing_waits_for_who_copies_out_of_a_stopped_container(engine: Engine) -> None:
    engine.run("--name", "ran", "base", "sh", "-c", "head -c 30000000 /dev/zero > /big")
    reader = engine.spawn("cp", "ran:/big", "-")
    assert reader.stdout is not None
    engine.docket("rm", "ran")
    assert reader.wait(30) in (0, 1)
    reader.communicate()
    body = base_config("true")
    assert engine.api("POST", "/containers/create?name=ran", body).status == 201
