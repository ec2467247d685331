"""The way out of an ordinary user's network namespaces: pasta (passt(1)) or slirp4netns(1), a process a container.

The one module that starts them. The launcher has it forked as the shim's child, in the user namespace; the kernel kills
it when the shim ends, and the shim when the container does.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import time

from engine.kernel import json_text, mounts
from engine.kernel.namespaces import CLONE_NEWNS, CLONE_PARENT, clone, unshare
from engine.kernel.process import close_all_but, set_parent_death_signal
from engine.kernel.rtnetlink import RouteSocket
from engine.kernel.steps import step
from engine.runtime.setup import Json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, Sequence

RESOLVERS = {"pasta": "169.254.1.1", "slirp4netns": "10.0.2.3"}
"""Where the container asks for names: both forward that to the host's servers."""
GATEWAYS = {"slirp4netns": "10.0.2.2"}
_GUEST = "10.0.2.100"
_OFFLINE = (
    "-4", "-i", "lo", "-I", "eth0", "-M", "02:42:0a:00:02:64", "-a", _GUEST, "-n", "255.255.255.0", "-g", "10.0.2.2",
)  # fmt: skip
_MTU = 65520
_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ)
"""By spawners and by Python. pasta ends where SIGPIPE is ignored already."""
_PATIENCE_S = 10.0
_POLL_S = 0.002
_OUTPUT_BYTES = 2000


def start(plan: Json, pid: int) -> int:
    """Bring the network namespace of ``pid`` into the network, with ``plan["user_network"]``: {"name", "program" (its
    path), "ports"}. Answers with the program's pid. Raises OSError with what it said."""
    network = plan["user_network"]
    with step("network.address"):
        said = os.memfd_create("docket-network", os.MFD_CLOEXEC)
        try:
            if network["name"] == "pasta":
                return _start_pasta(plan, network, pid, said)
            return _start_slirp(plan, network, pid, said)
        finally:
            os.close(said)


# --- pasta -----------------------------------------------------------------------------------------------------------


def pasta_arguments(network: Json, namespace: str, pid_file: str, *, online: bool) -> list[str]:
    """Nothing of the host's loopback is in the container's reach, and nothing is forwarded but what was asked for.
    Where the host has no way out, pasta has to be told what it takes from there otherwise."""
    words = [
        "pasta", "--foreground", "--quiet", "--config-net", "--no-map-gw", "--pid", pid_file,
        "--dns-forward", RESOLVERS["pasta"], "-T", "none", "-U", "none", *(() if online else _OFFLINE),
    ]  # fmt: skip
    for flag, protocol in (("-t", "tcp"), ("-u", "udp")):
        ports = [_pasta_port(port) for port in network["ports"] if port["protocol"] == protocol]
        for text in ports or ["none"]:
            words += [flag, text]
    return [*words, "--netns-only", "--netns", namespace]


def _pasta_port(port: Json) -> str:
    place = "" if port["host_address"] in ("", "0.0.0.0") else f"{port['host_address']}/"
    return f"{place}{port['host_port']}:{port['container_port']}"


def _start_pasta(plan: Json, network: Json, pid: int, said: int) -> int:
    """It writes its number into the file when the network is there."""
    pid_file = os.path.join(plan["directory"], "pasta.pid")
    _unlink(pid_file)
    namespace = _Namespace(pid, os.path.join(plan["directory"], "netns"))
    arguments = pasta_arguments(network, namespace.place, pid_file, online=_has_way_out())
    helper = _forked(network["program"], arguments, said, namespace)
    with _Watched(helper, said) as watched:
        while not _has_content(pid_file):
            watched.check(_POLL_S)
    return helper


def _has_way_out() -> bool:
    with RouteSocket() as route:
        return route.has_default_route()


def _has_content(path: str) -> bool:
    try:
        return os.stat(path).st_size > 0
    except FileNotFoundError:
        return False


# --- slirp4netns -----------------------------------------------------------------------------------------------------


def slirp_arguments(namespace: str, api: str, ready_fd: int) -> list[str]:
    return [
        "slirp4netns", "--configure", f"--mtu={_MTU}", "--disable-host-loopback", f"--ready-fd={ready_fd}",
        f"--api-socket={api}", "--netns-type=path", namespace, "tap0",
    ]  # fmt: skip


