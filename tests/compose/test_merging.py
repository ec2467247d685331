"""Several files: what is merged, appended, replaced or taken away. The values are Docker Compose 2.40's."""

from __future__ import annotations

from typing import Any

import pytest

from compose.conftest import Loaded, Refused

TCP = {"mode": "ingress", "protocol": "tcp"}


@pytest.mark.parametrize(
    ("base", "over", "wanted"),
    [
        ("command: [a, b]", "command: [c]", {"command": ["c"]}),
        ("entrypoint: a", "entrypoint: [b]", {"entrypoint": ["b"]}),
        ("command: a", "command: ", {"command": None}),
        ("environment: {A: 1, B: 1}", "environment: [B=2, C=2]", {"environment": {"A": "1", "B": "2", "C": "2"}}),
        ("labels: [a=1]", "labels: {a: 2, b: 2}", {"labels": {"a": "2", "b": "2"}}),
        ("ports: ['80:80', 81]", "ports: ['80:80', '80:80/udp']",
         {"ports": [{**TCP, "target": 80, "published": "80"}, {**TCP, "target": 81},
                    {**TCP, "target": 80, "published": "80", "protocol": "udp"}]}),
        ("volumes: ['v:/a', 'v:/b']", "volumes: ['w:/a', {type: tmpfs, target: /c}]",
         {"volumes": [{"type": "volume", "source": "w", "target": "/a", "volume": {}},
                      {"type": "volume", "source": "v", "target": "/b", "volume": {}}, {"type": "tmpfs",
                       "target": "/c"}]}),
        ("dns: 1.1.1.1", "dns: [2.2.2.2, 1.1.1.1]", {"dns": ["1.1.1.1", "2.2.2.2"]}),
        ("cap_add: [A, B]", "cap_add: [B, C]", {"cap_add": ["A", "B", "C"]}),
        ("tmpfs: /a", "tmpfs: [/b]", {"tmpfs": ["/a", "/b"]}),
        ("expose: ['1', '2']", "expose: [2, 3]", {"expose": ["1", "2", "3"]}),
        ("security_opt: [a]", "security_opt: [b]", {"security_opt": ["a", "b"]}),
        ("devices: ['/dev/a:/dev/x']", "devices: ['/dev/b:/dev/x']",
         {"devices": [{"source": "/dev/b", "target": "/dev/x", "permissions": "rwm"}]}),
        ("extra_hosts: {a: 1.1.1.1}", "extra_hosts: ['a:2.2.2.2', 'b:3.3.3.3']",
         {"extra_hosts": ["a=1.1.1.1", "a=2.2.2.2", "b=3.3.3.3"]}),
        ("depends_on: [db]", "depends_on: {db: {condition: service_healthy}}",
         {"depends_on": {"db": {"condition": "service_healthy", "required": True}}}),
        ("networks: [n]", "networks: {n: {aliases: [a]}, m: }", {"networks": {"m": None, "n": {"aliases": ["a"]}}}),
        ("networks: {n: {aliases: [a]}}", "networks: {n: {aliases: [b], priority: 1}}",
         {"networks": {"n": {"aliases": ["a", "b"], "priority": 1}}}),
        ("healthcheck: {test: a, retries: 1}", "healthcheck: {test: [CMD, b], interval: 1s}",
         {"healthcheck": {"test": ["CMD", "b"], "interval": "1s", "retries": 1}}),
        ("logging: {driver: a, options: {x: 1}}", "logging: {options: {y: 2}}",
         {"logging": {"driver": "a", "options": {"x": "1", "y": "2"}}}),
        ("logging: {driver: a, options: {x: 1}}", "logging: {driver: b}", {"logging": {"driver": "b"}}),
        ("ulimits: {core: {soft: 1, hard: 2}, nofile: 1}", "ulimits: {core: 3}", {"ulimits": {"core": 3, "nofile": 1}}),
        ("build: .", "build: {dockerfile: D, args: [A=1]}",
         {"build": {"context": "{here}", "dockerfile": "D", "args": {"A": "1"}}}),
        ("secrets: [s]", "secrets: [{source: s, target: /run/secrets/s, mode: 0400}]",
         {"secrets": [{"source": "s", "target": "/run/secrets/s", "mode": "0400"}]}),
        ("deploy: {replicas: 2, resources: {limits: {cpus: 1}}}", "deploy: {resources: {limits: {memory: 1k}}}",
         {"deploy": {"replicas": 2, "resources": {"limits": {"cpus": 1, "memory": "1024"}}, "placement": {}}}),
        ("post_start: [{command: [a]}]", "post_start: [{command: [a]}]",
         {"post_start": [{"command": ["a"]}, {"command": ["a"]}]}),
        ("x-a: {b: 1, c: [1]}", "x-a: {b: 2}", {"x-a": {"b": 2, "c": [1]}}),
        ("hostname: a", "hostname: b", {"hostname": "b"}),
        ("hostname: a", "image: bb", {"hostname": "a"}),
        ("ports: [80]", "ports: !reset []", {}),
        ("restart: always", "restart: !reset null", {}),
        ("ports: [80]", "ports: !override [81]", {"ports": [{**TCP, "target": 81}]}),
        ("environment: {A: 1}", "environment: !override {B: 2}", {"environment": {"B": "2"}}),
        ("healthcheck: {retries: 1, interval: 1s}", "healthcheck: {interval: !reset null}",
         {"healthcheck": {"retries": 1}}),
        ("entrypoint: [a, -d, b, -d, c]", "image: bb", {"entrypoint": ["a", "-d", "b", "-d", "c"]}),
        ("tmpfs: [/a, /a]", "image: bb", {"tmpfs": ["/a"]}),
    ],
)  # fmt: skip
def test_services(loaded: Loaded, base: str, over: str, wanted: dict[str, Any]) -> None:
    rest = "networks: {n: , m: }\nvolumes: {v: , w: }\nsecrets: {s: {file: ./s}}\n"
    project = loaded(
        f"services: {{web: {{image: bb, {base}}}, db: {{image: bb}}}}\n{rest}",
        {"over.yaml": f"services: {{web: {{{over}}}}}"},
        files=("compose.yaml", "over.yaml"),
    )
    found = project.model["services"]["web"]
    plain = {"image": "bb", "command": None, "entrypoint": None, "networks": {"default": None}}
    wanted = {key: _placed(value, str(project.working_dir)) for key, value in {**plain, **wanted}.items()}
    assert found == wanted


