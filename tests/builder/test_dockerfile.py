"""The parser: each form of the Dockerfile language, and the line that is named when something is wrong."""

from __future__ import annotations

import pytest

from engine.builder.dockerfile import DockerfileError, expanded, parse
from engine.builder.flags import LIST, SWITCH, TEXT, take_flags
from engine.builder.instructions import Arg, Copy, From, Run, Setting, commands_of
from engine.builder.mounts import parse_mount, target_in
from engine.domain.errors import InvalidArgument
from engine.images.shell_words import raw_words, split_words, substitute

VARIABLES = {"a": "foobarfoo", "b": "x y", "p": "/usr/local/bin", "e": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$a", "foobarfoo"), ("${a}x", "foobarfoox"), ("'$a' \"$a\"", "$a foobarfoo"), ("\\$a", "$a"),
        ('"\\$a\\n"', "$a\\n"), ("a$", "a$"), ("$/", "$/"), ("$unset.", "."), ("$?x", "x"),
        ("${a:-z}", "foobarfoo"), ("${n:-${a:+q}}", "q"), ("${n-d}", "d"), ("${e-d}", ""), ("${e:-d}", "d"),
        ("${e+d}", "d"), ("${e:+d}", ""), ("${n:-a b}", "a b"), ("${n:-'}'}", "}"),
        ("${a#foo}", "barfoo"), ("${a#f*o}", "obarfoo"), ("${a##f*o}", ""), ("${a%foo}", "foobar"),
        ("${a%o*}", "foobarfo"), ("${a%%o*}", "f"), ("${p##*/}", "bin"), ("${p%/*}", "/usr/local"),
        ("${a#?}", "oobarfoo"),
        ("${a/foo/X}", "Xbarfoo"), ("${a//foo/X}", "XbarX"), ("${a//o*r/X}", "fXfoo"),
        ("${p//\\//:}", ":usr:local:bin"),
        ("${a/foo}", "barfoo"), ("${a#\\*}", "foobarfoo"), ("${a//$n/x}", "foobarfoo"),
    ],
)  # fmt: skip
def test_variables(text: str, expected: str) -> None:
    assert substitute(text, VARIABLES) == expected


@pytest.mark.parametrize("text", ["${", "${a", "${a!b}", '"abc', "'abc", "${n:?gone}", "${n?}", "${:-x}", "${a:-" * 60])
def test_bad_variables(text: str) -> None:
    with pytest.raises(ValueError):
        substitute(text, VARIABLES)


def test_patterns_take_no_exponential_time() -> None:
    value = {"a": "a" * 3000}
    assert substitute("${a#" + "*a" * 40 + "b}", value) == value["a"]
    assert substitute("${a//" + "*a" * 40 + "b/x}", value) == value["a"]


def test_words() -> None:
    assert split_words("a \"b c\" d\\ e 'f g' $b", VARIABLES) == ["a", "b c", "d e", "f g", "x y"]
    assert raw_words("a \"b c\" d\\ e '$f g'") == ["a", '"b c"', "d\\ e", "'$f g'"]
    assert substitute("`$a", VARIABLES, escape="`") == "$a"


LONG = b"""\xef\xbb\xbf# syntax=docker/dockerfile:1.7
# escape=`
# check=skip=all
# a comment, which ends the directives
# syntax=docker/dockerfile:1

from base AS Build
RUN a && `
    # inside
  b `

  && c ``
RUN <<-EOF cat
\tone `
\ttwo $x
EOF
COPY <<one <<"two" /x/
$x "q" \\$x
one
$x
two
"""


