"""Flags by pflag's rules, and the words of its errors."""

from __future__ import annotations

import pytest

from engine.cli.command import Command
from engine.cli.flags import HelpWanted, integer, listed, parse, switch, text
from engine.cli.output import CommandError
from engine.cli.quantities import parse_size

FLAGS = (
    switch("-i, --interactive", "keep stdin open"),
    switch("-t, --tty", "a terminal"),
    switch("--sig-proxy", "pass signals on", default=True),
    text("-m, --memory", "limit", kind="bytes", parse=parse_size),
    text("--name", "name"),
    listed("-e, --env", "variables"),
    integer("--pids-limit", "limit"),
    text("--network", "network"),
)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-it"], {"interactive": True, "tty": True}),
        (["-im64m"], {"interactive": True, "memory": 64 << 20}),
        (["-m", "64m"], {"memory": 64 << 20}),
        (["-m=64m"], {"memory": 64 << 20}),
        (["--memory=64m"], {"memory": 64 << 20}),
        (["--memory", "64m"], {"memory": 64 << 20}),
        (["--sig-proxy=false"], {"sig_proxy": False}),
        (["--tty=true", "--tty=0"], {"tty": False}),
        (["-e", "A=b=c", "--env=D"], {"env": ["A=b=c", "D"]}),
        (["--name=", "--pids-limit", "-1"], {"name": "", "pids_limit": -1}),
        (["--net", "none"], {"network": "none"}),
    ],
)
def test_values(words: list[str], expected: dict[str, object]) -> None:
    options, arguments = parse(FLAGS, words, interspersed=True)
    assert arguments == []
    assert {name: getattr(options, name) for name in expected} == expected


def test_flags_behind_the_image_belong_to_the_command() -> None:
    options, arguments = parse(FLAGS, ["-i", "base", "-t", "--", "x"], interspersed=False)
    assert (options.interactive, options.tty, arguments) == (True, False, ["base", "-t", "--", "x"])


def test_flags_may_follow_arguments_where_no_command_does() -> None:
    options, arguments = parse(FLAGS, ["web", "-t", "-", "--", "-i"], interspersed=True)
    assert (options.tty, options.interactive, arguments) == (True, False, ["web", "-", "-i"])


def test_what_was_given_is_known() -> None:
    options, _ = parse(FLAGS, ["--name", ""], interspersed=True)
    assert options.given == {"name"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--foo"], "unknown flag: --foo"),
        (["-ix"], "unknown shorthand flag: 'x' in -ix"),
        (["--name"], "flag needs an argument: --name"),
        (["-im"], "flag needs an argument: 'm' in -im"),
        (["--nam", "x"], "unknown flag: --nam\n\nDid you mean --name?"),
        (["-m", "abc"], "invalid argument \"abc\" for \"-m, --memory\" flag: invalid size: 'abc'"),
        (["--tty=x"], 'invalid argument "x" for "-t, --tty" flag: strconv.ParseBool: parsing "x": invalid syntax'),
        (
            ["--pids-limit", "1.5"],
            'invalid argument "1.5" for "--pids-limit" flag: strconv.ParseInt: parsing "1.5": invalid syntax',
        ),
    ],
)
def test_errors(words: list[str], message: str) -> None:
    with pytest.raises(CommandError) as raised:
        parse(FLAGS, words, interspersed=True)
    assert (str(raised.value), raised.value.status) == (message, 125)


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_is_always_a_flag(word: str) -> None:
    with pytest.raises(HelpWanted):
        parse(FLAGS, [word], interspersed=True)


def command(least: int, most: int | None) -> Command:
    return Command(lambda session, options, arguments: 0, "X", least=least, most=most)


@pytest.mark.parametrize(
    ("least", "most", "count", "words"),
    [
        (0, 0, 1, "accepts no arguments"),
        (1, None, 0, "requires at least 1 argument"),
        (2, None, 1, "requires at least 2 arguments"),
        (1, 1, 2, "requires 1 argument"),
        (2, 2, 1, "requires 2 arguments"),
        (0, 1, 2, "requires at most 1 argument"),
    ],
)
def test_counting_arguments(least: int, most: int | None, count: int, words: str) -> None:
    with pytest.raises(CommandError) as raised:
        command(least, most).parse("frob", ["x"] * count)
    assert str(raised.value).splitlines() == [
        f"docket: 'docket frob' {words}",
        "",
        "Run 'docket frob --help' for more information",
    ]
    assert raised.value.status == 1
