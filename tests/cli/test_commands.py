"""Commands against a scripted engine: what they ask for, what they print, and their exit status."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from cli.conftest import Done
from cli.fake_engine import FakeEngine, answer, chunked, frame, refusal

Docket = Callable[..., Done]
ID = "3f2a9b7c1d2e" + "0" * 52
IMAGE = "sha256:" + "ab" * 32
ESCAPE = "\x1b[2J"

CONTAINER: dict[str, Any] = {
    "Id": ID, "Names": ["/web"], "Image": "base", "ImageID": IMAGE, "Command": "sleep 1000", "Created": 0,
    "Ports": [], "Labels": {"team": "x"}, "State": "running", "Status": "Up 3 minutes", "SizeRw": 5, "SizeRootFs": 1005,
    "Mounts": [{"Type": "volume", "Name": "data", "Driver": "local"}, {"Type": "bind", "Source": "/srv/a/long/path"}],
    "NetworkSettings": {"Networks": {"none": {}}},
}  # fmt: skip


def ago(seconds: int) -> int:
    return int(time.time()) - seconds


# --- ps --------------------------------------------------------------------------------------------------------------


def test_ps(docket: Docket, fake: FakeEngine) -> None:
    fake.on["GET /containers/json"] = answer([{**CONTAINER, "Created": ago(240)}])
    done = docket("ps")
    assert done.out == (
        "CONTAINER ID   IMAGE     COMMAND        CREATED         STATUS         PORTS     NAMES\n"
        '3f2a9b7c1d2e   base      "sleep 1000"   4 minutes ago   Up 3 minutes             web\n'
    )
    assert (done.status, done.err, fake.asked[0].query) == (0, "", "")


@pytest.mark.parametrize(
    ("flags", "query"),
    [
        (["-a"], "all=1"),
        (["-l"], "all=1&limit=1"),
        (["-n", "3"], "all=1&limit=3"),
        (["-s"], "size=1"),
        (["-f", "name=web", "--filter", "name=db", "-f", "Status = up"],
         "filters=%7B%22name%22:%7B%22web%22:true%2C%22db%22:true%7D%2C%22status%22:%7B%22up%22:true%7D%7D"),
        (["--format", "{{.Size}}"], "size=1"),
    ],
)  # fmt: skip
def test_what_ps_asks_for(docket: Docket, fake: FakeEngine, flags: list[str], query: str) -> None:
    fake.on["GET /containers/json"] = answer([])
    assert docket("ps", *flags).status == 0
    assert fake.asked[0].query == query


def test_ps_as_of(docket: Docket, fake: FakeEngine) -> None:
    fake.on["GET /docket/containers/json"] = answer([CONTAINER])
    assert docket("ps", "-aq", "--no-trunc", "--as-of", "2026-11-23T10:00:00Z").out == f"{ID}\n"
    assert fake.asked[0].query == "all=1&as_of=2026-11-23T10:00:00Z"


def test_ps_never_lets_a_name_command_the_terminal(docket: Docket, fake: FakeEngine) -> None:
    hostile = {**CONTAINER, "Names": [f"/{ESCAPE}"], "Image": ESCAPE, "Status": ESCAPE, "Command": ESCAPE, "Created": 1}
    fake.on["GET /containers/json"] = answer([hostile])
    for flags in ([], ["--no-trunc"], ["--format", "table {{.Names}}\t{{.Image}}"]):
        assert "\x1b" not in docket("ps", *flags).out
    assert docket("ps", "--format", "json").out.count("\\u001b") == 3


@pytest.mark.parametrize(
    ("image", "id", "shown"),
    [
        ("base:1", IMAGE, "base:1"),
        ("", IMAGE, "<no image>"),
        (IMAGE, IMAGE, "abababababab"),
        ("abababababab", IMAGE, "abababababab"),
        (f"base@{IMAGE}", "x", "base"),
    ],
)
def test_the_image_column(docket: Docket, fake: FakeEngine, image: str, id: str, shown: str) -> None:
    fake.on["GET /containers/json"] = answer([{**CONTAINER, "Image": image, "ImageID": id}])
    assert docket("ps", "--format", "{{.Image}}").out == f"{shown}\n"


def test_formats_of_ps(docket: Docket, fake: FakeEngine) -> None:
    fake.on["GET /containers/json"] = answer([{**CONTAINER, "Command": "a command that is rather long"}])
    shown = '{{.Command}}|{{.Mounts}}|{{.LocalVolumes}}|{{.Labels}}|{{.Label "team"}}|{{.Size}}|{{.Networks}}'
    assert docket("ps", "--format", shown).out == (
        '"a command that is r…"|data,/srv/a/long/pa…|1|team=x|x|5B (virtual 1kB)|none\n'
    )
    assert docket("ps", "--format", 'table {{.Names}}\\t{{.Label "team"}}').out == "NAMES     team\nweb       x\n"
    assert docket("ps", "--format", "{{.Nope}}").status == 1
    assert docket("ps", "-q", "--format", "raw").out == f"container_id: {ID[:12]}\n"
    raw = docket("ps", "-s", "--format", "raw").out.splitlines()
    assert raw[1] == "image: base" and raw[-2:] == ["size: 5B (virtual 1kB)", ""]
    assert [line.partition(":")[0] for line in raw[:9]] == [
        "container_id", "image", "command", "created_at", "state", "status", "names", "labels", "ports"
    ]  # fmt: skip


# --- each of several -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "request_line", "query"),
    [
        (["stop", "-t", "2", "-s", "INT"], "POST /containers/{}/stop", "t=2&signal=INT"),
        (["stop", "--timeout", "0"], "POST /containers/{}/stop", "t=0"),
        (["restart"], "POST /containers/{}/restart", ""),
        (["kill", "-s", "HUP"], "POST /containers/{}/kill", "signal=HUP"),
        (["pause"], "POST /containers/{}/pause", ""),
        (["unpause"], "POST /containers/{}/unpause", ""),
        (["start"], "POST /containers/{}/start", ""),
        (["rm", "-f", "-v"], "DELETE /containers/{}", "force=1&v=1"),
        (["volume", "rm", "-f"], "DELETE /volumes/{}", "force=1"),
    ],
)
def test_several_names(docket: Docket, fake: FakeEngine, words: list[str], request_line: str, query: str) -> None:
    fake.on[request_line.format("a")] = answer(status=204)
    fake.on[request_line.format("b")] = refusal(409, "it can't")
    fake.on[request_line.format("c")] = answer(status=304)
    done = docket(*words, "a", "b", "c")
    assert (done.status, done.out) == (1, "a\nc\n")
    assert done.err.splitlines()[0] == "Error response from daemon: it can't"
    assert fake.requests() == [request_line.format(name) for name in "abc"]
    assert {one.query for one in fake.asked} == {query}
    assert fake.connections == 1


def test_rm_force_of_what_is_gone(docket: Docket, fake: FakeEngine) -> None:
    fake.on["DELETE /containers/x"] = refusal(404, "No such container: x")
    assert docket("rm", "-f", "x") == (0, "", "Error response from daemon: No such container: x\n")
    assert docket("rm", "x").status == 1


def test_wait(docket: Docket, fake: FakeEngine) -> None:
    fake.on["POST /containers/a/wait"] = answer({"StatusCode": 137})
    fake.on["POST /containers/b/wait"] = answer({"StatusCode": 0, "Error": {"Message": "lost"}})
    assert docket("wait", "a", "b") == (1, "137\n", "Error response from daemon: lost\n")


def test_rename(docket: Docket, fake: FakeEngine) -> None:
    fake.on["POST /containers/a/rename"] = answer(status=204)
    assert docket("rename", "a", "b c") == (0, "", "")
    assert fake.asked[0].query == "name=b%20c"


# --- images, volumes -------------------------------------------------------------------------------------------------


def test_images(docket: Docket, fake: FakeEngine) -> None:
    fake.on["GET /images/json"] = answer([
        {"Id": IMAGE, "RepoTags": ["base:latest", "host:5000/a/b:1"], "Created": ago(7200), "Size": 1984512},
        {"Id": IMAGE, "RepoTags": ["<none>:<none>"], "RepoDigests": [f"x@{IMAGE}"], "Created": ago(7200), "Size": 5},
        {"Id": IMAGE, "RepoTags": [], "RepoDigests": [], "Created": ago(7200), "Size": 5},
    ])  # fmt: skip
    assert docket("images").out == (
        "REPOSITORY      TAG       IMAGE ID       CREATED       SIZE\n"
        "base            latest    abababababab   2 hours ago   1.98MB\n"
        "host:5000/a/b   1         abababababab   2 hours ago   1.98MB\n"
        "x               <none>    abababababab   2 hours ago   5B\n"
        "<none>          <none>    abababababab   2 hours ago   5B\n"
    )
    assert docket("images", "-q", "--no-trunc", "base").out == f"{IMAGE}\n" * 4
    assert fake.asked[-1].query == "filters=%7B%22reference%22:%7B%22base%22:true%7D%7D"


def test_rmi(docket: Docket, fake: FakeEngine) -> None:
    fake.on["DELETE /images/a/b:1"] = answer([{"Untagged": "a/b:1"}, {"Deleted": IMAGE}])
    fake.on["DELETE /images/x"] = refusal(404, "No such image: x:latest")
    assert docket("rmi", "a/b:1", "x").out == f"Untagged: a/b:1\nDeleted: {IMAGE}\n"
    assert docket("rmi", "-f", "x").status == 0


@pytest.mark.parametrize(
    ("target", "query"),
    [("b", "repo=b&tag=latest"), ("b:1", "repo=b&tag=1"), ("h:5000/b", "repo=h:5000%2Fb&tag=latest")],
)
def test_tag(docket: Docket, fake: FakeEngine, target: str, query: str) -> None:
    fake.on["POST /images/a/tag"] = answer(status=201)
    assert docket("tag", "a", target) == (0, "", "")
    assert fake.asked[0].query == query


@pytest.mark.parametrize("target", ["b:", "b@sha256:00"])
def test_tags_that_are_none(docket: Docket, fake: FakeEngine, target: str) -> None:
    assert docket("tag", "a", target).status == 1
    assert not fake.asked


def test_history(docket: Docket, fake: FakeEngine) -> None:
    fake.on["GET /images/base/history"] = answer([
        {"Id": IMAGE, "Created": ago(60), "CreatedBy": "RUN\t" + "x" * 60, "Size": 10, "Comment": "c"},
        {"Id": "<missing>", "Created": ago(60), "CreatedBy": "", "Size": 2000, "Comment": ""},
    ])  # fmt: skip
    lines = docket("history", "base").out.splitlines()
    assert lines[1] == f"abababababab   About a minute ago   RUN {'x' * 40}…   10B       c"
    assert lines[2].split() == ["<missing>", "About", "a", "minute", "ago", "2kB"]


def test_import(docket: Docket, fake: FakeEngine, tmp_path: Path) -> None:
    archive = tmp_path / "rootfs.tar"
    archive.write_bytes(b"tar" * 1000)
    fake.on["POST /images/create"] = chunked(b'{"status":"' + IMAGE.encode() + b'"}\r\n')
    done = docket("import", "-m", "why", "-c", "CMD x", "-c", "ENV A=b", str(archive), "h:5000/base:1")
    assert done == (0, f"{IMAGE}\n", "")
    asked = fake.asked[-1]
    assert asked.body == b"tar" * 1000
    assert asked.query == (
        "fromSrc=-&repo=h:5000%2Fbase&tag=1&message=why&changes=CMD%20x&changes=ENV%20A%3Db"
    )


def test_an_error_in_the_middle_of_a_load(docket: Docket, fake: FakeEngine, tmp_path: Path) -> None:
    archive = tmp_path / "saved.tar"
    archive.write_bytes(b"")
    fake.on["POST /images/load"] = chunked(
        b'{"stream":"Loaded image: base:1\\n"}\n', b'{"errorDetail":{"message":"bad layer"},"error":"bad layer"}\n'
    )
    done = docket("load", "-i", str(archive))
    assert done == (1, "Loaded image: base:1\n", "Error response from daemon: bad layer\n")


def test_volumes(docket: Docket, fake: FakeEngine) -> None:
    fake.on["GET /volumes"] = answer({
        "Volumes": [{"Name": "b", "Driver": "local", "Labels": None}, {"Name": "a", "Driver": "local", "Labels": {}}],
        "Warnings": ["one is lost"],
    })  # fmt: skip
    assert docket("volume", "ls") == (
        0, "DRIVER    VOLUME NAME\nlocal     a\nlocal     b\n", "WARNING: one is lost\n",
    )  # fmt: skip
    assert docket("volume", "ls", "-q").out == "a\nb\n"
    fake.on["POST /volumes/create"] = lambda asked, client: answer({"Name": asked.json["Name"] or "3f"}, 201)
    assert docket("volume", "create", "--label", "a=b", "-o", "type=tmpfs", "data").out == "data\n"
    assert fake.asked[-1].json == {
        "Name": "data", "Driver": "local", "DriverOpts": {"type": "tmpfs"}, "Labels": {"a": "b"},
    }  # fmt: skip


# --- inspect ---------------------------------------------------------------------------------------------------------


def test_inspect(docket: Docket, fake: FakeEngine) -> None:
    body = b'{"Id":"3f","A":[1.50,"\\u003c"]}'
    fake.on["GET /containers/web/json"] = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    fake.on["GET /images/base/json"] = answer({"Id": IMAGE})
    done = docket("inspect", "web", "base", "none")
    assert done.out == (
        '[\n    {\n        "Id": "3f",\n        "A": [\n            1.50,\n            "\\u003c"\n        ]\n    },\n'
        f'    {{\n        "Id": "{IMAGE}"\n    }}\n]\n'
    )
    assert (done.status, done.err) == (1, "Error: No such object: none\n")
    assert docket("inspect", "none").out == "[]\n"
    assert docket("inspect", "-f", "{{.Id}}", "web", "base").out == f"3f\n{IMAGE}\n"
    fake.on["GET /images/web/json"] = refusal(404, "No such image: web")
    assert docket("inspect", "--type", "image", "web").err == "Error response from daemon: No such image: web\n"


def test_inspect_as_of(docket: Docket, fake: FakeEngine) -> None:
    fake.on["GET /docket/containers/web/json"] = answer({"Id": "3f"})
    assert docket("inspect", "--as-of", "seq:7", "-f", "{{.Id}}", "web").out == "3f\n"
    assert fake.asked[0].query == "as_of=seq:7"


# --- logs, events ----------------------------------------------------------------------------------------------------


def test_logs_pass_through_on_their_own_streams(docket: Docket, fake: FakeEngine) -> None:
    fake.on["GET /containers/web/json"] = answer({"Id": ID, "Config": {"Tty": False}})
    whole = frame(1, b"out \x1b[31m\n") + frame(2, b"err\n")
    fake.on[f"GET /containers/{ID}/logs"] = chunked(whole[:5], whole[5:], kind="application/vnd.docker.raw-stream")
    assert docket("logs", "-t", "--tail", "5", "--since", "1700000000", "web") == (0, "out \x1b[31m\n", "err\n")
    assert fake.asked[-1].query == "stdout=1&stderr=1&timestamps=1&tail=5&since=1700000000"


def test_logs_since_nonsense(docket: Docket, fake: FakeEngine) -> None:
    fake.on["GET /containers/web/json"] = answer({"Id": ID, "Config": {"Tty": False}})
    assert docket("logs", "--since", "soon", "web") == (
        1, "", 'invalid value for "since": failed to parse value as time or duration: "soon"\n',
    )  # fmt: skip


EVENT = (
    b'{"Type":"container","Action":"die","Actor":{"ID":"3f","Attributes":{"name":"a\\u001b\\nb","exitCode":"0"}},'
    b'"scope":"local","time":1700000000,"timeNano":1700000000000000001}\n'
)


def test_events(docket: Docket, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    fake.on["GET /events"] = chunked(EVENT[:30], EVENT[30:])
    line = "2023-11-14T22:13:20.000000001Z container die 3f (exitCode=0, name=a\\x1b\\nb)\n"
    assert docket("events", "--until", "0", "--filter", "type=container").out == line
    assert docket("events", "--format", "json").out.encode() == EVENT
    assert docket("events", "--format", "{{json .}}").out.encode() == EVENT
    shown = docket("events", "--format", "{{.ID}} {{.Action}} {{.Actor.Attributes.exitCode}} {{.Actor.Attributes.no}}")
    assert shown.out == "3f die 0 <no value>\n"


# --- audit -----------------------------------------------------------------------------------------------------------

RECORD = {
    "seq": 14, "stream": f"container/{ID}", "version": 2, "type": "container.started", "time": "2026-11-24T03:15:47.5Z",
    "actor": {"door": "cli", "uid": 0, "gid": 0, "pid": 42, "program": "/usr/bin/docket", "program_checked": False},
    "causation": "request:22b2d0b8b79c4455", "correlation": "22b2d0b8b79c4455",
    "data": {"evidence": {"cgroup": {"memory": 64}}, "pid": 7, "container_id": ID, "layer": IMAGE, "none": None,
             "on": False, "at": ESCAPE},
}  # fmt: skip


def test_audit_trail(docket: Docket, fake: FakeEngine) -> None:
    fake.on["GET /docket/audit/trail"] = answer([RECORD])
    out = docket("audit", "trail", "--noun", "container", "web").out
    assert out.splitlines()[0].split() == ["SEQ", "TIME", "EVENT", "WHO", "CAUSE", "FACTS"]
    row = re.split(r" {3,}", out.splitlines()[1])
    assert row[1:] == [
        "2026-11-24T03:15:47.5Z", "container.started", "cli uid 0 pid 42 /usr/bin/docket?", "request:22b2d0b8b79c",
        r"pid=7 layer=abababababab at=\x1b[2J evidence.cgroup.memory=64",
    ]  # fmt: skip
    assert fake.asked[0].query == "id=web&noun=container"
    whole = docket("audit", "trail", "--no-trunc", "web").out
    assert f"container_id={ID}" in whole and "on=false" in whole and "request:22b2d0b8b79c4455" in whole
    assert docket("audit", "trail", "--format", "{{.seq}} {{.actor.uid}}", "web").out == "14 0\n"
    assert '"seq":14' in docket("audit", "trail", "--format", "json", "web").out


@pytest.mark.parametrize(("columns", "last"), [
    (80, ["14", "2026-11-24T03:15:47Z", "container.started", "cli uid 0", "pid=7 layer=ababab…"]),
    (120, ["14", "2026-11-24T03:15:47Z", "container.started", "cli uid 0 pid 42",
           "pid=7 layer=abababababab at=\\x1b[2J evidence.cgroup…"]),
])
def test_a_trail_fits_the_terminal(
    docket: Docket, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch, columns: int, last: list[str]
) -> None:
    monkeypatch.setattr("engine.cli.terminal.size", lambda: (24, columns))
    fake.on["GET /docket/audit/trail"] = answer([RECORD])
    lines = docket("audit", "trail", "web").out.splitlines()
    assert re.split(r" {3,}", lines[1]) == last and max(map(len, lines)) <= columns
    assert "/usr/bin/docket?" in docket("audit", "trail", "--no-trunc", "web").out


def test_audit_verify(docket: Docket, fake: FakeEngine) -> None:
    head = {"seq": 2, "hash": "ab", "published": "2:ab"}
    fake.on["GET /docket/audit/verify"] = answer({"ok": True, "events": 2, "head": head, "problems": []})
    assert docket("audit", "verify") == (0, "the log is whole: 2 events, head 2:ab\n", "")
    assert docket("audit", "verify", "--log-only").status == 0 and fake.asked[-1].query == "log-only=1"
    problems = [{"seq": 2, "what": f"hash differs {ESCAPE}"}]
    fake.on["GET /docket/audit/verify"] = answer({"ok": False, "events": 2, "head": head, "problems": problems})
    done = docket("audit", "verify", "--against", "1:cd")
    assert (done.status, done.out) == (1, "event 2: hash differs \\x1b[2J\n")
    assert done.err == "the log is NOT whole: 1 problem in 2 events\n"
    assert fake.asked[-1].query == "against=1:cd"
    assert docket("audit", "verify", "--format", "json").status == 1


def test_audit_head(docket: Docket, fake: FakeEngine) -> None:
    fake.on["GET /docket/audit/head"] = answer({"seq": 2, "hash": "ab", "published": "2:ab"})
    assert docket("audit", "head").out == "2:ab\n"


# --- the rest --------------------------------------------------------------------------------------------------------


def test_top(docket: Docket, fake: FakeEngine) -> None:
    fake.on["GET /containers/web/top"] = answer({"Titles": ["PID", "CMD"], "Processes": [["1", "sleep 1000"]]})
    assert docket("top", "web", "-o", "pid,args").out == "PID                 CMD\n1                   sleep 1000\n"
    assert fake.asked[0].query == "ps_args=-o%20pid%2Cargs"


def test_port(docket: Docket, fake: FakeEngine) -> None:
    where = [{"HostIp": "0.0.0.0", "HostPort": "8000"}, {"HostIp": "::", "HostPort": "8000"}]
    fake.on["GET /containers/web/json"] = answer({"NetworkSettings": {"Ports": {"80/tcp": where, "9/udp": None}}})
    assert docket("port", "web").out == "80/tcp -> 0.0.0.0:8000\n80/tcp -> [::]:8000\n"
    assert docket("port", "web", "80").out == "0.0.0.0:8000\n[::]:8000\n"
    assert docket("port", "web", "9/udp") == (1, "", "Error: No public port '9/udp' published for web\n")


def test_prune_does_nothing_without_a_yes(
    docket: Docket, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.cli.prune._read_line", lambda: "n\n")
    assert docket("container", "prune").status == 0
    assert not fake.asked


@pytest.mark.parametrize("answered", ["y\n", "-f"])
def test_prune(docket: Docket, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch, answered: str) -> None:
    monkeypatch.setattr("engine.cli.prune._read_line", lambda: answered)
    flags = ["-f"] if answered == "-f" else []
    fake.on["POST /containers/prune"] = answer({"ContainersDeleted": ["a", "b"], "SpaceReclaimed": 5000})
    done = docket("container", "prune", "--filter", "until=24h", *flags)
    assert done.out.endswith("Deleted Containers:\na\nb\n\nTotal reclaimed space: 5kB\n")
    assert ("[y/N]" in done.out) == (not flags)
    fake.on["POST /images/prune"] = answer({"ImagesDeleted": None, "SpaceReclaimed": 0})
    assert docket("image", "prune", "-a", "-f").out == "Total reclaimed space: 0B\n"
    assert fake.asked[-1].query == "filters=%7B%22dangling%22:%7B%22false%22:true%7D%7D"


def test_what_a_prune_of_everything_asks(docket: Docket, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that ends without its line is no yes, and gets no line where nobody types."""
    monkeypatch.setattr("engine.cli.prune._read_line", lambda: "")
    asked = docket("system", "prune", "--filter", "label=b", "--filter", "label=a").out
    assert asked.endswith(
        "  - unused build cache\n\n  Items to be pruned will be filtered with:\n  - label=a\n  - label=b\n\n"
        "Are you sure you want to continue? [y/N] "
    )