def _start_slirp(plan: Json, network: Json, pid: int, said: int) -> int:
    api = slirp_socket(plan["socket_folder"], plan["container_id"])
    _unlink(api)
    ready, childs = os.pipe2(os.O_CLOEXEC)
    try:
        namespace = _Namespace(pid, os.path.join(plan["directory"], "netns"))
        arguments = slirp_arguments(namespace.place, api, childs)
        helper = _forked(network["program"], arguments, said, namespace, [childs])
        os.close(childs)
        childs = -1
        with _Watched(helper, said) as watched:
            while not select.select([ready], [], [], 0)[0]:
                watched.check(_POLL_S)
            if not os.read(ready, 1):
                watched.check(_PATIENCE_S)
            for port in network["ports"]:
                _forward(api, port)
    finally:
        os.close(ready)
        if childs >= 0:
            os.close(childs)
    return helper


def slirp_socket(folder: str, container_id: str) -> str:
    """Its control socket, beside the shim's."""
    return os.path.join(folder, f"{container_id[:16]}.slirp")


def _forward(api: str, port: Json) -> None:
    place = {
        "proto": port["protocol"], "host_addr": port["host_address"] or "0.0.0.0", "host_port": port["host_port"],
        "guest_addr": _GUEST, "guest_port": port["container_port"],
    }  # fmt: skip
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_PATIENCE_S)
        sock.connect(api)
        sock.sendall(json_text.dumps({"execute": "add_hostfwd", "arguments": place}).encode())
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while part := sock.recv(4096):
            answer += part
    if error := json_text.loads(answer.decode() or "{}").get("error"):
        what = f"{place['host_addr']}:{place['host_port']}/{place['proto']}"
        raise OSError(errno.EADDRINUSE, error.get("desc") or "refused", f"port {what}")


# --- both ------------------------------------------------------------------------------------------------------------


class _Namespace:
    """The network namespace of ``pid``. The programs give up the power to look at that process (CAP_SYS_PTRACE) before
    they open its namespace, so they find it mounted at ``place``, in a mount namespace of their own."""

    def __init__(self, pid: int, place: str) -> None:
        self.pid, self.place = pid, place

    def mount(self) -> None:
        unshare(CLONE_NEWNS)
        os.close(os.open(self.place, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        mounts.mount(f"/proc/{self.pid}/ns/net", self.place, None, mounts.MS_BIND)


def _forked(
    program: str, arguments: Sequence[str], said: int, namespace: _Namespace, keep: Sequence[int] = ()
) -> int:
    pid = clone(CLONE_PARENT)
    if pid == 0:
        _execute(program, arguments, said, namespace, keep)
    return pid


def _execute(
    program: str, arguments: Sequence[str], said: int, namespace: _Namespace, keep: Sequence[int]
) -> NoReturn:
    try:
        namespace.mount()
        set_parent_death_signal(signal.SIGKILL)  # the parent is the shim
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd, number in ((null, 0), (said, 1), (said, 2)):
            os.dup2(fd, number)
        close_all_but((0, 1, 2, *keep))
        for fd in keep:
            os.set_inheritable(fd, True)
        for number in _IGNORED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.execve(program, list(arguments), {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")})
    finally:
        os._exit(127)


class _Watched:
    """A program until it is ready; if it isn't in the end, it is killed."""

    def __init__(self, pid: int, said: int) -> None:
        self._pid = pid
        self._said = said
        self._deadline = time.monotonic() + _PATIENCE_S
        self._pid_fd = os.pidfd_open(pid)  # the shim is busy with waiting for us, and reaps nobody

    def __enter__(self) -> _Watched:
        return self

    def check(self, pause_s: float) -> None:
        """Wait a moment. Raises OSError where it has ended, or takes too long."""
        ended = bool(select.select([self._pid_fd], [], [], pause_s)[0])
        if not ended and time.monotonic() < self._deadline:
            return
        text = os.pread(self._said, _OUTPUT_BYTES, 0).decode(errors="replace").strip()
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("Failed to send")]
        reason = "; ".join(lines[-3:]) or ("it ended" if ended else "it did not become ready")
        raise OSError(errno.ENETUNREACH, reason, "the program for the container's network")

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            signal.pidfd_send_signal(self._pid_fd, signal.SIGKILL)
        os.close(self._pid_fd)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
