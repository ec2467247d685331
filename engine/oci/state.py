"""The verb state. It has a module of its own since its callers are the machine's, which ask often."""

from __future__ import annotations

from engine.kernel import json_text
from engine.oci.containers import Containers, public_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def show(containers: Containers, options: dict[str, Any], rest: list[str]) -> int:
    state = public_state(containers.load(rest[0]))
    lines = ",\n".join(f"  {json_text.dumps(name)}: {json_text.dumps(value)}" for name, value in state.items())
    print(f"{{\n{lines}\n}}")
    return 0
