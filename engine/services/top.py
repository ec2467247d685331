"""The processes of a container as the host sees them, in the columns of ps(1) that the caller asks for."""

from __future__ import annotations

import grp
import os
import pwd
import time
from pathlib import Path
from typing import Callable, Iterable, Mapping

from engine.domain.errors import InvalidArgument, NotSupported

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
_DAY_S = 86_400


class _Process:
    """One process (proc_pid_stat(5)); fields are counted behind the name, which may hold anything."""

    def __init__(self, pid: int) -> None:
        folder = Path(f"/proc/{pid}")
        text = (folder / "stat").read_text(errors="replace")
        self.pid = pid
        self.name = text[text.index("(") + 1 : text.rindex(")")]
        self.fields = text.rpartition(")")[2].split()
        self.uid, self.gid = folder.stat().st_uid, folder.stat().st_gid
        arguments = (folder / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
        self.command = arguments.strip() or f"[{self.name}]"
        self.used_s = (int(self.fields[11]) + int(self.fields[12])) / _TICKS
        self.alive_s = max(_uptime_s() - int(self.fields[19]) / _TICKS, 0.0)

    @property
    def started(self) -> str:
        """The time of today, or the day."""
        moment = time.time() - self.alive_s
        return time.strftime("%H:%M" if self.alive_s < _DAY_S else "%b%d", time.localtime(moment))

    @property
    def cpu_share(self) -> float:
        return 100 * self.used_s / max(self.alive_s, 1)

    @property
    def state(self) -> str:
        """ps's STAT: the letter, nice value, session leader, threads, foreground."""
        nice = int(self.fields[16])
        marks = ("<" if nice < 0 else "") + ("N" if nice > 0 else "") + ("s" if self.fields[3] == str(self.pid) else "")
        marks += ("l" if int(self.fields[17]) > 1 else "") + ("+" if self.fields[5] == self.fields[2] else "")
        return self.fields[0] + marks


def _uptime_s() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])


