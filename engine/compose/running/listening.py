"""What a command hears of a plan while it is carried out, and Docker Compose's words for it."""

from __future__ import annotations

from engine.compose.running.dependencies import COMPLETED
from engine.compose.running.plan import (
    BUILD, CREATE, DISCONNECT, IMAGE, KILL, PAUSE, PULL, PUSH, RECREATE, REMOVE, RENAME, RESTART, START, STOP, UNPAUSE,
    WAIT, Action,
)  # fmt: skip

_WORDS = {
    CREATE: ("Creating", "Created"),
    RECREATE: ("Recreate", "Recreated"),
    RENAME: ("Renaming", "Renamed"),
    START: ("Starting", "Started"),
    STOP: ("Stopping", "Stopped"),
    RESTART: ("Restarting", "Started"),
    REMOVE: ("Removing", "Removed"),
    KILL: ("Killing", "Killed"),
    PAUSE: ("Pausing", "Paused"),
    UNPAUSE: ("Unpausing", "Unpaused"),
    WAIT: ("Waiting", "Healthy"),
    DISCONNECT: ("Disconnecting", "Disconnected"),
    PULL: ("Pulling", "Pulled"),
    BUILD: ("Building", "Built"),
    PUSH: ("Pushing", "Pushed"),
}
WITHOUT_BEGINNING = frozenset({PAUSE, UNPAUSE})
"""What takes no time: in plain lines its end alone is told."""


class Listener:
    """Hears everything, from several threads at once; this one keeps silent."""

    def begins(self, action: Action) -> None: ...

    def ends(self, action: Action, skipped: str = "") -> None:
        """``skipped`` says why it was not done after all."""

    def fails(self, action: Action, error: BaseException) -> None: ...

    def gets_on(self, action: Action, text: str) -> None:
        """A line about how far it is."""

    def warns(self, text: str) -> None: ...

    def hook_writes(self, action: Action, data: bytes) -> None:
        """What a post_start or pre_stop hook wrote."""

    def will_start(self, action: Action, container_id: str) -> None:
        """In the moment before a container starts: whoever wants its output attaches now."""


def subject(action: Action) -> str:
    """"Container shop-web-1"; an image is called by its service."""
    if action.kind == IMAGE:
        return f"Image {action.name}" if action.verb == REMOVE else action.service or action.name
    return f"{action.kind} {action.name}"


def working_word(action: Action) -> str:
    return _WORDS[action.verb][0]


def done_word(action: Action) -> str:
    if action.verb == WAIT and str(action.settings["condition"]).startswith(COMPLETED):
        return "Exited"
    return _WORDS[action.verb][1]
