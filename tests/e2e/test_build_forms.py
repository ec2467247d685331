"""``docket build``, further: what a key must hold, where COPY leads, sources from git, outputs, caches of elsewhere."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import tarfile
import time
import urllib.parse
from pathlib import Path
from typing import Any, Iterator

import pytest

from engine.builder.jobs import receive_context
from engine.domain.errors import InvalidArgument
from support.builds import build, context_of, inside, nothing_is_left, served
from support.engine import Engine
from support.waiting import eventually

pytestmark = pytest.mark.kernel


def test_what_a_step_has_mounted_counts(engine: Engine, tmp_path: Path) -> None:
    """A step that reads a mounted file depends on what is in it, of the context and of another stage."""
    text = (
        "FROM base AS made\nCOPY one /d/one\nCOPY two /d/two\nFROM base\n"
        "RUN --mount=type=bind,source=src,target=/s cat /s/file > /a\n"
        "RUN --mount=type=bind,from=made,source=/d/one,target=/s cat /s > /b\n"
    )
    files = {"src__file": "1", "one": "1", "two": "1"}
    folder = context_of(tmp_path, text, **files)
    build(engine, "-t", "bound", folder)
    assert build(engine, "-t", "bound", folder).count("CACHED") == 4
    (tmp_path / "src/file").write_text("2")
    said = build(engine, "--explain", "-t", "bound", folder)
    assert inside(engine, "bound", "cat /a /b") == "21" and "not cached: src/file changed" in said, said
    (tmp_path / "one").write_text("3")
    build(engine, "-t", "bound", folder)
    assert inside(engine, "bound", "cat /a /b") == "23"
    (tmp_path / "two").write_text("3")  # beside what is mounted
    assert build(engine, "-t", "bound", folder).count("CACHED") == 3


def test_a_trigger_may_copy_from_a_stage_that_nothing_else_needs(engine: Engine, tmp_path: Path) -> None:
    build(engine, "-t", "onbuild", context_of(tmp_path, "FROM base\nONBUILD COPY --from=maker /x /y\n"))
    context_of(tmp_path, "FROM base AS maker\nRUN echo made > /x\nFROM base AS unneeded\nRUN exit 9\nFROM onbuild\n")
    build(engine, "-t", "triggered", str(tmp_path))
    assert inside(engine, "triggered", "cat /y") == "made\n"


def test_a_deep_tree(engine: Engine, tmp_path: Path) -> None:
    """COPY, and a RUN that leaves one, go as deep as paths do; a folder may have the name of an ignored file."""
    deep = "/".join(["d"] * 520)
    folder = context_of(tmp_path, f"FROM base\nCOPY tree /tree\nRUN mkdir -p /{deep} && echo made > /{deep}/f\n")
    (tmp_path / "tree" / deep).mkdir(parents=True)
    (tmp_path / "tree" / deep / "f").write_text("copied\n")
    (tmp_path / "Dockerfile.dockerignore").write_text(".dockerignore\n")
    (tmp_path / ".dockerignore").mkdir()
    build(engine, "-t", "deep", folder)
    assert inside(engine, "deep", f"cat /tree/{deep}/f /{deep}/f") == "copied\nmade\n"


def test_what_is_kept_of_a_build_can_be_looked_into(engine: Engine) -> None:
    """With ``--rm=false``: the containers of steps that went well, and of the one that didn't."""
    text = "FROM base\nRUN echo one > /x\nRUN echo two >> /x; exit 3\n"
    assert engine.docket("build", "--rm=false", "--no-cache", "-", input=text, check=False).returncode == 3
    failed, *others = engine.docket("ps", "-aq").stdout.split()
    engine.docket("builder", "prune", "-f")
    engine.docket("commit", failed, "inspected")
    assert inside(engine, "inspected", "cat /x") == "one\ntwo\n" and len(others) == 1
    engine.docket("container", "prune", "-f")
    assert nothing_is_left(engine)


