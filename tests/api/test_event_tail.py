"""What followers of the log's end share, and what each tells for itself."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

import pytest

from engine.api import event_tail
from engine.api.event_tail import Tail
from engine.api.events import Translator

from .harness import Api


@pytest.fixture
def records(api: Api) -> list[Any]:
    """Some lives: a name that changes, and execs, whose records depend on what was before."""
    for name in ("one", "two", "three"):
        api.run(name)
        api.ask("POST", f"/containers/{name}/rename?name=new-{name}")
        api.ask("POST", f"/containers/new-{name}/exec", {"Cmd": ["echo", name]})
        api.ask("POST", f"/containers/new-{name}/stop")
    return list(api.services.log.records)


@pytest.fixture
def alone(api: Api, records: list[Any]) -> list[dict[str, Any]]:
    """What they come to without anybody to share with."""
    translator = Translator(api.services)
    return [event for record in records for event in translator.translate(record)]


def told(tail: Tail, records: list[Any]) -> list[dict[str, Any]]:
    return [event for event, _ in tail.follow(records)]


def test_each_is_told_once(
    api: Api, records: list[Any], alone: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    tail = Tail(api.services)
    assert told(tail, records) == alone
    monkeypatch.setattr(Translator, "translate", None)
    assert told(tail, records) == alone


def test_who_is_far_behind_tells_for_himself(
    api: Api, records: list[Any], alone: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And makes nobody else begin anew."""
    translators: list[Translator] = []

    class Counted(Translator):
        def __init__(self, services: Any) -> None:
            super().__init__(services)
            translators.append(self)

    monkeypatch.setattr(event_tail, "KEPT", 2)
    monkeypatch.setattr(event_tail, "Translator", Counted)
    tail = Tail(api.services)
    middle = len(records) // 2
    first = told(tail, records[:middle])
    late, live = tail.follow(records[:middle]), tail.follow(records[middle:])
    both = [event for pair in zip_longest(late, live) for event in pair if event]
    assert [event for event, _ in both if event in first] == first
    assert [event for event, _ in both if event not in first] == alone[len(first) :]
    assert len(translators) == 3, "of the tail, for its first record, and of who was late"


@pytest.mark.parametrize("gap", range(1, 12))
def test_nobody_followed_for_a_while(api: Api, records: list[Any], alone: list[dict[str, Any]], gap: int) -> None:
    """What was folded before the gap is not taken for the present."""
    tail = Tail(api.services)
    told(tail, records[:gap])
    seqs = [str(record.seq) for record in records[-gap:]]
    after = [event for event in alone if event["Actor"]["Attributes"]["docket.seq"] in seqs]
    assert told(tail, records[-gap:]) == after


def test_a_record_that_could_not_be_told_is_told_anew(
    api: Api, records: list[Any], alone: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    tail = Tail(api.services)
    followed = tail.follow(records)
    next(followed)
    with monkeypatch.context() as broken:
        broken.setattr(event_tail, "encode", None)
        with pytest.raises(TypeError):
            list(followed)
    assert told(tail, records) == alone
