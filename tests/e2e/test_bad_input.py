"""Bad input: one clear line, Docker's status, and nothing half-made."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from support.engine import Engine, base_config, docket_command
from support.forked import in_child
from support.machine import MS_RDONLY, become_ordinary, mount, private_mounts
from support.sources import REPOSITORY
from support.waiting import eventually

pytestmark = pytest.mark.kernel

RUN = ("run", "--rm", "--network", "none")

REFUSED = {
    "unknown image": ((*RUN, "nowhere:tag", "true"), 125, "nowhere:tag"),
    "command not found": ((*RUN, "base", "no-such-program"), 127, "no-such-program"),
    "not executable": ((*RUN, "base", "/etc/passwd"), 126, "/etc/passwd"),
    "a folder as command": ((*RUN, "base", "/etc"), 126, "/etc"),
    "no command": ((*RUN, "base"), 125, "no command"),
    "memory below the minimum": ((*RUN, "-m", "1m", "base", "true"), 125, "6MB"),
    "memory negative": ((*RUN, "-m", "-5", "base", "true"), 125, ""),
    "memory in letters": ((*RUN, "-m", "lots", "base", "true"), 125, "lots"),
    "cpus zero point nothing": ((*RUN, "--cpus", "0.001", "base", "true"), 125, "CPU"),
    "cpus in letters": ((*RUN, "--cpus", "many", "base", "true"), 125, "many"),
    "more cpus than there are": ((*RUN, "--cpus", "4096", "base", "true"), 125, "CPUs"),
    "pids in letters": ((*RUN, "--pids-limit", "few", "base", "true"), 125, "few"),
    "a relative mount": ((*RUN, "-v", "./here/there:rel", "base", "true"), 125, ""),
    "a mount into proc": ((*RUN, "-v", "/tmp:/proc/x", "base", "true"), 125, "/proc"),
    "a mount on the root": ((*RUN, "-v", "/tmp:/", "base", "true"), 125, "/"),
    "a missing source": ((*RUN, "--mount", "type=bind,src=/no/such,dst=/x", "base", "true"), 125, "/no/such"),
    "an unknown mode": ((*RUN, "-v", "/tmp:/x:sideways", "base", "true"), 125, "sideways"),
    "a volume's odd name": ((*RUN, "-v", "a/b:/x", "base", "true"), 125, "a/b"),
    "an unknown user": ((*RUN, "-u", "nobody-here", "base", "true"), 125, "nobody-here"),
    "a user out of range": ((*RUN, "-u", "4294967296", "base", "true"), 125, "4294967296"),
    "a negative user": ((*RUN, "-u", "-1", "base", "true"), 125, ""),
    "an odd name": (("create", "--network", "none", "--name", "a b", "base"), 1, "a b"),
    "an odd host name": ((*RUN, "--hostname", "a b", "base", "true"), 125, "a b"),
    "a relative directory": ((*RUN, "-w", "here", "base", "true"), 125, "here"),
    "a signal that is none": (("kill", "-s", "SIGNONE", "any"), 1, ""),
    "a reference that is none": (("tag", "base", "UPPER"), 1, "invalid reference format"),
    "an unknown flag": (("run", "--no-such-flag", "base"), 125, "--no-such-flag"),
    "an unknown command": (("frobnicate",), 1, "frobnicate"),
    "a port out of range": (("create", "-p", "80:65536", "base"), 125, "invalid containerPort: 65536"),
    "a network that is not there": (("run", "--rm", "--network", "mine", "base", "true"), 125, "mine"),
    "an address outside of IPv4": (
        ("create", "--network", "mine", "--ip", "10.9.0.256", "base", "true"), 1, "10.9.0.256"
    ),
    "inspect of nothing known": (("volume", "inspect", "nothing"), 1, "nothing"),
    "rm of nothing known": (("rm", "nothing"), 1, "nothing"),
    "rmi of nothing known": (("rmi", "nothing"), 1, "nothing"),
    "import of a missing file": (("import", "/no/such/file.tar", "x"), 1, "/no/such/file.tar"),
    "load of a missing file": (("load", "-i", "/no/such/file.tar"), 1, "/no/such/file.tar"),
    "trail of nothing known": (("audit", "trail", "nothing"), 1, "nothing"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(engine: Engine, case: str) -> None:
    arguments, code, words = REFUSED[case]
    done = engine.docket(*arguments, check=False)
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.strip().splitlines() if "--help" not in line]
    assert "Traceback" not in done.stderr
    assert any(words in line for line in lines), done.stderr
    assert len([line for line in lines if line]) <= 2, done.stderr
    assert engine.docket("ps", "-aq").stdout == "", "nothing half-made"
    assert engine.docket("volume", "ls", "-q").stdout == ""


def test_an_ambiguous_prefix_is_refused(engine: Engine) -> None:
    while True:
        ids = [engine.docket("create", "--network", "none", "base", "true").stdout.strip() for _ in range(4)]
        ids = engine.docket("ps", "-aq", "--no-trunc").stdout.split()
        first = next((i[0] for i in ids if sum(other[0] == i[0] for other in ids) > 1), None)
        if first is not None:
            break
    line = engine.refused("inspect", "--type", "container", first)
    assert first in line


def test_a_name_in_use_is_refused_and_names_the_holder(engine: Engine) -> None:
    holder = engine.run("-d", "--name", "web", "base", "sleep", "100").strip()
    assert holder in engine.refused("run", "--network", "none", "--name", "web", "base", "true", code=125)
    answer = engine.api("POST", "/containers/create?name=web", base_config("true"))
    assert answer.status == 409 and holder in answer.message


def test_a_failed_start_leaves_the_container_as_it_was(engine: Engine) -> None:
    engine.docket("create", "--network", "none", "--name", "bad", "base", "no-such-program")
    done = engine.docket("start", "bad", check=False)
    assert done.returncode == 1
    state = engine.inspect("bad")["State"]
    assert (state["Status"], state["ExitCode"]) == ("created", 127)
    assert "no-such-program" in state["Error"]
    assert engine.event_types("bad") == ["container.created", "container.starting", "container.start_failed"]


def test_the_api_answers_with_dockers_statuses(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "base", "sleep", "100")
    assert engine.api("GET", "/containers/nobody/json").status == 404
    assert engine.api("POST", "/containers/web/start").status == 304
    assert engine.api("DELETE", "/containers/web").status == 409
    assert engine.api("POST", "/containers/create", base_config("true") | {"Image": "nowhere"}).status == 404
    assert engine.api("POST", "/containers/create", base_config("true", Memory=-1)).status == 400
    assert engine.api("POST", "/containers/create", base_config("true", Isolation="hyperv")).status == 501
    assert engine.api("POST", "/containers/create", b"{not json").status == 400
    assert engine.api("GET", "/v9.99/containers/json").status == 400
    assert engine.api("GET", "/no/such/page").status == 404


def test_a_client_that_hangs_up_in_the_middle_of_a_body(engine: Engine) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(engine.socket))
        head = b"POST /images/create?fromSrc=-&repo=half HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
        client.sendall(head + b"half")
    eventually(lambda: not list((engine.root / "content" / "ingest").iterdir()))
    assert engine.docket("images", "-q", "half").stdout == ""
    assert engine.answers()


def test_a_full_disk(rootfs: Path, stopped_engine: Engine) -> None:
    """A small tmpfs as data root, seen by the daemon alone: commands fail by one line, and go on when there is room."""

    def story() -> list[object]:
        private_mounts()
        stopped_engine.root.mkdir()
        mount("tmpfs", str(stopped_engine.root), "tmpfs", data="size=12m")
        stopped_engine.start()
        try:
            stopped_engine.docket("import", str(rootfs), "base")
            fill = stopped_engine.root / "fill"
            with fill.open("wb") as file:
                try:
                    while True:
                        file.write(b"\0" * 65536)
                        file.flush()
                except OSError:
                    fill_bytes = file.tell()
            failed = stopped_engine.docket("create", "--network", "none", "--name", "no", "base", "true", check=False)
            fill.unlink()
            worked = stopped_engine.docket("create", "--network", "none", "--name", "yes", "base", "true", check=False)
            names = stopped_engine.docket("ps", "-a", "--format", "{{.Names}}").stdout.split()
            verified = stopped_engine.docket("audit", "verify", check=False).returncode
            stopped_engine.reset()
            return [fill_bytes > 0, failed.returncode, failed.stderr, worked.returncode, names, verified]
        finally:
            stopped_engine.stop()

    filled, failed, message, worked, names, verified = in_child(story, timeout_s=100)
    assert filled and failed != 0
    assert len(str(message).strip().splitlines()) == 1
    assert (worked, names, verified) == (0, ["yes"], 0)


def test_a_read_only_data_root(stopped_engine: Engine) -> None:
    def story() -> list[object]:
        private_mounts()
        stopped_engine.root.mkdir()
        mount("tmpfs", str(stopped_engine.root), "tmpfs", MS_RDONLY)
        done = subprocess.run(
            [*docket_command(), "daemon"], env=stopped_engine.environment(), capture_output=True, text=True, check=False
        )
        return [done.returncode, done.stderr]

    code, message = in_child(story, timeout_s=60)
    stopped_engine.root.rmdir()
    assert code == 1
    assert len(str(message).strip().splitlines()) == 1 and str(stopped_engine.root) in str(message)


@pytest.mark.requires("user namespaces")
def test_an_ordinary_user_without_user_namespaces_is_told_so(tmp_path: Path) -> None:
    def story() -> list[object]:
        become_ordinary()
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
        done = subprocess.run(
            [*docket_command(), "daemon", "--root", str(tmp_path / "root"), "--run-dir", str(tmp_path / "run")],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return [done.returncode, done.stderr]

    code, message = in_child(story, timeout_s=60)
    assert code == 1 and "user namespaces" in str(message)
    assert len(str(message).strip().splitlines()) == 1
