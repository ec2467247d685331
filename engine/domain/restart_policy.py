"""Restart policies: whether a container that ended is started again by the engine, and after how long.

The delays are Docker's: a tenth of a second, doubled with each restart up to a minute, and from the beginning again
once the container has run for ten seconds.
"""

from __future__ import annotations

from engine.domain.container import Container, Status

POLICIES = ("no", "always", "unless-stopped", "on-failure")

FIRST_DELAY_US = 100_000
LONGEST_DELAY_US = 60_000_000


def restarts_after_end(state: Container) -> bool:
    """Whether the policy wants a container that has ended to run again.

    ``on-failure`` is about failures of the container's own: that the host went down is none.
    """
    if state.status is not Status.EXITED or state.stopped_by_user or state.restarting:
        return False
    if state.restart_policy == "on-failure":
        failed = state.exit_code != 0 and state.exit_cause != "reboot"
        return failed and (not state.restart_limit or state.restart_count < state.restart_limit)
    return state.restart_policy in ("always", "unless-stopped")


def restarts_with_engine(state: Container) -> bool:
    """Whether a container that somebody stopped runs again when the engine starts: what ``always`` promises."""
    return state.status is Status.EXITED and state.restart_policy == "always"


def delay_us(state: Container) -> int:
    """How long the restart of a container that has ended waits, in microseconds."""
    return min(2 * state.restart_delay_us, LONGEST_DELAY_US) or FIRST_DELAY_US
