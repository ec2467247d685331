"""What becomes of a command: exit codes, signals, environment, working directory, user."""

from __future__ import annotations

import errno
import json
import os
import signal
from pathlib import Path

import pytest

from engine.domain.errors import Conflict
from engine.runtime.failures import LaunchFailed
from support.containers import Runtime, layer
from support.waiting import eventually


def test_exit_code_output_and_log(runtime: Runtime) -> None:
    done = runtime.run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.code, done.out, done.err) == (7, "out\n", "err\n")
    entries = [json.loads(line) for line in done.container.log.read_text().splitlines()]
    assert {(entry["stream"], entry["log"]) for entry in entries} == {("stdout", "out\n"), ("stderr", "err\n")}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_ended_by_a_signal(runtime: Runtime, number: signal.Signals) -> None:
    container = runtime.start("sh", "-c", f"trap 'exit 40' {int(number)}; sleep 100 & wait")
    eventually(lambda: Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text().strip())
    runtime.supervisor.signal(container.id, number)
    assert container.wait()["exit_code"] == (137 if number == signal.SIGKILL else 40)
    with pytest.raises(Exception, match="no shim of container"):
        runtime.supervisor.signal(container.id, number)


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        (["nosuch"], 127, 'exec: "nosuch": executable file not found in $PATH'),
        (["/nosuch"], 127, 'exec: "/nosuch": stat /nosuch: no such file or directory'),
        (["/etc"], 126, 'exec: "/etc": is a directory: permission denied'),
        (["/etc/passwd"], 126, 'exec: "/etc/passwd": permission denied'),
        (["/etc/passwd/x"], 127, 'exec: "/etc/passwd/x": stat /etc/passwd/x: not a directory'),
        ([], 127, "no command specified"),
    ],
)  # fmt: skip
def test_commands_that_cannot_be_executed(runtime: Runtime, command: list[str], code: int, text: str) -> None:
    with pytest.raises(LaunchFailed) as caught:
        runtime.start(*command)
    assert caught.value.exit_code == code
    assert str(caught.value) == f"unable to start container process: {text}"
    assert caught.value.step == "exec.start"


def test_programs_that_the_kernel_refuses(runtime: Runtime, tmp_path: Path) -> None:
    for name, text, code, words in (
        ("script", "echo no interpreter named\n", 126, "exec format error"),
        ("orphan", "#!/no/such/interpreter\n", 127, "no such file or directory"),
    ):
        program = tmp_path / name
        program.write_text(text)
        program.chmod(0o755)
        with pytest.raises(LaunchFailed, match=words) as caught:
            runtime.start(f"/mnt/{name}", host={"Binds": [f"{tmp_path}:/mnt"]})
        assert caught.value.exit_code == code


def test_environment_is_what_the_plan_says(runtime: Runtime) -> None:
    os.environ["SECRET_OF_THE_DAEMON"] = "x"
    try:
        lines = runtime.shell("env", config={"Env": ["A=b=c", "EMPTY=", "A2=ä", "X=1", "X=2"]}).splitlines()
    finally:
        del os.environ["SECRET_OF_THE_DAEMON"]
    found = dict(line.split("=", 1) for line in lines)
    assert found["A"] == "b=c" and found["EMPTY"] == "" and found["A2"] == "ä" and found["X"] == "2"
    assert found["HOME"] == "/root" and found["PATH"].startswith("/usr/local/sbin")
    assert set(found) <= {"A", "EMPTY", "A2", "X", "HOME", "PATH", "HOSTNAME", "PWD", "SHLVL"}


def test_hostname_domain_and_namespaces(runtime: Runtime) -> None:
    config = {"Hostname": "box", "Domainname": "example.org"}
    out = runtime.shell("hostname; cat /proc/sys/kernel/domainname; echo $$; ip -o link | wc -l", config=config)
    assert out.split() == ["box", "example.org", "1", "1"]
    done = runtime.run("sh", "-c", "ip -o addr show lo | grep -c 127.0.0.1; readlink /proc/self/ns/net", config=config)
    assert done.out.splitlines()[0] == "1"
    assert f"net:[{done.container.facts['evidence']['namespaces']['network']}]" == done.out.splitlines()[1]
    assert done.container.facts["evidence"]["namespaces"]["network"] != os.stat("/proc/self/ns/net").st_ino


