"""Health checks: probes in real containers, changes on record, what is done on failure, and who may die meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.engine import Engine, base_config
from support.waiting import eventually

pytestmark = [pytest.mark.kernel, pytest.mark.requires("root", "namespaces", "mounts", "overlay", "cgroups")]

FAST = ("--health-interval", "50ms", "--health-retries", "2")


def health(engine: Engine, name: str) -> dict[str, Any]:
    return engine.inspect(name)["State"]["Health"]


def set_ill(engine: Engine, name: str, ill: bool) -> None:
    engine.docket("exec", name, "sh", "-c", "touch /ill" if ill else "rm -f /ill")


def test_health_follows_the_probes_and_only_changes_are_on_record(engine: Engine) -> None:
    engine.run("-d", "--name", "web", *FAST, "--health-cmd", "echo looked; test ! -e /ill", "base", "sleep", "1000")
    assert health(engine, "web")["Status"] in ("starting", "healthy")
    eventually(lambda: health(engine, "web")["Status"] == "healthy")
    assert "(healthy)" in engine.docket("ps", "--filter", "health=healthy").stdout
    set_ill(engine, "web", True)
    eventually(lambda: health(engine, "web")["Status"] == "unhealthy")
    shown = health(engine, "web")
    assert shown["FailingStreak"] >= 2
    assert shown["Log"][-1]["ExitCode"] == 1 and shown["Log"][-1]["Output"] == "looked\n"
    assert len(shown["Log"]) <= 5
    set_ill(engine, "web", False)
    eventually(lambda: health(engine, "web")["Status"] == "healthy")
    changes = [event["data"]["health"] for event in engine.trail("web") if event["type"] == "container.health_changed"]
    assert changes == ["healthy", "unhealthy", "healthy"]
    probes = [event for event in engine.trail("web") if event["type"].startswith("exec.")]
    assert len(probes) == 2 * 4, "the two execs of this test, and no probe"
    (journal,) = Path(engine.root / "containers" / engine.inspect("web")["Id"]).glob("shim.journal")
    assert len(journal.read_text().splitlines()) == 1 + 2 * 2, "probes leave nothing in the journal"
    events = engine.docket("events", "--since", "1m", "--until", "0s", "--filter", "event=health_status").stdout
    assert events.count("health_status: healthy") == 2 and events.count("health_status: unhealthy") == 1
    engine.docket("stop", "-t", "0", "web")
    assert health(engine, "web")["Status"] == "unhealthy"
    engine.docket("start", "web")
    assert health(engine, "web")["Status"] != "unhealthy", "every start begins anew"


def test_a_probe_that_takes_too_long_is_killed(engine: Engine) -> None:
    engine.run("-d", "--name", "web", *FAST, "--health-timeout", "100ms", "--health-cmd", "echo hm; exec sleep 77",
               "base", "sleep", "1000")  # fmt: skip
    eventually(lambda: health(engine, "web")["Status"] == "unhealthy")
    result = health(engine, "web")["Log"][-1]
    assert result["ExitCode"] == -1
    assert result["Output"] == "Health check exceeded timeout (0.1s): hm\n"
    rows = engine.docket("top", "web").stdout
    assert rows.count("sleep 77") <= 1, "killed probes are gone"


def test_what_a_probe_says_is_bounded_and_its_command_may_be_missing(engine: Engine) -> None:
    engine.run("-d", "--name", "loud", *FAST, "--health-cmd", "yes | head -c 100000; exit 3", "base", "sleep", "1000")
    engine.run("-d", "--name", "none", *FAST, "--health-cmd", "/no/such/thing", "base", "sleep", "1000")
    for name, code in (("loud", 3), ("none", 127)):
        eventually(lambda: health(engine, name)["Status"] == "unhealthy")  # noqa: B023
        assert health(engine, name)["Log"][-1]["ExitCode"] == code
    assert len(health(engine, "loud")["Log"][-1]["Output"]) == 4096


def test_a_command_without_a_shell(engine: Engine) -> None:
    body = base_config("sleep", "1000") | {
        "Healthcheck": {"Test": ["CMD", "test", "-e", "/tmp/a b"], "Interval": 50_000_000, "Retries": 1}
    }
    created = engine.api("POST", "/containers/create?name=web", body)
    assert created.status == 201, created.body
    engine.docket("start", "web")
    eventually(lambda: health(engine, "web")["Status"] == "unhealthy")
    engine.docket("exec", "web", "touch", "/tmp/a b")
    eventually(lambda: health(engine, "web")["Status"] == "healthy")


@pytest.mark.parametrize("action", ["restart", "stop", "kill"])
def test_something_is_done_about_failing_health(engine: Engine, action: str) -> None:
    engine.run("-d", "--name", "web", *FAST, "--health-cmd", "test ! -e /ill", "--health-on-failure", action,
               "--stop-timeout", "0", "base", "sleep", "1000")  # fmt: skip
    eventually(lambda: health(engine, "web")["Status"] == "healthy")
    set_ill(engine, "web", True)
    cause = eventually(lambda: [event for event in engine.trail("web") if event["type"] == "container.health_changed"
                                and event["data"]["health"] == "unhealthy"])[0]  # fmt: skip
    if action == "restart":
        eventually(lambda: engine.event_types("web").count("container.started") >= 2)
    else:
        eventually(lambda: engine.inspect("web")["State"]["Status"] == "exited")
    kind = "container.killing" if action == "kill" else "container.stopping"
    done = next(event for event in engine.trail("web") if event["type"] == kind)
    assert done["actor"]["door"] == "health check" and done["causation"] == f"event:{cause['seq']}"


def test_probes_go_on_after_a_kill_of_the_daemon(own_engine: Engine) -> None:
    own_engine.run("-d", "--name", "web", *FAST, "--health-cmd", "test ! -e /ill", "base", "sleep", "1000")
    eventually(lambda: health(own_engine, "web")["Status"] == "healthy")
    own_engine.kill()
    own_engine.start()
    assert health(own_engine, "web")["Status"] == "healthy", "what was known is known"
    set_ill(own_engine, "web", True)
    eventually(lambda: health(own_engine, "web")["Status"] == "unhealthy")


def test_a_paused_container_is_left_alone(engine: Engine) -> None:
    engine.run("-d", "--name", "web", *FAST, "--health-cmd", "true", "base", "sleep", "1000")
    eventually(lambda: health(engine, "web")["Status"] == "healthy")
    engine.docket("pause", "web")
    before = health(engine, "web")
    engine.docket("unpause", "web")
    eventually(lambda: health(engine, "web")["Log"][-1] != before["Log"][-1])
    assert health(engine, "web")["Status"] == "healthy"


def test_no_health_check_is_none(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "--no-healthcheck", "base", "sleep", "1000")
    assert "Health" not in engine.inspect("web")["State"]
    assert engine.docket("ps", "-q", "--filter", "health=none").stdout


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"Test": ["PERHAPS", "x"]}, "unknown health check type"),
        ({"Test": ["CMD"]}, "names no command"),
        ({"Test": ["CMD", "true"], "Interval": 1000}, "Interval in Healthcheck cannot be less than 1ms"),
        ({"Test": ["CMD", "true"], "Retries": -1}, "Retries in Healthcheck cannot be negative"),
        ({"Test": ["CMD", "true"], "OnFailure": "panic"}, "unknown action 'panic'"),
        ({"Test": "true"}, "must be a list of strings"),
    ],
)
def test_bad_health_checks_are_refused(engine: Engine, settings: dict[str, Any], words: str) -> None:
    answer = engine.api("POST", "/containers/create", base_config("true") | {"Healthcheck": settings})
    assert answer.status == 400 and words in answer.json["message"]
