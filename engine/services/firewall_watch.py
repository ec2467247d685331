"""A thread that sees other firewalls come, go and write their rules anew."""

from __future__ import annotations

import sys
import threading

from engine.domain.errors import EngineError, describe
from engine.kernel.nftables_state import Watch
from engine.services.firewall_rules import FirewallRules

QUIET_S = 0.5
"""Who writes rules writes many: the look comes when it has been quiet for so long."""


class FirewallWatch:
    """Runs from ``start`` to ``close``. Without the right to listen there is nothing to watch over either."""

    def __init__(self, rules: FirewallRules) -> None:
        self._rules = rules
        self._watch: Watch | None = None

    def start(self) -> None:
        try:
            self._watch = Watch()
        except OSError as error:
            print(f"docket: other firewalls can't be watched: {describe(error)}", file=sys.stderr, flush=True)
            return
        threading.Thread(target=self._run, args=(self._watch,), name="docket-firewall", daemon=True).start()

    def _run(self, watch: Watch) -> None:
        while watch.wait(QUIET_S):
            try:
                self._rules.changed()
            except (OSError, EngineError) as error:
                print(f"docket: rules in other firewalls: {describe(error)}", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
