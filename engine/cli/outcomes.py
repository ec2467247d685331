"""One request for each of several objects, as Docker does it: every name is tried, each failure is a line."""

from __future__ import annotations

from engine.cli.output import err, out
from engine.client.errors import APIError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence


def for_each(names: Sequence[str], request: Callable[[str], Any]) -> int:
    """Print the names for which it went well, the engine's words for others; 1 if there were any."""
    failures = 0
    for name in names:
        try:
            answer = request(name)
        except APIError as error:
            err(f"Error response from daemon: {error}")
            failures += 1
        else:
            out(f"{name if answer is None else answer}\n")
    return 1 if failures else 0
