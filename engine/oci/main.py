"""The program ``docket-runtime``: parse, do the verb, say what went wrong."""

from __future__ import annotations

import os
import sys

from engine import __version__
from engine.oci.arguments import VERBS, Arguments, UsageError, parse

DEFAULT_ROOT = "/run/docket-runtime"
FAILURE = 1


def main(*, leave: bool = False) -> int:
    """Do what sys.argv says: the exit status. With ``leave`` the process ends without taking the interpreter apart.

    Errors are one line on standard error, and one in --log for containerd."""
    status = _tried(sys.argv[1:])
    if leave:
        sys.stdout.flush()
        os._exit(status)
    return status


def _tried(words: list[str]) -> int:
    arguments = Arguments({}, "", {}, [])
    try:
        arguments = parse(words)
        return _main(arguments)
    except (UsageError, OSError, RuntimeError, ValueError) as error:
        return _fail(arguments, _describe(error))
    except Exception as error:
        if type(error).__name__ != "Failed":
            raise
        return _fail(arguments, str(error))


def _main(arguments: Arguments) -> int:
    if arguments.root.get("version"):
        print(f"docket-runtime version {__version__}\nspec: 1.2.0")
        return 0
    if not arguments.verb or arguments.root.get("help"):
        print(f"Usage: docket-runtime [--root DIR] [--log FILE] COMMAND [OPTIONS] ID\n\nCommands: {', '.join(VERBS)}")
        return 0
    if arguments.root.get("systemd-cgroup"):
        raise UsageError("cgroups by systemd are not supported: use the cgroupfs driver")
    from engine.oci import verbs
    from engine.oci.containers import Containers

    root = os.path.abspath(str(arguments.root.get("root") or DEFAULT_ROOT))
    return verbs.VERBS[arguments.verb](Containers(root), arguments.options, arguments.rest)


def _describe(error: Exception) -> str:
    if not isinstance(error, OSError):
        return str(error)
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
    step = f"{error.step}: " if getattr(error, "step", "") else ""
    return f"{step}{where}{(error.strerror or str(error)).lower()}"


def _fail(arguments: Arguments, message: str) -> int:
    line = " ".join(message.split())
    print(f"docket-runtime: {line}", file=sys.stderr)
    import json
    import time

    if path := arguments.root.get("log"):
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if arguments.root.get("log-format") == "json":
            text = json.dumps({"level": "error", "msg": line, "time": now})
        else:
            text = f'time="{now}" level=error msg={json.dumps(line)}'
        with open(str(path), "a") as file:
            file.write(text + "\n")
    return FAILURE
