"""exec: one more process in a container; and what ``run`` and ``exec`` do while they wait in the foreground."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from typing import Any

from engine.kernel.cgroups import Cgroup
from engine.kernel.process import set_child_subreaper
from engine.kernel.terminals import set_window_size
from engine.oci.containers import Containers, status
from engine.oci.launching import Failed, send_terminal, write_pid
from engine.runtime import exec_process, messages
from engine.runtime.exec_process import Target

Json = dict[str, Any]
_NOT_PASSED_ON = {signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP, signal.SIGURG, signal.SIGWINCH}


def execute(containers: Containers, container_id: str, arguments: list[str], options: Json) -> tuple[int, int]:
    """Start the process: (its pid, the master of its terminal or -1). Raises Failed or OSError."""
    state = containers.load(container_id)
    now = status(state)
    if now != "running":
        raise Failed(f"cannot exec in a container that is {now}")
    process = _process(state["process"], arguments, options)
    cgroup = Cgroup(state["cgroup_path"])
    pid_fd = os.pidfd_open(state["pid"])
    if status(state) != "running":
        raise Failed("cannot exec in a container that is stopped")
    target = Target(cgroup, state["pid"], pid_fd, set(state["kinds"]), tuple(state["root"]))
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    stdio = (null, null, null) if process.get("terminal") else (0, 1, 2)
    pid, handshake = exec_process.start(_plan(process, state), target, stdio)
    with handshake:
        ready = messages.receive(handshake)
        if ready is None or ready[0]["type"] != "ready":
            raise Failed(ready[0]["message"] if ready else "the process ended while it was being set up")
        messages.send(handshake, {"type": "go"})
        if (answer := messages.receive(handshake)) is not None:
            raise Failed(answer[0]["message"])
    terminal = ready[1][0] if ready[1] else -1
    if terminal >= 0 and options.get("console-socket"):
        send_terminal(str(options["console-socket"]), terminal)
        terminal = -1
    if options.get("pid-file"):
        write_pid(str(options["pid-file"]), pid)
    return pid, terminal


def _process(of_container: Json, arguments: list[str], options: Json) -> Json:
    """The specification's ``process``: a file's, or the container's own with what the flags change."""
    if options.get("process"):
        with open(str(options["process"])) as file:
            return json.load(file)
    if not arguments:
        raise Failed("process args cannot be empty")
    process = {**of_container, "args": arguments, "terminal": bool(options.get("tty"))}
    process["env"] = [*(of_container.get("env") or []), *(options.get("env") or [])]
    if options.get("cwd"):
        process["cwd"] = options["cwd"]
    user = dict(of_container.get("user") or {})
    if options.get("user"):
        uid, _, gid = str(options["user"]).partition(":")
        user["uid"] = int(uid)
        user["gid"] = int(gid) if gid else user.get("gid") or 0
    user["additionalGids"] = [*(user.get("additionalGids") or []), *map(int, options.get("additional-gids") or [])]
    process["user"] = user
    if options.get("no-new-privs"):
        process["noNewPrivileges"] = True
    if options.get("cap"):
        sets = {name: list(names) for name, names in (process.get("capabilities") or {}).items()}
        for name in ("bounding", "effective", "permitted"):
            sets[name] = [*(sets.get(name) or []), *options["cap"]]
        process["capabilities"] = sets
    return process


def _plan(process: Json, state: Json) -> Json:
    user = process.get("user") or {}
    return {
        "exec_id": "", "args": process["args"], "env": process.get("env") or [], "cwd": process.get("cwd") or "/",
        "user": f"{user.get('uid') or 0}:{user.get('gid') or 0}", "groups": list(user.get("additionalGids") or []),
        "umask": user.get("umask"), "tty": bool(process.get("terminal")),
        "capability_sets": process.get("capabilities") or {"bounding": []},
        "no_new_privileges": bool(process.get("noNewPrivileges")), "rlimits": process.get("rlimits") or [],
        "seccomp": state["seccomp"], "oomScoreAdj": process.get("oomScoreAdj") or 0,
        "console_size": process.get("consoleSize") or {},
    }  # fmt: skip


def wait_in_foreground(pid: int, terminal: int) -> int:
    """Pass signals on and carry the terminal until the process ends: its exit status."""
    set_child_subreaper()
    for number in signal.valid_signals() - _NOT_PASSED_ON:
        try:
            signal.signal(number, lambda received, frame: _pass_on(pid, received))
        except (OSError, ValueError):
            continue  # one of those that the C library keeps for itself
    if terminal < 0:
        return _wait(pid)
    import termios
    import tty

    before = termios.tcgetattr(0) if os.isatty(0) else None
    try:
        if before is not None:
            tty.setraw(0)
            signal.signal(signal.SIGWINCH, lambda received, frame: _resize(terminal))
            _resize(terminal)
        _carry(terminal)
    finally:
        if before is not None:
            termios.tcsetattr(0, termios.TCSANOW, before)
    return _wait(pid)


def _pass_on(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _resize(terminal: int) -> None:
    columns, rows = os.get_terminal_size(0)
    set_window_size(terminal, rows, columns)


def _carry(terminal: int) -> None:
    """Between our standard streams and the terminal, until nobody has its other end."""
    inputs = [terminal, 0]
    while True:
        ready, _, _ = select.select(inputs, [], [])
        for fd in ready:
            try:
                data = os.read(fd, 65536)
            except OSError:
                data = b""
            if not data and fd == terminal:
                return
            if not data:
                inputs.remove(0)
            while data:
                data = data[os.write(1 if fd == terminal else terminal, data) :]
        sys.stdout.flush()


def _wait(pid: int) -> int:
    while True:
        ended, status_ = os.waitpid(-1, 0)
        if ended == pid:
            code = os.waitstatus_to_exitcode(status_)
            return code if code >= 0 else 128 - code
