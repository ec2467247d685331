"""``docket stats``: what containers use, as a table that is drawn again every second."""

from __future__ import annotations

import os
import time

from engine.cli.command import Command
from engine.cli.flags import Options, switch
from engine.cli.listing import Row, format_flag, short_id, show
from engine.cli.output import STDOUT, out
from engine.cli.quantities import binary_size, human_size
from engine.cli.session import Session
from engine.client.api import path_of
from engine.client.errors import APIError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    Sample = dict[str, Any]

_INTERVAL_S = 1.0
_HEADERS = {
    "ID": "CONTAINER ID", "Container": "CONTAINER", "Name": "NAME", "CPUPerc": "CPU %", "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %", "NetIO": "NET I/O", "BlockIO": "BLOCK I/O", "PIDs": "PIDS",
}  # fmt: skip
_COLUMNS = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
_HOME_AND_CLEAR = "\033[H\033[J"
_NOT_FOUND = 404


def show_stats(session: Session, options: Options, arguments: list[str]) -> int:
    """Rates are those between two readings of ours, a second apart."""
    before = _read_all(session, options, arguments)
    while True:
        time.sleep(_INTERVAL_S)
        now = _read_all(session, options, arguments)
        rows = [_row(sample, before.get(id), whole=options.no_trunc) for id, sample in now.items()]
        if not options.no_stream and os.isatty(STDOUT):
            out(_HOME_AND_CLEAR)
        show(rows, [(_HEADERS[field], field) for field in _COLUMNS], options.format, _HEADERS)
        if options.no_stream:
            return 0
        before = now


def _read_all(session: Session, options: Options, names: Sequence[str]) -> dict[str, Sample]:
    """Id -> sample: of the named containers, else of those that run, with ``--all`` of all."""
    found = names or [one["Id"] for one in session.client.call("GET", "/containers/json", query={"all": options.all})]
    samples = {}
    for name in found:
        query = {"stream": "0", "one-shot": "1"}
        try:
            sample = session.client.call("GET", path_of("containers", name, "stats"), query=query)
        except APIError as error:
            if names or error.status != _NOT_FOUND:
                raise
            continue  # it has just been removed
        samples[sample["id"]] = {**sample, "given": name}
    return samples


def _row(sample: Sample, before: Sample | None, *, whole: bool) -> Row:
    row = Row(
        ID=sample["id"] if whole else short_id(sample["id"]),
        Container=sample["given"],
        Name=sample["name"].lstrip("/"),
    )
    memory = sample.get("memory_stats") or {"usage": 0, "limit": 0}  # one that doesn't run has none
    used, limit = _used_memory(memory), memory["limit"]
    interfaces = (sample.get("networks") or {}).values()
    return Row(
        row,
        CPUPerc=f"{_cpu_percent(sample, before):.2f}%",
        MemUsage=f"{binary_size(used)} / {binary_size(limit)}",
        MemPerc=f"{100 * used / limit if limit else 0:.2f}%",
        NetIO=_pair(sum(one["rx_bytes"] for one in interfaces), sum(one["tx_bytes"] for one in interfaces)),
        BlockIO=_pair(_block_bytes(sample, "read"), _block_bytes(sample, "write")),
        PIDs=str((sample.get("pids_stats") or {}).get("current", 0)),
    )


def _used_memory(memory: dict[str, Any]) -> int:
    """Without the page cache that the kernel can take back at once, as Docker's client counts."""
    counters = memory.get("stats") or {}
    cache = counters.get("total_inactive_file", counters.get("inactive_file", 0))
    return memory["usage"] - cache if cache < memory["usage"] else memory["usage"]


def _cpu_percent(sample: Sample, before: Sample | None) -> float:
    """100 is one CPU."""
    if before is None or "system_cpu_usage" not in before["cpu_stats"]:
        return 0.0
    now, then = sample["cpu_stats"], before["cpu_stats"]
    used = now["cpu_usage"]["total_usage"] - then["cpu_usage"]["total_usage"]
    passed = now.get("system_cpu_usage", 0) - then["system_cpu_usage"]
    return 100.0 * used / passed * now["online_cpus"] if used > 0 and passed > 0 else 0.0


def _block_bytes(sample: Sample, way: str) -> int:
    rows = (sample.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ()
    return sum(row["value"] for row in rows if row["op"].lower() == way)


def _pair(one: int, other: int) -> str:
    return f"{human_size(one)} / {human_size(other)}"


STATS = Command(
    show_stats,
    "[OPTIONS] [CONTAINER...]",
    switch("-a, --all", "Show all containers (default shows just running)"),
    format_flag(),
    switch("--no-stream", "Disable streaming stats and only pull the first result"),
    switch("--no-trunc", "Do not truncate output"),
    examples="docket stats --no-stream\ndocket stats --format '{{.Name}}: {{.CPUPerc}} {{.MemUsage}}' web",
)
