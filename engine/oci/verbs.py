"""The verbs that change something, each a function of the containers, the flags and the arguments: the exit status.

They say so in the journal before they do, and say afterwards how it went.
"""

from __future__ import annotations

import os

from engine.kernel.cgroups import Cgroup
from engine.kernel.process import set_child_subreaper
from engine.oci import foreground, lifecycle
from engine.oci.containers import Containers, status
from engine.oci.handing_over import Failed
from engine.runtime.command_journal import Deed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Options = dict[str, "Any"]


class Waiting:
    """What ``run`` and ``exec`` do with a process that they wait for: here, as its parent and in the foreground."""

    def begin(self) -> None:
        """Before it is there."""
        foreground.hold_signals()

    def await_end(self, pid: int, terminal: int) -> int:
        """Its exit status."""
        foreground.pass_signals_on(os.pidfd_open(pid))
        if terminal < 0:
            return foreground.wait_for_child(pid)
        return foreground.with_terminal(terminal, lambda: foreground.wait_for_child(pid))


waiting = Waiting()
"""A process that serves another one's command puts its own here."""


def create(containers: Containers, options: Options, rest: list[str]) -> int:
    from engine.oci import launching

    bundle = os.path.abspath(options.get("bundle") or ".")
    with Deed(containers.root, "create", rest[0], {"bundle": bundle}) as deed:
        state = launching.create(containers, rest[0], bundle, options, start_at_once=False)
        deed.facts = {"pid": state["pid"], "evidence": state["evidence"]}
    return 0


def run(containers: Containers, options: Options, rest: list[str]) -> int:
    from engine.oci import launching

    bundle, container_id = os.path.abspath(options.get("bundle") or "."), rest[0]
    waits = not options.get("detach")
    if waits:
        waiting.begin()
        if not options.get("no-subreaper"):
            set_child_subreaper()
    with Deed(containers.root, "run", container_id, {"bundle": bundle}) as deed:
        state = launching.create(containers, container_id, bundle, options, start_at_once=True)
        deed.facts = {"pid": state["pid"], "evidence": state["evidence"]}
    if not waits:
        return 0
    code = waiting.await_end(state["pid"], state["terminal_fd"])
    with Deed(containers.root, "end", container_id, {"exit_code": code}):
        if not options.get("keep"):
            lifecycle.delete(containers, container_id, force=True)
    return code


def start(containers: Containers, options: Options, rest: list[str]) -> int:
    containers.load(rest[0])
    with Deed(containers.root, "start", rest[0], {}) as deed:
        deed.facts = {"pid": lifecycle.start(containers, rest[0])["pid"]}
    return 0


def kill(containers: Containers, options: Options, rest: list[str]) -> int:
    from engine.oci.units import signal_number

    number = signal_number(rest[1] if len(rest) > 1 else "TERM")
    containers.load(rest[0])
    with Deed(containers.root, "kill", rest[0], {"signal": number}):
        lifecycle.kill(containers, rest[0], number, everybody=bool(options.get("all")))
    return 0


def delete(containers: Containers, options: Options, rest: list[str]) -> int:
    force = bool(options.get("force"))
    try:
        containers.load(rest[0])
    except FileNotFoundError:
        if force:
            return 0  # as it should be
        raise
    with Deed(containers.root, "delete", rest[0], {"force": force}):
        try:
            lifecycle.delete(containers, rest[0], force=force)
        except FileNotFoundError:
            if not force:
                raise
    return 0


def execute(containers: Containers, options: Options, rest: list[str]) -> int:
    from engine.oci import execution

    waits = not options.get("detach")
    state = execution.load(containers, rest[0])
    process = execution.process_of(state["process"], rest[1:], options)
    if waits:
        waiting.begin()
        if not options.get("no-subreaper"):
            set_child_subreaper()
    with Deed(containers.root, "exec", rest[0], {"args": process["args"][:3]}) as deed:
        pid, terminal = execution.execute(state, process, options)
        deed.facts = {"pid": pid}
    return waiting.await_end(pid, terminal) if waits else 0


def pause(containers: Containers, options: Options, rest: list[str]) -> int:
    with containers.locked(rest[0]) as state:
        if (now := status(state)) not in ("running", "created"):
            raise Failed(f"container not running: {now}")
        with Deed(containers.root, "pause", rest[0], {}):
            Cgroup(state["cgroup_path"]).freeze()
    return 0


def resume(containers: Containers, options: Options, rest: list[str]) -> int:
    with containers.locked(rest[0]) as state:
        if status(state) != "paused":
            raise Failed("container not paused")
        with Deed(containers.root, "resume", rest[0], {}):
            Cgroup(state["cgroup_path"]).thaw()
    return 0
