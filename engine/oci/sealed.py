"""The first thing that the program does, where it is going to enter a container: hide the host's interpreter.

Its process, or a fork of it, is in the container for a moment: /proc/PID/exe must be nothing of the host's there
(CVE-2019-5736). Where the kernel lets it be another file in place, that is an empty one that nobody can write. Else the
program executes itself once more, from an interpreter that nobody can write to: this is decided before anything else is
imported, since that one imports it all again.
"""

from __future__ import annotations

import os
import sys

from engine import loading
from engine.oci.served import ask

_ENTERING = ("create", "run", "exec")
_WITH_VALUE = ("root", "log", "log-format", "rootless")
_PROGRAM = "import sys; sys.path[:0] = [sys.argv.pop(1)]; from engine.oci.sealed import again; again(sys.argv[1:])"
_DOORSTEP_BYTES = 256 * 1024
"""How large a program can be that is there only to load libpython. What is larger can't be hidden in place."""


def main() -> None:
    """What the script calls."""
    words = sys.argv[1:]
    verb = _verb(words)
    if (status := ask(verb, words)) is not None:
        os._exit(status)
    enters = verb in _ENTERING
    if enters and not _may_hide():
        _start_again(words)
    _load(verb)
    if enters and not _hides():
        _start_again(words)
    _carry_out(words)


def again(words: list[str]) -> None:
    """The same from an interpreter that may be seen in a container."""
    _load(_verb(words))
    _carry_out(words)


def _carry_out(words: list[str]) -> None:
    from engine.oci.main import carry_out, leave

    leave(carry_out(words))


def _may_hide() -> bool:
    """Whether it is worth a try, for which there is more to load than for a new start."""
    if not sys.flags.isolated or sys.getfilesystemencoding() != "utf-8":
        return False
    return os.stat("/proc/self/exe").st_size <= _DOORSTEP_BYTES


def _hides() -> bool:
    from engine.kernel import own_program
    from engine.runtime.interpreter import sealed

    fd = sealed()
    try:
        own_program.become(fd)
    except OSError:
        return False  # its text says why; the other way needs nothing of the kernel's
    finally:
        os.close(fd)
    return True


def _start_again(words: list[str]) -> None:
    from engine.runtime.interpreter import interpreter_path, unwritable

    parent = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # isolated from the environment and without site-packages, as all that runs as root here
    flags = ["-I", "-S", "-X", "utf8", "-c", _PROGRAM]
    os.execve(unwritable(), [interpreter_path(), *flags, parent, *words], os.environ)


def _load(verb: str) -> None:
    """What the verb takes."""

    def import_all() -> bool:
        hiding = ("kernel.own_program", "runtime.interpreter") if verb in _ENTERING else ()
        for name in (*hiding, "oci.main", "oci.containers"):
            __import__(f"engine.{name}")
        from engine.oci.dispatch import VERBS

        if (known := VERBS.get(verb)) is not None:
            known.load()
        return known is not None

    if verb.isalpha():
        loading.load(f"docket-runtime-{verb}", import_all)


def _verb(words: list[str]) -> str:
    """The first word that is no flag and no flag's value."""
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            return word
        if word.lstrip("-") in _WITH_VALUE:
            next(rest, None)
    return ""
