"""What of ctypes is used here, by the interpreter's own module: ctypes itself defines three times as many types, and a
callback, which takes a short-lived command as long as all modules of the engine's.

Machines are those of ``libc.MACHINE``: on all of them a long is as wide as a pointer.
"""

from __future__ import annotations

import _ctypes
from _ctypes import FUNCFLAG_CDECL, FUNCFLAG_PYTHONAPI, FUNCFLAG_USE_ERRNO, Structure, addressof, byref
from _ctypes import get_errno, sizeof

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

__all__ = [
    "Library", "Structure", "addressof", "byref", "c_char_p", "c_int", "c_int32", "c_int64", "c_long", "c_size_t",
    "c_uint", "c_uint32", "c_uint64", "c_ulong", "c_ushort", "c_void_p", "create_string_buffer", "get_errno", "memmove",
    "memset", "sizeof",
]  # fmt: skip


class c_ushort(_ctypes._SimpleCData):
    _type_ = "H"


class c_int(_ctypes._SimpleCData):
    _type_ = "i"


class c_uint(_ctypes._SimpleCData):
    _type_ = "I"


class c_long(_ctypes._SimpleCData):
    _type_ = "l"


class c_ulong(_ctypes._SimpleCData):
    _type_ = "L"


class c_char(_ctypes._SimpleCData):
    _type_ = "c"


class c_char_p(_ctypes._SimpleCData):
    _type_ = "z"


class c_void_p(_ctypes._SimpleCData):
    _type_ = "P"


c_int32, c_uint32, c_int64, c_uint64, c_size_t = c_int, c_uint, c_long, c_ulong, c_ulong


class _Function(_ctypes.CFuncPtr):
    """Keeps errno for ``get_errno``, and lets other threads run."""

    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
    _restype_ = c_int


class _LockedFunction(_ctypes.CFuncPtr):
    """The same, but no other thread runs."""

    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO | FUNCFLAG_PYTHONAPI
    _restype_ = c_int


class Library:
    """The libraries that this program has loaded; their functions are attributes."""

    def __init__(self, *, keeps_the_lock: bool = False) -> None:
        self._handle = _ctypes.dlopen(None, 0)
        self._kind = _LockedFunction if keeps_the_lock else _Function

    def __getattr__(self, name: str) -> Any:
        function = self.function(name)
        setattr(self, name, function)
        return function

    def function(self, name: str, result: object = c_int, arguments: Sequence[object] | None = None) -> Any:
        """One more of this name, for which other types can be declared. Raises AttributeError where there is none."""
        found = self._kind((name, self))
        found.restype = result
        if arguments is not None:
            found.argtypes = arguments
        return found


def create_string_buffer(content: bytes | int, size: int = 0) -> Any:
    """Bytes with a NUL behind them, or as many as ``size`` says; or that many zeros."""
    if isinstance(content, int):
        return (c_char * content)()
    buffer = (c_char * (size or len(content) + 1))()
    buffer.value = content
    return buffer


def _at(address: int, *arguments: object) -> Any:
    found = _Function(address)
    found.restype, found.argtypes = c_void_p, arguments
    return found


memmove = _at(_ctypes._memmove_addr, c_void_p, c_void_p, c_size_t)
memset = _at(_ctypes._memset_addr, c_void_p, c_int, c_size_t)
