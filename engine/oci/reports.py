"""The verbs that only look: list, ps, events, features, spec, verify."""

from __future__ import annotations

import json
import os
import time

from engine.kernel.cgroups import Cgroup
from engine.oci import features
from engine.oci.containers import Containers, public_state, status
from engine.oci.handing_over import Failed
from engine.oci.units import seconds
from engine.runtime import command_journal as journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Options = dict[str, "Any"]


def _format(options: Options) -> str:
    """table or json. Raises Failed."""
    wanted = str(options.get("format") or "table")
    if wanted not in ("table", "json"):
        raise Failed(f"invalid format {wanted!r}: use table or json")
    return wanted


def show_list(containers: Containers, options: Options, rest: list[str]) -> int:
    states = [public_state(state) for state in containers.all()]
    if options.get("quiet"):
        print("".join(f"{state['id']}\n" for state in states), end="")
    elif _format(options) == "json":
        print(json.dumps(states))
    else:
        rows = [("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")]
        rows += [(one["id"], str(one["pid"]), one["status"], one["bundle"], one["created"], "root") for one in states]
        widths = [max(map(len, column)) + 3 for column in zip(*rows, strict=True)]
        for row in rows:
            print("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def show_processes(containers: Containers, options: Options, rest: list[str]) -> int:
    wanted, state = _format(options), containers.load(rest[0])
    pids = Cgroup(state["cgroup_path"]).pids() if state["cgroup_made"] else []
    if wanted == "json":
        print(json.dumps(pids))
        return 0
    print("PID     CMD")
    for pid in pids:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        print(f"{pid:<7} {words}")
    return 0


def show_events(containers: Containers, options: Options, rest: list[str]) -> int:
    """Statistics and OOM kills as they come, a line each, until it ends; once with --stats."""
    interval_s = seconds(str(options.get("interval") or "5s"), "--interval")
    if status(containers.load(rest[0])) == "stopped":
        raise Failed("container not running")
    kills = 0
    while True:
        try:
            state = containers.load(rest[0])
        except FileNotFoundError:
            return 0  # it was deleted meanwhile
        if status(state) == "stopped":
            return 0
        cgroup = Cgroup(state["cgroup_path"])
        print(json.dumps({"type": "stats", "id": rest[0], "data": cgroup.stats()}), flush=True)
        if options.get("stats"):
            return 0
        if (now := cgroup.oom_kills()) > kills:
            kills = now
            print(json.dumps({"type": "oom", "id": rest[0]}), flush=True)
        time.sleep(interval_s)


def write_spec(containers: Containers, options: Options, rest: list[str]) -> int:
    path = os.path.join(str(options.get("bundle") or "."), "config.json")
    with open(path, "x") as file:
        json.dump(features.example(), file, indent=2)
    return 0


def show_features(containers: Containers, options: Options, rest: list[str]) -> int:
    print(json.dumps(features.features(), indent=2))
    return 0


def verify(containers: Containers, options: Options, rest: list[str]) -> int:
    """The journal's hash chain."""
    try:
        count, head = journal.verify(containers.root)
    except ValueError as error:
        raise Failed(f"the journal is NOT whole: {error}") from error
    print(f"the journal is whole: {count} lines, head {head}")
    return 0