def test_named_contexts(engine: Engine, tmp_path: Path) -> None:
    """A folder and an image beside the context, for --from, mounts and FROM; what is changed there is noticed."""
    text = (
        "FROM tools\nCOPY --from=lib sub/a /a\nRUN --mount=type=bind,from=lib,target=/m ls -A /m > /seen\n"
        "COPY --from=other /etc/os-release /b\n"
    )
    folder, lib = context_of(tmp_path / "main", text), tmp_path / "lib"
    (lib / "sub").mkdir(parents=True)
    for name, content in (("sub/a", "1\n"), ("skipped", ""), (".dockerignore", "skipped")):
        (lib / name).write_text(content)
    images = [f"--build-context={name}=docker-image://base" for name in ("tools", "other")]
    for content in ("1\n", "2\n"):
        (lib / "sub/a").write_text(content)
        build(engine, "-t", "named", *images, f"--build-context=lib={lib}", folder)
        assert inside(engine, "named", "cat /a /seen /b") == f"{content}.dockerignore\nsub\nID=test\n"
    refused = engine.refused("build", "--build-context", "lib=/nowhere", folder)
    assert refused == 'unable to prepare context lib: path "/nowhere" not found'


def test_where_copy_leads(engine: Engine, tmp_path: Path) -> None:
    """A link to a folder stays a link; one that leads to nothing gets what it leads to; no folder takes a file's place.
    """
    text = (
        "FROM base\nRUN mkdir /real && ln -s real /l && ln -s /run/none /dangling && echo file > /f\n"
        "WORKDIR /linked\nCOPY --link f .\nCOPY f /new/.\n"
    )
    files = {"tree__l__x": "1", "f": "2"}
    folder = context_of(tmp_path, f"{text}COPY f /dangling/deep/\nCOPY f /l/\nWORKDIR /dangling/w\n", **files)
    build(engine, "-t", "leads", folder)
    script = "cat /run/none/deep/f /real/f /linked/f /new/f; ls -d /run/none/w; readlink /l; readlink /dangling"
    assert inside(engine, "leads", script) == "2222/run/none/w\nreal\n/run/none\n"
    context_of(tmp_path, "FROM base\nWORKDIR /app\nCOPY *.json /app\n", **{"a.json": "1", "b.json": "2"})
    build(engine, "-t", "leads", folder)  # several sources, no slash: the folder is there
    assert inside(engine, "leads", "cat /app/a.json /app/b.json") == "12"
    for line, message in (
        ("COPY *.json /not-there", "must be a directory"), ("COPY none*.json /app/", "no source files were found"),
        ("COPY tree /", "cannot copy to non-directory: /l"), ("COPY tree/l /f", "/f is not a directory"),
        ("RUN ln -s b /a && ln -s a /b\nCOPY f /a/", "Too many levels of symbolic links"),
    ):  # fmt: skip
        context_of(tmp_path, f"{text}{line}\n")
        assert message in engine.docket("build", "--network", "none", folder, check=False).stderr


def test_a_character_that_is_written_in_two_pieces(engine: Engine, tmp_path: Path) -> None:
    folder = context_of(tmp_path, "FROM base\nRUN printf 'h\\303'; sleep 0.1; printf '\\244\\n'\n")
    assert "hä\n" in build(engine, folder)


def test_arguments_of_a_stage_are_those_of_its_children(engine: Engine, tmp_path: Path) -> None:
    text = "FROM base AS one\nARG X=1\nARG HTTP_PROXY\nFROM one\nRUN echo $X > /x\nFROM base\nCOPY --from=1 /x /\n"
    text += "RUN echo $X >> /x\n"
    folder = context_of(tmp_path, text)
    said = build(engine, "--build-arg", "X=2", "--build-arg", "Y=3", "--build-arg", "no_proxy=x", "-t", "args", folder)
    assert inside(engine, "args", "cat /x") == "2\n\n"
    assert "[Warning] One or more build-args [Y] were not consumed\n" in said


