"""What comes after a container: its last hooks, and the folder of our own that cgroups are in."""

from __future__ import annotations

from engine.oci.containers import OWN_CGROUPS, public_state
from engine.oci.warnings import warn
from engine.runtime import hooks, sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]


def run_poststop_hooks(state: Json) -> None:
    gone = {**public_state({**state, "pid": 0}), "status": "stopped"}
    hooks.run_all(state["hooks"].get("poststop"), gone, "poststop", warn)


def tidy(path: str) -> None:
    """The folders of our own that the cgroups were in, where they were the last."""
    while path.startswith(f"{OWN_CGROUPS}/"):
        path = path.rpartition("/")[0]
        sweep.tidy({"cgroup_path": path}, [])
