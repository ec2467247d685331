"""Health: what a row of probe results makes of it."""

from __future__ import annotations

import pytest

from engine.domain.health import Health, HealthCheck, after_probe, next_probe_s


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ("", Health("starting", 0)),
        ("x", Health("starting", 1)),
        ("xx", Health("starting", 2)),
        ("xxx", Health("unhealthy", 3)),
        ("xxxx", Health("unhealthy", 4)),
        ("o", Health("healthy", 0)),
        ("xxo", Health("healthy", 0)),
        ("oxx", Health("healthy", 2)),
        ("oxxoxx", Health("healthy", 2)),
        ("oxxx", Health("unhealthy", 3)),
        ("oxxxo", Health("healthy", 0)),
    ],
)
def test_rows_of_results(results: str, expected: Health) -> None:
    check, health = HealthCheck(("true",), retries=3), Health()
    for result in results:
        health = after_probe(health, check, result == "o", up_s=100)
    assert health == expected


def test_failures_before_the_first_success_do_not_count_within_the_start_period() -> None:
    check = HealthCheck(("true",), start_period_s=10, retries=1)
    assert after_probe(Health(), check, False, up_s=9.9) == Health("starting", 0)
    assert after_probe(Health(), check, False, up_s=10) == Health("unhealthy", 1)
    assert after_probe(Health("healthy"), check, False, up_s=5) == Health("unhealthy", 1)


def test_probes_are_closer_while_it_starts() -> None:
    check = HealthCheck(("true",), interval_s=30, start_period_s=10, start_interval_s=1)
    assert next_probe_s(Health(), check, up_s=5) == 1
    assert next_probe_s(Health(), check, up_s=10) == 30
    assert next_probe_s(Health("healthy"), check, up_s=5) == 30
