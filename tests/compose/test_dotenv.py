"""Files of variables: quoting, escapes, comments, references. The values are Docker Compose 2.40's."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.compose.project import ComposeError
from engine.compose.reading.dotenv import read_variables


def read(tmp_path: Path, text: str, *, raw: bool = False) -> dict[str, str]:
    file = tmp_path / "some.env"
    file.write_text(text)
    return read_variables(str(file), {"OUTSIDE": "o"}, lambda name: None, raw=raw)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("A=b", "b"), ("A = b ", "b"), ("export A=b", "b"), ("  export  A=b", "b"), ("A: b", "b"), ("A=", ""),
        ("A=b # note", "b"), ("A=b#c", "b#c"), ("A=#c", "#c"), ("A=b\t#c", "b\t#c"),
        ("A='b #c' # note", "b #c"), ('A="b#c"', "b#c"),
        ("A=b=c", "b=c"), ("A='$OUTSIDE'", "$OUTSIDE"), ("A=$OUTSIDE", "o"), ("A=${NO:-d}", "d"),
        ('A="${OUTSIDE}x"', "ox"), ('A="a\\nb\\t\\"c\\" \\\\ \\q"', 'a\nb\t"c" \\ \\q'), ('A="\\$OUTSIDE"', "$OUTSIDE"),
        ("A='it\\'s'", "it's"), ("A=a\\nb", "a\\nb"), ("A=a $$b", "a $b"), ('A="$$b"', "$b"),
        ('A="two\nlines"', "two\nlines"),
        ("A='two\nlines'", "two\nlines"), ("A=b\r", "b"), ("\ufeffA=b", "b"), ("# note\n\nA=b", "b"), ("A=b c", "b c"),
        ("A.B=1\nA=b", "b"),
    ],
)  # fmt: skip
def test_values(tmp_path: Path, line: str, wanted: str) -> None:
    assert read(tmp_path, line + "\n")["A"] == wanted
    assert read(tmp_path, line)["A"] == wanted


def test_later_lines_use_earlier_ones_and_names_alone_the_environment(tmp_path: Path) -> None:
    text = "A=1\nB=${A}2\nA=3\nOUTSIDE\nABSENT\nC=${OUTSIDE}"
    assert read(tmp_path, text) == {"A": "3", "B": "12", "OUTSIDE": "o", "C": "o"}


def test_the_environment_wins_where_values_refer_to_it(tmp_path: Path) -> None:
    assert read(tmp_path, "OUTSIDE=file\nA=$OUTSIDE") == {"OUTSIDE": "file", "A": "o"}


def test_raw_files_mean_every_mark(tmp_path: Path) -> None:
    text = "# note\nA=\"b\" # c\n B=$OUTSIDE\nOUTSIDE\nABSENT\nC=\n"
    assert read(tmp_path, text, raw=True) == {"A": '"b" # c', "B": "$OUTSIDE", "OUTSIDE": "o", "C": ""}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("A=1\nB*C=2", ":2: unexpected character in variable name 'B*C'"),
        ("A=1\n\nB='open", ":3: unterminated quoted value 'open"),
        ("A B=1", ":1: unexpected character in variable name 'A B'"),
        ("=1", ":1: unexpected character in variable name ''"),
        ("A=${B", ":1: invalid interpolation format '${B': a brace is not closed"),
    ],
)
def test_refusals(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ComposeError) as caught:
        read(tmp_path, text)
    assert str(caught.value).endswith(problem)


def test_a_name_with_a_space_in_a_raw_file(tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match=":1: variable 'A B ' contains whitespaces"):
        read(tmp_path, "A B =1", raw=True)
