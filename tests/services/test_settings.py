"""A request and an image's configuration become a container's settings, or one clear line."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from engine.domain.errors import InvalidArgument, NotSupported
from engine.services.container_config import normalize, parse_signal

IMAGE = {
    "Env": ["PATH=/bin", "A=image"], "Cmd": ["serve"], "Entrypoint": ["/entry"], "WorkingDir": "/srv", "User": "web",
    "Labels": {"from": "image", "both": "image"}, "Volumes": {"/data": {}}, "StopSignal": "SIGQUIT",
}  # fmt: skip


def settings(image: dict[str, Any] | None = None, **body: Any) -> Any:
    return normalize({"Cmd": ["sh"], **body}, {} if image is None else image)


@pytest.mark.parametrize(
    "body, entrypoint, command",
    [
        ({}, ["/entry"], ["serve"]),
        ({"Cmd": ["other"]}, ["/entry"], ["other"]),
        ({"Entrypoint": ["/mine"]}, ["/mine"], None),
        ({"Entrypoint": ["/mine"], "Cmd": ["x"]}, ["/mine"], ["x"]),
        ({"Entrypoint": "/mine"}, ["/mine"], None),
        ({"Entrypoint": [""], "Cmd": ["x"]}, None, ["x"]),
    ],
)
def test_command_and_entrypoint_follow_dockers_rules(
    body: dict[str, Any], entrypoint: list[str] | None, command: list[str] | None
) -> None:
    config = normalize(body, IMAGE).config
    assert (config["Entrypoint"], config["Cmd"]) == (entrypoint, command)


def test_the_image_fills_in_what_the_request_leaves_open() -> None:
    config = normalize({"Env": ["A=mine"], "Labels": {"both": "mine"}}, IMAGE).config
    assert config["Env"] == ["A=mine", "PATH=/bin"]
    assert config["Labels"] == {"from": "image", "both": "mine"}
    assert (config["User"], config["WorkingDir"], config["StopSignal"]) == ("web", "/srv", "SIGQUIT")
    assert config["Volumes"] == {"/data": {}}


def test_equal_settings_have_one_document() -> None:
    assert settings(Env=["A=b"]).document() == settings(Env=["A=b"]).document()
    assert settings(Env=["A=b"]).document() != settings(Env=["A=c"]).document()


def test_the_default_network_is_the_bridge() -> None:
    chosen = settings(HostConfig={"NetworkMode": "default"})
    assert chosen.host_config["NetworkMode"] == "bridge" and chosen.warnings == ()
    assert [request.network for request in chosen.endpoints] == ["bridge"]
    assert settings(HostConfig={"NetworkMode": "none"}).endpoints == ()


@pytest.mark.parametrize("host", [{"LogConfig": {"Type": "syslog"}}])
def test_what_is_not_offered_yet_is_refused_by_name(host: dict[str, Any]) -> None:
    with pytest.raises(NotSupported) as caught:
        settings(HostConfig=host)
    assert "\n" not in str(caught.value)


def test_what_a_real_client_sends_without_asking_for_anything_is_accepted() -> None:
    silent = {
        "Binds": None, "ContainerIDFile": "", "LogConfig": {"Type": "", "Config": {}}, "NetworkMode": "none",
        "PortBindings": {}, "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "AutoRemove": False,
        "VolumeDriver": "", "VolumesFrom": None, "ConsoleSize": [24, 80], "CapAdd": None, "CapDrop": None,
        "CgroupnsMode": "", "Dns": [], "ExtraHosts": None, "IpcMode": "", "Cgroup": "", "Links": None, "PidMode": "",
        "Privileged": False, "PublishAllPorts": False, "SecurityOpt": None, "UTSMode": "", "UsernsMode": "",
        "ShmSize": 0, "Isolation": "", "CpuShares": 0, "Memory": 0, "NanoCpus": 0, "BlkioDeviceReadBps": [],
        "MemorySwappiness": -1, "OomKillDisable": False, "PidsLimit": 0, "Ulimits": [], "MaskedPaths": None,
    }  # fmt: skip
    assert settings(HostConfig=silent, UnknownField="ignored").warnings == ()


@pytest.mark.parametrize("mark", ["=", ":"])
def test_unconfined_system_paths_are_empty_lists_as_docker_shows_them(mark: str) -> None:
    given = ["no-new-privileges", f"systempaths{mark}unconfined"]
    host = settings(HostConfig={"SecurityOpt": given}).host_config
    assert (host["SecurityOpt"], host["MaskedPaths"], host["ReadonlyPaths"]) == (["no-new-privileges"], [], [])


@pytest.mark.parametrize(
    "body, message",
    [
        ({"Cmd": None}, "no command specified"),
        ({"WorkingDir": "relative"}, "needs to be an absolute path"),
        ({"Hostname": "-bad-"}, "invalid hostname format"),
        ({"StopSignal": "SIGNOPE"}, "invalid signal: SIGNOPE"),
        ({"Env": ["=x"]}, "invalid environment variable"),
        ({"Env": "A=b"}, "Env must be a list of strings"),
        ({"Labels": ["a"]}, "Labels must be a dict"),
        ({"HostConfig": []}, "HostConfig must be an object"),
        ({"HostConfig": {"RestartPolicy": {"Name": "often"}}}, "unknown policy 'often'"),
        ({"HostConfig": {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 2}}}, "only be used with"),
        ({"HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": -1}}}, "cannot be negative"),
        ({"HostConfig": {"RestartPolicy": {"Name": "always"}, "AutoRemove": True}}, "with restart policy"),
    ],
)
def test_a_bad_request_is_one_clear_line(body: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as caught:
        settings(**body)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text, number",
    [("KILL", 9), ("SIGTERM", 15), ("sigusr1", signal.SIGUSR1), ("9", 9), ("RTMIN+3", signal.SIGRTMIN + 3)],
)
def test_signals_by_name_and_number(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize("text", ["", "0", "65", "NOPE", "_BLOCK", "RTMIN+99", "-1", "9 ", "²", f"RTMIN+{'9' * 5000}"])
def test_no_signal(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_signal(text)
