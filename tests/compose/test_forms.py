"""Short forms and what they mean. The values are Docker Compose 2.40's, except where a test says otherwise."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from compose.conftest import Loaded
from engine.compose.model.quantities import boolean, byte_count, duration_text, nanoseconds
from engine.compose.reading.mounts import parse_volume
from engine.compose.reading.ports import parse_port
from engine.compose.reading.words import split_words

Service = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("80", ["80"]), ("80/udp", ["80/udp"]), ("8080:80", ["8080:80"]), ("8080:80/UDP", ["8080:80/udp"]),
        (":81", ["81"]),
        ("127.0.0.1:1:2", ["127.0.0.1:1:2"]), ("127.0.0.1::2", ["127.0.0.1::2"]), ("[::1]:1:2", ["::1:1:2"]),
        ("3-4", ["3", "4"]), ("9-11", ["10", "11", "9"]), ("1-2:3-4", ["1:3", "2:4"]), ("1-3:4", ["1-3:4"]),
        ("5/sctp", ["5/sctp"]),
    ],
)  # fmt: skip
def test_ports(text: str, wanted: list[str]) -> None:
    found = []
    for port in parse_port(text):
        assert port["mode"] == "ingress"
        left = f"{port.get('host_ip', '')}:{port.get('published', '')}:" if "host_ip" in port else (
            f"{port['published']}:" if "published" in port else ""
        )
        found.append(f"{left}{port['target']}" + (f"/{port['protocol']}" if port["protocol"] != "tcp" else ""))
    assert found == wanted


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x", "invalid containerPort: x"), ("70000", "invalid containerPort: 70000"), ("x:80", "invalid hostPort: x"),
        ("2-1", "the range ends before it starts"), ("1-3:1-2", "invalid ranges specified"),
        ("80/foo", "invalid proto: foo"),
        ("80:", "no port specified"), ("1.2.3:1:2", "invalid IP address: 1.2.3"), ("-1", "invalid containerPort"),
    ],
)  # fmt: skip
def test_wrong_ports(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_port(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/v", {"type": "volume", "target": "/v", "volume": {}}),
        ("n:/v", {"type": "volume", "source": "n", "target": "/v", "volume": {}}),
        ("name:/a/../b/", {"type": "volume", "source": "name", "target": "/b", "volume": {}}),
        ("n1:/v:ro,nocopy", {"type": "volume", "source": "n1", "target": "/v", "read_only": True,
                             "volume": {"nocopy": True}}),
        ("./a:/v", {"type": "bind", "source": "./a", "target": "/v", "bind": {"create_host_path": True}}),
        ("~/a:/v:rw,Z,rshared", {"type": "bind", "source": "~/a", "target": "/v",
                                 "bind": {"create_host_path": True, "selinux": "Z", "propagation": "rshared"}}),
        ("/a:/v:cached", {"type": "bind", "source": "/a", "target": "/v", "bind": {"create_host_path": True}}),
    ],
)  # fmt: skip
def test_volumes(text: str, wanted: dict[str, Any]) -> None:
    """A name of one letter is a volume's; Docker Compose takes it for a drive of Windows."""
    assert parse_volume(text) == wanted


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty volume spec"), ("a::b", "empty section"), ("a:b:c:d", "too many colons"),
        ("./a:/b:foo", "unknown option foo"), ("a:/b:rshared", "unknown option rshared"),
    ],
)  # fmt: skip
def test_wrong_volumes(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_volume(text)


@pytest.mark.parametrize(
    ("text", "words", "rest"),
    [
        ("echo a b", ["echo", "a", "b"], ""), ('echo "a b" c\\ d', ["echo", "a b", "c d"], ""),
        ("a 'b\"c'", ["a", 'b"c'], ""),
        ("a #b", ["a", "#b"], ""), ("", [], ""), ("  ", [], ""), ('a ""', ["a", ""], ""), ("a; b", ["a"], "; b"),
        ("a && b", ["a"], "&& b"), ("a >b", ["a"], ">b"), ("sh -c 'a; b'", ["sh", "-c", "a; b"], ""),
        ("a `b c` $(d e)", ["a", "`b c`", "$(d e)"], ""), ('"a\\"b"', ['a"b'], ""),
    ],
)  # fmt: skip
def test_words(text: str, words: list[str], rest: str) -> None:
    assert split_words(text) == (words, rest)


def test_what_docker_compose_drops_of_a_command_is_told(loaded: Loaded) -> None:
    project = loaded("services:\n  web:\n    image: bb\n    command: a; b\n")
    assert project.model["services"]["web"]["command"] == ["a"]
    assert project.warnings == (
        "compose.yaml:4: services.web.command: '; b' is dropped, as Docker Compose does: no shell reads this text; "
        "write [sh, -c, ...]",
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("10s", "10s"), ("90s", "1m30s"), ("1h", "1h0m0s"), ("1.5h", "1h30m0s"), ("500ms", "500ms"), ("1500ms", "1.5s"),
        ("1m0.5s", "1m0.5s"), ("10us", "10µs"), ("5ns", "5ns"), ("0s", "0s"), ("0", "0s"), ("1d", "24h0m0s"),
        ("-5s", "-5s"),
        (".5s", "500ms"), ("1h2m3.5s", "1h2m3.5s"),
    ],
)  # fmt: skip
def test_durations(text: str, wanted: str) -> None:
    assert duration_text(nanoseconds(text)) == wanted


