"""``docket build``: what a Dockerfile makes, what is built again and why, and what a failed build leaves behind."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import os
import signal
import tarfile
from pathlib import Path
from typing import Any, Iterator

import pytest

from support.builds import build, context_of, inside, nothing_is_left, served
from support.engine import Engine
from support.waiting import eventually

pytestmark = pytest.mark.kernel


def config_of(engine: Engine, image: str) -> dict[str, Any]:
    return json.loads(engine.docket("image", "inspect", image).stdout)[0]["Config"]


ALL = """
ARG BASE=base
FROM ${BASE} AS first
ARG VERSION=1
ENV A=x B="$A-$VERSION"
WORKDIR /app
COPY one.txt two.txt ./
COPY --chown=7:8 --chmod=640 one.txt /owned/
ADD archive.tar /unpacked
COPY <<end /here.txt
version $VERSION
end
RUN echo "$B $VERSION $PWD" > ran; ln -s ran link; rm two.txt
RUN <<end
echo a > /script
echo b >> /script
end
RUN <<end cat > /piped
line
end
RUN ["sh", "-c", "echo exec > /exec"]
USER 12:13
LABEL l="a b"
EXPOSE 80/TCP
VOLUME /v
STOPSIGNAL SIGINT
HEALTHCHECK --retries=2 CMD true
SHELL ["/bin/sh", "-ec"]
ONBUILD RUN true
ENTRYPOINT ["cat"]
CMD ["/here.txt"]
"""


def test_every_instruction(engine: Engine, tmp_path: Path) -> None:
    folder = context_of(tmp_path, ALL, **{"one.txt": "1", "two.txt": "2"})
    with tarfile.open(tmp_path / "archive.tar", "w") as archive:
        member = tarfile.TarInfo("dir/file")
        member.size, member.uid = 3, 42
        archive.addfile(member, io.BytesIO(b"abc"))
    said = build(engine, "-t", "all:1", "--build-arg", "VERSION=2", "--label", "more=1", folder)
    assert "Successfully tagged all:1" in said and "Step 1/22 : FROM ${BASE} AS first" in said
    config = config_of(engine, "all:1")
    assert config["Env"][1:] == ["A=x", "B=-2"] and config["WorkingDir"] == "/app" and config["User"] == "12:13"
    assert config["Labels"] == {"l": "a b", "more": "1"} and config["StopSignal"] == "SIGINT"
    assert config["Cmd"] == ["/here.txt"] and config["Entrypoint"] == ["cat"] and "80/tcp" in config["ExposedPorts"]
    assert config["OnBuild"] == ["RUN true"] and config["Healthcheck"]["Retries"] == 2
    assert engine.run("--rm", "all:1") == "version 2\n"
    shell = ("--rm", "--entrypoint", "sh", "all:1", "-c")
    assert engine.run(*shell, "cat ran link /script /piped /exec; ls") == (
        "-2 2 /app\n-2 2 /app\na\nb\nline\nexec\nlink\none.txt\nran\n"
    )
    owners = "stat -c '%u:%g %a' /owned/one.txt one.txt /unpacked/dir/file"
    assert engine.run(*shell, owners) == "7:8 640\n0:0 644\n42:0 644\n"
    history = engine.docket("history", "--no-trunc", "--format", "{{.CreatedBy}}", "all:1").stdout.splitlines()
    assert history[0] == 'CMD ["/here.txt"]'
    assert nothing_is_left(engine)


def test_only_what_has_changed_is_built_again(engine: Engine, tmp_path: Path) -> None:
    text = "FROM base\nWORKDIR /app\nCOPY package.json .\nRUN echo install > i\nCOPY . .\nRUN echo made\nCMD [\"x\"]\n"
    folder = context_of(tmp_path, text, **{"package.json": "{}", "index.js": "1", "node_modules__x": "no"})
    (tmp_path / ".dockerignore").write_text("node_modules\nDockerfile\n.dockerignore\n")
    build(engine, "-t", "app", folder)
    first = engine.inspect("app")["Id"]
    os.utime(tmp_path / "index.js", (1, 1))
    (tmp_path / "node_modules/y").write_text("ignored")
    again = build(engine, "-t", "other", folder)
    assert engine.inspect("other")["Id"] == first and again.count("CACHED") == 5 and "Running in" not in again
    (tmp_path / "index.js").write_text("2")
    changed = build(engine, "--explain", "-t", "app", folder)
    assert changed.count("CACHED") == 3 and "not cached: index.js changed\n" in changed
    assert "not cached: what it builds on changed" in changed
    assert inside(engine, "app", "ls -A /app; cat /app/index.js") == "i\nindex.js\npackage.json\n2"
    trail = [event for event in engine.trail("app") if event["type"] == "build.step_done"]
    assert [event["data"]["outcome"] for event in trail].count("reused") == 3
    assert any(event["data"]["reason"] == "index.js changed" for event in trail)
    assert "made\n" in build(engine, "--no-cache", "-t", "app", folder)


def test_the_mode_of_a_file_counts(engine: Engine, tmp_path: Path) -> None:
    folder = context_of(tmp_path, "FROM base\nCOPY f /f\n", f="x")
    build(engine, "-t", "m", folder)
    (tmp_path / "f").chmod(0o755)
    assert "f changed" in build(engine, "--explain", "-t", "m", folder)


STAGES = """
FROM base AS one
RUN mkdir /out; echo built > /out/file; chmod 711 /out/file; chown 3:4 /out/file
FROM base AS unneeded
RUN exit 9
FROM one AS two
RUN echo more > /out/more
FROM scratch
COPY --from=one /out/file /bin/
COPY --from=2 /out /all/
COPY --from=base /etc/passwd /etc/
"""


def test_stages(engine: Engine, tmp_path: Path) -> None:
    folder = context_of(tmp_path, STAGES)
    build(engine, "-t", "stages", folder)
    saved = io.BytesIO(engine.api("GET", "/images/stages/get").body)
    with tarfile.open(fileobj=saved) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))[0]  # type: ignore[arg-type]
        names: dict[str, tarfile.TarInfo] = {}
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(layer)) as inner:
                names |= {member.name: member for member in inner.getmembers()}
    assert sorted(name for name in names if names[name].isfile()) == [
        "all/file", "all/more", "bin/file", "etc/passwd"
    ]  # fmt: skip
    assert (names["bin/file"].mode, names["bin/file"].uid, names["bin/file"].gid) == (0o711, 3, 4)
    build(engine, "-t", "target", "--target", "one", folder)
    assert inside(engine, "target", "cat /out/file; ls /out") == "built\nfile\n"
    assert "failed to reach build target nope" in engine.refused("build", "--target", "nope", folder)


def test_a_build_that_fails(engine: Engine, tmp_path: Path) -> None:
    text = "FROM base\nRUN echo kept\n\nRUN echo before; \\\n  exit 7\nRUN echo never\n"
    folder = context_of(tmp_path, text)
    failed = engine.docket("build", "--network", "none", "-t", "broken", folder, check=False)
    assert failed.returncode == 7 and "before\n" in failed.stdout and "never\n" not in failed.stdout
    assert failed.stderr == (
        "Dockerfile:4: The command '/bin/sh -c echo before;   exit 7' returned a non-zero code: 7\n"
    )
    assert nothing_is_left(engine)
    assert "broken" not in engine.docket("images").stdout
    assert "CACHED" in engine.docket("build", "--network", "none", folder, check=False).stdout
    for text, message in (
        ("FROM base\nCOPY absent /\n", "Dockerfile:2: file not found in build context"),
        ("FROM base\nCOPY ../../etc/passwd /\n", "Dockerfile:2: file not found in build context"),
        ("FROM base\nRUN /absent/program", "Dockerfile:2:"),
        ("FROM base\nCOPY --chown=nobodyknows f /\n", "unable to find user nobodyknows"),
        ("WHAT", "unknown instruction: WHAT"), ("FROM base\nEXPOSE http\n", "Dockerfile:2: 'http' is no port"),
        ("FROM base\nSTOPSIGNAL NOPE\n", "Dockerfile:2: invalid signal: NOPE"),
    ):  # fmt: skip
        context_of(tmp_path, text, f="x")
        done = engine.docket("build", "--network", "none", folder, check=False)
        assert done.returncode in (1, 127) and message in done.stderr and len(done.stderr.splitlines()) == 1
    assert nothing_is_left(engine)
    assert engine.docket("audit", "verify").returncode == 0


MOUNTS = """
FROM base AS tools
RUN mkdir /t; echo tool > /t/tool
FROM base
RUN --mount=type=cache,target=/cache echo x >> /cache/log; wc -l < /cache/log > /count
RUN --mount=type=bind,source=src,target=/s cat /s/file > /from-context; echo no > /s/file && exit 1 || true
RUN --mount=type=bind,from=tools,source=/t,target=/t cat /t/tool > /from-stage
RUN --mount=type=tmpfs,target=/scratch echo y > /scratch/y
RUN --mount=type=bind,source=src,target=/s,rw echo changed > /s/file && cat /s/file >> /from-context
RUN --mount=type=bind,source=src,target=/s grep -q context /s/file
RUN --mount=type=cache,id=l,sharing=locked,target=/cache test ! -e /cache/busy; touch /cache/busy; rm /cache/busy
RUN --mount=type=cache,id=l,sharing=private,target=/cache,mode=700,uid=12 ls -A /cache
USER 12
RUN --mount=type=secret,id=key,uid=12 wc -c < /run/secrets/key > /tmp/length
"""


def contents_below(*roots: Path) -> Iterator[bytes]:
    """Of all files, but for those that the engine throws away at this moment."""
    for folder, _, names in itertools.chain.from_iterable(map(os.walk, roots)):
        for path in (Path(folder, name) for name in names):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and not path.is_symlink():
                    yield path.read_bytes()


def test_mounts_of_a_step(engine: Engine, tmp_path: Path) -> None:
    secret = "very-secret-" + os.urandom(8).hex()
    (tmp_path / "secret").write_text(secret)
    folder = context_of(tmp_path / "c", MOUNTS, src__file="context")
    chosen = ["--secret", f"id=key,src={tmp_path / 'secret'}"]
    build(engine, *chosen, "-t", "mounts", folder)
    script = "cat /count /from-context /from-stage /tmp/length; ls -d /cache /s /t /scratch /run/secrets || true"
    assert inside(engine, "mounts", script) == f"1\ncontextchanged\ntool\n{len(secret)}\n"
    again = build(engine, *chosen, "--no-cache", "-t", "mounts", folder)
    assert inside(engine, "mounts", "cat /count") == "2\n" and secret not in again
    assert not any(secret.encode() in content for content in contents_below(engine.root, engine.run_folder))


def test_the_same_inputs_make_the_same_image(engine: Engine, tmp_path: Path) -> None:
    text = "FROM base\nCOPY f /d/\nRUN mkdir /x; echo 1 > /x/y; touch /z\nWORKDIR /new\nENV A=1\n"
    folder = context_of(tmp_path, text, f="x")
    ids = set()
    for number in range(2):
        os.utime(tmp_path / "f", (2_000_000_000 + number, 2_000_000_000 + number))
        build(engine, "--no-cache", "--build-arg", "SOURCE_DATE_EPOCH=1000000000", "-t", f"r{number}", folder)
        ids.add(engine.inspect(f"r{number}")["Id"])
    assert len(ids) == 1 and engine.inspect("r0")["Created"].startswith("2001-09-09T01:46:40")


def test_a_client_that_leaves_ends_its_build(engine: Engine, tmp_path: Path) -> None:
    folder = context_of(tmp_path, "FROM base\nRUN echo up; sleep 600\n")
    client = engine.spawn("build", "--network", "none", folder)
    eventually(lambda: engine.api("GET", "/containers/json").json, what="the step runs")
    client.send_signal(signal.SIGKILL)
    client.communicate()
    eventually(lambda: nothing_is_left(engine), what="nothing of the build is left")


def test_a_daemon_that_is_killed(own_engine: Engine, tmp_path: Path) -> None:
    engine = own_engine
    folder = context_of(tmp_path, "FROM base\nRUN echo kept > /kept\nRUN sleep 600\n")
    client = engine.spawn("build", "--network", "none", "-t", "never", folder)
    eventually(lambda: len(engine.api("GET", "/containers/json").json) == 1, what="the second step runs")
    eventually(lambda: "sleep" in engine.docket("ps").stdout, what="the second step runs")
    engine.kill()
    client.communicate()
    engine.start()
    eventually(lambda: nothing_is_left(engine), what="nothing of the build is left")
    assert "never" not in engine.docket("images").stdout
    assert engine.docket("audit", "verify").returncode == 0
    context_of(tmp_path, "FROM base\nRUN echo kept > /kept\n")
    assert "CACHED" in build(engine, folder)


def tar_of(*members: tuple[str, str, bytes]) -> bytes:
    """Members as (name, "file", content), (name, "link", target) or (name, "hard", target)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            if kind == "file":
                member.size = len(content)
            else:
                member.type = tarfile.SYMTYPE if kind == "link" else tarfile.LNKTYPE
                member.linkname = content.decode()
            archive.addfile(member, io.BytesIO(content) if kind == "file" else None)
    return buffer.getvalue()


