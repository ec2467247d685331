"""Failpoints: which term of a step acts, and how often."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.kernel.steps import _Failpoint


def outcomes(terms: str, times: int) -> list[int]:
    """The errno of each of so many hits, 0 where it passed."""
    failpoint = _Failpoint(terms)
    found = []
    for _ in range(times):
        try:
            failpoint.hit("log.commit")
        except OSError as error:
            found.append(error.errno or -1)
        else:
            found.append(0)
    return found


@pytest.mark.parametrize("terms, expected", [
    ("error(EIO)", [5, 5, 5]),
    ("1*error(EIO)", [5, 0, 0]),
    ("1*off->error(ENOSPC)", [0, 28, 28]),
    ("2*error(EIO) -> 1*error(ENOSPC)", [5, 5, 28]),
    ("off->error(EIO)", [0, 0, 0]),
])  # fmt: skip
def test_terms_act_in_order_each_for_its_count(terms: str, expected: list[int]) -> None:
    assert outcomes(terms, 3) == expected


def test_a_term_with_a_file_counts_only_while_that_is_there(tmp_path: Path) -> None:
    switch = tmp_path / "armed"
    failpoint = _Failpoint(f"1*error(EIO)@{switch}->1*error(ENOSPC)")
    with pytest.raises(OSError, match="No space"):
        failpoint.hit("log.commit")
    failpoint.hit("log.commit")
    switch.touch()
    with pytest.raises(OSError, match="Input/output"):
        failpoint.hit("log.commit")
    failpoint.hit("log.commit")


@pytest.mark.parametrize("terms", ["", "explode", "kill@", "x*off", "error(EIO"])
def test_a_term_that_is_not_understood_is_refused(terms: str) -> None:
    with pytest.raises(ValueError, match="failpoint term"):
        _Failpoint(terms)
