"""Values with named fields that don't change: frozen dataclasses, without the 20 ms that it takes to import and make
those, a third of the time that ``up`` may take on a project that is as it should be."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self


class Record:
    """A subclass annotates its fields in the order in which its constructor takes them; what is assigned to one there
    is its default, which all share."""

    def __init__(self, *values: Any, **named: Any) -> None:
        fields = type(self).__annotations__
        given = dict(zip(fields, values), **named)
        lacking = [name for name in fields if name not in given and not hasattr(type(self), name)]
        if lacking or not given.keys() <= fields.keys() or len(values) > len(fields):
            raise TypeError(f"{type(self).__name__} has the fields {', '.join(fields)}; missing: {', '.join(lacking)}")
        self.__dict__.update(given)

    def replace(self, **changes: Any) -> Self:
        """The same with other values in these fields."""
        return type(self)(**{**self.__dict__, **changes})

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} can't be changed")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in type(self).__annotations__)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self).__annotations__)
        return f"{type(self).__name__}({shown})"