def test_nothing_of_the_host_gets_into_a_build(engine: Engine, tmp_path: Path) -> None:
    marker = tmp_path / "host-file"
    marker.write_text("of the host")
    for name, dockerfile in {
        "copied link": b"FROM base\nCOPY link /x\n", "below a link": b"FROM base\nCOPY folder/host-file /x\n",
        "bound link": b"FROM base\nRUN --mount=type=bind,source=link,target=/x cat /x\n",
        "dots": f"FROM base\nCOPY ../../..{marker} /x\n".encode(),
    }.items():  # fmt: skip
        body = tar_of(
            ("Dockerfile", "file", dockerfile), ("link", "link", str(marker).encode()),
            ("folder", "link", str(tmp_path).encode()),
        )  # fmt: skip
        answer = engine.api("POST", "/build?networkmode=none", body)
        assert b"Successfully built" not in answer.body and b"of the host" not in answer.body, name
    for bad in (("../x", "file", b"1"), ("/x", "file", b"1"), ("h", "hard", b"../../etc/passwd")):
        answer = engine.api("POST", "/build", tar_of(("Dockerfile", "file", b"FROM base\n"), bad))
        assert answer.status == 400, answer.body
    swapped = tar_of(("d", "link", str(tmp_path).encode()), ("d/new", "file", b"1"))
    assert engine.api("POST", "/build", swapped).status == 400 and not (tmp_path / "new").exists()
    outside = tar_of(("Dockerfile", "link", str(marker).encode()))
    assert engine.api("POST", "/build", outside).status == 400
    dots = engine.api("POST", "/build?dockerfile=../../etc/passwd", tar_of())
    assert dots.status == 400 and b"outside the build context" in dots.body
    assert nothing_is_left(engine)


