"""From canonical services to bodies of the API, key by key, as Docker Compose 2.40 sends them."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from engine.compose.bodies.container import Surroundings, container_body, own_labels
from compose.conftest import Loaded
from engine.compose.bodies.injected import archive, injected_files
from engine.compose.bodies.networks_and_volumes import network_body, volume_body
from engine.compose.project import ComposeError, Project
from engine.compose.running.hashing import network_hash, volume_hash

Json = dict[str, Any]


def project_of(service: Json, working_dir: str = "/shop", **model: Any) -> Project:
    networks = {"default": {"name": "shop_default", "ipam": {}}, "back": {"name": "shop_back", "ipam": {}}}
    volumes = {"data": {"name": "shop_data"}}
    full = {"name": "shop", "services": {"web": service}, "networks": networks, "volumes": volumes, **model}
    return Project("shop", working_dir, (), full, (), {}, (), {"TOKEN": "t0"})


def body_of(service: Json, surroundings: Surroundings = Surroundings(), **model: Any) -> Json:
    service = {"image": "app", "networks": {"default": None}, **service}
    return container_body(project_of(service, **model), "web", service, "shop-web-1", {}, surroundings)


@pytest.mark.parametrize(
    ("service", "config"),
    [
        ({"command": ["sleep", "1"]}, {"Cmd": ["sleep", "1"]}),
        ({"entrypoint": ["sh", "-c"]}, {"Entrypoint": ["sh", "-c"]}),
        ({"entrypoint": []}, {"Entrypoint": [""]}),
        ({"environment": {"B": "2", "A": "1", "C": None}}, {"Env": ["A=1", "B=2", "C"]}),
        ({"expose": ["3000", "8000-8001/udp"]}, {"ExposedPorts": {"3000/tcp": {}, "8000/udp": {}, "8001/udp": {}}}),
        ({"stop_grace_period": "1m10s", "stop_signal": "SIGUSR1"}, {"StopTimeout": 70, "StopSignal": "SIGUSR1"}),
        ({"stop_grace_period": "500ms"}, {"StopTimeout": 1}),
        ({"stop_grace_period": "0s"}, {"StopTimeout": 0}),
        ({"user": "1:1", "working_dir": "/w"}, {"User": "1:1", "WorkingDir": "/w"}),
        ({"hostname": "h", "domainname": "d"}, {"Hostname": "h", "Domainname": "d"}),
        ({"tty": True, "stdin_open": True}, {"Tty": True, "OpenStdin": True}),
        ({"healthcheck": {"disable": True}}, {"Healthcheck": {"Test": ["NONE"]}}),
        ({"healthcheck": {"test": ["CMD-SHELL", "x"], "interval": "1m30s", "timeout": "10s", "retries": 3,
                          "start_period": "40s", "start_interval": "5s"}},
         {"Healthcheck": {"Test": ["CMD-SHELL", "x"], "Interval": 90_000_000_000, "Timeout": 10_000_000_000,
                          "StartPeriod": 40_000_000_000, "StartInterval": 5_000_000_000, "Retries": 3}}),
        ({"labels": {"a": "b"}}, {"Labels": {"a": "b"}}),
    ],
)  # fmt: skip
def test_config(service: Json, config: Json) -> None:
    body = body_of(service)
    assert {key: body.get(key) for key in config} == config


@pytest.mark.parametrize(
    ("service", "host"),
    [
        ({"ports": [{"target": 80, "published": "18001", "host_ip": "127.0.0.1", "protocol": "tcp"}, {"target": 53,
          "protocol": "udp"}]},
         {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18001"}],
                           "53/udp": [{"HostIp": "", "HostPort": ""}]}}),
        ({"restart": "on-failure:3"}, {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}}),
        ({"restart": "always"}, {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}}),
        ({"restart": "always", "deploy": {"restart_policy": {"condition": "on-failure", "max_attempts": 2}}},
         {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}}),
        ({"deploy": {"restart_policy": {"condition": "none"}}}, {"RestartPolicy": {"Name": "no",
                                                                                   "MaximumRetryCount": 0}}),
        ({"deploy": {"resources": {"limits": {"cpus": 0.25, "memory": "104857600", "pids": 10},
                                   "reservations": {"memory": "52428800"}}}},
         {"NanoCpus": 250_000_000, "Memory": 104857600, "PidsLimit": 10, "MemoryReservation": 52428800}),
        ({"mem_limit": "1024", "memswap_limit": "2048", "mem_swappiness": "10", "shm_size": "64", "cpus": 0.5,
          "cpuset": "0,1", "cpu_shares": 50, "oom_score_adj": 100},
         {"Memory": 1024, "MemorySwap": 2048, "MemorySwappiness": 10, "ShmSize": 64, "NanoCpus": 500_000_000,
          "CpusetCpus": "0,1", "CpuShares": 50, "OomScoreAdj": 100}),
        ({"cap_add": ["NET_ADMIN"], "cap_drop": ["ALL"]}, {"CapAdd": ["CAP_NET_ADMIN"], "CapDrop": ["ALL"]}),
        ({"devices": [{"source": "/dev/null", "target": "/dev/x", "permissions": "rw"}]},
         {"Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "rw"}]}),
        ({"ulimits": {"nproc": 100, "nofile": {"soft": 1, "hard": 2}}},
         {"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}, {"Name": "nproc", "Soft": 100, "Hard": 100}]}),
        ({"extra_hosts": ["h=1.2.3.4", "h6=::1"]}, {"ExtraHosts": ["h:1.2.3.4", "h6:::1"]}),
        ({"dns": ["9.9.9.9"], "dns_opt": ["use-vc"], "dns_search": ["x.com"]},
         {"Dns": ["9.9.9.9"], "DnsOptions": ["use-vc"], "DnsSearch": ["x.com"]}),
        ({"logging": {"driver": "json-file", "options": {"max-size": "1m"}}},
         {"LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}}),
        ({"sysctls": {"net.core.somaxconn": "1024"}, "annotations": {"a": "x"}, "init": True, "read_only": True,
          "privileged": True, "userns_mode": "host", "uts": "host", "cgroup": "host", "cgroup_parent": "m"},
         {"Sysctls": {"net.core.somaxconn": "1024"}, "Annotations": {"a": "x"}, "Init": True, "ReadonlyRootfs": True,
          "Privileged": True, "UsernsMode": "host", "UTSMode": "host", "CgroupnsMode": "host", "CgroupParent": "m"}),
        ({"init": False}, {"Init": None}),
        ({"group_add": ["123", "mail"], "security_opt": ["no-new-privileges:true", "seccomp:unconfined"]},
         {"GroupAdd": ["123", "mail"], "SecurityOpt": ["no-new-privileges:true", "seccomp:unconfined"]}),
        ({"blkio_config": {"weight": 300, "device_read_bps": [{"path": "/dev/vda", "rate": "1048576"}]}},
         {"BlkioWeight": 300, "BlkioDeviceReadBps": [{"Path": "/dev/vda", "Rate": 1048576}]}),
        ({"tmpfs": ["/run:size=1m", "/t"]}, {"Tmpfs": {"/run": "size=1m", "/t": ""}}),
        ({"volumes": [
            {"type": "volume", "source": "data", "target": "/data", "volume": {}},
            {"type": "bind", "source": "/shop/conf", "target": "/conf", "read_only": True,
             "bind": {"create_host_path": True}},
            {"type": "volume", "target": "/anon", "volume": {}},
            {"type": "bind", "source": "/s", "target": "/s", "bind": {"propagation": "rslave"}},
            {"type": "tmpfs", "target": "/tm", "tmpfs": {"size": "1048576", "mode": 448}},
            {"type": "volume", "source": "data", "target": "/v", "read_only": True,
             "volume": {"nocopy": True, "subpath": "x"}},
        ]}, {
            "Binds": ["shop_data:/data:rw", "/shop/conf:/conf:ro"],
            "Mounts": [
                {"Type": "volume", "Target": "/anon"},
                {"Type": "bind", "Target": "/s", "Source": "/s", "BindOptions": {"Propagation": "rslave"}},
                {"Type": "tmpfs", "Target": "/tm", "TmpfsOptions": {"SizeBytes": 1048576, "Mode": 448}},
                {"Type": "volume", "Target": "/v", "Source": "shop_data", "ReadOnly": True,
                 "VolumeOptions": {"NoCopy": True, "Subpath": "x"}},
            ],
        }),
        ({"volumes": [  # a folder of the host is made where nothing is said of the bind, or that
            {"type": "bind", "source": "/new", "target": "/n", "read_only": True},
            {"type": "bind", "source": "/old", "target": "/o", "bind": {}},
            {"type": "bind", "source": "/r", "target": "/r",
             "bind": {"create_host_path": True, "recursive": "disabled"}},
        ]}, {
            "Binds": ["/new:/n:ro"],
            "Mounts": [
                {"Type": "bind", "Target": "/o", "Source": "/old"},
                {"Type": "bind", "Target": "/r", "Source": "/r",
                 "BindOptions": {"CreateMountpoint": True, "NonRecursive": True}},
            ],
        }),
    ],
)  # fmt: skip
def test_host_config(service: Json, host: Json) -> None:
    found = body_of(service)["HostConfig"]
    assert {key: found.get(key) for key in host} == host


def test_endpoints_carry_their_names_from_the_beginning() -> None:
    service = {"networks": {"default": {"aliases": ["www"], "ipv4_address": "10.0.0.5"}, "back": {"priority": 9}},
               "mac_address": "02:42:ac:11:65:43"}  # fmt: skip
    body = body_of(service)
    assert body["HostConfig"]["NetworkMode"] == "shop_back"
    assert body["NetworkingConfig"]["EndpointsConfig"] == {
        "shop_back": {"Aliases": ["shop-web-1", "web"], "MacAddress": "02:42:ac:11:65:43"},
        "shop_default": {"Aliases": ["shop-web-1", "web", "www"], "IPAMConfig": {"IPv4Address": "10.0.0.5"}},
    }


@pytest.mark.parametrize(
    ("service", "field", "value"),
    [
        ({"network_mode": "service:db"}, "NetworkMode", "container:id1"),
        ({"network_mode": "host"}, "NetworkMode", "host"),
        ({"pid": "service:db"}, "PidMode", "container:id1"),
        ({"ipc": "service:db"}, "IpcMode", "container:id1"),
        ({"volumes_from": ["db:ro", "container:other"]}, "VolumesFrom", ["id1:ro", "other"]),
    ],
)
def test_what_is_shared_with_another_container(service: Json, field: str, value: Any) -> None:
    assert body_of(service, Surroundings({"db": "id1"}))["HostConfig"][field] == value
    if "db" in str(service):
        with pytest.raises(ComposeError, match="no container of service db"):
            body_of(service)


def test_anonymous_volumes_pass_on() -> None:
    service = {"volumes": [{"type": "volume", "target": "/anon", "volume": {}}]}
    mounts = body_of(service, Surroundings(anonymous={"/anon": "v1", "/images": "v2"}))["HostConfig"]["Mounts"]
    assert mounts == [
        {"Type": "volume", "Target": "/anon", "Source": "v1"}, {"Type": "volume", "Source": "v2", "Target": "/images"},
    ]  # fmt: skip


def test_links() -> None:
    service = {"links": ["db:store", "cache"], "external_links": ["other:al"]}
    found = body_of(service, Surroundings(names={"db": ["shop-db-1"], "cache": ["redis"]}))["HostConfig"]["Links"]
    assert found == ["shop-db-1:store", "shop-db-1:db-1", "shop-db-1:shop-db-1", "redis:cache", "redis:redis",
                     "other:al"]  # fmt: skip


def test_secrets_and_configs() -> None:
    service = {
        "secrets": [{"source": "s", "target": "t"}, {"source": "token", "mode": "0440", "uid": "5", "gid": "6"}],
        "configs": [{"source": "c", "target": "/etc/c"}],
    }
    model = {"secrets": {"s": {"name": "s", "file": "/s.txt"}, "token": {"name": "t", "environment": "TOKEN"}},
             "configs": {"c": {"name": "c", "content": "hello"}}}  # fmt: skip
    assert body_of(service, **model)["HostConfig"]["Mounts"] == [
        {"Type": "bind", "Source": "/s.txt", "Target": "/run/secrets/t", "ReadOnly": True}
    ]
    files = injected_files(project_of(service, **model), "web", service)
    with tarfile.open(fileobj=io.BytesIO(archive(files))) as tar:
        found = {one.name: (one.mode, one.uid, one.gid, tar.extractfile(one).read()) for one in tar}  # type: ignore
    assert found == {"run/secrets/token": (0o440, 5, 6, b"t0"), "etc/c": (0o444, 0, 0, b"hello")}
    with pytest.raises(ComposeError, match="read-only service web"):
        injected_files(project_of(service, **model), "web", {**service, "read_only": True})
    with pytest.raises(ComposeError, match="unsupported external secret"):
        body_of(service, **{**model, "secrets": {"s": {"external": True}}})


def test_a_config_may_be_empty(loaded: Loaded) -> None:
    """Its content is given: an empty file, and not none. (Docker Compose mounts the project's folder in its place.)"""
    project = loaded("services: {web: {image: bb, configs: [c]}}\nconfigs: {c: {content: ''}}\n")
    service = project.model["services"]["web"]
    assert [(file.path, file.content) for file in injected_files(project, "web", service)] == [("/c", b"")]


def test_a_seccomp_profile_is_read_here(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"a" : 1}')
    service = {"security_opt": ["seccomp:p.json"], "networks": {"default": None}}
    project = project_of(service, str(tmp_path))
    body = container_body(project, "web", service, "shop-web-1", {}, Surroundings())
    assert body["HostConfig"]["SecurityOpt"] == ['seccomp={"a":1}']


def test_labels() -> None:
    service = {"depends_on": {"db": {"condition": "service_healthy", "restart": True}, "a": {}}}
    found = own_labels(
        project_of(service), "web", service, number=2, config_hash="h", image_id="sha256:1", version="v", document="{}"
    )
    prefix = "com.docker.compose."
    assert found == {
        prefix + "project": "shop", prefix + "service": "web", prefix + "container-number": "2",
        prefix + "oneoff": "False", prefix + "config-hash": "h", prefix + "project.config_files": "",
        prefix + "project.working_dir": "/shop", prefix + "version": "v", prefix + "image": "sha256:1",
        prefix + "depends_on": "a:service_started:false,db:service_healthy:true", "io.docket.compose.service": "{}",
    }  # fmt: skip


def test_a_label_names_no_dependency_that_is_disabled(loaded: Loaded) -> None:
    """Docker Compose, which starts a project by these labels, would not find it."""
    project = loaded(
        "services:\n  web: {image: bb, depends_on: {db: {condition: service_started},"
        " tool: {condition: service_started, required: false}}}\n  db: {image: bb}\n  tool: {image: b, profiles: [x]}\n"
    )
    service = project.model["services"]["web"]
    found = own_labels(project, "web", service, number=1, config_hash="", image_id="", version="v", document="{}")
    assert found["com.docker.compose.depends_on"] == "db:service_started:false"


def test_networks_and_volumes() -> None:
    network = {"name": "shop_n", "driver_opts": {"a": 1}, "internal": True, "labels": {"x": "y"}, "enable_ipv6": False,
               "ipam": {"config": [{"subnet": "172.31.9.0/24"}]}}  # fmt: skip
    body = network_body(project_of({}), "n", network, "h", "v")
    assert body.pop("Labels")["com.docker.compose.network"] == "n"
    assert body == {"Name": "shop_n", "Options": {"a": "1"}, "Internal": True, "EnableIPv6": False,
                    "IPAM": {"Config": [{"Subnet": "172.31.9.0/24"}]}}  # fmt: skip
    volume = {"name": "shop_v", "driver": "local", "driver_opts": {"type": "tmpfs"}}
    body = volume_body(project_of({}), "v", volume, "h", "v")
    assert json.loads(json.dumps(body))["DriverOpts"] == {"type": "tmpfs"} and body["Name"] == "shop_v"


def test_hashes_are_docker_composes() -> None:
    """Read off networks and volumes that Docker Compose 2.40.3 made."""
    network = {"name": "cusink_n", "driver_opts": {"com.docker.network.bridge.name": "cusinkn"},
               "ipam": {"config": [{"subnet": "172.31.9.0/24"}]}, "internal": True, "attachable": True,
               "labels": {"nl": "v"}, "enable_ipv6": False}  # fmt: skip
    assert network_hash(network) == "5013636fb9175483959f89dcbdfdd8995a643c80aa0786f1f686fb3add70a5a3"
    plain = {"name": "cushop_front", "ipam": {}}
    assert network_hash(plain) == "dfb4524489235740e733d5f5b7c0e1990ae28fb158a5a5bc9d963e0d5e318487"
    options = {"type": "tmpfs", "o": "size=1m", "device": "tmpfs"}
    volume = {"name": "cusink_v", "driver": "local", "driver_opts": options, "labels": {"vl": "x"}}
    assert volume_hash(volume) == "e1dd376b7403e1b4857aea36f93294cb9f32d2b5068c9f420520440fd99d0ed6"
    assert volume_hash({"name": "cushop_data"}) == "b3bb029d4f38da458e471ef154d40731ce42176595976a6dcad2b6da5a762e83"
