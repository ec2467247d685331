"""Which keys of the specification mean something here. What is not among them is named, never ignored in silence."""

from __future__ import annotations

from engine.compose.reading.context import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SERVICE = frozenset("""
    annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name
    cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset depends_on deploy develop
    device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file environment expose
    external_links extra_hosts group_add healthcheck hostname image init ipc label_file labels links logging
    mac_address mem_limit mem_reservation mem_swappiness memswap_limit network_mode networks oom_kill_disable
    oom_score_adj pid pids_limit platform ports post_start pre_stop privileged profiles pull_policy read_only restart
    runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty
    ulimits user userns_mode uts volumes volumes_from working_dir
""".split())
"""Keys of services that take effect."""

WITHOUT_EFFECT = {
    "cpu_count": "it is Windows's",
    "cpu_percent": "it is Windows's",
    "credential_spec": "it is Windows's",
    "isolation": "it is Windows's",
    "gpus": "devices of drivers are not supported",
    "models": "models are not supported",
    "provider": "services of other providers are not supported",
    "use_api_socket": "the engine's socket is not handed on",
}
"""Keys of services that are read, printed by ``config``, and take no effect; and why."""

_DEPLOY = {
    "update_config": "containers are replaced side by side",
    "rollback_config": "there is no rollback",
    "placement": "there is one machine",
    "endpoint_mode": "names lead to the containers themselves",
    "mode": "it is Swarm's",
}


def note_unsupported(model: dict[str, Any], context: Context) -> None:
    """Warn of each key that takes no effect, once a service."""
    for name, service in model["services"].items():
        for key, why in WITHOUT_EFFECT.items():
            if service.get(key):
                _warn(("services", name, key), why, context)
        for key, why in _DEPLOY.items():
            value = (service.get("deploy") or {}).get(key)
            if value and (key, value) != ("mode", "replicated"):
                _warn(("services", name, "deploy", key), why, context)


def _warn(path: tuple[str, ...], why: str, context: Context) -> None:
    context.warn(f"{context.positions.describe(path)}{'.'.join(path)}: takes no effect: {why}")