def test_host_network(runtime: Runtime) -> None:
    out = runtime.shell("readlink /proc/self/ns/net", host={"NetworkMode": "host"})
    assert out.strip() == os.readlink("/proc/self/ns/net")


# --- working directory -------------------------------------------------------------------------------------------


def test_working_directory_is_made(runtime: Runtime) -> None:
    assert runtime.shell("pwd; stat -c %a:%u /a/b", config={"WorkingDir": "/a/b/c"}).split() == ["/a/b/c", "755:0"]


def test_working_directory_through_links_of_the_image(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv" / "link").symlink_to("/var/app")
    (tmp_path / "srv" / "up").symlink_to("../../../../../../tmp")
    layers = [tmp_path, layer()]
    assert runtime.shell("/bin/pwd", config={"WorkingDir": "/srv/link"}, layers=layers).strip() == "/var/app"
    assert runtime.shell("/bin/pwd", config={"WorkingDir": "/srv/up"}, layers=layers).strip() == "/tmp"


@pytest.mark.parametrize("number", range(0, 24))
def test_working_directory_by_a_descriptor_is_refused(runtime: Runtime, number: int) -> None:
    """CVE-2024-21626: no descriptor of the engine's gives a working directory."""
    with pytest.raises(LaunchFailed) as caught:
        runtime.start("true", config={"WorkingDir": f"/proc/self/fd/{number}"})
    assert caught.value.step == "process.user" and "chdir to cwd" in str(caught.value)
    if number in (0, 3, 9):
        container = runtime.start("sleep", "100")
        with pytest.raises(LaunchFailed, match="chdir to cwd"):
            runtime.exec(container, "true", cwd=f"/proc/self/fd/{number}")
        with pytest.raises(LaunchFailed, match="chdir to cwd"):
            runtime.exec(container, "true", cwd="/proc/self/cwd")


def test_no_descriptor_leaks(runtime: Runtime) -> None:
    """Inside there are 0, 1, 2, and the one that the listing itself opens."""
    container = runtime.start("sleep", "100")
    descriptors = os.listdir(f"/proc/{container.pid}/fd")
    assert sorted(descriptors) == ["0", "1", "2"]
    inside = runtime.exec(container, "ls", "/proc/self/fd")
    assert inside.out.split() == ["0", "1", "2", "3"], "3 is the folder that ls reads"


# --- users -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "line"),
    [
        ("", "0 0 0 /root"), ("root", "0 0 0 /root"), ("user", "1000 1000 1000 50 /tmp"),
        ("1000", "1000 1000 1000 50 /tmp"), ("1000:1000", "1000 1000 1000 /tmp"),
        ("user:nogroup", "1000 65534 65534 /tmp"),
        ("4242", "4242 0 0 /"), ("4242:77", "4242 77 77 /"), ("nobody:", "65534 65534 65534 /"),
    ],
)  # fmt: skip
def test_users(runtime: Runtime, user: str, line: str) -> None:
    out = runtime.shell("echo $(id -u) $(id -g) $(id -G) $HOME", config={"User": user})
    assert out.strip() == line


def test_additional_groups(runtime: Runtime) -> None:
    out = runtime.shell("id -G", config={"User": "user"}, host={"GroupAdd": ["staff", "4711"]})
    assert out.split() == ["1000", "50", "4711"]


HOSTILE_PASSWD = (
    "1000:x:0:0::/:/bin/sh\n"
    "big:x:4294967296:0::/:/bin/sh\n"
    "minus:x:-1:-1::/:/bin/sh\n"
    "half:x:2147483648:0::/:/bin/sh\n"
    "text:x:zero:zero::/:/bin/sh\n"
    "short:x:0\n"
    ":x:0:0::/:/bin/sh\n"
    "group:x:7:4294967295::/:/bin/sh\n"
    "long:x:" + "9" * 5000 + ":0::/:/bin/sh\n"
    "fine:x:12:13::/:/bin/sh\n"
)