@pytest.mark.parametrize("text", ["", "5", "s", "5q", "1h m", "--5s"])
def test_wrong_durations(text: str) -> None:
    with pytest.raises(ValueError):
        nanoseconds(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("512", 512), ("1b", 1), ("64k", 65536), ("64KB", 65536), ("1m", 1048576), ("1.5g", 1610612736),
        ("2 gb", 2147483648), ("1GiB", 1073741824),
    ],
)  # fmt: skip
def test_sizes(text: str, wanted: int) -> None:
    assert byte_count(text) == wanted
    with pytest.raises(ValueError):
        byte_count(text + "q")


def test_booleans() -> None:
    assert [boolean(text) for text in ("true", "YES", "on", "1", "y")] == [True] * 5
    assert [boolean(text) for text in ("false", "No", "off", "0", "n")] == [False] * 5


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ("environment: [A=b=c, HOME, NO]", {"environment": {"A": "b=c", "HOME": "/home/user", "NO": None}}),
        ("environment: {A: 1, B: true, C: 1.50, D: , E: 1e6}",
         {"environment": {"A": "1", "B": "true", "C": "1.5", "D": None, "E": "1e+06"}}),
        ("labels: [a, b=c=d]", {"labels": {"a": "", "b": "c=d"}}),
        ("labels: {a: , b: 1}", {"labels": {"a": "", "b": "1"}}),
        ("command: []", {"command": []}), ("command: ''", {"command": []}), ("command: ", {"command": None}),
        ("entrypoint: a 'b c'", {"entrypoint": ["a", "b c"]}),
        ("build: .", {"build": {"context": "{here}", "dockerfile": "Dockerfile"}}),
        ("build: {context: 'https://host/x.git#main', args: [A=1, HOME, NO]}",
         {"build": {"context": "https://host/x.git#main", "dockerfile": "Dockerfile",
                    "args": {"A": "1", "HOME": "/home/user"}}}),
        ("build: {ssh: {default: , k: ./p}}",
         {"build": {"context": "{here}", "dockerfile": "Dockerfile", "ssh": ["default", "k={here}/p"]}}),
        ("build: {additional_contexts: [a=./b, 'c=docker-image://x']}",
         {"build": {"context": "{here}", "dockerfile": "Dockerfile",
                    "additional_contexts": {"a": "{here}/b", "c": "docker-image://x"}}}),
        ("depends_on: [db]", {"depends_on": {"db": {"condition": "service_started", "required": True}}}),
        ("depends_on: {db: {condition: service_healthy, required: false, restart: true}}",
         {"depends_on": {"db": {"condition": "service_healthy", "restart": True, "required": False}}}),
        ("links: ['db:store']", {"links": ["db:store"], "depends_on": {"db": {
            "condition": "service_started", "restart": True, "required": True}}}),
        ("volumes_from: ['db:ro', 'container:x']", {"volumes_from": ["db:ro", "container:x"], "depends_on": {"db": {
            "condition": "service_started", "required": True}}}),
        ("pid: 'service:db'", {"pid": "service:db", "depends_on": {"db": {
            "condition": "service_started", "restart": True, "required": True}}}),
        ("devices: [/dev/a, '/dev/a:/dev/b:r']", {"devices": [
            {"source": "/dev/a", "target": "/dev/a", "permissions": "rwm"},
            {"source": "/dev/a", "target": "/dev/b", "permissions": "r"}]}),
        ("dns: 1.1.1.1, dns_search: x, tmpfs: /a", {"dns": ["1.1.1.1"], "dns_search": ["x"], "tmpfs": ["/a"]}),
        ("expose: [80, 81/udp, '82']", {"expose": ["80", "81/udp", "82"]}),
        ("extra_hosts: ['a:1.1.1.1', 'b=[::1]', 'a:2.2.2.2']", {"extra_hosts": ["a=1.1.1.1", "a=2.2.2.2", "b=::1"]}),
        ("extra_hosts: {a: [1.1.1.1, 2.2.2.2], b: host-gateway}",
         {"extra_hosts": ["a=1.1.1.1", "a=2.2.2.2", "b=host-gateway"]}),
        ("healthcheck: {test: a b, interval: 90s, retries: 0}",
         {"healthcheck": {"test": ["CMD-SHELL", "a b"], "interval": "1m30s", "retries": 0}}),
        ("networks: [m, n]", {"networks": {"m": None, "n": None}}),
        ("networks: {n: {ipv4_address: 1.2.3.4, aliases: [a]}}",
         {"networks": {"n": {"aliases": ["a"], "ipv4_address": "1.2.3.4"}}}),
        ("network_mode: host", {"network_mode": "host"}),
        ("secrets: [s]", {"secrets": [{"source": "s", "target": "/run/secrets/s"}]}),
        ("configs: [c, {source: c, target: /x, mode: 0440}]",
         {"configs": [{"source": "c"}, {"source": "c", "target": "/x", "mode": "0440"}]}),
        ("ulimits: {core: 0, nofile: {soft: 1, hard: 2}}", {"ulimits": {"core": 0, "nofile": {"soft": 1, "hard": 2}}}),
        ("volumes: [{type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 0755}}]",
         {"volumes": [{"type": "tmpfs", "target": "/t", "tmpfs": {"size": "1048576", "mode": 493}}]}),
        ("volumes: ['data:/d', {type: bind, source: ~/x, target: /x, bind: {propagation: slave}}]",
         {"volumes": [{"type": "volume", "source": "data", "target": "/d", "volume": {}},
                      {"type": "bind", "source": "/home/user/x", "target": "/x", "bind": {"propagation": "slave"}}]}),
        ("ports: [{target: 80, published: 8080}]",
         {"ports": [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}]}),
        ("mem_limit: 64m, shm_size: 1024, memswap_limit: -1, cpus: 1.0, mem_swappiness: 10",
         {"mem_limit": "67108864", "shm_size": "1024", "memswap_limit": "-1", "cpus": 1, "mem_swappiness": "10"}),
        ("stop_grace_period: 90s, pull_policy: if_not_present", {"stop_grace_period": "1m30s",
         "pull_policy": "missing"}),
        ("deploy: {}", {"deploy": {"resources": {}, "placement": {}}}),
        ("scale: 2, deploy: {}", {"scale": 2, "deploy": {"replicas": 2, "resources": {}, "placement": {}}}),
        ("attach: false, init: false, privileged: false, tty: true", {"attach": False, "init": False, "tty": True}),
        ("post_start: [{command: a b, environment: [HOME]}]",
         {"post_start": [{"command": ["a", "b"], "environment": {"HOME": "/home/user"}}]}),
        ("cpu_shares: 1e3, shm_size: 1e6, annotations: [a]",
         {"cpu_shares": 1000, "shm_size": "1000000", "annotations": {"a": ""}}),
        ("ulimits: {nofile: {hard: 2, soft: 0}}", {"ulimits": {"nofile": {"soft": 0, "hard": 2}}}),
        ("x-note: {b: 1, a: 2}", {"x-note": {"a": 2, "b": 1}}),
        ("label_file: l, env_file: [e, {path: no, required: false}], environment: {A: own}",
         {"labels": {"l": "1"}, "label_file": ["{here}/l"], "environment": {"A": "own", "B": "e"}}),
    ],
)  # fmt: skip
def test_services(service: Service, tmp_path: Any, keys: str, wanted: dict[str, Any]) -> None:
    found = service(keys, {"l": "l=1", "e": "A=e\nB=e"})
    rest = {"image": "bb", "command": None, "entrypoint": None, "networks": {"default": None}}
    if "network_mode" in wanted:
        del rest["networks"]
    assert found == {**rest, **_placed(wanted, str(tmp_path / "shop"))}