def test_a_prune_leaves_what_a_build_stands_on(engine: Engine, tmp_path: Path) -> None:
    folder = context_of(tmp_path, "FROM base\nRUN echo 1 > /1\nRUN echo 2 > /2; echo up; sleep 1.5\nRUN cat /1 /2\n")
    client = engine.spawn("build", "--network", "none", "-t", "stands", folder)
    assert client.stdout is not None
    assert any(line == "up\n" for line in client.stdout)
    engine.docket("builder", "prune", "-f")
    client.communicate()
    assert client.returncode == 0 and inside(engine, "stands", "cat /1 /2") == "1\n2\n"


def test_equal_steps_of_two_stages_run_once(engine: Engine, tmp_path: Path) -> None:
    step = "RUN head -c 8 /dev/urandom > /id; sleep 0.3\n"
    text = f"FROM base AS a\n{step}FROM base AS b\n{step}FROM a\nCOPY --from=b /id /other\n"
    said = build(engine, "-t", "once", context_of(tmp_path, text))
    assert said.count("Running in") == 1 and inside(engine, "once", "cmp /id /other && echo same") == "same\n"


def test_a_dockerfile_in_small_letters(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "dockerfile").write_text("FROM base\nENV A=1\n")
    build(engine, "-t", "small", str(tmp_path))


def test_a_dockerfile_from_outside_is_called_as_it_was_typed(engine: Engine, tmp_path: Path) -> None:
    context, file = tmp_path / "context", tmp_path / "Outside"
    context.mkdir()
    for text, message in (("FROM base\nNONSENSE\n", "unknown instruction"), ("FROM base\nRUN false\n", "returned")):
        file.write_text(text)
        for name, given in ((str(file), {}), ("-", {"input": text})):
            done = engine.docket("build", "-q", "-f", name, str(context), check=False, **given)
            assert f"{name}:2: " in done.stderr and message in done.stderr and ".dockerfile." not in done.stderr


def test_a_compressed_context(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM base\nCOPY file /file\n")
    (tmp_path / "file").write_text("said\n" * 10000)
    (tmp_path / "random").write_bytes(os.urandom(3_000_000))
    for number in range(50):
        (tmp_path / f"small{number}").write_text("x")
    build(engine, "--compress", "-t", "packed", str(tmp_path))
    assert inside(engine, "packed", "wc -l < /file") == "10000\n"


# --- what comes out, and caches of elsewhere ---


def test_outputs(engine: Engine, tmp_path: Path) -> None:
    text = "FROM base AS one\nRUN mkdir /o && echo x > /o/f && ln -s f /o/l && chmod 751 /o/f\n"
    text += "FROM scratch\nCOPY --from=one /o /\n"
    folder = context_of(tmp_path / "c", text)
    images = engine.docket("images", "-aq").stdout
    build(engine, "-o", str(tmp_path / "out"), folder)
    there = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in there] == ["f", "l"] and there[0].stat().st_mode & 0o777 == 0o751
    assert there[1].readlink() == Path("f") and there[1].read_text() == "x\n"
    archive = engine.docket("build", "--network", "none", "-o", "-", folder)
    assert "f\0" in archive.stdout and "CACHED" in archive.stderr
    build(engine, "--output", f"type=oci,dest={tmp_path / 'o.tar'}", folder)
    assert engine.docket("images", "-aq").stdout == images
    loaded = engine.docket("load", "-i", str(tmp_path / "o.tar")).stdout
    build(engine, "-t", "out:1", "-o", f"type=tar,dest={tmp_path / 't.tar'}", folder)
    assert engine.inspect("out:1")["Id"] in loaded and tarfile.open(tmp_path / "t.tar").getnames() == ["f", "l"]
    context_of(tmp_path / "c", f"{text}COPY absent /\n")
    failed = engine.docket("build", "-q", "-o", f"type=tar,dest={tmp_path / 'no.tar'}", folder, check=False)
    assert failed.returncode == 1 and "file not found" in failed.stderr and not failed.stdout
    assert not list(tmp_path.glob("no.tar*")) and nothing_is_left(engine)