@pytest.mark.parametrize(
    "user",
    [
        "4294967296", "-1", "2147483648", "big", "minus", "half", "text", "short", "group", "long", "0x0", "nosuch",
        "9" * 5000, "0:4294967296", "0:-1", "0:nosuch", "fine:2147483648", " 0", "+0",
    ],
)  # fmt: skip
def test_hostile_identities_are_refused(runtime: Runtime, tmp_path: Path, user: str) -> None:
    """CVE-2024-40635 and its kin: never root by overflow, never an unchecked range."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text(HOSTILE_PASSWD)
    layers = [tmp_path, layer()]
    with pytest.raises(LaunchFailed) as caught:
        runtime.start("id", config={"User": user}, layers=layers)
    assert caught.value.step == "process.user"
    assert "unable to find" in str(caught.value) or "must be in range" in str(caught.value)


def test_a_number_means_the_number(runtime: Runtime, tmp_path: Path) -> None:
    """A passwd line that is *named* 1000 and has uid 0 makes nobody root."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("1000:x:0:0::/:/bin/sh\nfine:x:12:13::/:/bin/sh\n")
    layers = [tmp_path, layer()]
    assert runtime.shell("id -u", config={"User": "1000"}, layers=layers).strip() == "1000"
    assert runtime.shell("id -u; id -g", config={"User": "fine"}, layers=layers).split() == ["12", "13"]


def test_strange_passwd_files_do_not_hang(runtime: Runtime, tmp_path: Path) -> None:
    base = layer()
    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / "etc" / "passwd")
    with pytest.raises(LaunchFailed, match="not a regular file"):
        runtime.start("id", config={"User": "user"}, layers=[tmp_path, base])
    os.unlink(tmp_path / "etc" / "passwd")
    (tmp_path / "etc" / "passwd").symlink_to("/proc/self/fd/0")
    with pytest.raises(LaunchFailed):
        runtime.start("id", config={"User": "user"}, layers=[tmp_path, base])
    os.unlink(tmp_path / "etc" / "passwd")
    (tmp_path / "etc" / "passwd").symlink_to("../../../../../../../../etc/other")
    (tmp_path / "etc" / "other").write_text("user:x:5:6::/home:/bin/sh\n")
    assert runtime.shell("id -u", config={"User": "user"}, layers=[tmp_path, base]).strip() == "5"


def test_orphans_are_reaped_and_nothing_outlives_the_container(runtime: Runtime) -> None:
    container = runtime.start("sh", "-c", "(sleep 1000 &) ; (sleep 1000 & ) ; exec sleep 1000")
    pids = eventually(lambda: len(runtime.cgroup(container).pids()) >= 3 and runtime.cgroup(container).pids())
    runtime.supervisor.signal(container.id, signal.SIGKILL)
    container.wait()
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]


def test_orphans_of_a_container_in_the_hosts_pid_namespace(runtime: Runtime) -> None:
    def share(spec: dict) -> None:
        spec["linux"]["namespaces"] = [entry for entry in spec["linux"]["namespaces"] if entry["type"] != "pid"]

    done = runtime.run("sh", "-c", "sleep 1000 & sleep 1000 & exit 3", change=share)
    assert done.code == 3


def test_a_daemon_without_descriptors_hears_of_every_end(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(seen: int) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(runtime.supervisor._workers, "watch", refuse)
    assert [runtime.run("true").code for _ in range(2)] == [0, 0]


def test_a_container_may_be_launched_again(runtime: Runtime) -> None:
    plan = runtime.plan("sh", "-c", "echo x >> /file; exec wc -l /file")
    for count in range(1, 4):
        container = runtime.launch(plan)
        container.wait()
        assert len(container.log.read_text().splitlines()) == count
    assert (container.directory / "upper" / "file").read_text() == "x\n" * 3


def test_nothing_begins_in_a_container_that_is_paused(runtime: Runtime) -> None:
    """Who asked before that learns it from the shim: a conflict, as Docker has it, and no failure of the engine's."""
    container = runtime.start("sleep", "100")
    runtime.supervisor.pause(container.id)
    for ask in (
        lambda plan: runtime.supervisor.exec(container.id, plan, None),
        lambda plan: runtime.supervisor.probe(container.id, plan, 5),
    ):
        with pytest.raises(Conflict, match=f"{container.id} is paused, unpause the container before exec"):
            ask({"exec_id": "e" * 64, "args": ["true"], "env": ["PATH=/bin"], "capabilities": []})
    runtime.supervisor.resume(container.id)
    assert runtime.exec(container, "echo", "x").out == "x\n"
