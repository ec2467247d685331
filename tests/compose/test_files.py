"""Whole projects against what Docker Compose 2.40 makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compose.cases import ENVIRONMENT, FOLDERS, examples, expected, expected_examples, hashes
from compose.conftest import Write
from engine.compose.hashes import config_hash
from engine.compose.loader import load
from engine.compose.model.supported import SERVICE
from engine.compose.printing import json_text, yaml_text
from engine.compose.project import LoadOptions, Project
from engine.compose.reading.documents import documents

every_folder = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(folder)
    return load(LoadOptions(profiles=("*",), environment=ENVIRONMENT))


@every_folder
def test_json_is_what_docker_compose_prints(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = json_text(project(folder, monkeypatch).model).replace("$$", "$")
    wanted = expected(folder)
    assert json.loads(printed) == wanted
    assert printed == json.dumps(wanted, indent=2, ensure_ascii=False).translate(
        {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&"}
    ), "the order differs"


@every_folder
def test_yaml_reads_as_the_same_project(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = project(folder, monkeypatch)
    (tmp_path / "again.yaml").write_text(yaml_text(first.model))
    for service in first.model["services"].values():
        service.pop("label_file", None)
    again = load(LoadOptions(files=(str(tmp_path / "again.yaml"),), profiles=("*",), environment=ENVIRONMENT))
    assert again.model == first.model


@every_folder
def test_hashes_are_those_of_docker_compose(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    services = project(folder, monkeypatch).model["services"]
    wanted = hashes(folder)
    assert {name: config_hash(services[name]) for name in wanted} == wanted


@pytest.mark.parametrize("title", examples())
def test_examples_of_the_specification(write: Write, title: str) -> None:
    folder = write(examples()[title])
    printed = json.loads(json_text(load(LoadOptions(environment=ENVIRONMENT)).model).replace("$$", "$"))
    assert printed == json.loads(json.dumps(expected_examples()[title]).replace("{here}", str(folder)))


def test_the_projects_use_every_supported_key() -> None:
    used = set()
    for folder in FOLDERS:
        for file in (*folder.rglob("*.yaml"),):
            for document in documents(file.read_text(), str(file)):
                for service in document.value["services"].values():
                    used |= set(service or ())
    assert SERVICE - used == {"cpu_rt_period", "cpu_rt_runtime"}, "kernels seldom have real-time groups"
    assert len(FOLDERS) == 15
