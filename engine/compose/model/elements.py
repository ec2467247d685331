"""The elements of the compose specification: what ``shapes`` is told about each of them."""

from __future__ import annotations

from engine.compose.model.positions import Path, Positions
from engine.compose.model.shapes import (
    DURATION, FLAG, JSON, MODE, NULL, NUMBER, OCTAL, PAIRS, RATE, SET, SIZE, SOME_DURATION, TEXT, TEXTS, WHOLE,
    Element, Field, Kind, Listed, Mapped, kept, kept_in_json,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Ulimit(Kind):
    """One number for both limits, or soft and hard."""

    _both = Element(soft=kept(WHOLE), hard=kept(WHOLE))

    def cast(self, value: Any, path: Path, positions: Positions) -> Any:
        return (self._both if isinstance(value, dict) else WHOLE).cast(value, path, positions)

    def canonical(self, value: Any, path: Path, positions: Positions) -> Any:
        return (self._both if isinstance(value, dict) else WHOLE).canonical(value, path, positions)

    def shown(self, value: Any, form: str) -> Any:
        """As Docker Compose prints it, which takes one number of 0 for a pair, and leaves zeros out of JSON."""
        value = {"soft": 0, "hard": 0} if value == 0 else value
        if isinstance(value, dict) and form == JSON:
            return {key: limit for key, limit in value.items() if limit}
        return value


class EnvFile(Element):
    """A file of variables: its path alone where it says nothing else than that."""

    def shown(self, value: Any, form: str) -> Any:
        return value["path"] if set(value) == {"path", "required"} and value["required"] else super().shown(value, form)


class Count(Kind):
    """A number, or ``all``, which is -1."""

    def cast(self, value: Any, path: Path, positions: Positions) -> Any:
        return value if value == "all" else WHOLE.cast(value, path, positions)

    def canonical(self, value: Any, path: Path, positions: Positions) -> Any:
        return -1 if value == "all" else WHOLE.canonical(value, path, positions)


ULIMITS = Mapped(Ulimit())
FILE_REFERENCE = Element(source=TEXT, target=TEXT, uid=TEXT, gid=TEXT, mode=MODE)
HOOK = Element(
    command=Field(TEXTS, SET, NULL), user=TEXT, privileged=FLAG, working_dir=TEXT, environment=PAIRS,
)  # fmt: skip
DEVICE_REQUEST = Element(capabilities=TEXTS, driver=TEXT, count=Count(), device_ids=TEXTS, options=PAIRS)
BUILD = Element(
    context=TEXT, dockerfile=TEXT, dockerfile_inline=TEXT, entitlements=TEXTS, args=PAIRS, provenance=TEXT, sbom=TEXT,
    ssh=TEXTS, labels=PAIRS, cache_from=TEXTS, cache_to=TEXTS, no_cache=FLAG, no_cache_filter=TEXTS,
    additional_contexts=PAIRS, pull=FLAG, extra_hosts=TEXTS, isolation=TEXT, network=TEXT, target=TEXT,
    secrets=Listed(FILE_REFERENCE), shm_size=SIZE, tags=TEXTS, ulimits=ULIMITS, platforms=TEXTS, privileged=FLAG,
)  # fmt: skip
DEVELOP = Element(
    watch=kept(Listed(Element(
        path=TEXT, action=TEXT, target=TEXT, exec=kept_in_json(HOOK), include=TEXTS, ignore=TEXTS, initial_sync=FLAG,
    ))),
)  # fmt: skip
BLKIO = Element(
    weight=WHOLE,
    weight_device=Listed(Element(path=Field(TEXT, json="Path"), weight=Field(WHOLE, json="Weight"))),
    **{
        name: Listed(Element(path=Field(TEXT, json="Path"), rate=Field(RATE, json="Rate")))
        for name in ("device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops")
    },
)
UPDATE = Element(
    parallelism=kept(WHOLE), delay=SOME_DURATION, failure_action=TEXT, monitor=SOME_DURATION, max_failure_ratio=NUMBER,
    order=TEXT,
)  # fmt: skip
RESOURCE = Element(
    cpus=NUMBER, memory=SIZE, pids=WHOLE, devices=Listed(DEVICE_REQUEST),
    generic_resources=Listed(Element(discrete_resource_spec=Element(kind=kept(TEXT), value=kept(WHOLE)))),
)  # fmt: skip
DEPLOY = Element(
    mode=TEXT, replicas=kept(WHOLE), labels=PAIRS, update_config=kept(UPDATE), rollback_config=kept(UPDATE),
    resources=kept_in_json(Element(limits=kept(RESOURCE), reservations=kept(RESOURCE))),
    restart_policy=kept(Element(
        condition=TEXT, delay=kept(DURATION), max_attempts=kept(WHOLE), window=kept(DURATION),
    )),
    placement=kept_in_json(Element(
        constraints=TEXTS, preferences=Listed(Element(spread=TEXT)), max_replicas_per_node=WHOLE,
    )),
    endpoint_mode=TEXT,
)  # fmt: skip
HEALTHCHECK = Element(
    test=TEXTS, timeout=kept(DURATION), interval=kept(DURATION), retries=kept(WHOLE), start_period=kept(DURATION),
    start_interval=kept(DURATION), disable=FLAG,
)  # fmt: skip
PORT = Element(
    name=TEXT, mode=TEXT, host_ip=TEXT, target=WHOLE, published=TEXT, protocol=TEXT, app_protocol=TEXT,
)  # fmt: skip
VOLUME_MOUNT = Element(
    type=TEXT, source=TEXT, target=TEXT, read_only=FLAG, consistency=TEXT,
    bind=kept(Element(selinux=TEXT, propagation=TEXT, create_host_path=FLAG, recursive=TEXT)),
    volume=kept(Element(labels=PAIRS, nocopy=FLAG, subpath=TEXT)),
    tmpfs=kept(Element(size=SIZE, mode=OCTAL)),
    image=kept(Element(subpath=TEXT)),
)  # fmt: skip
ATTACHMENT = Element(
    aliases=TEXTS, driver_opts=PAIRS, gw_priority=WHOLE, interface_name=TEXT, ipv4_address=TEXT, ipv6_address=TEXT,
    link_local_ips=TEXTS, mac_address=TEXT, priority=WHOLE,
)  # fmt: skip
SERVICE = Element(
    profiles=TEXTS, annotations=PAIRS, attach=kept(FLAG), build=kept(BUILD), develop=kept(DEVELOP),
    blkio_config=kept(BLKIO), cap_add=TEXTS, cap_drop=TEXTS, cgroup_parent=TEXT, cgroup=TEXT, cpu_count=WHOLE,
    cpu_percent=NUMBER, cpu_period=WHOLE, cpu_quota=WHOLE, cpu_rt_period=WHOLE, cpu_rt_runtime=WHOLE, cpus=NUMBER,
    cpuset=TEXT, cpu_shares=WHOLE, command=Field(TEXTS, SET, NULL), configs=Listed(FILE_REFERENCE), container_name=TEXT,
    credential_spec=kept(Element(config=TEXT, file=TEXT, registry=TEXT)),
    depends_on=Mapped(Element(condition=TEXT, restart=FLAG, required=kept(FLAG))),
    deploy=kept(DEPLOY), device_cgroup_rules=TEXTS,
    devices=Listed(Element(source=TEXT, target=TEXT, permissions=TEXT)),
    dns=TEXTS, dns_opt=TEXTS, dns_search=TEXTS, domainname=TEXT, entrypoint=Field(TEXTS, SET, NULL),
    provider=kept(Element(type=TEXT, options=Mapped(TEXTS))),
    environment=PAIRS, env_file=Listed(EnvFile(path=TEXT, required=kept(FLAG), format=TEXT)), expose=TEXTS,
    extends=kept(Element(file=TEXT, service=TEXT)),
    external_links=TEXTS, extra_hosts=TEXTS, group_add=TEXTS, gpus=Listed(DEVICE_REQUEST), hostname=TEXT,
    healthcheck=kept(HEALTHCHECK), image=TEXT, init=kept(FLAG), ipc=TEXT, isolation=TEXT, labels=PAIRS,
    label_file=TEXTS, links=TEXTS, logging=kept(Element(driver=TEXT, options=PAIRS)), mem_limit=SIZE,
    mem_reservation=SIZE, memswap_limit=SIZE, mem_swappiness=SIZE, mac_address=TEXT,
    models=Mapped(Element(endpoint_var=TEXT, model_var=TEXT)), network_mode=TEXT, networks=Mapped(ATTACHMENT),
    oom_kill_disable=FLAG, oom_score_adj=WHOLE, pid=TEXT, pids_limit=WHOLE, platform=TEXT, ports=Listed(PORT),
    privileged=FLAG, pull_policy=TEXT, read_only=FLAG, restart=TEXT, runtime=TEXT, scale=kept(WHOLE),
    secrets=Listed(FILE_REFERENCE), security_opt=TEXTS, shm_size=SIZE, stdin_open=FLAG,
    stop_grace_period=kept(DURATION), stop_signal=TEXT, storage_opt=PAIRS, sysctls=PAIRS, tmpfs=TEXTS, tty=FLAG,
    ulimits=ULIMITS, use_api_socket=FLAG, user=TEXT, userns_mode=TEXT, uts=TEXT, volumes=Listed(VOLUME_MOUNT),
    volumes_from=TEXTS, working_dir=TEXT, post_start=Listed(HOOK), pre_stop=Listed(HOOK),
)  # fmt: skip
NETWORK = Element(
    name=TEXT, driver=TEXT, driver_opts=PAIRS,
    ipam=kept_in_json(Element(
        driver=TEXT,
        config=Listed(Element(subnet=TEXT, gateway=TEXT, ip_range=TEXT, aux_addresses=PAIRS)),
    )),
    external=FLAG, internal=FLAG, attachable=FLAG, labels=PAIRS, enable_ipv4=kept(FLAG), enable_ipv6=kept(FLAG),
)  # fmt: skip
VOLUME = Element(name=TEXT, driver=TEXT, driver_opts=PAIRS, external=FLAG, labels=PAIRS)
FILE_OBJECT = Element(
    name=TEXT, file=TEXT, environment=TEXT, content=kept(TEXT), external=FLAG, labels=PAIRS, driver=TEXT,
    driver_opts=PAIRS, template_driver=TEXT,
)  # fmt: skip
MODEL = Element(name=TEXT, model=TEXT, context_size=WHOLE, runtime_flags=TEXTS)
PROJECT = Element(
    name=TEXT, services=kept(Mapped(SERVICE)), networks=Mapped(NETWORK), volumes=Mapped(VOLUME),
    secrets=Mapped(FILE_OBJECT), configs=Mapped(FILE_OBJECT), models=Mapped(MODEL),
)  # fmt: skip