def test_the_parts_of_a_dockerfile() -> None:
    found = parse(LONG)
    assert found.directives == {"syntax": "docker/dockerfile:1.7", "escape": "`", "check": "skip=all"}
    first, run, script, copy = found.instructions
    assert (first.name, first.rest, first.line) == ("FROM", "base AS Build", 7)
    assert (run.rest, run.line, run.last_line) == ("a &&   b   && c ``", 8, 12)
    assert [(document.name, document.content, document.expand) for document in script.heredocs] == [
        ("EOF", "one `\ntwo $x\n", True)
    ]
    one, two = copy.heredocs
    assert expanded(one, {"x": "1"}) == '1 "q" $x\n' and expanded(two, {"x": "1"}) == "$x\n"
    assert len(found.warnings) == 1 and found.warnings[0].startswith("Dockerfile:11: empty continuation line")


def test_windows_line_ends() -> None:
    assert [item.rest for item in parse(b"FROM a\r\nRUN b \\\r\n c\r\n").instructions] == ["a", "b  c"]


def test_directives_end_with_the_first_other_line() -> None:
    assert parse(b"# what=ever\n# escape=`\nFROM a").escape == "\\"
    assert parse(b"\n# escape=`\nFROM a").escape == "\\"
    assert parse(b"#escape = `\nFROM a").escape == "`"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (b"# escape=x\nFROM a", 1, "invalid escape token"), (b"# escape=`\n# escape=`\nFROM a", 2, "only one escape"),
        (b"# syntax=evil/frontend\nFROM a", 1, "is not supported"),
        (b"FROM a\nRUN <<E\nx", 2, "unterminated heredoc"),
        (b"FROM a\n\xff", 2, "not UTF-8"), (b"FROM a\nR\0", 2, "NUL"),
        (b"FROM a\n\nWHAT x", 3, "unknown instruction: WHAT"),
        (b"FROM a\nRUN", 2, "requires at least one argument"), (b"FROM a b", 1, "either one or three"),
        (b"FROM a AS 1x", 1, "invalid name for build stage"), (b"FROM --what=x a", 1, "unknown flag: --what"),
        (b"FROM a\nCOPY x", 2, "requires at least two arguments"), (b"FROM a\nCOPY --from x /", 2, "missing a value"),
        (b"FROM a\nCOPY --chown=a --chown=b x /", 2, "duplicate flag"), (b"FROM a\nCOPY --link=x x /", 2, "boolean"),
        (b"FROM a\nCOPY --checksum=x x /", 2, "unknown flag"), (b"FROM a\nADD --from=x x /", 2, "unknown flag"),
        (b"FROM a\nRUN --mount=type=ssh,from=x x", 2, "means nothing"),
        (b"FROM a\nRUN --security=unconfined x", 2, "use sandbox or insecure"),
        (b"FROM a\nRUN --network=bridge x", 2, "unsupported network mode"), (b"FROM a\nCMD --x", 2, "unknown flag"),
        (b'FROM a\nCMD ["a", 1]', 2, "only string type"), (b"FROM a\nSHELL sh -c", 2, "JSON form"),
        (b"FROM a\nONBUILD FROM x", 2, "isn't allowed"), (b"FROM a\nONBUILD WHAT x", 2, "unknown instruction"),
        (b"FROM a\nARG 1=x", 2, "ARG names"),
        (b"FROM a\nRUN --mount=type=what,target=/x x", 2, "unsupported mount type"),
        (b"FROM a\nRUN --mount=type=cache x", 2, "needs a target"), (b"FROM a\nRUN []", 2, "at least one argument"),
        (b"FROM a\nRUN --mount=type=tmpfs,target=/x,from=y x", 2, "means nothing"),
        (b"FROM a\nRUN --mount=type=secret,id=a,env=B x", 2, "not supported"),
        (b"FROM a\nLABEL l\nFROM b", 2, "a name and a value"), (b"FROM a\nENV =x", 2, "NAME=VALUE"),
        (b"FROM a\nENV a=b c", 2, "NAME=VALUE"), (b"FROM a\nHEALTHCHECK what", 2, "NONE or CMD"),
        (b"FROM a\nHEALTHCHECK --interval=0.1ms CMD x", 2, "can't be less than 1ms"),
        (b"FROM a\nHEALTHCHECK --retries=x CMD x", 2, "is no number"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(text: bytes, line: int, message: str) -> None:
    with pytest.raises(DockerfileError) as refused:
        commands_of(parse(text, "sub/Dockerfile"), "sub/Dockerfile")
    assert str(refused.value).startswith(f"sub/Dockerfile:{line}: ") and message in str(refused.value)
    assert "\n" not in str(refused.value) and refused.value.line == line


@pytest.mark.parametrize("text", [b"", b"\n# nothing\n"])
def test_an_empty_file(text: bytes) -> None:
    with pytest.raises(InvalidArgument, match="cannot be empty"):
        parse(text)


def one(text: bytes) -> From | Arg | Run | Copy | Setting:
    (command,) = commands_of(parse(text))
    return command


def test_instructions() -> None:
    found = one(b"FROM --platform=linux/amd64 base AS x")
    assert isinstance(found, From) and (found.image, found.stage, found.platform) == ("base", "x", "linux/amd64")
    found = one(b'ARG a b="x y" c=$a')
    assert isinstance(found, Arg) and found.words == ("a", 'b="x y"', "c=$a")
    found = one(b'RUN --network=none --mount=type=cache,dst=/c ["a", "b c"]')
    assert isinstance(found, Run) and (found.words, found.network) == (("a", "b c"), "none")
    assert found.mounts[0].type == "cache" and found.mounts[0].text("target") == "/c"
    found = one(b"RUN [ -f x ] && y")
    assert isinstance(found, Run) and found.words is None and found.script == "[ -f x ] && y"
    found = one(b"COPY --from=0 --chown=1:2 --chmod=755 --link --parents --exclude=*.o --exclude=x a* \"b c\" /d/")
    assert isinstance(found, Copy) and not found.is_add
    assert (found.sources, found.target, found.from_stage) == (("a*", '"b c"'), "/d/", "0")
    assert found.is_link and found.keeps_parents and found.exclude == ("*.o", "x")
    found = one(b"ADD --checksum=sha256:00 --unpack=false https://h/x.tar /x")
    assert isinstance(found, Copy) and found.is_add and found.unpack is False
    found = one(b"COPY <<x y /d/\nhi\nx")
    assert isinstance(found, Copy) and found.sources == ("y",) and found.heredocs[0].content == "hi\n"
    found = one(b"HEALTHCHECK --interval=1s CMD a")
    assert isinstance(found, Setting) and found.rest == "--interval=1s CMD a"


def test_flags() -> None:
    known = {"a": TEXT, "b": SWITCH, "c": LIST}
    assert take_flags("--a='x y' --b --c=1 --c=2 rest --a", known) == (
        {"a": ["x y"], "b": ["true"], "c": ["1", "2"]}, "rest --a",
    )  # fmt: skip
    assert take_flags("-- --a=x", known) == ({}, "--a=x")
    assert take_flags("plain", known) == ({}, "plain")


def test_mounts() -> None:
    mount = parse_mount("target=/x,ro")
    assert mount.type == "bind" and mount.is_read_only
    assert not parse_mount("type=bind,target=/x,rw").is_read_only
    assert target_in(parse_mount("type=cache,target=c"), "/w") == "/w/c"
    assert target_in(parse_mount("type=secret,id=key"), "/") == "/run/secrets/key"
    assert parse_mount('type=bind,"source=a,b",target=/x').text("source") == "a,b"
    for bad in ("type=cache,target=/x,sharing=what", "type=cache,target=/x,mode=9", "target=/x,ro=maybe", "target",
                "target=/" + "x" * 200_000):  # fmt: skip
        with pytest.raises(ValueError):
            parse_mount(bad)


def test_continued_lines_with_nothing_in_them() -> None:
    assert [item.name for item in parse(b"FROM a\n\\\n\n \\\n").instructions] == ["FROM"]
