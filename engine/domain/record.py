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
    _required: ClassVar[frozenset[str]] = frozenset()
    _blank: ClassVar[dict[str, Any]] = {}
    _makers: ClassVar[dict[str, Callable[[], Any]]] = {}
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init_subclass__(cls) -> None:
        cls.__doc__ = cls.__doc__ or cls.__name__  # or dataclass asks for the signature, to make one of it
        dataclass(init=False, repr=False, eq=False)(cls)
        all_of_it = fields(cls)
        cls._blank = {one.name: one.default for one in all_of_it}
        cls._makers = {one.name: one.default_factory for one in all_of_it if one.default_factory is not MISSING}
        cls.FIELDS, cls._names = tuple(cls._blank), frozenset(cls._blank)
        cls._required = frozenset(name for name in cls.FIELDS if cls._blank[name] is MISSING) - cls._makers.keys()

    def __init__(self, *values: Any, **named: Any) -> None:
        given = dict(zip(self.FIELDS, values), **named) if values else named
        facts = self._blank | given
        for name, make in self._makers.items():
            if name not in given:
                facts[name] = make()
        is_twice = len(given) != len(values) + len(named)
        if is_twice or len(facts) != len(self._blank) or not self._required <= given.keys():
            lacking, unknown = self._required - given.keys(), facts.keys() - self._names
            raise TypeError(f"{type(self).__name__}: fields that are missing: {lacking}, or unknown: {unknown}")
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
