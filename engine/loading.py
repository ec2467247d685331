"""The modules of a short-lived command, out of one file: loaded one by one they take three times as long.

The file lies with the compiled modules, made by the first such command that may write there, and is as good as they
are: code objects (marshal) with their sources' time and size. They are executed in the order in which they were once
complete, so that each finds the others there, and the import system, which takes as long again, is asked for none. One
that doesn't fit its source makes the whole file count for nothing: all are imported as ever, and it is made anew.
"""

from __future__ import annotations

import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Callable

    Entry = tuple[str, str, int, int, bool, CodeType]
    """Name, source, its time and size, whether it is a package, and what it executes."""

_FOLDER = os.path.dirname(os.path.abspath(__file__))
_ModuleType, _Spec = type(sys), type(sys.__spec__)


def load(command: str, import_all: Callable[[], bool]) -> None:
    """The modules that ``import_all`` imports for ``command``. It is called where there is no file of them, and says
    whether there is to be one: whether there is such a command."""
    path = f"{_FOLDER}/__pycache__/{command}.{sys.implementation.cache_tag}.marshal"
    if (entries := _read(path)) is not None:
        _execute(entries)
        return
    if import_all() and not sys.dont_write_bytecode:
        _write(path)


def _read(path: str) -> list[Entry] | None:
    try:
        with open(path, "rb", buffering=0) as file:
            entries: list[Entry] = marshal.loads(file.read())
        if entries[0][1] != f"{_FOLDER}/__init__.py":
            return None  # a copy of another place's
        for _, source, time_ns, size, _, _ in entries:
            if _stamp(source) != (time_ns, size):
                return None
    except (OSError, EOFError, ValueError, TypeError, IndexError):
        return None
    return entries


def _execute(entries: list[Entry]) -> None:
    fresh = [entry for entry in entries if entry[0] not in sys.modules]
    for entry in sorted(fresh):  # a package is before what is in it
        _introduce(*entry)
    for name, _, _, _, _, code in fresh:
        exec(code, sys.modules[name].__dict__)


def _introduce(name: str, source: str, time_ns: int, size: int, is_package: bool, code: CodeType) -> None:
    """An empty module, with what the import system says of one."""
    module = sys.modules[name] = _ModuleType(name)
    spec = module.__spec__ = _Spec(name, None, origin=source, is_package=is_package)
    module.__file__ = source
    package, _, own_name = name.rpartition(".")
    module.__package__ = name if is_package else package
    if is_package:
        module.__path__ = spec.submodule_search_locations = [os.path.dirname(source)]
    setattr(sys.modules[package], own_name, module)


def _write(path: str) -> None:
    """Where that can't be, everything goes on as ever. The import system has put each module behind those that it has
    imported."""
    fresh = f"{path}.{os.getpid()}"
    try:
        entries = [_entry(name) for name in sys.modules if name.partition(".")[0] == __package__]
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with open(fd, "wb") as file:
            file.write(marshal.dumps(entries))
        os.rename(fresh, path)
    except (OSError, ImportError, AttributeError, ValueError):
        return


def _entry(name: str) -> Entry:
    spec = sys.modules[name].__spec__
    source = os.path.abspath(spec.origin)
    return name, source, *_stamp(source), spec.submodule_search_locations is not None, spec.loader.get_code(name)


def _stamp(source: str) -> tuple[int, int]:
    found = os.stat(source)
    return found.st_mtime_ns, found.st_size
