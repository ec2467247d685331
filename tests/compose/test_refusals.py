"""What is refused, with file, line and key: by the schema, by the kinds of values, and by what must fit together."""

from __future__ import annotations

import pytest

from compose.conftest import Loaded, Refused
from engine.compose.model import schema, supported

REST = "networks: {n: }\nvolumes: {v: }\n"


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("imag: x", "imag: is not allowed: did you mean image?"),
        ("zzz: x", "zzz: is not allowed here"),
        ("ports: 80", "ports: must be a list"),
        ("ports: [x]", "ports: invalid containerPort: x"),
        ("ports: [{target: a}]", 'ports[0].target: "a" is not a whole number'),
        ("ports: [{targe: 80}]", "ports[0].targe: is not allowed: did you mean target?"),
        ("privileged: 3", "privileged: must be a boolean or a string"),
        ("privileged: maybe", 'privileged: "maybe" is not a valid boolean'),
        ("restart: no", None),
        ("restart: false", "restart: must be a string"),
        ("environment: 3", "environment: must be a mapping or a list"),
        ("environment: {A: [b]}", "environment.A: must be a string or a number or a boolean"),
        ("mem_limit: 5q", "mem_limit: invalid size: '5q'"),
        ("stop_grace_period: 5q", 'stop_grace_period: invalid duration "5q"'),
        ("healthcheck: {interval: 5}", "healthcheck.interval: must be a string"),
        ("healthcheck: {test: [x]}", 'healthcheck.test: must start either by "CMD", "CMD-SHELL" or "NONE"'),
        ("scale: x", 'scale: "x" is not a whole number'),
        ("ulimits: {nofile: {soft: 1}}", "ulimits.nofile: hard is required"),
        ("volumes: [{type: foo, target: /a}]",
         "volumes[0].type: must be one of bind, volume, tmpfs, cluster, npipe, image"),
        ("volumes: ['./a:/b:foo']", "volumes: invalid spec: ./a:/b:foo: unknown option foo"),
        ("volumes: ['x1:/b']", "volumes[0]: refers to undefined volume x1"),
        ("volumes: ['v:/b'], tmpfs: [/b]", "volumes[0]: target /b already mounted as tmpfs[0]"),
        ("networks: [m]", "networks.m: refers to undefined network m"),
        ("networks: [n], network_mode: host", "network_mode: network_mode and networks exclude each other"),
        ("secrets: [s]", "secrets[0]: refers to undefined secret s"),
        ("configs: [c]", "configs[0]: refers to undefined config c"),
        ("build: {context: ., secrets: [s]}", "build.secrets[0]: refers to undefined secret s"),
        ("depends_on: [z]", "depends_on.z: depends on undefined service 'z'"),
        ("depends_on: [off]",
         "depends_on.off: depends on service 'off', which is disabled: none of its profiles is active"),
        ("depends_on: {off: {condition: service_started, required: false}}", None),
        ("depends_on: [web]", "depends_on.web: a service can't depend on itself"),
        ("depends_on: {db: {condition: foo}}",
         "depends_on.db.condition: must be one of service_started, service_healthy, service_completed_successfully"),
        ("network_mode: 'service:z'", "depends_on.z: depends on undefined service 'z'"),
        ("container_name: web-1, scale: 2",
         "container_name: can't set container_name and more than one replica: its name must be unique"),
        ("container_name: taken", "container_name: 'taken' is already in use by service 'db'"),
        ("scale: 1, deploy: {replicas: 2}", "scale: can't set distinct values on 'scale' and 'deploy.replicas'"),
        ("cpus: 1, deploy: {resources: {limits: {cpus: 2}}}",
         "cpus: can't set distinct values on 'cpus' and 'deploy.resources.limits.cpus'"),
        ("build: {context: ., dockerfile: a, dockerfile_inline: b}",
         "build: dockerfile and dockerfile_inline exclude each other"),
        ("build: {context: ., platforms: [a]}, platform: b", "build.platforms: must include the service's platform b"),
        ("env_file: no.env", "env_file[0]: env file no.env not found"),
        ("label_file: no", "label_file[0]: label file no not found"),
        ("command: 'a \"b'", "command: a quote is not closed in 'a \"b'"),
        ("extra_hosts: [a]", "extra_hosts: 'a': an extra host is written HOST=ADDRESS"),
        ("ports: [{published: 80}]", "ports: a port in the long form must have a target"),
        ("volumes: [{type: tmpfs}]", "volumes: a volume in the long form must have a target"),
        ("devices: [{source: /dev/a}]", "devices: a device in the long form must have a target"),
        ("post_start: [{command: }]", "post_start[0]: command is required"),
        ("pids_limit: 1.5", "pids_limit: 1.5 is not a whole number"),
        ("devices: ['a:b:c:d']", "devices: confusing device mapping, please use long syntax: a:b:c:d"),
        ("secrets: [{source: s, mode: 9x}]", "secrets[0].mode: \"9x\" is not an octal mode"),
    ],
)  # fmt: skip
def test_services(refused: Refused, loaded: Loaded, keys: str, problem: str | None) -> None:
    text = f"services:\n  web:\n    {{image: bb, {keys}}}\n  db: {{image: bb, container_name: taken}}\n" \
           f"  off: {{image: bb, profiles: [p]}}\n{REST}"
    if problem is None:
        loaded(text)
    else:
        line = refused(text)
        place, _, rest = line.partition(": ")
        assert rest == f"services.web.{problem}"
        assert place in ("compose.yaml:3", "compose.yaml:2")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty compose file"),
        ("[a]", "compose.yaml: top-level object must be a mapping"),
        ("services: [a]", "compose.yaml:1: services: must be a mapping"),
        ("foo: 1", "compose.yaml:1: foo: is not allowed here"),
        ("services:\n  web: {}", "compose.yaml:2: services.web: has neither an image nor a build context specified"),
        ("services: {'a b': {image: x}}", "compose.yaml:1: services.a b: is not allowed here"),
        ("services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, links: [c]}\n  c: {image: x, depends_on: [a]}",
         "compose.yaml:2: services.a.depends_on: dependency cycle: a -> b -> c -> a"),
        ("services: {a: {image: x}}\nsecrets:\n  s: {}",
         "compose.yaml:3: secrets.s: must have one of file, environment or be external"),
        ("services: {a: {image: x}}\nconfigs:\n  c: {file: a, content: b}",
         "compose.yaml:3: configs.c: file and content exclude each other"),
        ("services: {a: {image: x}}\nvolumes:\n  v: {external: true, driver: local}",
         "compose.yaml:3: volumes.v.driver: the volume is external: what it is made of is not said here"),
        ("services: {a: {image: x}}\nnetworks:\n  n: {driver: [a]}",
         "compose.yaml:3: networks.n.driver: must be a string"),
        ("services: {a: {image: \"x\n", "compose.yaml:1: not valid YAML"),
    ],
)  # fmt: skip
def test_files(refused: Refused, text: str, problem: str) -> None:
    assert refused(text).startswith(problem)


def test_every_key_of_the_specification_is_either_supported_or_named() -> None:
    known = supported.SERVICE | set(supported.WITHOUT_EFFECT)
    handled_elsewhere = {"extends", "pull_refresh_after"}
    assert schema.service_keys() - known == handled_elsewhere
    assert known <= schema.service_keys()


def test_a_key_that_only_the_schema_knows_is_named(loaded: Loaded) -> None:
    project = loaded("services: {web: {image: bb, pull_refresh_after: 1d, networks: [n]}}\n"
                     "networks: {n: {ipam: {options: {a: b}}}}\n")
    assert project.warnings == (
        "compose.yaml:1: services.web.pull_refresh_after: takes no effect: it is not supported",
        "compose.yaml:2: networks.n.ipam.options: takes no effect: it is not supported",
    )
