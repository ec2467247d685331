"""Seeded random lives of many objects at once, and the simplest possible model of what a log of them must answer.

The model keeps, after every event, the whole world as a dictionary: what took the log intervals, indexes and joins is
here a look into a list.
"""

from __future__ import annotations

import dataclasses
import random
import typing
from typing import Any

from engine.domain.errors import NameTaken
from engine.domain.machine import Event, InvalidTransition
from engine.domain.nouns import NOUNS, Noun
from engine.eventlog.log import Change, Context, EventLog

CONTEXT = Context({"door": "test", "uid": 0, "program": "/usr/bin/pytest"}, "request-1", "request:request-1")

World = dict[tuple[str, str], Any]
"""(noun, id) -> state of everything that exists."""

OWNER = {"container": "container_id", "network": "network_id"}
"""Noun -> the field by which what ceases to exist with it names it."""
ADDRESSES = [f"10.9.0.{number}" for number in range(2, 9)]
TEXTS = ("", "plain", "two words", "ünï—cødé 🐳", 'quote " and \\', "new\nline", "\x00\x7f", "\ud800 alone")


class Clock:
    """Microseconds that jump: mostly forward, now and then back."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.now_us = 1_700_000_000_000_000

    def __call__(self) -> int:
        self.now_us += self._dice.choice((0, 1, 1000, 1_000_000, 1_000_000, -2_500_000))
        return self.now_us


class Lives:
    """Draws events for random objects, appends them, and remembers the world after each."""

    def __init__(self, seed: int | str, objects: int = 6) -> None:
        self.dice = random.Random(seed)
        self.world: World = {}
        self.versions: dict[tuple[str, str], int] = {}
        self.past: list[World] = [{}]
        self.times_us: list[int] = []
        self.ids = {
            noun: [self._id(noun, number) for number in range(objects)] for noun in NOUNS
        }  # fmt: skip

    def _id(self, noun: str, number: int) -> str:
        if noun == "volume":
            return f"volume-{number}"
        digits = f"{self.dice.getrandbits(256):064x}"
        return f"sha256:{digits}" if noun in ("image", "layer") else digits

    def step(self, log: EventLog, most: int = 3) -> int:
        """One append of up to ``most`` events for one object; how many the log took (0: a name was taken)."""
        noun = NOUNS[self.dice.choice(list(NOUNS))]
        id = self.dice.choice(self.ids[noun.name])
        state, events, states = self.world.get((noun.name, id)), [], []
        for _ in range(self.dice.randint(1, most)):
            drawn = self.draw(noun, id, state)
            if drawn is None:
                break
            event, state = drawn
            events.append(event)
            states.append(state)
            if state is not None and state.status == "removed":
                state = None
        version = self.versions.get((noun.name, id), 0)
        if not events:
            return 0
        try:
            recorded = log.append([Change(noun.name, id, version, events)], CONTEXT)
        except NameTaken as taken:
            holder = self.holder(noun.name, taken.name)
            assert holder is not None and holder.id == taken.holder != id
            return 0
        self.versions[noun.name, id] = version + len(events)
        for state, row in zip(states, recorded):
            self._remember(noun.name, id, state, row.time_us)
        return len(events)

    def _remember(self, noun: str, id: str, state: Any, time_us: int) -> None:
        world = dict(self.world)
        if state.status == "removed":
            del world[noun, id]
            for key, other in self.world.items():
                owned = key[0] in ("exec", "endpoint") and key in world
                if owned and getattr(other, OWNER.get(noun, ""), None) == id:
                    del world[key]
        else:
            world[noun, id] = state
        self.world = world
        self.past.append(world)
        self.times_us.append(time_us)

    def holder(self, noun: str, name: str, world: World | None = None) -> Any:
        """Who holds a name in a world (this one by default)."""
        for (kind, id), state in (self.world if world is None else world).items():
            held = {
                "container": lambda s: [s.name], "image": lambda s: s.references, "volume": lambda s: [s.id],
                "network": lambda s: [s.name], "endpoint": lambda s: [f"{s.network_id}/{one}" for one in s.held],
            }  # fmt: skip
            if kind == noun and name in held[noun](state):
                return state
        return None

    def draw(self, noun: Noun, id: str, state: Any) -> tuple[Event, Any] | None:
        """A random event that has its place after ``state``, and the state that follows."""
        candidates = list(noun.module.EVENTS)
        self.dice.shuffle(candidates)
        candidates.sort(key=lambda kind: self.dice.random() < 0.5 and "emov" in kind.__name__)
        for kind in candidates:
            event = self.make(noun, kind, id)
            try:
                return event, noun.evolve(state, event)
            except InvalidTransition:
                continue
        return None

    def make(self, noun: Noun, kind: type[Event], id: str) -> Event:
        """An event with random values of the right types."""
        hints = typing.get_type_hints(kind)
        values = {field.name: self._value(hints[field.name]) for field in dataclasses.fields(kind)}  # type: ignore
        own = {
            "container": "container_id", "exec": "exec_id", "image": "image_id", "layer": "chain_id",
            "network": "network_id", "endpoint": "endpoint_id", "build": "build_id", "cache": "key",
            "document": "document_digest", "runtime": "runtime_id", "prune": "prune_id", "remap": "remap_id",
        }  # fmt: skip
        values[own.get(noun.name, "name")] = id
        referred: dict[str, Any] = {
            "name": self.dice.choice(("web", "db", "cache", "wörk")),
            "reference": f"docker.io/library/{self.dice.choice('abc')}:latest",
            "repository_digest": self.dice.choice(("", "docker.io/library/a@sha256:0", "docker.io/library/b@sha256:1")),
            "chain_ids": self.dice.sample(self.ids["layer"], 2),
            "volumes": self.dice.sample(self.ids["volume"], 2),
            "anonymous_volumes": self.dice.sample(self.ids["volume"], 1),
        }
        if noun.name in ("exec", "endpoint"):
            referred["container_id"] = self.dice.choice(self.ids["container"])
        if noun.name == "endpoint":
            referred["network_id"] = self.dice.choice(self.ids["network"])
            referred |= {name: self.dice.sample(ADDRESSES, 1) for name in ("requested", "addresses")}
        if noun.name == "remap":
            referred["chain_id"] = self.dice.choice(self.ids["layer"])
        if noun.name == "container":
            referred["image_id"] = self.dice.choice(self.ids["image"])
        for name, value in referred.items():
            if name in values and not (noun.name == "volume" and name == "name"):
                values[name] = value
        return kind(**values)

    def _value(self, hint: Any) -> Any:
        dice = self.dice
        match typing.get_origin(hint) or hint:
            case t if t is str:
                return dice.choice(TEXTS)
            case t if t is bool:
                return dice.random() < 0.5
            case t if t is int:
                return dice.choice((0, 1, -1, 137, 2**53 + 1, dice.getrandbits(40)))
            case t if t is list:
                return [dice.choice(TEXTS) for _ in range(dice.randint(0, 3))]
            case t if t is dict:
                return {dice.choice(TEXTS): dice.choice(TEXTS) for _ in range(dice.randint(0, 3))}
            case other:
                raise AssertionError(f"no value known for {other}")
