"""The program ``docket-runtime``: parse, do the verb, say what went wrong."""

from __future__ import annotations

import os
import sys

from engine import __version__
from engine.oci import warnings
from engine.oci.arguments import VERBS, Arguments, UsageError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

DEFAULT_ROOT = "/run/docket-runtime"
FAILURE = 1


def leave(status: int) -> NoReturn:
    """End the process without taking the interpreter apart."""
    try:
        sys.stdout.flush()
    except OSError:
        status = status or FAILURE
    os._exit(status)


def carry_out(words: list[str]) -> int:
    """The exit status; nothing is raised. Errors are one line on standard error, and one in --log for containerd."""
    arguments = Arguments({}, "", {}, [])
    try:
        arguments = parse(words)
        warnings.Log.path = os.path.abspath(path) if (path := str(arguments.root.get("log") or "")) else ""
        warnings.Log.format = str(arguments.root.get("log-format") or "text")
        return _main(arguments)
    except (UsageError, OSError, RuntimeError, ValueError) as error:
        return _fail(arguments, _describe(error))
    except Exception as error:
        if type(error).__name__ == "Failed":
            return _fail(arguments, str(error))
        return _fail(arguments, f"{type(error).__name__}: {error} (a defect of docket-runtime: please report it)")


def _main(arguments: Arguments) -> int:
    if arguments.root.get("version"):
        print(f"docket-runtime version {__version__}\nspec: 1.2.0")
        return 0
    if not arguments.verb or arguments.root.get("help") or arguments.options.get("help"):
        print(f"Usage: docket-runtime [--root DIR] [--log FILE] COMMAND [OPTIONS] ID\n\nCommands: {', '.join(VERBS)}")
        return 0
    if arguments.root.get("systemd-cgroup"):
        raise UsageError("cgroups by systemd are not supported: use the cgroupfs driver")
    if arguments.options.get("no-pivot"):
        raise UsageError("--no-pivot is not supported: a container's root is always taken by pivot_root")
    from engine.oci import dispatch
    from engine.oci.containers import Containers

    root = os.path.abspath(str(arguments.root.get("root") or DEFAULT_ROOT))
    return dispatch.VERBS[arguments.verb](Containers(root), arguments.options, arguments.rest)


def _describe(error: Exception) -> str:
    if not isinstance(error, OSError):
        return str(error)
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
    step = f"{error.step}: " if getattr(error, "step", "") else ""
    text = error.strerror or str(error)
    return f"{step}{where}{text[:1].lower()}{text[1:]}"


def _fail(arguments: Arguments, message: str) -> int:
    line = " ".join(message.split())
    print(f"docket-runtime: {line}", file=sys.stderr, flush=True)
    warnings.write("error", line)
    if arguments.verb != "exec":
        return FAILURE
    return 255  # as runc: what the process itself would answer with is told from it
