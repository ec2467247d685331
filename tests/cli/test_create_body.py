"""What ``create`` and ``run`` send, against the flags' meaning and against what Docker's client sends."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any, Callable

import pytest

from cli.conftest import Done, environment
from cli.fake_engine import FakeEngine, answer

Docket = Callable[..., Done]


@pytest.fixture
def sent(docket: Docket, fake: FakeEngine) -> Callable[..., dict[str, Any]]:
    """The body that ``docket create`` sends for some flags."""
    fake.on["POST /containers/create"] = answer({"Id": "3f", "Warnings": []}, 201)

    def create(*words: str) -> dict[str, Any]:
        done = docket("create", *words)
        assert (done.status, done.out, done.err) == (0, "3f\n", "")
        return fake.asked[-1].json

    return create


def meaning(value: Any) -> Any:
    """A body without what says nothing: zero values, and Docker's way to spell the defaults."""
    if isinstance(value, dict):
        plain = {name: meaning(item) for name, item in value.items()}
        return {name: item for name, item in plain.items() if item not in (None, "", 0, [], {}, False, [0, 0])}
    return [meaning(item) for item in value] if isinstance(value, list) else value


def as_docker_spells_it(body: dict[str, Any]) -> dict[str, Any]:
    """Docker's body, less its spelled-out defaults."""
    host = body["HostConfig"]
    if host.get("MemorySwappiness") == -1:
        del host["MemorySwappiness"]
    if host.get("RestartPolicy", {}).get("Name") == "no":
        del host["RestartPolicy"]
    ports = host.get("PortBindings")
    body["Volumes"] = sorted(body.get("Volumes") or ())
    body["ExposedPorts"] = sorted(body.get("ExposedPorts") or ())
    for unordered in ("Binds", "Ulimits"):  # maps in Docker's client
        host[unordered] = sorted(host.get(unordered) or (), key=str)
    plain = meaning(body)
    if ports:
        plain["HostConfig"]["PortBindings"] = {
            port: [{"HostIp": where["HostIp"], "HostPort": where["HostPort"]} for where in places]
            for port, places in ports.items()
        }
    endpoints = (plain.get("NetworkingConfig") or {}).get("EndpointsConfig")
    if endpoints in (None, {}, {"default": {}}):
        plain.pop("NetworkingConfig", None)
    return plain


SAME = {
    "nothing": "bb",
    "command": "bb -x --rm y",
    "issue's example": (
        "--name web -m 64m --cpus 0.5 --pids-limit 50 -e A=b -w /tmp -u 1000:1000 -v data:/data -v "
        "/srv:/srv:ro --read-only --tmpfs /run bb sleep 100"
    ),
    "interactive": "-i bb cat",
    "terminal": "-t bb sh",
    "only output": "-a stdout bb",
    "only input": "-i -a stdin -a STDERR bb",
    "memory": "-m 1g --memory-swap -1 --memory-reservation 512m --memory-swappiness 0 bb",
    "cpu": "-c 512 --cpu-period 100000 --cpu-quota 50000 --cpuset-cpus 0-1 --cpuset-mems 0 bb",
    "blkio": (
        "--blkio-weight 300 --blkio-weight-device /dev/sda:200 --device-read-bps /dev/sda:1mb "
        "--device-write-iops /dev/sda:7 bb"
    ),
    "oom": "--oom-kill-disable --oom-score-adj -500 --shm-size 1m --pids-limit -1 bb",
    "ulimits": "--ulimit nofile=1024:2048 --ulimit core=0 --ulimit memlock=-1 bb",
    "capabilities": "--cap-add NET_ADMIN --cap-drop all --privileged bb",
    "security": "--security-opt no-new-privileges --security-opt seccomp=unconfined bb",
    "security with a colon": "--security-opt label:disable bb",
    "namespaces": "--pid host --ipc private --uts host --userns host --cgroupns host bb",
    "identity": "-h name --domainname d -l a=b --label c --stop-signal INT --stop-timeout 3 bb",
    "entrypoint": "--entrypoint /bin/sh bb -c x",
    "no entrypoint": "--entrypoint '' bb",
    "groups and init": "--group-add 5 --group-add audio --init bb",
    "name service": "--dns 1.1.1.1 --dns-option ndots:1 --dns-search x.y --add-host a:1.2.3.4 --add-host b=::1 bb",
    "networks": "--network none bb",
    "an address": "--network mine --ip 1.2.3.4 --network-alias z bb",
    "ports": "-p 80:80 -p 127.0.0.1:8000-8001:90-91/udp -p 99 --expose 7 --expose 20-22/udp bb",
    "a port anywhere in a range": "-p 8000-8010:80 bb",
    "all ports": "-P bb",
    "anonymous volume": "-v /anon bb",
    "bind options": "-v /a:/b:ro,rslave --volumes-from other:ro --volume-driver local bb",
    "a folder here": "-v ./here:/b -v .:/c:ro bb",
    "mount bind": "--mount type=bind,source=/a,target=/b,readonly,bind-propagation=rslave bb",
    "mount bind recursive": "--mount type=bind,src=/a,dst=/b,ro=true,bind-recursive=disabled bb",
    "mount volume": (
        "--mount src=v,dst=/v,volume-nocopy,volume-label=a=b,volume-driver=local,volume-opt=type=tmpfs bb"
    ),
    "mount tmpfs": "--mount type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=0700 bb",
    "mount quoted": '''--mount 'type=volume,"source=a",target=/x' bb''',
    "tmpfs": "--tmpfs /run:size=1m,mode=700 --tmpfs /tmp bb",
    "restart": "--restart on-failure:3 bb",
    "restart always": "--restart unless-stopped bb",
    "rm": "--rm bb",
    "logging": "--log-driver json-file --log-opt max-size=1m --log-opt max-file=2 bb",
    "health": (
        "--health-cmd true --health-interval 5s --health-retries 2 --health-timeout 1m30s "
        "--health-start-period 100ms bb"
    ),
    "no health check": "--no-healthcheck bb",
    "sysctl": "--sysctl net.ipv4.ip_forward=1 --sysctl kernel.msgmax=1 bb",
    "annotations": "--annotation a=b --cgroup-parent p --runtime r --device-cgroup-rule 'c 1:3 r' bb",
}
"""Flags and arguments, as a shell splits them."""


