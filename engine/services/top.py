"""The processes of a container as the host sees them, in the columns of ``ps -ef``."""

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path

from engine.domain.errors import NotSupported
from engine.kernel.cgroups import Cgroup

TITLES = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
_DEFAULT_ARGUMENTS = ("", "-ef")
_TICKS = os.sysconf("SC_CLK_TCK")


def processes(cgroup_path: str, ps_args: str) -> tuple[list[str], list[list[str]]]:
    """Titles and a row a process. Raises NotSupported for other columns than those of ``-ef``."""
    if ps_args not in _DEFAULT_ARGUMENTS:
        raise NotSupported(f"ps options {ps_args!r} are not supported by this version of docket yet: leave them out")
    rows = []
    for pid in sorted(Cgroup(cgroup_path).pids()):
        try:
            rows.append(_row(pid))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
    return TITLES, rows


def _row(pid: int) -> list[str]:
    """One process (proc_pid_stat(5)); fields are counted behind the name, which may hold anything."""
    folder = Path(f"/proc/{pid}")
    text = (folder / "stat").read_text(errors="replace")
    name, fields = text[text.index("(") + 1 : text.rindex(")")], text.rpartition(")")[2].split()
    parent, terminal = fields[1], int(fields[4])
    used_s = (int(fields[11]) + int(fields[12])) / _TICKS
    alive_s = _uptime_s() - int(fields[19]) / _TICKS
    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return [
        _user_name(folder.stat().st_uid), str(pid), parent, str(int(100 * used_s / max(alive_s, 1))),
        time.strftime("%H:%M", time.localtime(time.time() - alive_s)), _terminal_name(terminal),
        time.strftime("%H:%M:%S", time.gmtime(used_s)), command or f"[{name}]",
    ]  # fmt: skip


def _uptime_s() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])


def _user_name(uid: int) -> str:
    """The host's name for the user, as ps has it: containers share the host's numbers."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _terminal_name(number: int) -> str:
    return f"pts/{os.minor(number)}" if os.major(number) == 136 else "?"
