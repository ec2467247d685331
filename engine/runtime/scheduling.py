"""``process.scheduler``, ``process.ioPriority`` and ``linux.personality`` of the runtime specification."""

from __future__ import annotations

import errno

from engine.kernel import scheduling
from engine.runtime.setup import Json, Operation, Setup


def apply(pid: int, process: Json) -> None:
    """Scheduler and I/O priority of a process, 0 for the caller. Raises OSError."""
    if wanted := process.get("scheduler"):
        policy = _known(scheduling.POLICIES, wanted["policy"], "process.scheduler.policy")
        flags = 0
        for flag in wanted.get("flags") or ():
            flags |= _known(scheduling.SCHEDULER_FLAGS, flag, "process.scheduler.flags")
        scheduling.set_scheduler(
            pid, policy, flags=flags, nice=wanted.get("nice") or 0, priority=wanted.get("priority") or 0,
            times_ns=(wanted.get("runtime") or 0, wanted.get("deadline") or 0, wanted.get("period") or 0),
        )  # fmt: skip
    if wanted := process.get("ioPriority"):
        io_class = _known(scheduling.IO_CLASSES, wanted["class"], "process.ioPriority.class")
        if not 0 <= (priority := wanted.get("priority") or 0) <= 7:
            raise OSError(errno.EINVAL, f"{priority} is not between 0 and 7", "process.ioPriority.priority")
        scheduling.set_io_priority(pid, io_class, priority)


def _known(table: dict[str, int], word: str, where: str) -> int:
    if word not in table:
        raise OSError(errno.EINVAL, f"{word!r} is none of {', '.join(table)}", where)
    return table[word]


class Scheduling(Operation):
    """While the powers of the engine are still there."""

    step = "process.identity"

    def __init__(self, process: Json) -> None:
        self._process = process

    def execute(self, setup: Setup) -> None:
        apply(0, self._process)


class Personality(Operation):
    """The execution domain: before the filter, which may let only some of them pass."""

    step = "process.identity"

    def __init__(self, wanted: Json) -> None:
        self._wanted = wanted

    def execute(self, setup: Setup) -> None:
        if self._wanted.get("flags"):
            raise OSError(errno.EOPNOTSUPP, "the specification knows none", "linux.personality.flags")
        domain = _known(scheduling.PERSONALITIES, self._wanted.get("domain") or "LINUX", "linux.personality.domain")
        scheduling.set_personality(domain)
