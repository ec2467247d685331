"""Image configurations: made here, and from outside."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from engine.domain.errors import InvalidArgument, NotSupported
from engine.images import config

A, B, C = ("sha256:" + letter * 64 for letter in "abc")


def document(**changes: Any) -> bytes:
    whole = {
        "architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"], "Labels": {"a": "b"}},
        "rootfs": {"type": "layers", "diff_ids": [A, B]},
        "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "x"}, {"empty_layer": True}],
    }  # fmt: skip
    return json.dumps({**whole, **changes}).encode()


def test_chain_ids() -> None:
    second = "sha256:" + hashlib.sha256(f"{A} {B}".encode()).hexdigest()
    third = "sha256:" + hashlib.sha256(f"{second} {C}".encode()).hexdigest()
    assert config.chain_ids([A, B, C]) == [A, second, third]
    assert config.chain_ids([]) == []


def test_imported() -> None:
    body = config.imported(A, {"Cmd": ["sh"]}, created_at_us=1_700_000_000_123_456, comment="Imported from -")
    parsed = config.parse(body)
    assert parsed["rootfs"] == {"type": "layers", "diff_ids": [A]} and parsed["config"] == {"Cmd": ["sh"]}
    assert parsed["created"] == "2023-11-14T22:13:20.123456Z"
    assert parsed["history"] == [{"created": parsed["created"], "comment": "Imported from -"}]
    assert (parsed["os"], parsed["architecture"]) == config.host_platform()
    assert body == config.imported(A, {"Cmd": ["sh"]}, created_at_us=1_700_000_000_123_456, comment="Imported from -")


def test_imported_for_another_platform() -> None:
    parsed = json.loads(config.imported(A, {}, created_at_us=0, platform="linux/arm/v7"))
    assert (parsed["os"], parsed["architecture"], parsed["variant"]) == ("linux", "arm", "v7")
    with pytest.raises(NotSupported, match="'windows' is not supported"):
        config.imported(A, {}, created_at_us=0, platform="windows/amd64")


def test_parse_real() -> None:
    parsed = config.parse(document())
    assert parsed["rootfs"]["diff_ids"] == [A, B]
    assert config.parse(document(rootfs={"type": "layers", "diff_ids": None}))["rootfs"]["diff_ids"] == []
    config.parse(document(config=None, history=None, unknown={"a": [1]}))


HOSTILE: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"\x80{", "no valid JSON"),
    "cut": (document()[:-5], "no valid JSON"),
    "a list": (b"[]", "no JSON object"),
    "deep": (b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested too deeply"),
    "large": (b'{"a": "' + b"x" * (9 << 20) + b'"}', "larger than the limit"),
    "no rootfs": (document(rootfs=None), "no list of layers"),
    "rootfs of another type": (document(rootfs={"type": "layers+base", "diff_ids": [A]}), "no list of layers"),
    "diff IDs no list": (document(rootfs={"type": "layers", "diff_ids": A}), "no list of layers"),
    "diff ID no string": (document(rootfs={"type": "layers", "diff_ids": [1]}), "no list of layers"),
    "diff ID a path": (document(rootfs={"type": "layers", "diff_ids": ["sha256:../../x"]}), "unsupported digest"),
    "diff ID of another algorithm": (
        document(rootfs={"type": "layers", "diff_ids": ["sha512:" + "0" * 128]}), "unsupported digest"
    ),
    "too many layers": (document(rootfs={"type": "layers", "diff_ids": [A] * 501}), "501 layers"),
    "config a list": (document(config=[]), "'config' of the wrong type"),
    "Env a map": (document(config={"Env": {"A": "b"}}), "'Env' of the wrong type"),
    "Env of numbers": (document(config={"Env": [1]}), "'Env' of the wrong type"),
    "Env with NUL": (document(config={"Env": ["A=\0"]}), "invalid variable"),
    "Env without name": (document(config={"Env": ["=b"]}), "invalid variable"),
    "Cmd a string": (document(config={"Cmd": "sh"}), "'Cmd' of the wrong type"),
    "Entrypoint a number": (document(config={"Entrypoint": 1}), "'Entrypoint' of the wrong type"),
    "User a number": (document(config={"User": 0}), "'User' of the wrong type"),
    "Labels of numbers": (document(config={"Labels": {"a": 1}}), "'Labels' of the wrong type"),
    "Volumes a list": (document(config={"Volumes": ["/a"]}), "'Volumes' of the wrong type"),
    "Healthcheck of strings": (document(config={"Healthcheck": {"Interval": "1s"}}), "'Healthcheck' of the wrong"),
    "StopTimeout true": (document(config={"StopTimeout": True}), "'StopTimeout' of the wrong type"),
    "history a map": (document(history={}), "'history' of the wrong type"),
    "history of strings": (document(history=["x"]), "no list of objects"),
    "history entry": (document(history=[{"created_by": 1}]), "'created_by' of the wrong type"),
    "created a number": (document(created=1), "'created' of the wrong type"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile(what: str) -> None:
    body, message = HOSTILE[what]
    with pytest.raises(InvalidArgument) as refused:
        config.parse(body)
    assert message in str(refused.value) and len(str(refused.value)) < 400


def test_another_operating_system() -> None:
    with pytest.raises(NotSupported, match="'windows' is not supported"):
        config.parse(document(os="windows"))


CHANGES: list[tuple[list[str], dict[str, Any]]] = [
    (['CMD ["a", "b c"]'], {"Cmd": ["a", "b c"]}),
    (["CMD echo $HOME"], {"Cmd": ["/bin/sh", "-c", "echo $HOME"]}),
    (["cmd [not, json]"], {"Cmd": ["/bin/sh", "-c", "[not, json]"]}),
    (['ENTRYPOINT ["/init"]'], {"Entrypoint": ["/init"]}),
    (["ENV A=b"], {"Env": ["OLD=1", "A=b"]}),
    (["ENV OLD=2"], {"Env": ["OLD=2"]}),
    (["ENV A b  c"], {"Env": ["OLD=1", "A=b  c"]}),
    (["ENV A b=c"], {"Env": ["OLD=1", "A=b=c"]}),
    (["ENV A=\"b c\" D='e $OLD' F=g\\ h"], {"Env": ["OLD=1", "A=b c", "D=e $OLD", "F=g h"]}),
    (["ENV A=$OLD B=${OLD}x C=\\$OLD"], {"Env": ["OLD=1", "A=1", "B=1x", "C=$OLD"]}),
    (["ENV A=1 B=$A"], {"Env": ["OLD=1", "A=1", "B="]}),
    (["ENV A=x", "ENV B=$A"], {"Env": ["OLD=1", "A=x", "B=x"]}),
    (["ENV A=${NO:-d} B=${OLD:+s} C=${NO:+s} D=${OLD-d}"], {"Env": ["OLD=1", "A=d", "B=s", "C=", "D=1"]}),
    (["ENV A="], {"Env": ["OLD=1", "A="]}),
    (["EXPOSE 80 53/udp 90-91"], {"ExposedPorts": {"80/tcp": {}, "53/udp": {}, "90/tcp": {}, "91/tcp": {}}}),
    (["EXPOSE 8$OLD"], {"ExposedPorts": {"81/tcp": {}}}),
    (['LABEL "k e y"="v" x='], {"Labels": {"k e y": "v", "x": ""}}),
    (["LABEL a=b c=\"d e\"", "LABEL a=x"], {"Labels": {"a": "x", "c": "d e"}}),
    (["USER 1000:1000"], {"User": "1000:1000"}),
    (["VOLUME /a /b"], {"Volumes": {"/a": {}, "/b": {}}}),
    (['VOLUME ["/a b"]'], {"Volumes": {"/a b": {}}}),
    (["WORKDIR /a", "WORKDIR b/../c"], {"WorkingDir": "/a/c"}),
    (["WORKDIR //x"], {"WorkingDir": "/x"}),
    (["STOPSIGNAL SIGQUIT"], {"StopSignal": "SIGQUIT"}),
    (["ONBUILD RUN x"], {"OnBuild": ["RUN x"]}),
    (["HEALTHCHECK NONE"], {"Healthcheck": {"Test": ["NONE"]}}),
    (["HEALTHCHECK --interval=1m30s --timeout=500ms --retries=3 CMD curl x"],
     {"Healthcheck": {"Test": ["CMD-SHELL", "curl x"], "Interval": 90 * 10**9, "Timeout": 5 * 10**8, "Retries": 3}}),
    (['HEALTHCHECK CMD ["a"]'], {"Healthcheck": {"Test": ["CMD", "a"]}}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), CHANGES, ids=[" / ".join(changes)[:40] for changes, _ in CHANGES])
def test_changes(changes: list[str], expected: dict[str, Any]) -> None:
    before = {"Env": ["OLD=1"]}
    assert config.apply_changes(before, changes) == {"Env": ["OLD=1"], **expected}
    assert before == {"Env": ["OLD=1"]}, "the settings passed in stay as they are"


@pytest.mark.parametrize(
    ("change", "message"),
    [("RUN x", "'RUN' is not a valid change command"), ("", "is not a valid change command"),
     ("CMD", "CMD requires an argument"), ("ENV A", "a name and a value"), ("ENV A=b C", "every word must be"),
     ("ENV =b", "every word must be"), ("ENV A='b", "is not closed"), ("ENV A=${B", "variable in braces"),
     ("ENV A=${B:?no}", "B is not set: no"), ("EXPOSE 0", "no port between"), ("EXPOSE 70000", "no port between"),
     ("EXPOSE 90-80", "no port between"), ("EXPOSE http", "is no port"), ("EXPOSE 80/icmp", "is no port"),
     ("HEALTHCHECK x", "NONE or CMD"), ("HEALTHCHECK --interval=x CMD a", "no duration"),
     ("HEALTHCHECK --what=1 CMD a", "unknown option --what"), ("ONBUILD FROM x", "isn't allowed"),
     ("VOLUME []", "needs a path"), ('VOLUME [""]', "needs a path")],
)  # fmt: skip
def test_invalid_changes(change: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        config.apply_changes({}, [change])
    assert message in str(refused.value) and "\n" not in str(refused.value)