@pytest.mark.parametrize("case", SAME)
def test_the_body_is_docker_s(
    case: str, sent: Callable[..., dict[str, Any]], fake: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("docker") is None:
        pytest.skip("no real Docker to compare with: the docker client is not installed")
    monkeypatch.chdir(tmp_path)
    fake.on["POST /containers/create"] = answer({"Id": "3f", "Warnings": []}, 201)
    words = shlex.split(SAME[case])
    ours = sent(*words)
    command = ["docker", "-H", fake.host, "create", *words]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    assert as_docker_spells_it(ours) == as_docker_spells_it(fake.asked[-1].json)


def test_what_was_not_asked_for_is_left_to_the_engine(sent: Callable[..., dict[str, Any]]) -> None:
    body = sent("base")
    assert meaning(body) == {
        "Image": "base", "AttachStdout": True, "AttachStderr": True, "HostConfig": {"NetworkMode": "default"},
    }  # fmt: skip
    empty = {name: value for name, value in body["HostConfig"].items() if name != "NetworkMode"}
    assert all(value in ([], {}) for value in empty.values()) and {"Devices", "Dns", "Ulimits"} < set(empty)


def test_a_grace_of_zero_seconds_is_said(sent: Callable[..., dict[str, Any]]) -> None:
    assert sent("--stop-timeout", "0", "base")["StopTimeout"] == 0


def test_a_swappiness_of_zero_is_said(sent: Callable[..., dict[str, Any]]) -> None:
    assert sent("--memory-swappiness", "0", "base")["HostConfig"]["MemorySwappiness"] == 0


def test_devices(sent: Callable[..., dict[str, Any]]) -> None:
    given = ("/dev/a", "/dev/b:r", "/dev/c:/dev/d:rw", "/dev/e:/f")
    devices = sent(*(word for device in given for word in ("--device", device)), "base")
    assert [tuple(device.values()) for device in devices["HostConfig"]["Devices"]] == [
        ("/dev/a", "/dev/a", "rwm"), ("/dev/b", "/dev/b", "r"), ("/dev/c", "/dev/d", "rw"), ("/dev/e", "/f", "rwm"),
    ]  # fmt: skip


def test_environment_and_label_files(
    sent: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables, labels = tmp_path / "env", tmp_path / "labels"
    variables.write_text("# a comment\n\nA=1\n  B=two words \nHERE\nNOT_SET\r\nC=x=y\r\n")
    labels.write_text("team=web\n#no\nalone\n")
    monkeypatch.setenv("HERE", "from here")
    monkeypatch.delenv("NOT_SET", raising=False)
    body = sent("--env-file", str(variables), "-e", "A=2", "-e", "HERE", "-e", "NOT_SET", "--label-file", str(labels),
                "-l", "team=db", "base")  # fmt: skip
    assert body["Env"] == ["A=1", "B=two words ", "HERE=from here", "C=x=y", "A=2", "HERE=from here"]
    assert body["Labels"] == {"team": "db"}


def test_a_seccomp_profile_is_read_here(sent: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{\n  "defaultAction": "SCMP_ACT_ALLOW"\n}\n')
    options = sent("--security-opt", f"seccomp={profile}", "base")["HostConfig"]["SecurityOpt"]
    assert options == ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']


REFUSED = {
    "env file missing": (["--env-file", "/no/such"], "open /no/such: no such file or directory"),
    "env without a name": (["-e", "=x"], "invalid environment variable: =x"),
    "label file missing": (["--label-file", "/no/such"], "open /no/such: no such file or directory"),
    "seccomp file missing": (["--security-opt", "seccomp=/no/such"], "opening seccomp profile (/no/such) failed"),
    "security option": (["--security-opt", "what"], 'invalid --security-opt: "what"'),
    "port in letters": (["-p", "foo"], "invalid containerPort: foo"),
    "port too big": (["-p", "70000"], "invalid containerPort: 70000"),
    "ranges that differ": (["-p", "1-3:4-5"], "invalid ranges specified for container and host Ports: 4-5 and 1-3"),
    "restart and rm": (["--restart", "always", "--rm"], "conflicting options: cannot specify both --restart and --rm"),
    "restart count": (["--restart", "on-failure:x"], "maximum retry count must be an integer"),
    "swappiness": (["--memory-swappiness", "101"], "Valid memory swappiness range is 0-100"),
    "health conflict": (["--no-healthcheck", "--health-cmd", "x"], "--no-healthcheck conflicts with --health-*"),
    "device": (["--device", "a:b:c:d"], "invalid device specification: a:b:c:d"),
    "pull": (["--pull", "foo"], "invalid pull option: 'foo': must be one of \"always\", \"missing\", \"never\""),
    "attach": (["-a", "foo"], "valid streams are STDIN, STDOUT and STDERR"),
    "ulimit": (["--ulimit", "foo"], "invalid ulimit argument: foo"),
    "ulimit type": (["--ulimit", "foo=1"], "invalid ulimit type: foo"),
    "ulimit order": (["--ulimit", "nofile=2:1"], "soft limit must be less than or equal to hard limit: 2 > 1"),
    "add-host": (["--add-host", "foo"], 'bad format for add-host: "foo"'),
    "add-host address": (["--add-host", "foo:bar"], 'invalid IP address in add-host: "bar"'),
    "sysctl": (["--sysctl", "vm.swappiness=1"], "sysctl 'vm.swappiness=1' is not allowed"),
    "label": (["-l", "=x"], "invalid label '=x': empty name"),
    "rate": (["--device-read-bps", "/dev/sda:x"], "invalid rate for device: /dev/sda:x"),
    "weight": (["--blkio-weight-device", "/dev/sda:5"], "invalid weight for device: /dev/sda:5"),
    "mount without target": (["--mount", "type=bind,src=/a"], "target is required"),
    "mount key": (["--mount", "target=/a,foo=1"], "unexpected key 'foo' in 'foo=1'"),
    "mount field": (["--mount", "target"], "invalid field 'target' must be a key=value pair"),
    "mount mixture": (["--mount", "type=bind,src=/a,dst=/b,tmpfs-size=1"], "cannot mix 'tmpfs-*' options"),
    "mount size": (["--mount", "type=tmpfs,dst=/b,tmpfs-size=x"], "invalid value for tmpfs-size: x"),
    "mount quote": (["--mount", '"type=bind'], "missing closing quote"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("command", ["run", "create"])
def test_refused_before_the_engine_is_asked(case: str, command: str, docket: Docket, fake: FakeEngine) -> None:
    flags, words = REFUSED[case]
    done = docket(command, *flags, "base")
    assert done.status == 125
    assert words in done.err.splitlines()[0] and done.err.startswith("docket: ")
    assert not fake.asked and done.out == ""


def test_a_cidfile_is_written_once(docket: Docket, fake: FakeEngine, tmp_path: Path) -> None:
    fake.on["POST /containers/create"] = answer({"Id": "3f"}, 201)
    path = tmp_path / "id"
    assert docket("create", "--cidfile", str(path), "base").status == 0
    assert path.read_text() == "3f"
    done = docket("create", "--cidfile", str(path), "base")
    assert done.status == 125 and "container ID file found" in done.err
    assert len(fake.asked) == 1 and path.read_text() == "3f"


def test_a_cidfile_goes_again_if_there_is_no_container(docket: Docket, fake: FakeEngine, tmp_path: Path) -> None:
    fake.on["POST /containers/create"] = answer({"message": "no"}, 500)
    assert docket("create", "--cidfile", str(tmp_path / "id"), "base").status == 1
    assert os.listdir(tmp_path) == ["engine.sock"]