def test_a_linked_layer_is_the_same_on_any_base(engine: Engine, tmp_path: Path) -> None:
    rest = "COPY --link --chown=3:4 f /tmp/d/\nRUN cat /tmp/d/f\n"
    folder = context_of(tmp_path, f"FROM base\nRUN echo 1 > /1\n{rest}", f="x")
    build(engine, "-t", "linked", folder)
    first = engine.inspect("linked")["RootFS"]["Layers"]
    context_of(tmp_path, f"FROM base\nRUN echo 2 > /1\n{rest}")
    assert build(engine, "-t", "linked:2", folder).count("CACHED") == 1
    second = engine.inspect("linked:2")["RootFS"]["Layers"]
    assert first[-1] == second[-1] and first[1] != second[1]
    assert inside(engine, "linked:2", "cat /1 /tmp/d/f; stat -c %u:%g /tmp/d/f") == "2\nx3:4\n"
    before = set((engine.root / "layers").iterdir())
    context_of(tmp_path, f"FROM base\nRUN echo 3 > /1\n{rest}RUN exit 3\n".replace("RUN cat /tmp/d/f\n", ""))
    assert engine.docket("build", "--network", "none", folder, check=False).returncode == 3
    eventually(lambda: len({*(engine.root / "layers").iterdir()} - before) == 1, what="only a cached layer is left")
    context_of(tmp_path, "FROM base\nCOPY --link --chown=root f /\n")
    assert "use numbers" in engine.docket("build", folder, check=False).stderr


def test_steps_of_an_image_from_elsewhere(engine: Engine, tmp_path: Path) -> None:
    """Its layers are used where it says what they depended on and they lie on the same; else the reason is said."""
    text = "FROM base\nRUN head -c 8 /dev/urandom > /id\nCOPY f /f\n"
    folder = context_of(tmp_path / "c", text, f="x")
    build(engine, "--cache-to", "type=inline", "-t", "elsewhere", folder)
    layers = engine.inspect("elsewhere")["RootFS"]["Layers"]
    saved = engine.docket("save", "-o", str(tmp_path / "saved.tar"), "elsewhere")
    engine.docket("rmi", "elsewhere")
    engine.docket("builder", "prune", "-f")
    engine.docket("load", "-i", str(tmp_path / "saved.tar"))
    assert saved.returncode == 0
    said = build(engine, "--cache-from", "elsewhere", "--cache-from", "base", "-t", "again", folder)
    assert said.count("CACHED") == 2 and said.count("---> from elsewhere") == 2
    assert engine.inspect("again")["RootFS"]["Layers"] == layers
    assert "--cache-from base: not used: the image doesn't say" in said
    engine.docket("rmi", "again")
    without = build(engine, "-t", "without", folder)
    assert "CACHED" not in without  # nothing that an image says outlives the build that asked for it
    missing = engine.docket("build", "--cache-from", "127.0.0.1:1/none", "--network", "none", folder).stdout
    assert "[Warning] --cache-from 127.0.0.1:1/none: not used: " in missing and "CACHED" in missing


