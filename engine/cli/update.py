"""``docket update``: other limits for containers that there are."""

from __future__ import annotations

from engine.cli.command import Command
from engine.cli.create_values import set_only
from engine.cli.flags import Flag, Options, integer, text
from engine.cli.outcomes import for_each
from engine.cli.output import CommandError, err
from engine.cli.quantities import parse_cpus, parse_size, parse_swap
from engine.cli.session import Session
from engine.client.api import path_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def update_containers(session: Session, options: Options, arguments: list[str]) -> int:
    if not options.given:
        raise CommandError("you must provide one or more flags when using this command")
    body = _body(options)

    def update(container: str) -> None:
        answer = session.client.call("POST", path_of("containers", container, "update"), body)
        for warning in answer.get("Warnings") or ():
            err(f"WARNING: {warning}")

    return for_each(arguments, update)


def _body(options: Options) -> dict[str, Any]:
    body = set_only({
        "BlkioWeight": options.blkio_weight,
        "CpuPeriod": options.cpu_period,
        "CpuQuota": options.cpu_quota,
        "CpuRealtimePeriod": options.cpu_rt_period,
        "CpuRealtimeRuntime": options.cpu_rt_runtime,
        "CpuShares": options.cpu_shares,
        "CpusetCpus": options.cpuset_cpus,
        "CpusetMems": options.cpuset_mems,
        "Memory": options.memory,
        "MemoryReservation": options.memory_reservation,
        "MemorySwap": options.memory_swap,
        "NanoCpus": options.cpus,
    })  # fmt: skip
    if "pids-limit" in options.given:
        body["PidsLimit"] = options.pids_limit
    if options.restart:
        name, _, count = options.restart.partition(":")
        if count and not count.isdecimal():
            raise CommandError("invalid restart policy format: maximum retry count must be an integer")
        body["RestartPolicy"] = {"Name": name, "MaximumRetryCount": int(count or 0)}
    return body


UPDATE = Command(
    update_containers,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    integer("--blkio-weight", "Block IO (relative weight), between 10 and 1000, or 0 to disable"),
    integer("--cpu-period", "Limit CPU CFS (Completely Fair Scheduler) period"),
    integer("--cpu-quota", "Limit CPU CFS (Completely Fair Scheduler) quota"),
    integer("--cpu-rt-period", "Limit the CPU real-time period in microseconds"),
    integer("--cpu-rt-runtime", "Limit the CPU real-time runtime in microseconds"),
    integer("-c, --cpu-shares", "CPU shares (relative weight)"),
    Flag("--cpus", "decimal", "Number of CPUs", 0, parse_cpus),
    text("--cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)"),
    text("--cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)"),
    Flag("-m, --memory", "bytes", "Memory limit", 0, parse_size),
    Flag("--memory-reservation", "bytes", "Memory soft limit", 0, parse_size),
    Flag("--memory-swap", "bytes", "Limit of memory plus swap: -1 to enable unlimited swap", 0, parse_swap),
    integer("--pids-limit", "Tune container pids limit (set -1 for unlimited)"),
    text("--restart", "Restart policy to apply when a container exits"),
    least=1,
    examples="docket update -m 128m --memory-swap 256m web\ndocket update --cpus 0.5 --restart always web db",
)