def test_links_of_an_image_lead_nowhere_else(engine: Engine, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    text = f"FROM base\nRUN mkdir -p /real{tmp_path}; ln -s {target} /out; mkdir -p {target}\nCOPY f /out/f\n"
    build(engine, "-t", "links", context_of(tmp_path / "c", text, f="x"))
    assert not list(target.iterdir())
    assert inside(engine, "links", f"cat {target}/f") == "x"


def test_the_cache_is_pruned(engine: Engine, tmp_path: Path) -> None:
    build(engine, "-t", "p", context_of(tmp_path, "FROM base\nRUN head -c 100000 /dev/zero > /zeros\n"))
    engine.docket("rmi", "p")
    assert "CACHED" in build(engine, "-t", "p", str(tmp_path))
    engine.docket("rmi", "p")
    said = engine.docket("builder", "prune", "-f").stdout
    assert "Total reclaimed space: 100kB" in said
    assert "CACHED" not in build(engine, "-t", "p", str(tmp_path))
    engine.docket("builder", "prune", "-f")
    assert inside(engine, "p", "wc -c < /zeros") == "100000\n"  # what an image holds stays
    assert engine.docket("system", "fsck").returncode == 0


def test_dockerfiles_from_elsewhere(engine: Engine, tmp_path: Path) -> None:
    folder = context_of(tmp_path / "c", "FROM nowhere\n", f="content", g="more")
    (tmp_path / "Other").write_text("FROM base\nCOPY . /c/\n")
    (tmp_path / "Other.dockerignore").write_text("g\nDockerfile\n")
    build(engine, "-t", "o", "-f", str(tmp_path / "Other"), folder)
    assert inside(engine, "o", "ls -A /c; cat /c/f") == "f\ncontent"
    build(engine, "-t", "o", "-f", "-", folder, input="FROM base\nCOPY g /g\n")
    assert inside(engine, "o", "cat /g") == "more"
    build(engine, "-t", "o", "-", input="FROM base\nRUN echo alone > /a\n")
    assert inside(engine, "o", "cat /a") == "alone\n"
    identifier = tmp_path / "iid"
    said = build(engine, "-q", "--iidfile", str(identifier), "-t", "o", "-", input="FROM base\nENV X=1\n")
    assert said.strip() == identifier.read_text() == engine.inspect("o")["Id"]


def test_files_from_the_network(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "file.txt").write_text("served")
    digest = "sha256:" + hashlib.sha256(b"served").hexdigest()
    with served(tmp_path / "served") as server:
        url = f"{server.replace('//', '//user:pass@')}/file.txt"
        text = f"FROM base\nADD {url} /a/\nADD --checksum={digest} --chmod=644 {url} /b\n"
        build(engine, "-t", "net", context_of(tmp_path / "c", text))
        assert inside(engine, "net", "cat /a/file.txt /b; stat -c %a /a/file.txt /b") == "servedserved600\n644\n"
        assert build(engine, "-t", "net", str(tmp_path / "c")).count("CACHED") == 2
        for line, message in (
            (f"ADD --checksum=sha256:{'0' * 64} {url} /x", "has the digest"), (f"ADD {url}2 /x", "answers 404"),
            (f"ADD {server}/ /x", "cannot determine filename"),
            ("ADD http://127.0.0.1:1/x /x", "refused"), ("ADD http://127.0.0.1:1/x.git /x", "git ls-remote of"),
        ):  # fmt: skip
            context_of(tmp_path / "c", f"FROM base\n{line}\n")
            done = engine.docket("build", str(tmp_path / "c"), check=False)
            assert done.returncode == 1 and message in done.stderr and "pass" not in done.stderr, done.stderr


def test_flags_of_copy(engine: Engine, tmp_path: Path) -> None:
    text = (
        "FROM base\nCOPY --parents a/b/c.txt ./a/./d/e.txt /p/\nCOPY --exclude=*.o --exclude=x/y --link . /e/\n"
        "RUN find /p /e -type f | sort > /list\n"
    )
    names = {name: "x" for name in ("a__b__c.txt", "a__d__e.txt", "m.o", "n.c", "x__y__z", "x__w")}
    folder = context_of(tmp_path, text, **names)
    build(engine, "-t", "flags", folder)
    assert inside(engine, "flags", "cat /list").split() == [
        "/e/Dockerfile", "/e/a/b/c.txt", "/e/a/d/e.txt", "/e/n.c", "/e/x/w", "/p/a/b/c.txt", "/p/d/e.txt"
    ]  # fmt: skip


def test_triggers_and_arguments(engine: Engine, tmp_path: Path) -> None:
    folder = context_of(tmp_path, "FROM base\nONBUILD ARG X=1\nONBUILD RUN <<EOF\necho trigger $X > /t\nEOF\n")
    build(engine, "-t", "trigger", folder)
    context_of(tmp_path, "FROM trigger\nARG HTTP_PROXY\nRUN env | grep -ci http_proxy > /p; cat /t\n")
    build(engine, "-t", "t2", "--build-arg", "X=2", "--build-arg", "HTTP_PROXY=http://p", folder)
    assert inside(engine, "t2", "cat /t /p") == "trigger 2\n1\n"
    assert config_of(engine, "t2").get("OnBuild") in (None, [])
    again = build(engine, "-t", "t2", "--build-arg", "X=2", "--build-arg", "HTTP_PROXY=http://q", folder)
    assert again.count("CACHED") == 2 and "http://p" not in engine.docket("history", "--no-trunc", "t2").stdout


def test_dockers_client(engine: Engine, tmp_path: Path) -> None:
    folder = context_of(tmp_path, "FROM base\nCOPY . /c/\nRUN cat /c/f\nCMD [\"cat\", \"/c/f\"]\n", f="x")
    (tmp_path / ".dockerignore").write_text("Dockerfile\n")
    classic = {"DOCKER_BUILDKIT": "0"}
    said = engine.docker("build", "--network", "none", "-t", "d", folder, environment=classic).stdout
    assert "Step 4/4 : CMD" in said and "Successfully tagged d:latest" in said
    again = engine.docker("build", "--network", "none", "-t", "d", folder, environment=classic).stdout
    assert again.count("---> Using cache") == 2
    quiet = engine.docker("build", "-q", "--network", "none", "--cache-from", "d", folder, environment=classic).stdout
    assert quiet == engine.inspect("d")["Id"] + "\n"
    unconfined = "--security-opt=seccomp=unconfined"
    refused = engine.docker("build", unconfined, folder, check=False, environment=classic)
    assert refused.returncode == 1 and "--security-opt is not supported" in refused.stderr
    assert engine.run("--rm", "d") == "x" and inside(engine, "d", "ls -A /c") == ".dockerignore\nf\n"
    context_of(tmp_path, "FROM base\nRUN exit 4\n")
    failed = engine.docker("build", "--network", "none", folder, check=False, environment=classic)
    assert failed.returncode == 4 and "returned a non-zero code: 4" in failed.stderr


def test_builds_at_once(engine: Engine, tmp_path: Path) -> None:
    """The same steps made twice at the same time, and again without the cache: every image keeps its layers."""
    folder = context_of(tmp_path, "FROM base\nRUN sleep 0.5; date +%N > /a\nRUN sleep 0.2; cp /a /b\n")
    clients = [engine.spawn("build", "--network", "none", "-t", f"at-once-{n}", folder) for n in range(3)]
    assert [client.communicate() and client.returncode for client in clients] == [0, 0, 0]
    build(engine, "--no-cache", "-t", "at-once-3", folder)
    for number in range(4):
        assert inside(engine, f"at-once-{number}", "cmp /a /b && echo same") == "same\n"
    engine.docket("rmi", *(f"at-once-{number}" for number in range(4)))
    engine.docket("builder", "prune", "-f")
    assert "0 problems" in (said := engine.docket("system", "fsck").stdout) or "is whole" in said


def test_a_locked_cache_is_for_one_step_at_a_time(engine: Engine, tmp_path: Path) -> None:
    mount = "--mount=type=cache,sharing=locked,id=lock,target=/c"
    step = f"RUN {mount} mkdir /c/busy && sleep 1 && rmdir /c/busy\n"
    text = f"FROM base AS a\n{step}FROM base AS b\n{step}FROM a\nCOPY --from=b /etc/passwd /b\n"
    build(engine, "-t", "locked", context_of(tmp_path, text))  # side by side they would meet: mkdir fails
    build(engine, "--no-cache", "-t", "locked", str(tmp_path))
