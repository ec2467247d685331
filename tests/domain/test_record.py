"""Records are to their users what frozen dataclasses are."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import pytest

from engine.domain.record import Record


class Sample(Record):
    id: str
    size: int = 0
    names: list[str] = dataclasses.field(default_factory=list)


class Other(Record):
    id: str
    size: int = 0
    names: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Plain:
    id: str
    size: int = 0
    names: list[str] = dataclasses.field(default_factory=list)


@pytest.mark.parametrize(("values", "named"), [
    (("a",), {}), (("a", 1), {"names": ["b"]}), ((), {"size": 2, "id": "a"}), (("a", 1, ["b"]), {}),
])  # fmt: skip
def test_made_by_place_and_by_name(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    assert dataclasses.asdict(Sample(*values, **named)) == dataclasses.asdict(Plain(*values, **named))  # type: ignore
    assert repr(Sample(*values, **named)) == repr(Plain(*values, **named)).replace("Plain", "Sample")


@pytest.mark.parametrize(("values", "named"), [
    ((), {}), ((), {"size": 1}), ((), {"nom": "a"}), (("a",), {"id": "a"}), (("a", 1, [], 4), {}),
    (("a",), {"other": 1}),
])  # fmt: skip
def test_what_does_not_fit_is_refused(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    for kind in (Plain, Sample):
        with pytest.raises(TypeError):
            kind(*values, **named)
    if not values:
        with pytest.raises(TypeError, match="Sample"):
            Sample.of(dict(named))


def test_of_a_dictionary() -> None:
    assert Sample.of({"names": [], "id": "a", "size": 3}) == Sample("a", 3)
    assert Sample.of({"id": "a"}) == Sample("a")


def test_two_share_no_default() -> None:
    assert Sample("a").names is not Sample("a").names


def test_equal_and_of_one_hash_if_their_fields_are() -> None:
    assert Sample("a", 1) == Sample(size=1, id="a") != Sample("a", 2)
    assert Sample("a") != Other("a") and Sample("a") != "a"
    assert hash(Sample("a", 1, ())) == hash(Sample.of({"names": (), "size": 1, "id": "a"}))  # type: ignore[arg-type]


def test_nothing_changes() -> None:
    record = Sample("a")
    for change in (
        lambda: setattr(record, "id", "b"), lambda: setattr(record, "new", 1), lambda: delattr(record, "id"),
    ):  # fmt: skip
        with pytest.raises(dataclasses.FrozenInstanceError):
            change()
    assert dataclasses.replace(record, size=4) == Sample("a", 4) and record.size == 0
    assert pickle.loads(pickle.dumps(record)) == record
