"""The program ``docket-runtime``: parse, execute itself from a sealed copy where it enters a container, do the verb."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import NoReturn, Sequence

from engine import __version__
from engine.oci.arguments import VERBS, Arguments, UsageError, parse

DEFAULT_ROOT = "/run/docket-runtime"
FAILURE = 1
_ENTERING = ("create", "run", "exec")
"""Verbs whose process, or a fork of it, is for a moment in the container: its /proc/PID/exe must be nothing of the
host's (CVE-2019-5736)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Errors are one line on standard error, and one of JSON in --log for containerd."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = Arguments({}, "", {}, [])
    try:
        arguments = parse(words)
        return _main(arguments, words)
    except (UsageError, OSError, RuntimeError, ValueError) as error:
        return _fail(arguments, _describe(error))
    except Exception as error:
        if type(error).__name__ != "Failed":
            raise
        return _fail(arguments, str(error))


def _main(arguments: Arguments, words: list[str]) -> int:
    if arguments.root.get("version"):
        print(f"docket-runtime version {__version__}\nspec: 1.2.0")
        return 0
    if not arguments.verb or arguments.root.get("help"):
        print(f"Usage: docket-runtime [--root DIR] [--log FILE] COMMAND [OPTIONS] ID\n\nCommands: {', '.join(VERBS)}")
        return 0
    if arguments.root.get("systemd-cgroup"):
        raise UsageError("cgroups by systemd are not supported: use the cgroupfs driver")
    if arguments.verb in _ENTERING and not os.readlink("/proc/self/exe").startswith("/memfd:"):
        _execute_from_copy(words)
    from engine.oci import verbs
    from engine.oci.containers import Containers

    root = os.path.abspath(str(arguments.root.get("root") or DEFAULT_ROOT))
    return verbs.VERBS[arguments.verb](Containers(root), arguments.options, arguments.rest)


def _execute_from_copy(words: list[str]) -> NoReturn:
    """Again, as the sealed copy in memory: isolated from the environment, as all that runs as root here."""
    from engine.runtime.interpreter import interpreter_path, sealed_copy

    copy = sealed_copy()
    parent = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    program = "import sys; sys.path[:0] = [sys.argv.pop(1)]; from engine.oci.main import main; sys.exit(main())"
    flags = ["-I", "-S", "-X", "utf8", "-c", program]
    os.execve(copy, [interpreter_path(), *flags, parent, *words], dict(os.environ))


def _describe(error: Exception) -> str:
    if not isinstance(error, OSError):
        return str(error)
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
    step = f"{error.step}: " if getattr(error, "step", "") else ""
    return f"{step}{where}{(error.strerror or str(error)).lower()}"


def _fail(arguments: Arguments, message: str) -> int:
    line = " ".join(message.split())
    print(f"docket-runtime: {line}", file=sys.stderr)
    if path := arguments.root.get("log"):
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if arguments.root.get("log-format") == "json":
            text = json.dumps({"level": "error", "msg": line, "time": now})
        else:
            text = f'time="{now}" level=error msg={json.dumps(line)}'
        with open(str(path), "a") as file:
            file.write(text + "\n")
    return FAILURE