def test_prune_of_everything(docket: Docket, fake: FakeEngine) -> None:
    nothing = {"SpaceReclaimed": 0, "ContainersDeleted": None, "NetworksDeleted": None, "ImagesDeleted": None}
    for kind in ("containers", "networks", "images"):
        fake.on[f"POST /{kind}/prune"] = answer(nothing)
    fake.on["POST /build/prune"] = answer({"CachesDeleted": ["abc"], "SpaceReclaimed": 5000})
    done = docket("system", "prune", "-f", "--filter", "label=a")
    assert done.out == "Deleted build cache objects:\nabc\n\nTotal reclaimed space: 5kB\n"
    assert [asked.query for asked in fake.asked if "label" not in asked.query] == []


def test_version_without_an_engine(docket: Docket, fake: FakeEngine) -> None:
    fake.close()
    fake.path.unlink()
    done = docket("version")
    assert done.status == 1 and done.out.startswith("Client:\n Version: ") and "Server" not in done.out
    assert done.err.startswith("Cannot connect to the Docket daemon at unix://")


def test_version(docket: Docket, fake: FakeEngine) -> None:
    details = {"ApiVersion": "1.47", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64"}
    fake.on["GET /version"] = answer({
        "Version": "9", "ApiVersion": "1.47", "Platform": {"Name": "Docket"},
        "Components": [{"Name": "Engine", "Version": "9", "Details": details}],
    })  # fmt: skip
    out = docket("version").out
    assert "Server: Docket\n Engine:\n  Version:          9\n  API version:      1.47 (minimum version 1.24)\n" in out
    assert docket("version", "-f", "{{.Server.Version}} {{.Client.Os}}").out == "9 linux\n"


def test_help(docket: Docket) -> None:
    for words in (["--help"], ["help"], [], ["ps", "--help"], ["--help", "ps"], ["help", "container", "ls"], ["volume"],
                  ["volume", "--help"], ["exec", "-h"]):  # fmt: skip
        done = docket(*words)
        assert (done.status, done.err) == (0, "") and done.out.startswith("Usage:  docket ")
    assert docket("ps", "--help").out == docket("--help", "ps").out


def test_every_command_has_a_help_text_with_an_example(docket: Docket) -> None:
    from engine.cli.commands import COMMANDS, GROUPS, find

    paths = [*COMMANDS, *(f"{group} {name}" for group, (_, found) in GROUPS.items() for name in found)]
    for path in paths:
        assert find(path.split()) is not None
        done = docket(*path.split(), "--help")
        lines = done.out.splitlines()
        assert done.status == 0 and f"Usage:  docket {path}" in lines[0], path
        assert "Examples:" in lines and lines[-1].strip(), path
        described = lines[: lines.index("Examples:")]
        assert all(len(line) <= 80 for line in described if not line.startswith("  docket ")), path


@pytest.mark.parametrize(
    ("words", "first", "status"),
    [
        (["frob"], "docket: unknown command: docket frob", 1),
        (["container", "frob"], "docket: unknown command: docket container frob", 1),
        (["help", "frob"], "docket: unknown help topic: frob", 1),
        (["--frob", "ps"], "docket: unknown flag: --frob", 125),
        (["swarm", "init"], "docket: the command swarm is not supported: this engine is no swarm manager", 1),
        (["run", "--gpus", "all", "base"], "docket: --gpus is not supported: name the devices by --device", 125),
        (["-D", "ps"], "docket: --debug is not supported: a command that fails says why", 125),
        (["--log-level=debug", "ps"], "docket: --log-level is not supported: a command that fails says why", 125),
        (["images", "--tree"],
         "docket: --tree is not supported: an image here is for one platform, which `docket image inspect` tells", 125),
        (["network", "inspect", "-v", "a"], "docket: --verbose is not supported: it is for networks of a swarm", 125),
        (["volume", "create", "--type", "block"], "docket: --type is not supported: it is for volumes of a cluster",
         125),
        (["volume", "update", "a"],
         "docket: the command volume update is not supported: this engine is no swarm manager", 1),
        (["build", "--push", "."], "--push needs a name to push: --tag", 1),
        (["build", "--load", "-o", "out", "."],
         "--output takes the result elsewhere: without --push and --load, then", 1),
        (["pull", "--disable-content-trust=false", "base"],
         'docket: invalid argument "false" for "--disable-content-trust" flag: content trust is not supported', 125),
        (["ps", "x"], "docket: 'docket ps' accepts no arguments", 1),
        (["ps", "-f", "x"],
         'docket: invalid argument "x" for "-f, --filter" flag: bad format of filter (expected name=value)', 125),
        (["inspect", "--type", "frob", "x"], '"frob" is not a valid value for --type: use container, image, network, '
         "volume", 1),
        (["-H", "frob://x", "ps"],
         'host "frob://x" is not an address: use unix:///absolute/path.sock, tcp://HOST:PORT or ssh://USER@HOST', 1),
    ],
)  # fmt: skip
def test_wrong_words(docket: Docket, fake: FakeEngine, words: list[str], first: str, status: int) -> None:
    done = docket(*words)
    assert (done.status, done.out, done.err.splitlines()[0]) == (status, "", first)
    assert not fake.asked