def _user_name(uid: int) -> str:
    """The host's name for the user, as ps has it: containers share the host's numbers."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _terminal_name(number: int) -> str:
    return f"pts/{os.minor(number)}" if os.major(number) == 136 else "?"


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _short_clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _elapsed(seconds: float) -> str:
    """[[days-]hours:]minutes:seconds."""
    days, rest = divmod(int(seconds), _DAY_S)
    hours, minutes = rest // 3600, f"{rest // 60 % 60:02d}:{rest % 60:02d}"
    if days:
        return f"{days}-{hours:02d}:{minutes}"
    return f"{hours:02d}:{minutes}" if hours else minutes


def _memory_share(process: _Process) -> float:
    total_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return 100 * int(process.fields[21]) * _PAGE_KIB / total_kib


_Column = tuple[str, Callable[[_Process], str]]

_COLUMNS: dict[str, _Column] = {
    "pid": ("PID", lambda one: str(one.pid)),
    "ppid": ("PPID", lambda one: one.fields[1]),
    "pgid": ("PGID", lambda one: one.fields[2]),
    "sid": ("SID", lambda one: one.fields[3]),
    "user": ("USER", lambda one: _user_name(one.uid)),
    "uid": ("UID", lambda one: str(one.uid)),
    "group": ("GROUP", lambda one: _group_name(one.gid)),
    "gid": ("GID", lambda one: str(one.gid)),
    "comm": ("COMMAND", lambda one: one.name),
    "args": ("COMMAND", lambda one: one.command),
    "tty": ("TT", lambda one: _terminal_name(int(one.fields[4]))),
    "tname": ("TTY", lambda one: _terminal_name(int(one.fields[4]))),
    "time": ("TIME", lambda one: _clock(one.used_s)),
    "etime": ("ELAPSED", lambda one: _elapsed(one.alive_s)),
    "etimes": ("ELAPSED", lambda one: str(int(one.alive_s))),
    "start": ("STARTED", lambda one: one.started),
    "stime": ("STIME", lambda one: one.started),
    "stat": ("STAT", lambda one: one.state),
    "s": ("S", lambda one: one.fields[0]),
    "c": ("C", lambda one: str(int(one.cpu_share))),
    "pcpu": ("%CPU", lambda one: f"{one.cpu_share:.1f}"),
    "pmem": ("%MEM", lambda one: f"{_memory_share(one):.1f}"),
    "rss": ("RSS", lambda one: str(int(one.fields[21]) * _PAGE_KIB)),
    "vsz": ("VSZ", lambda one: str(int(one.fields[20]) // 1024)),
    "ni": ("NI", lambda one: one.fields[16]),
    "pri": ("PRI", lambda one: str(39 - int(one.fields[15]))),
    "nlwp": ("NLWP", lambda one: one.fields[17]),
}
_LAYOUT_COLUMNS: dict[str, _Column] = {
    # what ps -f and ps u show, under titles of their own
    "full-uid": ("UID", lambda one: _user_name(one.uid)),
    "full-tty": ("TTY", lambda one: _terminal_name(int(one.fields[4]))),
    "full-args": ("CMD", lambda one: one.command),
    "short-comm": ("CMD", lambda one: one.name),
    "user-start": ("START", lambda one: one.started),
    "user-time": ("TIME", lambda one: _short_clock(one.used_s)),
}
_OTHER_NAMES: Mapping[str, str] = {
    "cmd": "args", "command": "args", "ucmd": "comm", "ucomm": "comm", "%cpu": "pcpu", "%mem": "pmem", "rssize": "rss",
    "rsz": "rss", "vsize": "vsz", "state": "s", "tt": "tty", "nice": "ni", "thcount": "nlwp", "euser": "user",
    "ruser": "user", "uname": "user", "euid": "uid", "ruid": "uid", "egroup": "group", "rgroup": "group",
    "egid": "gid", "rgid": "gid", "pgrp": "pgid", "sess": "sid", "session": "sid", "cputime": "time", "bsdtime": "time",
    "start_time": "stime", "lstart": "start",
}  # fmt: skip
_FULL = ("full-uid", "pid", "ppid", "c", "stime", "full-tty", "time", "full-args")
_PLAIN = ("pid", "full-tty", "time", "short-comm")
_USER_ORIENTED = ("user", "pid", "pcpu", "pmem", "vsz", "rss", "full-tty", "stat", "user-start", "user-time", "args")
_LETTERS = frozenset("eAfF")


def processes(pids: Iterable[int], ps_args: str) -> tuple[list[str], list[list[str]]]:
    """Titles and a row a process. Raises NotSupported for options of ps that are not understood."""
    columns = _chosen(ps_args.split())
    rows = []
    for pid in sorted(pids):
        try:
            process = _Process(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        rows.append([show(process) for _, show in columns])
    return [title for title, _ in columns], rows


def _chosen(words: list[str]) -> list[_Column]:
    """``-ef``, ``aux``, ``-o pid,args``, ``-opid -o user=WHO``: which processes is no question here, so the letters
    that say so mean nothing."""
    named: list[_Column] = []
    names = _FULL if not words else _PLAIN
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in ("o", "-o", "--format") or (word[:1] == "-" and word[-1] == "o" and set(word[1:-1]) <= _LETTERS):
            if not rest:
                raise InvalidArgument("ps: option -o needs a list of columns")
            named += _formats(rest.pop(0))
        elif word.startswith("-o") or word.startswith("--format="):
            named += _formats(word.removeprefix("--format=").removeprefix("-o"))
        elif word.startswith("-") and set(word[1:]) <= _LETTERS and word != "-":
            names = _FULL if "f" in word.lower() else names
        elif set(word) <= set("auxw") and word:
            names = _USER_ORIENTED if "u" in word else names
        else:
            raise NotSupported(f"ps option {word!r} is not supported: use -ef, aux or -o with names of columns")
    return named or [(_COLUMNS | _LAYOUT_COLUMNS)[name] for name in names]


def _formats(text: str) -> list[_Column]:
    """``pid,user=WHO,args``; a title of one's own ends the list, as for ps."""
    found: list[_Column] = []
    while text:
        name, separator, text = text.partition(",")
        title = None
        if "=" in name:
            name, _, title = name.partition("=")
            title, text = title + separator + text, ""
        column = _COLUMNS.get(_OTHER_NAMES.get(name.lower(), name.lower()))
        if column is None:
            raise NotSupported(f"ps: column {name!r} is not supported: use some of {', '.join(sorted(_COLUMNS))}")
        found.append(column if title is None else (title, column[1]))
    return found