def _placed(value: Any, here: str) -> Any:
    if isinstance(value, dict):
        return {key: _placed(item, here) for key, item in value.items()}
    if isinstance(value, list):
        return [_placed(item, here) for item in value]
    return value.replace("{here}", here) if isinstance(value, str) else value


def test_top_level_elements(loaded: Loaded) -> None:
    project = loaded(
        "services: {web: {image: bb, networks: [a, b], volumes: ['c:/c', 'd:/d', 'e:/e'], secrets: [f, g], "
        "configs: [h]}}\n"
        "networks: {a: , b: {external: true}}\n"
        "volumes: {c: , d: {external: {name: old}}, e: {name: x, driver_opts: {n: 1}, labels: [l]}}\n"
        "secrets: {f: {file: ./f}, g: {external: true, name: other}}\nconfigs: {h: {content: text}}\n"
    )
    assert {key: project.model[key] for key in ("networks", "volumes", "secrets", "configs")} == {
        "networks": {"a": {"name": "shop_a", "ipam": {}}, "b": {"name": "b", "ipam": {}, "external": True}},
        "volumes": {"c": {"name": "shop_c"}, "d": {"name": "old", "external": True},
                    "e": {"name": "x", "driver_opts": {"n": "1"}, "labels": {"l": ""}}},
        "secrets": {"f": {"name": "shop_f", "file": f"{project.working_dir}/f"}, "g": {"name": "other",
         "external": True}},
        "configs": {"h": {"name": "shop_h", "content": "text"}},
    }  # fmt: skip
    assert project.warnings == (
        "compose.yaml:3: volumes.d: external.name is deprecated: set name and external: true",
    )
