"""All modules that the creation of a container loads, out of one file: seventy take three times as long.

The file lies with the compiled modules, made by the first command that may write there, and is as good as they are:
code objects (marshal) with their sources' time and size. One that doesn't fit its source makes the whole file count for
nothing, and the modules are loaded as ever; then it is made anew.
"""

from __future__ import annotations

import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_PACKAGE = "engine"
_FILE = os.path.join(os.path.dirname(__file__), "__pycache__", f"all.{sys.implementation.cache_tag}.marshal")
_Spec: Any = type(sys.__spec__)


class _Modules:
    """Finder and loader (importlib.abc). ``table``: name -> source, its time, its size, is it a package, code."""

    def __init__(self, table: dict[str, tuple[str, int, int, bool, Any]]) -> None:
        self._table = table

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        if (entry := self._table.get(name)) is None:
            return None
        spec = _Spec(name, self, origin=entry[0], is_package=entry[3])
        spec.has_location = True
        if entry[3]:
            spec.submodule_search_locations.append(os.path.dirname(entry[0]))
        return spec

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self._table[module.__name__][4], module.__dict__)


def prepare() -> bool:
    """Whether modules come out of the file from now on."""
    try:
        with open(_FILE, "rb", buffering=0) as file:
            table = marshal.loads(file.read())
        if table[__name__][0] != os.path.abspath(__file__):
            return False  # a copy of another place's
        for source, time_ns, size, _, _ in table.values():
            if _stamp(source) != (time_ns, size):
                return False
    except (OSError, EOFError, ValueError, TypeError, AttributeError, KeyError):
        return False
    sys.meta_path.insert(0, _Modules(table))
    return True


def keep() -> None:
    """Make the file of what is loaded now. Where that can't be, everything goes on as ever."""
    if sys.dont_write_bytecode:
        return
    fresh = f"{_FILE}.{os.getpid()}"
    try:
        table = {}
        for name in [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]:
            spec = sys.modules[name].__spec__
            is_package = spec.submodule_search_locations is not None
            source = os.path.abspath(spec.origin)
            table[name] = (source, *_stamp(source), is_package, spec.loader.get_code(name))
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with open(fd, "wb") as file:
            file.write(marshal.dumps(table))
        os.rename(fresh, _FILE)
    except (OSError, ImportError, AttributeError, ValueError):
        return


def _stamp(source: str) -> tuple[int, int]:
    found = os.stat(source)
    return found.st_mtime_ns, found.st_size
