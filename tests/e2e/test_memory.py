"""The engine's memory: audit trail, verification, events, and questions about the past."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path

import pytest

from support.engine import Engine

pytestmark = pytest.mark.kernel


def test_a_life_is_on_record(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "base", "sleep", "100")
    engine.docket("stop", "-t", "0", "web")
    engine.docket("rm", "web")
    assert engine.event_types("web") == [
        "container.created", "container.starting", "container.started", "container.stopping", "container.exited",
        "container.removing", "container.removed",
    ]  # fmt: skip
    shown = engine.docket("audit", "trail", "web").stdout
    assert all(word in shown for word in ("container.created", "container.removed", "cli"))


def test_the_actor_is_who_asked(engine: Engine) -> None:
    engine.docket("create", "--network", "none", "--name", "web", "base", "true")
    (created,) = engine.trail("web")
    actor = created["actor"]
    assert (actor["uid"], actor["gid"], actor["door"]) == (os.geteuid(), os.getegid(), "cli")
    assert actor["pid"] > 1 and actor["pid"] != engine.daemon_pid()
    assert created["correlation"] and created["causation"].startswith("request:")


def test_outcomes_name_their_intent(engine: Engine) -> None:
    engine.run("--name", "web", "base", "true")
    events = {event["type"]: event for event in engine.trail("web")}
    assert events["container.started"]["causation"] == f"event:{events['container.starting']['seq']}"


def test_the_past_can_be_asked(engine: Engine) -> None:
    engine.run("-d", "--name", "first", "base", "sleep", "100")
    moment = engine.api("GET", "/docket/audit/head").json["seq"]
    engine.docket("rm", "-f", "first")
    engine.run("-d", "--name", "second", "base", "sleep", "100")
    then = engine.docket("ps", "-a", "--as-of", f"seq:{moment}", "--format", "{{.Names}} {{.State}}").stdout
    assert then == "first running\n"
    assert engine.docket("ps", "-a", "--as-of", "1d", "-q").stdout == ""
    assert engine.docket("images", "--as-of", f"seq:{moment}", "--format", "{{.Repository}}").stdout == "base\n"
    assert engine.docket("images", "--as-of", "1d", "-q").stdout == ""
    assert engine.docket("ps", "-a", "--format", "{{.Names}}").stdout == "second\n"
    engine.refused("ps", "--as-of", "yesterdayish")


def test_what_is_redacted_is_gone_and_the_log_is_whole(engine: Engine) -> None:
    secret = "hunter2-" + os.urandom(8).hex()
    engine.run("-d", "--name", "web", "-e", f"PASSWORD={secret}", "base", "sleep", "100")
    engine.docket("exec", "-e", f"TOKEN={secret}", "web", "true")
    moment = engine.api("GET", "/docket/audit/head").json["seq"]
    assert "remove the container first" in engine.refused("audit", "redact", "--reason", "a password", "web")
    assert "remove the image first" in engine.refused("audit", "redact", "--reason", "a password", "base")
    engine.docket("rm", "-f", "web")
    refused = engine.api("POST", "/docket/audit/redact", {"Name": "web", "Reason": " "})
    assert (refused.status, "needs a reason" in refused.json["message"]) == (400, True)
    digests = engine.docket("audit", "redact", "--reason", "a password", "container", "web").stdout.split()
    assert len(digests) == 2
    assert "redacted already" in engine.refused("audit", "redact", "--reason", "a password", "web")
    assert "redacted already" in engine.refused("audit", "redact", "--reason", "a password", digests[0])
    assert "nothing on record" in engine.refused("audit", "redact", "--reason", "a password", "sha256:" + "0" * 64)

    redacted = [event for event in engine.trail("web") if event["type"] == "document.redacted"]
    assert [event["stream"] for event in redacted] == [f"document/{digest}" for digest in digests]
    assert {event["data"]["reason"] for event in redacted} == {"a password"} and redacted[0]["actor"]["door"] == "cli"
    assert "the log is whole" in engine.docket("audit", "verify").stdout
    assert engine.docket("ps", "--as-of", f"seq:{moment}", "--format", "{{.Names}} {{.Command}}").stdout == (
        'web "sleep 100"\n'
    )
    assert "has been redacted" in engine.refused("inspect", "--as-of", f"seq:{moment}", "web")
    found = engine.docket("audit", "who-ran", "--privileged", "--format", "{{.name}} {{.facts}}").stdout
    assert "web [privileged or not: its configuration is redacted]" in found
    with sqlite3.connect(f"file:{engine.root / 'docket.db'}?mode=ro", uri=True) as database:
        assert not database.execute("SELECT 1 FROM documents WHERE body LIKE ?", (f"%{secret}%",)).fetchall()


def test_a_trail_tells_what_matters(engine: Engine) -> None:
    engine.docket("create", "--network", "none", "--name", "web", "--restart", "always", "base", "true")
    shown, whole = (engine.docket("audit", "trail", *flags, "web").stdout for flags in ((), ("--no-trunc",)))
    assert "restart_policy=always" in shown and "restart_limit" not in shown
    assert "restart_limit=0" in whole


def test_events_of_the_past_and_by_filter(engine: Engine) -> None:
    engine.run("--name", "job", "base", "true")
    engine.docket("volume", "create", "vol")
    lines = engine.docket(
        "events", "--since", "1h", "--until", "0s", "--filter", "type=container", "--format", "json"
    ).stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert {event["Type"] for event in events} == {"container"}
    mine = [event["Action"] for event in events if event["Actor"]["Attributes"].get("name") == "job"]
    assert mine[:4] == ["create", "attach", "start", "die"]
    died = next(event for event in events if event["Action"] == "die")
    assert "exitCode" in died["Actor"]["Attributes"]


def test_events_are_followed_without_a_gap(engine: Engine) -> None:
    shown = "{{.Actor.Attributes.name}}"
    since = f"{time.time():.6f}"  # not the moment at which the client will have started
    client = engine.spawn("events", "--since", since, "--filter", "event=create", "--format", shown)
    try:
        names = [f"job-{number}" for number in range(10)]
        engine.docket("create", "--network", "none", "--name", "probe", "base", "true")
        assert client.stdout is not None and client.stdout.readline() == "probe\n"
        for name in names:
            engine.docket("create", "--network", "none", "--name", name, "base", "true")
        assert [client.stdout.readline().strip() for _ in names] == names
    finally:
        client.kill()
        client.communicate()


def test_a_script_goes_on_from_the_event_that_it_has_kept(own_engine: Engine) -> None:
    """Killed and begun again while things happen, and the daemon with it: all that it saw together is all there was."""
    shown = '{{index .Actor.Attributes "docket.seq"}} {{.Action}} {{.Actor.Attributes.name}}'
    chosen = ("--filter", "type=container", "--format", shown)
    seen: dict[str, None] = {}
    place = "0"
    for number in range(6):
        own_engine.docket("create", "--network", "none", "--name", f"job-{number}", "base", "true")
        script = own_engine.spawn("events", "--since", f"seq:{place}", *chosen)
        own_engine.docket("start", "-a", f"job-{number}")
        assert script.stdout is not None
        while f"die job-{number}" not in (line := script.stdout.readline()):
            seen[line] = None
            place = line.split()[0]
        script.kill()
        script.communicate()
        if number % 2:
            own_engine.kill()
            own_engine.start()
        own_engine.docket("rm", f"job-{number}")
        if number % 3 == 0:
            own_engine.restart()
    head = own_engine.api("GET", "/docket/audit/head").json["seq"]
    rest = own_engine.docket("events", "--since", f"seq:{place}", "--until", f"seq:{head}", *chosen).stdout
    seen |= dict.fromkeys(rest.splitlines(keepends=True))
    assert "".join(seen) == own_engine.docket("events", "--since", "1h", "--until", "0s", *chosen).stdout
    assert len([line for line in seen if " destroy " in line]) == 6


def test_a_place_of_another_engine(engine: Engine) -> None:
    assert "the log ends with event" in engine.refused("events", "--since", "seq:123456789")
    assert 'invalid value for "since"' in engine.refused("events", "--since", "seq:x")


def test_verify_is_content_with_a_whole_log(engine: Engine) -> None:
    engine.run("--rm", "base", "true")
    head = engine.api("GET", "/docket/audit/head").json["published"]
    engine.run("--rm", "base", "true")
    assert engine.docket("audit", "verify").returncode == 0
    assert engine.docket("audit", "verify", "--against", head).returncode == 0


def test_verify_names_a_changed_row(own_engine: Engine) -> None:
    own_engine.run("--name", "web", "base", "true")
    own_engine.stop()
    database = sqlite3.connect(own_engine.root / "docket.db")
    triggers = [row[0] for row in database.execute("select name from sqlite_master where type = 'trigger'")]
    definitions = [row[0] for row in database.execute("select sql from sqlite_master where type = 'trigger'")]
    with pytest.raises(sqlite3.DatabaseError):
        database.execute("delete from events")
    for name in triggers:
        database.execute(f"drop trigger {name}")
    ((seq,),) = database.execute("select seq from events where type = 'container.exited'")
    database.execute("update events set data = replace(data, '0', '1') where seq = ?", (seq,))
    for definition in definitions:
        database.execute(definition)
    database.commit()
    database.close()
    own_engine.start()
    done = own_engine.docket("audit", "verify", check=False)
    assert done.returncode == 1
    assert str(seq) in done.stdout + done.stderr


def test_a_cut_tail_is_found_by_a_published_head(own_engine: Engine) -> None:
    own_engine.run("--name", "web", "base", "true")
    head = own_engine.api("GET", "/docket/audit/head").json["published"]
    seq = int(head.partition(":")[0])
    future = f"{seq + 5}:{head.partition(':')[2]}"
    assert own_engine.docket("audit", "verify", "--against", future, check=False).returncode == 1


def test_secrets_of_the_host_stay_out(engine: Engine) -> None:
    """The daemon's own environment is nobody's business: it is not in the log."""
    engine.run("--rm", "-e", "TOKEN=very-secret-value", "base", "true")
    events = Path(engine.root / "docket.db")
    rows = sqlite3.connect(f"file:{events}?mode=ro", uri=True).execute("select data from events").fetchall()
    assert not [row for row in rows if "very-secret-value" in str(row[0])], "configuration is a document, not an event"


def test_folders_are_closed_to_others(engine: Engine) -> None:
    assert engine.root.stat().st_mode & 0o077 in (0, 0o011), oct(engine.root.stat().st_mode)
    assert (engine.root / "docket.db").stat().st_mode & 0o077 == 0
    assert engine.socket.stat().st_mode & 0o007 == 0
