"""The first thing that the program does, where it is going to enter a container: hide the host's interpreter.

Its process, or a fork of it, is in the container for a moment: /proc/PID/exe must be nothing of the host's there
(CVE-2019-5736). Where the kernel lets it be another file in place, that is an empty one that nobody can write. Else the
program executes itself once more, from an interpreter that nobody can write to: this is decided before anything else is
imported, since that one imports it all again.
"""

from __future__ import annotations

import os
import sys

from engine.oci.served import ask

_ENTERING = ("create", "run", "exec")
_WITH_VALUE = ("root", "log", "log-format", "rootless")
_PROGRAM = "import sys; sys.path[:0] = [sys.argv.pop(1)]; from engine.oci.sealed import again; again(sys.argv[1:])"


def leave_the_host(words: list[str]) -> None:
    """Returns only where that is not needed, or done in place."""
    if _verb(words) not in _ENTERING:
        return
    from engine.runtime.interpreter import interpreter_path, sealed, unwritable

    if sys.flags.isolated and sys.getfilesystemencoding() == "utf-8" and _becomes(sealed()):
        return
    parent = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # isolated from the environment and without site-packages, as all that runs as root here
    flags = ["-I", "-S", "-X", "utf8", "-c", _PROGRAM]
    os.execve(unwritable(), [interpreter_path(), *flags, parent, *words], os.environ)


def _becomes(fd: int) -> bool:
    from engine.kernel import own_program

    try:
        own_program.become(fd)
    except OSError:
        return False  # its text says why; the other way needs nothing of the kernel's
    finally:
        os.close(fd)
    return True


def _verb(words: list[str]) -> str:
    """The first word that is no flag and no flag's value."""
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            return word
        if word.lstrip("-") in _WITH_VALUE:
            next(rest, None)
    return ""


def main() -> None:
    """What the script calls."""
    words = sys.argv[1:]
    if (status := ask(_verb(words), words)) is not None:
        os._exit(status)
    leave_the_host(words)
    again(words)


def again(words: list[str]) -> None:
    """The same without asking, and from an interpreter that may be seen in a container."""
    from engine.oci import loading

    is_prepared = _verb(words) not in _ENTERING or loading.prepare()
    from engine.oci.main import carry_out, leave

    status = carry_out(words)
    if not is_prepared:
        loading.keep()
    leave(status)
