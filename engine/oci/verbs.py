"""The verbs, each a function of the containers, the flags and the arguments; its value is the exit status."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any, Callable, Mapping

from engine.kernel.cgroups import Cgroup
from engine.oci import execution, features, launching
from engine.oci.containers import Containers, public_state, status
from engine.oci.launching import Failed
from engine.runtime import command_journal as journal

Options = dict[str, Any]


def _one(rest: list[str], what: str = "a container id is needed") -> str:
    if not rest:
        raise Failed(what)
    return rest[0]


def _show(value: object) -> None:
    print(json.dumps(value, indent=2))


def _warn(state: dict[str, Any]) -> None:
    for warning in state.get("warnings") or ():
        print(f"docket-runtime: warning: {warning}", file=sys.stderr)


def create(containers: Containers, options: Options, rest: list[str]) -> int:
    container_id = _one(rest)
    state = launching.create(containers, container_id, options.get("bundle") or ".", options, start_at_once=False)
    journal.append(containers.root, "create", container_id, {"bundle": state["bundle"], "pid": state["pid"]})
    _warn(state)
    return 0


def run(containers: Containers, options: Options, rest: list[str]) -> int:
    container_id = _one(rest)
    state = launching.create(containers, container_id, options.get("bundle") or ".", options, start_at_once=True)
    journal.append(containers.root, "run", container_id, {"bundle": state["bundle"], "pid": state["pid"]})
    _warn(state)
    if options.get("detach"):
        return 0
    code = execution.wait_in_foreground(state["pid"], options.get("terminal_fd", -1))
    if not options.get("keep"):
        launching.delete(containers, container_id, force=True)
    journal.append(containers.root, "ended", container_id, {"exit_code": code})
    return code


def start(containers: Containers, options: Options, rest: list[str]) -> int:
    state = launching.start(containers, _one(rest))
    journal.append(containers.root, "start", state["id"], {"pid": state["pid"]})
    return 0


def show_state(containers: Containers, options: Options, rest: list[str]) -> int:
    _show(public_state(containers.load(_one(rest))))
    return 0


def kill(containers: Containers, options: Options, rest: list[str]) -> int:
    container_id, number = _one(rest), _signal(rest[1] if len(rest) > 1 else "TERM")
    launching.kill(containers, container_id, number, everybody=bool(options.get("all")))
    journal.append(containers.root, "kill", container_id, {"signal": number})
    return 0


def _signal(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 64:
        return int(text)
    found = getattr(signal, f"SIG{text.upper().removeprefix('SIG')}", None)
    if not isinstance(found, signal.Signals):
        raise Failed(f"unknown signal {text!r}")
    return int(found)


def delete(containers: Containers, options: Options, rest: list[str]) -> int:
    container_id = _one(rest)
    launching.delete(containers, container_id, force=bool(options.get("force")))
    journal.append(containers.root, "delete", container_id, {})
    return 0


def execute(containers: Containers, options: Options, rest: list[str]) -> int:
    container_id = _one(rest)
    pid, terminal = execution.execute(containers, container_id, rest[1:], options)
    journal.append(containers.root, "exec", container_id, {"pid": pid, "args": rest[1:4]})
    return 0 if options.get("detach") else execution.wait_in_foreground(pid, terminal)


def show_list(containers: Containers, options: Options, rest: list[str]) -> int:
    states = [public_state(state) for state in containers.all()]
    if options.get("quiet"):
        print("".join(f"{state['id']}\n" for state in states), end="")
    elif options.get("format") == "json":
        print(json.dumps(states))
    else:
        rows = [("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")]
        rows += [(one["id"], str(one["pid"]), one["status"], one["bundle"], one["created"], "root") for one in states]
        widths = [max(map(len, column)) + 3 for column in zip(*rows, strict=True)]
        for row in rows:
            print("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def show_processes(containers: Containers, options: Options, rest: list[str]) -> int:
    pids = Cgroup(containers.load(_one(rest))["cgroup_path"]).pids()
    if options.get("format") == "json":
        print(json.dumps(pids))
        return 0
    print("PID     CMD")
    for pid in pids:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except FileNotFoundError:
            continue  # it has just ended
        print(f"{pid:<7} {words}")
    return 0


def pause(containers: Containers, options: Options, rest: list[str]) -> int:
    state = containers.load(_one(rest))
    if (now := status(state)) not in ("running", "created"):
        raise Failed(f"container not running: {now}")
    Cgroup(state["cgroup_path"]).freeze()
    journal.append(containers.root, "pause", state["id"], {})
    return 0


def resume(containers: Containers, options: Options, rest: list[str]) -> int:
    state = containers.load(_one(rest))
    if status(state) != "paused":
        raise Failed("container not paused")
    Cgroup(state["cgroup_path"]).thaw()
    journal.append(containers.root, "resume", state["id"], {})
    return 0


_RESOURCES = {
    "memory": ("memory", "limit"), "memory-swap": ("memory", "swap"), "memory-reservation": ("memory", "reservation"),
    "cpu-share": ("cpu", "shares"), "cpu-quota": ("cpu", "quota"), "cpu-period": ("cpu", "period"),
    "cpuset-cpus": ("cpu", "cpus"), "cpuset-mems": ("cpu", "mems"), "pids-limit": ("pids", "limit"),
    "blkio-weight": ("blockIO", "weight"),
}  # fmt: skip


def update(containers: Containers, options: Options, rest: list[str]) -> int:
    state = containers.load(_one(rest))
    resources: dict[str, Any] = {}
    if source := options.get("resources"):
        with sys.stdin if source == "-" else open(str(source)) as file:
            resources = {key: value for key, value in json.load(file).items() if value}
    for name, (section, key) in _RESOURCES.items():
        if (value := options.get(name)) is not None:
            resources.setdefault(section, {})[key] = value if key in ("cpus", "mems") else int(value)
    resources.pop("devices", None)  # they are the launch's
    cgroup = Cgroup(state["cgroup_path"])
    before = cgroup.read_limits()
    try:
        warnings = cgroup.apply(resources)
    except OSError:
        cgroup.restore(before)
        raise
    _warn({"warnings": warnings})
    journal.append(containers.root, "update", state["id"], {"resources": resources})
    return 0


def events(containers: Containers, options: Options, rest: list[str]) -> int:
    """Statistics and OOM kills as they come, a line each; once with --stats."""
    container_id = _one(rest)
    interval_s = float(str(options.get("interval") or "5s").rstrip("s"))
    kills = 0
    while True:
        state = containers.load(container_id)
        if status(state) == "stopped":
            return 0
        cgroup = Cgroup(state["cgroup_path"])
        print(json.dumps({"type": "stats", "id": container_id, "data": cgroup.stats()}), flush=True)
        if options.get("stats"):
            return 0
        if (now := cgroup.oom_kills()) > kills:
            kills = now
            print(json.dumps({"type": "oom", "id": container_id}), flush=True)
        time.sleep(interval_s)


def write_spec(containers: Containers, options: Options, rest: list[str]) -> int:
    path = os.path.join(str(options.get("bundle") or "."), "config.json")
    with open(path, "x") as file:
        json.dump(features.example(), file, indent=2)
    return 0


def show_features(containers: Containers, options: Options, rest: list[str]) -> int:
    _show(features.features())
    return 0


def verify(containers: Containers, options: Options, rest: list[str]) -> int:
    """The journal's hash chain."""
    try:
        count, head = journal.verify(containers.root)
    except ValueError as error:
        raise Failed(f"the journal is NOT whole: {error}") from error
    print(f"the journal is whole: {count} lines, head {head}")
    return 0


VERBS: Mapping[str, Callable[[Containers, Options, list[str]], int]] = {
    "create": create, "run": run, "start": start, "state": show_state, "kill": kill, "delete": delete, "exec": execute,
    "list": show_list, "ps": show_processes, "pause": pause, "resume": resume, "update": update, "events": events,
    "spec": write_spec, "features": show_features, "verify": verify,
}  # fmt: skip