def _placed(value: Any, here: str) -> Any:
    return {k: v.replace("{here}", here) if v == "{here}" else v for k, v in value.items()} if (
        isinstance(value, dict)
    ) else value  # fmt: skip


def test_address_pools_are_the_last_file_s(loaded: Loaded) -> None:
    project = loaded(
        "services: {web: {image: bb, networks: [n]}}\n"
        "networks: {n: {labels: {a: b}, ipam: {config: [{subnet: 10.0.0.0/24, gateway: 10.0.0.9}, "
        "{subnet: 10.2.0.0/24}]}}}",
        {"over.yaml": "networks: {n: {labels: [c=d], ipam: {config: [{subnet: 10.0.0.0/24, ip_range: 10.0.0.0/28}]}}}"},
        files=("compose.yaml", "over.yaml"),
    )
    assert project.model["networks"]["n"] == {
        "name": "shop_n",
        "ipam": {"config": [{"subnet": "10.0.0.0/24", "gateway": "10.0.0.9", "ip_range": "10.0.0.0/28"}]},
        "labels": {"a": "b", "c": "d"},
    }


def test_documents_of_one_file_are_merged_in_order(loaded: Loaded) -> None:
    project = loaded("services: {web: {image: a}}\n---\nservices: {web: {image: b, hostname: h}, c: {image: c}}\n---\n")
    assert project.model["services"]["web"]["image"] == "b" and "c" in project.model["services"]


def test_a_whole_service_is_replaced_or_taken_away(loaded: Loaded) -> None:
    project = loaded(
        "services: {web: {image: a, hostname: h}, db: {image: b}}",
        {"over.yaml": "services: {web: !override {image: c}, db: !reset null}"},
        files=("compose.yaml", "over.yaml"),
    )
    assert list(project.model["services"]) == ["web"]
    assert project.model["services"]["web"]["image"] == "c" and "hostname" not in project.model["services"]["web"]


def test_a_later_file_may_have_the_bare_name_of_a_service(loaded: Loaded, refused: Refused) -> None:
    """As where all keys of an override are commented out. It is no service of its own."""
    files = {"over.yaml": "services:\n  web:\n", "new.yaml": "services:\n  web:\n  new:\n"}
    text = "services: {web: {image: bb}}"
    project = loaded(text, files, files=("compose.yaml", "over.yaml"))
    assert project.model["services"]["web"]["image"] == "bb" and not project.warnings
    assert refused(text, files, files=("compose.yaml", "new.yaml")) == "new.yaml:3: services.new: must be a mapping"
    assert refused("services:\n  web:\n") == "compose.yaml:2: services.web: must be a mapping"
