"""Help: everything that it says can be typed, and a word that is nearly right finds its way."""

from __future__ import annotations

import re
import shlex
from typing import Callable, Iterator

import pytest

from cli.conftest import Done
from engine.cli import commands, flags, guide, main
from engine.cli.suggestions import edits, nearest

PLACES = {
    **commands.COMMANDS,
    **{f"{group} {name}": place for group, (_, found) in commands.GROUPS.items() for name, place in found.items()},
}


def typed(text: str) -> Iterator[list[str]]:
    """The words of every `docket ...` in a text, up to what ends a command in a shell."""
    text = re.sub(r" {3,}\S.*| \.\.\.\s*$", "", text, flags=re.M)  # remarks beside a command, and what is left out
    for match in re.finditer(r"(?:^|[;|&(`]|\$\()\s*(?:[A-Z_]+=\S+ )?docket ([^\n`]*)", text, re.M):
        lexer = shlex.shlex(match[1], posix=True, punctuation_chars=";|&()<>")
        lexer.whitespace_split, lexer.commenters = True, "#"
        words: list[str] = []
        try:
            for word in lexer:
                if set(word) <= set(";|&()<>"):
                    break
                words.append(word)
        except ValueError:
            continue  # a quotation that goes on elsewhere
        yield words


def check(words: list[str]) -> None:
    options, rest = flags.parse(main.GLOBAL_FLAGS, words, interspersed=False)
    if not rest or rest[0] == "help":
        assert len(rest) < 2 or rest[1] in guide.TOPICS or commands.find(rest[1:]) or rest[1] in commands.GROUPS
        return
    found = commands.find(rest)
    assert found is not None, rest
    command = commands.load(found[1])
    flags.parse(command.flags, rest[len(found[0].split()) :], interspersed=command.interspersed)


@pytest.mark.parametrize("path", sorted(PLACES))
def test_examples_are_commands(path: str) -> None:
    command = commands.load(PLACES[path])
    if path != "compose":
        assert command.examples, "an example says more than a list of flags"
    for words in typed(command.examples):
        check(words)
    shown = command.help(path, PLACES[path][2], commands.aliases(PLACES[path]))
    assert shown.startswith(f"Usage:  docket {path}") and "  docket " in shown


def test_a_topic_hides_behind_no_command() -> None:
    assert not set(guide.TOPICS) & {*commands.COMMANDS, *commands.GROUPS}


@pytest.mark.parametrize("topic", sorted(guide.TOPICS))
def test_topics_name_commands_that_there_are(topic: str) -> None:
    text = guide.topic_help(topic)
    assert all(len(line) <= 120 for line in text.splitlines())
    lines = "\n".join(line for line in text.splitlines() if line.startswith("  docket "))
    for words in typed(re.sub(r"(?<=\S) {2,}[^'\"\n]*$", "", lines, flags=re.M)):
        if not any(word.endswith(("...", "|")) or "|" in word for word in words):
            check(words)


def test_what_to_read_next_is_there() -> None:
    for path, further in guide.SEE_ALSO.items():
        assert path in PLACES, path
        for name in further:
            topic = name.removeprefix("help ")
            assert name in PLACES or (name != topic and topic in guide.TOPICS), name


@pytest.mark.parametrize(
    ("word", "known", "found"),
    [
        ("rnu", ["run", "rm", "rmi"], ["run"]),
        ("strat", ["start", "stats", "stop"], ["start"]),
        ("frobnicate", ["run", "images"], []),
        ("memory-re", ["memory", "memory-reservation"], ["memory-reservation"]),
        ("imgaes", ["image", "images"], ["images", "image"]),
        ("x", ["a", "xy"], ["a", "xy"]),
    ],
)
def test_the_nearest_words(word: str, known: list[str], found: list[str]) -> None:
    assert nearest(word, known) == found


@pytest.mark.parametrize(("one", "other", "count"), [("", "ab", 2), ("ab", "ba", 1), ("run", "rum", 1), ("a", "a", 0)])
def test_edits(one: str, other: str, count: int) -> None:
    assert edits(one, other) == edits(other, one) == count


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("rnu",), "Did you mean docket run?"),
        (("container", "strat"), "Did you mean docket container start?"),
        (("run", "--naem", "x", "base"), "Did you mean --name?"),
        (("help", "netwrok"), "Did you mean docket help network or docket help networks?"),
    ],
)
def test_a_word_that_is_nearly_right(docket: Callable[..., Done], words: tuple[str, ...], meant: str) -> None:
    done = docket(*words)
    assert done.status != 0 and meant in done.err and done.out == ""


def test_the_programs_help_leads_on(docket: Callable[..., Done]) -> None:
    shown = docket("help").out
    assert "docket help first-steps" in shown and all(f"\n  {name} " in shown for name in guide.TOPICS)
    assert "See also: docket exec" in docket("run", "--help").out
    assert docket("help", "format").out.startswith("Output by --format")
