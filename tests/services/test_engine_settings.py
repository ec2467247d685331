"""The operator's settings: a file and flags, and what is refused because it would be overlooked otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.daemon import main
from engine.domain.errors import InvalidArgument
from engine.images.registry.settings import RegistrySettings
from engine.services.settings import Listening, Settings, read
from engine.services.system import registry_config


def written(folder: Path, values: Any) -> Path:
    path = folder / "daemon.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return path


def test_no_file_no_settings(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == Settings()
    with pytest.raises(InvalidArgument, match="no such file"):
        read(tmp_path / "none", must_exist=True)


def test_a_file_and_flags(tmp_path: Path) -> None:
    path = written(tmp_path, {"registry-mirrors": ["https://mirror.example/"], "max-concurrent-uploads": 2})
    flags = {"insecure-registries": ["host:5000", "10.0.0.0/8"], "max-concurrent-downloads": 7, "registry-mirrors": []}
    assert read(path, flags=flags).registries == RegistrySettings(
        mirrors=("https://mirror.example/",), insecure=("host:5000", "10.0.0.0/8"), downloads=7, uploads=2
    )


def test_where_the_engine_listens(tmp_path: Path) -> None:
    path = written(tmp_path, {"hosts": ["tcp://0.0.0.0:2376"], "tlscacert": "/ca"})
    found = read(path, flags={"tlsverify": True, "tlscert": "/cert", "tls": False}).listening
    assert found == Listening(("tcp://0.0.0.0:2376",), tlsverify=True, tlscacert="/ca", tlscert="/cert")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("{", "no valid JSON"),
        ("[" * 100_000, "no valid JSON"),
        ([], "JSON object"),
        ({"registry-mirror": []}, 'no setting "registry-mirror": known are'),
        ({"registry-mirrors": "https://x"}, "list of strings"),
        ({"registry-mirrors": ["mirror.example"]}, "invalid registry mirror"),
        ({"registry-mirrors": ["https://mirror.example/path"]}, "more than scheme, host and port"),
        ({"registry-mirrors": ["https://u:p@mirror.example"]}, "invalid registry mirror"),
        ({"insecure-registries": ["http://host"]}, "should not contain '://'"),
        ({"insecure-registries": ["10.0.0.0/99"]}, "no network"),
        ({"insecure-registries": ["a b"]}, "no host"),
        ({"search-index": "index"}, "invalid search index"),
        ({"max-concurrent-downloads": 0}, "positive number"),
        ({"archive-limits": {"bytes": -1}}, "positive number"),
        ({"hosts": "unix:///x"}, "list of strings"),
        ({"tlsverify": "yes"}, "true or false"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, values: Any, message: str) -> None:
    path = written(tmp_path, values)
    with pytest.raises(InvalidArgument, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_one_thing_said_in_two_places(tmp_path: Path) -> None:
    path = written(tmp_path, {"insecure-registries": ["a"]})
    with pytest.raises(InvalidArgument, match="insecure-registries is said by a flag as well"):
        read(path, flags={"insecure-registries": ["b"]})


@pytest.mark.requires("root")
@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--registry-mirror=ftp://x", "invalid registry mirror"),
        ("--insecure-registry=http://x", "should not contain"),
        ("--max-concurrent-downloads=0", "positive number"),
    ],
)
def test_the_daemon_does_not_start_with_a_flag_that_is_wrong(
    tmp_path: Path, flag: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = written(tmp_path, {})
    folders = ["--root", str(tmp_path / "root"), "--run-dir", str(tmp_path / "run")]
    assert main([*folders, "--config-file", str(config), flag]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "root").exists()


def test_info_shows_the_registries_settings_in_dockers_form() -> None:
    settings = RegistrySettings(mirrors=("https://mirror.example",), insecure=("host:5000", "10.0.0.0/8"))
    shown = registry_config(settings)
    assert shown["Mirrors"] == shown["IndexConfigs"]["docker.io"]["Mirrors"] == ["https://mirror.example"]
    assert shown["InsecureRegistryCIDRs"] == ["::1/128", "127.0.0.0/8", "10.0.0.0/8"]
    assert shown["IndexConfigs"]["host:5000"]["Secure"] is False
