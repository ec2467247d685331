"""What a user should know and nobody has to act on. Where there is a --log it goes there alone, for a container's own
output is on our standard error when containerd calls us."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable


class Log:
    """``path`` and ``format`` are those of --log and --log-format."""

    path = ""
    format = ""


def warn(message: str) -> None:
    line = " ".join(message.split())
    if not Log.path:
        print(f"docket-runtime: warning: {line}", file=sys.stderr, flush=True)
    else:
        write("warning", line)


def warn_all(messages: Iterable[str]) -> None:
    for message in messages:
        warn(message)


def write(level: str, line: str) -> None:
    """One line into --log, as containerd reads it. A log that can't be written keeps nothing from being done."""
    import json
    import time

    if not Log.path:
        return
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if Log.format == "json":
        text = json.dumps({"level": level, "msg": line, "time": now})
    else:
        text = f'time="{now}" level={level} msg={json.dumps(line)}'
    try:
        with open(Log.path, "a", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        print(f"docket-runtime: warning: --log {Log.path}: {error.strerror}", file=sys.stderr, flush=True)