# --- git, and the network ---


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The URL of a repository with a branch, a tag and a folder, and where its working tree is."""
    home = tmp_path_factory.mktemp("git")
    tree = home / "project.git"
    commit(tree, "first", a="1", sub__Dockerfile="FROM base\nCOPY b /b\nCOPY --from=base /etc/passwd /p\n", sub__b="2")
    git(tree, "tag", "-a", "-m", "x", "v1")
    os.symlink("/etc", tree / "leads-out")
    os.symlink("/etc/hostname", tree / "Linked")
    commit(tree, "second", a="2", Dockerfile="FROM base\nCOPY a /a\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        ["git", "daemon", "--export-all", "--listen=127.0.0.1", f"--port={port}", f"--base-path={home}"],
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    url = f"git://127.0.0.1:{port}/project.git"
    asked = ["git", "ls-remote", url]
    eventually(lambda: subprocess.run(asked, capture_output=True, check=False).returncode == 0, what="git serves")
    yield url, tree
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def git(tree: Path, *words: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@e"]
    return subprocess.run(["git", "-C", tree, *who, *words], check=True, capture_output=True, text=True).stdout.strip()


def commit(tree: Path, message: str, **files: str) -> None:
    for name, content in files.items():
        path = tree / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    git(tree, "init", "-q", "-b", "main")
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", message)


@pytest.mark.requires("git")
def test_contexts_from_git(engine: Engine, repository: tuple[str, Path], tmp_path: Path) -> None:
    url, tree = repository
    build(engine, "-t", "g", url)
    assert inside(engine, "g", "cat /a") == "2"
    build(engine, "-t", "g", f"{url}#v1:sub")
    assert inside(engine, "g", "cat /b") == "2"
    build(engine, "-t", "g", "-f", "Dockerfile", f"{url}#{git(tree, 'rev-parse', '--short', 'HEAD')}:sub")
    answer = engine.api("POST", f"/build?networkmode=none&remote={url}%23main&t=remote")
    assert b"Successfully tagged remote" in answer.body and inside(engine, "remote", "cat /a") == "2"
    (tmp_path / "t").mkdir()
    kept = engine.docket("build", "-f", "absent", url, check=False, environment={"TMPDIR": str(tmp_path / "t")})
    assert kept.returncode == 1 and "absent: no such file" in kept.stderr and not list((tmp_path / "t").iterdir())
    assert "Linked of git://" in (told := engine.refused("build", "-f", "Linked", url)) and "leads out of" in told
    for fragment, message in (
        ("main:../..", "lies outside"), ("main:leads-out", "lies outside"), ("main:.git", "lies outside"),
        ("none", "couldn't find remote ref none"), ("--upload-pack=x", "invalid git revision"),
        ("main:absent", "has no folder"),
    ):  # fmt: skip
        assert message in engine.refused("build", f"{url}#{fragment}")


@pytest.mark.requires("git")
def test_add_of_git_repositories(engine: Engine, repository: tuple[str, Path], tmp_path: Path) -> None:
    url, tree = repository
    head = git(tree, "rev-parse", "HEAD")
    text = (
        f"FROM base\nADD --chown=5:6 {url}#v1 /one/\nADD --keep-git-dir --checksum={head} {url}#main /two\n"
        f"ADD {url}#main:sub {url}#v1 /three/\n"
    )
    folder = context_of(tmp_path, text)
    build(engine, "-t", "added", folder)
    script = "cat /one/a /two/a /three/a /three/b; stat -c %u:%g /one/a; ls -d /one/.git || cat /two/.git/HEAD"
    assert inside(engine, "added", script) == f"12125:6\n{head}\n"
    assert build(engine, "-t", "added", folder).count("CACHED") == 3
    context_of(tmp_path, f"FROM base\nADD --checksum={'0' * 40} {url} /x\n")
    assert f"is at commit {head}" in engine.docket("build", folder, check=False).stderr


def test_contexts_that_the_engine_fetches(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/Alone").write_text("FROM base\nRUN echo alone > /a\n")
    with tarfile.open(tmp_path / "s/context", "w:gz") as archive:
        archive.add(context_of(tmp_path / "c", "FROM base\nCOPY f /f\n", f="x"), ".")
    with served(tmp_path / "s") as url:
        build(engine, "-t", "fetched", f"{url}/Alone")
        assert inside(engine, "fetched", "cat /a") == "alone\n"
        build(engine, "-t", "fetched", f"{url}/context")
        assert inside(engine, "fetched", "cat /f") == "x"
        assert "answers 404" in engine.refused("build", f"{url}/none")


# --- what the cache takes, and what is forgotten ---


def cached(engine: Engine) -> dict[str, dict[str, Any]]:
    """The records of the build cache by their description."""
    found = engine.api("GET", "/system/df?type=build-cache").json["BuildCache"]
    return {record["Description"]: record for record in found}


def test_what_is_pruned(own_engine: Engine, tmp_path: Path) -> None:
    engine = own_engine
    old = "RUN head -c 300000 /dev/zero > /old"
    build(engine, "-t", "old", context_of(tmp_path, f"FROM base\n{old}\nENV X=1\n"))
    engine.docket("rmi", "old")
    between = f"until={time.time()}"
    new = "RUN head -c 100000 /dev/zero > /new"
    mount = "RUN --mount=type=cache,target=/c head -c 5000 /dev/zero > /c/f"
    build(engine, "-t", "new", context_of(tmp_path, f"FROM base\n{new}\n{mount}\n"))
    records = cached(engine)
    assert records[old]["Size"] == 300000 and not records[old]["Shared"] and records[new]["Shared"]
    assert records["cache mount"]["Size"] == 5000 and records["cache mount"]["Type"] == "exec.cachemount"
    said = engine.docket("builder", "du").stdout
    assert "Reclaimable:  305kB" in said and "Shared:       100kB" in said and old[:20] in said
    assert "Build Cache" in engine.docket("system", "df").stdout
    assert "Total reclaimed space: 0B" in engine.docket("builder", "prune", "-f", "--filter", "until=1h").stdout
    assert "Total reclaimed space: 300kB" in engine.docket("builder", "prune", "-f", "--filter", between).stdout
    assert old not in cached(engine) and new in cached(engine)
    build(engine, context_of(tmp_path, f"FROM base\n{old}2\n"))
    engine.docket("image", "prune", "-f")
    engine.docket("builder", "prune", "-f", "--keep-storage", "310kb")
    assert f"{old}2" in cached(engine)
    engine.docket("builder", "prune", "-f", "--keep-storage", "1kb")
    assert f"{old}2" not in cached(engine)
    assert "invalid filter" in engine.refused("builder", "prune", "-f", "--filter", "what=1")
    engine.docket("builder", "prune", "-f", "--filter", "type=exec.cachemount")
    assert "cache mount" not in cached(engine)


@pytest.mark.parametrize("limits", [{"bytes": 1 << 20}, {"entries": 1}])
def test_a_context_that_is_a_bomb(tmp_path: Path, limits: dict[str, int]) -> None:
    with tarfile.open(tmp_path / "bomb.tgz", mode="w:gz") as archive:
        for name in ("one", "two"):
            info = tarfile.TarInfo(name)
            info.size = 1 << 20
            archive.addfile(info, io.BytesIO(bytes(info.size)))
    with (tmp_path / "bomb.tgz").open("rb") as file, pytest.raises(InvalidArgument):
        receive_context({"target": str(tmp_path / "context"), "limits": limits}, [file.fileno()])
    assert not (tmp_path / "context").exists()


def test_hostile_contexts(engine: Engine) -> None:
    """Pipes hang nobody, and no Dockerfile lifts its own isolation."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, kind in (("Dockerfile", tarfile.FIFOTYPE), ("pipe", tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(name)
            member.type = kind
            archive.addfile(member)
    assert engine.api("POST", "/build", context.getvalue()).status == 400
    for line, message in (
        ("RUN rm /etc/passwd && mkfifo /etc/passwd\nCOPY --chown=u Dockerfile /x", "is not a regular file"),
        ("RUN --security=insecure true", "is not allowed"),
        ("RUN --mount=type=bind,source=../../etc,target=/x cat /x/shadow", "file not found"),
        ("RUN --mount=type=cache,target=/../../c test ! -e /c/etc && exit 3", "non-zero code: 3"),
    ):  # fmt: skip
        done = engine.docket("build", "--network", "none", "-", input=f"FROM base\n{line}\n", check=False)
        assert done.returncode in (1, 3) and message in done.stderr, (line, done.stderr)
    assert nothing_is_left(engine)


def test_named_contexts_lead_nowhere(engine: Engine) -> None:
    """Whatever a client says where in its archive a named context lies."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        dockerfile, link = tarfile.TarInfo("Dockerfile"), tarfile.TarInfo("link")
        dockerfile.size, link.type, link.linkname = 10, tarfile.SYMTYPE, "/etc"
        archive.addfile(dockerfile, io.BytesIO(b"FROM base\n"))
        archive.addfile(link)
    for place in ("folder:..", "folder:a/..", "folder:nothing", "folder:/etc", "folder:link", "folder:link/ssl", "x"):
        named = urllib.parse.quote(json.dumps({"lib": place}))
        answer = engine.api("POST", f"/build?contexts={named}", context.getvalue())
        assert answer.status == 400, (place, answer.body)
    assert nothing_is_left(engine)
