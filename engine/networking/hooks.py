"""Other people's firewalls: what drops forwarded packets, and the places that they offer for rules of ours.

An accept in the engine's own table ends its own chain only: a drop in any other base chain of the hook is final. Docker
offers its users the chain DOCKER-USER, which every forwarded packet passes first. Rules there let through what
crosses a bridge of ours; whether it may is decided in our own table.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

from engine.kernel import nftables, nftables_state
from engine.kernel.nftables import ACCEPT, DROP, HOOKS, INET, IPV4, IPV6, Batch
from engine.kernel.nftables_state import Chain

_OFFERED = (("filter", "DOCKER-USER"),)
"""Table and chain."""
_FAMILIES = {IPV4: "ip", IPV6: "ip6", INET: "inet"}


class Found(NamedTuple):
    """``rules`` are those of ours that are in place now, as "family table chain interface"; ``obstacles`` are chains
    that drop what is forwarded and offer no place."""

    rules: list[str]
    obstacles: list[str]


def settle(mark: str, own_table: str, bridges: Sequence[str]) -> Found:
    """Bring our rules in foreign chains in line with the bridges that there are: missing ones are put in, others with
    our mark are taken out. Nothing is changed where all is well. Raises OSError."""
    batch, placed, obstacles = Batch(), [], []
    for family, name in _FAMILIES.items():
        chains = nftables_state.chains(family)
        offered = [one for one in _OFFERED if any((chain.table, chain.name) == one for chain in chains)]
        for table, chain in offered:
            _settle_chain(batch, family, table, chain, mark, bridges)
            placed += [f"{name} {table} {chain} {bridge}" for bridge in bridges]
        open_tables = {table for table, _ in offered}
        obstacles += [
            f"{name} {chain.table} {chain.name}"
            for chain in chains
            if chain.table not in (own_table, *open_tables) and _drops(family, chain)
        ]
    batch.commit()
    return Found(placed, obstacles)


def _drops(family: int, chain: Chain) -> bool:
    """Whether a chain of the forward hook drops what none of its rules accepts: by policy, or by a last rule."""
    if chain.hook != HOOKS["forward"]:
        return False
    return chain.policy == DROP or any(rule.drops_all for rule in nftables_state.rules(family, chain.table, chain.name))


def _settle_chain(batch: Batch, family: int, table: str, chain: str, mark: str, bridges: Sequence[str]) -> None:
    there: dict[str, int] = {}
    for rule in nftables_state.rules(family, table, chain):
        if not rule.mark.startswith(f"{mark} "):
            continue
        if rule.mark in there or rule.mark.split(" ")[-1] not in bridges:
            batch.delete_rule(family, table, chain, rule.handle)
        else:
            there[rule.mark] = rule.handle
    for bridge in bridges:
        for key, word in (("iifname", "from"), ("oifname", "to")):
            label = f"{mark} {word} {bridge}"
            if label not in there:
                expressions = [*nftables.interface_is(key, bridge), nftables.counter(), nftables.verdict(ACCEPT)]
                batch.rule(family, table, chain, expressions, mark=label, first=True)
