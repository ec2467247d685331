"""exec: one more process in a container."""

from __future__ import annotations

import errno
import os

from engine.kernel import capabilities, json_text
from engine.kernel.cgroups import Cgroup
from engine.oci import shape
from engine.oci.bundle import check_process
from engine.oci.containers import Containers, public_state, status
from engine.oci.handing_over import Failed, hand_over, send_listener, write_pid
from engine.oci.launching import kept_descriptors
from engine.runtime import exec_process, messages
from engine.runtime.exec_process import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

Json = dict[str, "Any"]


def load(containers: Containers, container_id: str) -> Json:
    """The state of a container that runs. Raises Failed or OSError."""
    state = containers.load(container_id)
    now = status(state)
    if now not in ("running", "created"):
        raise Failed(f"cannot exec in a container that is {now}")
    return state


def execute(state: Json, process: Json, options: Json) -> tuple[int, int]:
    """Start the process: (its pid, the master of its terminal or -1). Raises Failed or OSError."""
    terminal = bool(process.get("terminal"))
    if terminal and options.get("detach") and not options.get("console-socket"):
        raise Failed("a terminal needs --console-socket where the process is left alone")
    pid_fd = os.pidfd_open(state["pid"])
    if status(state) not in ("running", "created"):
        raise Failed("cannot exec in a container that is stopped")
    target = Target(Cgroup(state["cgroup_path"]), state["pid"], pid_fd, set(state["kinds"]), tuple(state["root"]))
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    stdio = (null, null, null) if terminal else (0, 1, 2)
    pid, handshake = exec_process.start(_plan(process, state), target, stdio, kept_descriptors(options))
    with handshake:
        terminal_fd = _talk(handshake, pid, state, options)
    return pid, terminal_fd


def _talk(handshake: socket.socket, pid: int, state: Json, options: Json) -> int:
    """Through its set-up to execve(2); what fails here ends it, since the handshake is closed then."""
    answer = messages.receive(handshake)
    if answer is not None and answer[0]["type"] == "listener":
        send_listener(state["seccomp"]["listener"], pid, answer[0]["fd"], public_state(state))
        answer = messages.receive(handshake)
    if answer is None or answer[0]["type"] != "ready":
        raise Failed(answer[0]["message"] if answer else "the process ended while it was being set up")
    terminal_fd = hand_over(answer[1][0] if answer[1] else -1, options)
    if options.get("pid-file"):
        write_pid(str(options["pid-file"]), pid)
    messages.send(handshake, {"type": "go"})
    if (answer := messages.receive(handshake)) is not None:
        raise Failed(answer[0]["message"])
    return terminal_fd


def process_of(of_container: Json, arguments: list[str], options: Json) -> Json:
    """The specification's ``process``: a file's, or the container's own with what the flags change. Raises OSError."""
    if options.get("process"):
        process = _from_file(str(options["process"]))
    else:
        process = _changed(of_container, arguments, options)
    if unknown := sorted(key for key in process.keys() - shape.PROCESS.keys() - {"cwd"} if process[key]):
        raise OSError(errno.EOPNOTSUPP, "not supported by this version of the engine", f"process.{unknown[0]}")
    check_process(process)
    if process.get("selinuxLabel"):
        raise OSError(errno.EOPNOTSUPP, "not supported by this version of the engine", "process.selinuxLabel")
    return process


def _from_file(path: str) -> Json:
    try:
        with open(path, encoding="utf-8") as file:
            process: Json = json_text.loads(file.read())
    except ValueError as error:
        raise OSError(errno.EINVAL, f"not JSON: {error}", path) from error
    shape.check(process, shape.PROCESS, "process")
    return process


def _changed(of_container: Json, arguments: list[str], options: Json) -> Json:
    if not arguments:
        raise Failed("process args cannot be empty")
    process = {**of_container, "args": arguments, "terminal": bool(options.get("tty"))}
    process["env"] = [*(of_container.get("env") or []), *(options.get("env") or [])]
    process["cwd"] = options.get("cwd") or of_container["cwd"]
    user = dict(of_container.get("user") or {})
    if options.get("user"):
        uid, colon, gid = str(options["user"]).partition(":")
        user["uid"] = _number(uid, "--user")
        user["gid"] = _number(gid, "--user") if colon else user.get("gid") or 0
    more = [_number(gid, "--additional-gids") for gid in options.get("additional-gids") or []]
    user["additionalGids"] = [*(user.get("additionalGids") or []), *more]
    process["user"] = user
    if options.get("no-new-privs"):
        process["noNewPrivileges"] = True
    if options.get("cap"):
        names = [capabilities.canonical(name) for name in options["cap"]]
        sets = {name: list(given or []) for name, given in (process.get("capabilities") or {}).items()}
        process["capabilities"] = sets | {
            name: [*sets.get(name, []), *names] for name in ("bounding", "effective", "permitted")
        }
    return process


def _number(text: str, flag: str) -> int:
    if not text.isdecimal():
        raise Failed(f"{flag}: {text!r} is not a number")
    return int(text)


def _plan(process: Json, state: Json) -> Json:
    user = process.get("user") or {}
    return {
        "exec_id": "", "args": process["args"], "env": process.get("env") or [], "cwd": process.get("cwd") or "/",
        "user": f"{user.get('uid') or 0}:{user.get('gid') or 0}", "groups": list(user.get("additionalGids") or []),
        "exact_groups": True,
        "umask": user.get("umask"), "tty": bool(process.get("terminal")),
        "capability_sets": process.get("capabilities") or {"bounding": []},
        "no_new_privileges": bool(process.get("noNewPrivileges")), "rlimits": process.get("rlimits") or [],
        "seccomp": state["seccomp"], "oomScoreAdj": process.get("oomScoreAdj"), "oom_score_as_is": True,
        "console_size": process.get("consoleSize") or {}, "scheduler": process.get("scheduler"),
        "ioPriority": process.get("ioPriority"), "personality": state["personality"],
        "same_keyring": state["same_keyring"], "apparmor_profile": process.get("apparmorProfile") or "",
    }  # fmt: skip
