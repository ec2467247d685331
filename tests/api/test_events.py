"""The log as Docker's events: shape, order, names of the time, filters, and followers that leave."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from engine.domain import container as containers
from engine.domain import exec as execs
from support.waiting import eventually

from .fakes import Context
from .harness import Api, read_until


def events(api: Api, **filters: Any) -> list[dict[str, Any]]:
    until = api.services.log.now_us / 1e6
    answer = api.ask("GET", f"/events?since=1&until={until:.6f}&filters={quote(json.dumps(filters))}")
    assert answer.status == 200, answer.body
    return [json.loads(line) for line in answer.body.splitlines()]


def actions(api: Api, **filters: Any) -> list[str]:
    return [event["Action"] for event in events(api, **filters)]


def test_a_life_in_dockers_words(api: Api) -> None:
    api.run(Labels={"a": "b"}, HostConfig={"Binds": ["data:/data"]})
    for verb in ("pause", "unpause", "kill?signal=KILL", "stop", "start", "restart", "rename?name=new"):
        api.ask("POST", f"/containers/web/{verb}")
    api.services.lifecycle.end("new", 3)
    api.ask("DELETE", "/containers/new")
    assert actions(api, type=["container"]) == [
        "create", "start", "pause", "unpause", "kill", "kill", "die", "stop", "start",
        "kill", "die", "stop", "start", "restart", "rename", "die", "destroy",
    ]  # fmt: skip
    assert actions(api, type=["volume"]) == ["mount", "unmount"] * 3
    assert actions(api, event=["die"], type=["container"]) == ["die"] * 3
    mounted, unmounted = events(api, type=["volume"])[:2]
    how = {"destination": "/data", "driver": "local", "read/write": "true", "propagation": ""}
    assert how.items() <= mounted["Actor"]["Attributes"].items()
    assert "destination" not in unmounted["Actor"]["Attributes"]


def test_the_shape_of_an_event(api: Api) -> None:
    container_id = api.create(Labels={"a": "b", "name": "forged", "docket.who": "forged"})
    (event,) = events(api, type=["container"])
    record = api.services.log.records[-1]
    attributes = event["Actor"].pop("Attributes")
    assert event == {
        "status": "create", "id": container_id, "from": "base", "Type": "container", "Action": "create",
        "Actor": {"ID": container_id}, "scope": "local", "time": record.time_us // 1_000_000,
        "timeNano": record.time_us * 1000,
    }  # fmt: skip
    assert attributes["a"] == "b" and attributes["image"] == "base"
    assert attributes["name"] == "web", "a label can't say what the engine says"
    assert attributes["docket.seq"] == str(record.seq)
    assert attributes["docket.who"].startswith("api uid=")


def test_no_text_of_a_container_becomes_a_line_of_its_own(api: Api) -> None:
    """T33: whatever is in labels and commands, each line is one event, told by the engine."""
    forged = '\r\n{"Type":"container","Action":"die","Actor":{"ID":"x"}}\n\u2028\x1e'
    container_id = api.run(Labels={forged: forged}, Cmd=["echo", forged])
    api.ask("POST", "/containers/web/exec", {"Cmd": ["echo", forged], "AttachStdout": True})
    found = events(api, type=["container"])
    assert [event["Action"] for event in found] == ["create", "start", f"exec_create: echo {forged}"]
    assert {event["Actor"]["ID"] for event in found} == {container_id}
    assert found[0]["Actor"]["Attributes"][forged] == forged


def test_an_old_event_has_the_name_of_its_time(api: Api) -> None:
    api.create("before")
    api.ask("POST", "/containers/before/rename?name=after")
    api.ask("POST", "/containers/after/start")
    found = events(api, type=["container"])
    assert [event["Actor"]["Attributes"]["name"] for event in found] == ["before", "after", "after"]
    assert found[1]["Actor"]["Attributes"]["oldName"] == "/before"


def test_execs(api: Api) -> None:
    api.run()
    created = api.ask("POST", "/containers/web/exec", {"Cmd": ["echo", "hi"]})
    api.ask("POST", f"/exec/{created.json['Id']}/start", {"Detach": True})
    found = events(api, event=["exec_create", "exec_start", "exec_die"])
    assert [event["Action"] for event in found] == ["exec_create: echo hi", "exec_start: echo hi", "exec_die"]
    last = found[-1]["Actor"]["Attributes"]
    assert (last["exitCode"], last["execID"], last["name"]) == ("0", created.json["Id"], "web")


def test_who_comes_and_leaves_by_the_detach_keys(api: Api) -> None:
    container_id = api.run()
    exec_id = api.ask("POST", "/containers/web/exec", {"Cmd": ["sh"]}).json["Id"]
    api.ask("POST", f"/exec/{exec_id}/start", {"Detach": True})
    log, context = api.services.log, Context({"door": "shim"}, "", "")
    for noun, one, event in (
        ("container", container_id, containers.ContainerAttached(container_id, ["stdin", "stdout"])),
        ("container", container_id, containers.ContainerDetached(container_id)),
        ("exec", exec_id, execs.ExecDetached(exec_id, container_id)),
    ):
        log.append(noun, one, event, context)
    assert actions(api, event=["attach", "detach", "exec_detach"]) == ["attach", "detach", "exec_detach"]
    assert events(api, event=["exec_detach"])[0]["Actor"]["Attributes"]["execID"] == exec_id


def test_a_prune_says_what_it_gave_back(api: Api) -> None:
    api.create()
    api.ask("POST", "/containers/prune")
    destroyed, pruned = events(api, event=["destroy", "prune"])
    assert (pruned["Type"], pruned["Action"], pruned["Actor"]["ID"]) == ("container", "prune", "")
    assert pruned["Actor"]["Attributes"]["reclaimed"] == "5"
    assert destroyed["Actor"]["ID"]


def test_images(api: Api) -> None:
    api.ask("POST", "/images/base/tag?repo=other&tag=v1")
    api.ask("DELETE", "/images/base?force=1")
    assert actions(api, type=["image"]) == ["import", "tag", "tag", "untag", "untag", "delete"]
    tagged = events(api, event=["tag"])
    assert tagged[0]["Actor"]["Attributes"]["name"] == "base:latest"
    assert actions(api, label=["kind=test"]) == ["import", "tag", "tag", "untag", "untag"], "what is gone has no labels"


def test_filters(api: Api) -> None:
    first = api.create("one", Labels={"tier": "front"})
    api.create("two")
    api.ask("POST", "/volumes/create", {"Name": "data"})
    assert len(events(api, container=["one"])) == 1
    assert len(events(api, container=[first[:8]])) == 1
    assert len(events(api, container=["nobody"])) == 0
    assert len(events(api, label=["tier=front"])) == 1
    assert len(events(api, volume=["data"])) == 1
    assert len(events(api, image=["base"], type=["container"])) == 2
    assert len(events(api, image=["base"], type=["image"])) == 1
    assert len(events(api, scope=["swarm"])) == 0


@pytest.mark.parametrize("query", ["since=xx", "until=xx", "since=9&until=1", 'filters={"foo":["x"]}'])
def test_bad_questions(api: Api, query: str) -> None:
    assert api.ask("GET", f"/events?{quote(query, safe='=&')}").status == 400


def test_a_follower_sees_what_comes_and_ends_when_it_leaves(api: Api) -> None:
    api.create("early")
    with api.dial() as sock:
        sock.sendall(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n")
        assert b"chunked" in read_until(sock, b"\r\n\r\n"), "the head is there before any event is"
        api.create("late")
        seen = read_until(sock, b'"name":"late"')
        assert b"early" not in seen
        assert not api.services.events.ended.is_set()
    assert api.services.events.ended.wait(10)
    eventually(lambda: api.server.connection_count == 1)


def test_a_follower_from_the_middle_knows_the_past(api: Api) -> None:
    """The name and labels are in the first event only; a follower that starts later must know them."""
    api.run("web", Labels={"tier": "front"})
    middle = api.services.log.now_us
    api.ask("POST", "/containers/web/stop")
    until = api.services.log.now_us / 1e6
    answer = api.ask("GET", f"/events?since={(middle + 1) / 1e6:.6f}&until={until:.6f}")
    found = [json.loads(line) for line in answer.body.splitlines()]
    assert [event["Action"] for event in found] == ["kill", "die", "stop"]
    assert all(event["Actor"]["Attributes"]["tier"] == "front" for event in found)
