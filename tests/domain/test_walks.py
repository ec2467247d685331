"""Seeded random lives: whatever is asked for, in whatever order, a machine never contradicts itself."""

from __future__ import annotations

import random
from typing import Any

import pytest

from engine.domain import container
from engine.domain.errors import Conflict, InvalidArgument, NotFound, NotModified
from engine.domain.machine import Event, InvalidTransition
from engine.domain.nouns import NOUNS, Noun

from samples import COMMANDS, commands_of, sample_event

STEPS = 400
SEEDS = range(25)
NOUNS_AND_SEEDS = [
    pytest.param(noun, seed, id=f"{noun.name}-{seed}") for noun in NOUNS.values() for seed in SEEDS
]


class Walk:
    """One object's random life, and the bookkeeping of what the log would say about it."""

    def __init__(self, noun: Noun, seed: int) -> None:
        self.noun = noun
        self.random = random.Random(f"{noun.name}/{seed}")
        self.state: Any = None
        self.open: dict[str, int] = {}
        self.events: list[Event] = []
        self.visited: set[Any] = set()
        self.refused = 0

    def apply(self, event: Event) -> None:
        """Fold an event and keep the books: an intent opens once, an outcome closes exactly one."""
        self.state = self.noun.evolve(self.state, event)
        self.events.append(event)
        self.visited.add(self.state.status)
        if event.OPENS:
            assert not self.open.get(event.OPENS), f"{event.OPENS} opened twice"
            self.open[event.OPENS] = 1
        if event.CLOSES:
            assert self.open.pop(event.CLOSES, 0) == 1, f"{event.TYPE} closes nothing"
        if isinstance(event, container.ContainerExited):
            self.open.pop("stop", None)
        if isinstance(event, NOUNS["endpoint"].module.EndpointReleased):
            self.open.pop("detach", None)
        assert set(self.state.intents) == set(self.open)

    def command(self) -> None:
        """Ask for something; what is decided must fold."""
        try:
            events = self.noun.decide(self.state, self.random.choice(COMMANDS[self.noun.name]))
        except (Conflict, InvalidArgument, NotFound, NotModified):
            self.refused += 1
            return
        for event in events:
            self.apply(event)

    def report(self) -> None:
        """A report arrives from below, in its place or out of it: is_possible and evolve agree."""
        event = sample_event(self.noun, self.random.choice(self.noun.module.EVENTS))
        if event.OPENS or not event.CLOSES and not isinstance(event, REPORTS):
            return  # decided by commands only
        if self.noun.module.is_possible(self.state, event):
            self.apply(event)
        else:
            with pytest.raises(InvalidTransition):
                self.noun.evolve(self.state, event)


REPORTS = (
    container.ContainerExited, container.ContainerOomKilled, container.ContainerRestartScheduled,
    container.ContainerHealthChanged, container.ContainerTroubled, NOUNS["exec"].module.ExecExited,
    NOUNS["network"].module.NetworkLost, NOUNS["network"].module.NetworkHooked,
    NOUNS["network"].module.NetworkMoved, NOUNS["network"].module.NetworkConfigured,
    NOUNS["endpoint"].module.EndpointReleased,
)  # fmt: skip


@pytest.mark.parametrize(("noun", "seed"), NOUNS_AND_SEEDS)
def test_a_random_life_keeps_its_books(noun: Noun, seed: int) -> None:
    walk = Walk(noun, seed)
    for _ in range(STEPS):
        walk.random.choice((walk.command, walk.report))()
        if walk.state is not None:
            assert isinstance(walk.state.status, noun.status)
    assert walk.events and walk.refused, "the walk went nowhere"
    folded: Any = None
    for event in walk.events:
        folded = noun.evolve(folded, event)
    assert folded == walk.state, "the fold of the log is the state"


@pytest.mark.parametrize("noun", NOUNS.values(), ids=lambda noun: noun.name)
def test_the_walks_visit_every_status(noun: Noun) -> None:
    seen = set()
    for seed in range(1000):
        walk = Walk(noun, seed)
        for _ in range(STEPS):
            walk.random.choice((walk.command, walk.report))()
            if walk.state is not None and walk.state.status == "removed":
                break  # nothing comes after that
        seen |= walk.visited
        if seen == set(noun.status):
            break
    assert seen == set(noun.status)


@pytest.mark.parametrize("noun", NOUNS.values(), ids=lambda noun: noun.name)
def test_the_samples_hold_every_command(noun: Noun) -> None:
    assert {type(command) for command in COMMANDS[noun.name]} == commands_of(noun)
