"""The first thing that the program does: have the modules of the typed command loaded, which is most of its time."""

from __future__ import annotations

import sys

from engine import loading


def main() -> int:
    """What scripts/docket calls: the exit status."""
    words = sys.argv[1:]
    if words and words[0].isalpha():
        loading.load(f"docket-{words[0]}", lambda: _import_all(words[0]))
    from engine.cli.main import main as run

    return run(words)


def _import_all(word: str) -> bool:
    from engine.cli import commands

    __import__("engine.cli.main")
    if (found := commands.find([word])) is not None:
        commands.load(found[1])
    return found is not None or word in commands.GROUPS
