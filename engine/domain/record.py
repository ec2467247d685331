"""Values with named fields that don't change: what events, commands and states are.

They are frozen dataclasses to whoever uses them. But what ``dataclass`` would write and compile for each of them, and
there are some hundred and fifty, stands here once: that is most of what importing the domain takes. And a record may be
made of a dictionary with all its fields at once, which is what a replay does all the time.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from typing import Any, Callable, ClassVar, Self, dataclass_transform


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Record:
    """A subclass is written like a dataclass, without the decorator. Records are equal if their fields are."""

    FIELDS: ClassVar[tuple[str, ...]] = ()
    _names: ClassVar[frozenset[str]] = frozenset()
    _defaults: ClassVar[dict[str, Any]] = {}
    _makers: ClassVar[dict[str, Callable[[], Any]]] = {}
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init_subclass__(cls) -> None:
        cls.__doc__ = cls.__doc__ or cls.__name__  # or dataclass asks for the signature, to make one of it
        dataclass(init=False, repr=False, eq=False)(cls)
        all_of_it = fields(cls)  # type: ignore[arg-type]
        cls.FIELDS = tuple(one.name for one in all_of_it)
        cls._names = frozenset(cls.FIELDS)
        cls._defaults = {one.name: one.default for one in all_of_it if one.default is not MISSING}
        cls._makers = {one.name: one.default_factory for one in all_of_it if one.default_factory is not MISSING}

    def __init__(self, *values: Any, **named: Any) -> None:
        given = dict(zip(self.FIELDS, values), **named)
        facts = self._defaults | given
        for name, make in self._makers.items():
            if name not in given:
                facts[name] = make()
        if facts.keys() != self._names or len(given) != len(values) + len(named):
            lacking = [name for name in self.FIELDS if name not in facts]
            unknown = [name for name in facts if name not in self._names]
            raise TypeError(f"{type(self).__name__}: of its fields are missing: {lacking}, and unknown: {unknown}")
        object.__setattr__(self, "__dict__", facts)

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Self:
        """The record of these fields. The dictionary becomes its own. Raises TypeError unless they are all there."""
        if facts.keys() != cls._names:
            return cls(**facts)
        record = object.__new__(cls)
        object.__setattr__(record, "__dict__", facts)
        return record

    def __setattr__(self, name: str, value: Any) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(vars(self)[name] for name in self.FIELDS))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={vars(self)[name]!r}' for name in self.FIELDS)})"
