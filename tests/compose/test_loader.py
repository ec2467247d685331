"""Which project is meant, what it includes and extends, and which of its services count."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from compose.conftest import Loaded, Refused, Write
from engine.compose.loader import load
from engine.compose.model.selection import narrowed
from engine.compose.project import ComposeError, LoadOptions

ONE = "services: {web: {image: 'bb:${TAG:-none}'}}\n"


def image(project: object) -> str:
    return project.model["services"]["web"]["image"]  # type: ignore[attr-defined]


def test_files_are_searched_upward_with_their_override(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    override = "services: {web: {hostname: h}}"
    folder = write(ONE, {"compose.override.yml": override, "sub/deep/x": "", "sub/.env": "TAG=sub"})
    monkeypatch.chdir(folder / "sub" / "deep")
    project = load(LoadOptions())
    assert project.files == (str(folder / "compose.yaml"), str(folder / "compose.override.yml"))
    assert (project.name, project.working_dir) == ("shop", str(folder))
    assert project.model["services"]["web"]["hostname"] == "h"
    monkeypatch.chdir(folder / "sub")
    assert image(load(LoadOptions())) == "bb:sub", "variables of the current folder's .env come first"


def test_the_order_of_names_and_a_warning_where_several_are(loaded: Loaded) -> None:
    project = loaded(ONE, {"docker-compose.yml": "services: {other: {image: x}}"})
    assert list(project.model["services"]) == ["web"]
    assert project.warnings == (
        "Found multiple config files with supported names: compose.yaml, docker-compose.yml; using compose.yaml",
    )


def test_nothing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ComposeError, match="no configuration file provided: not found: compose.yaml, compose.yml, "):
        load(LoadOptions())
    with pytest.raises(ComposeError, match="open nope.yaml: no such file or directory"):
        load(LoadOptions(files=("nope.yaml",)))


def test_variables_of_the_environment_win_over_files(loaded: Loaded) -> None:
    files = {".env": "TAG=dot", "a.env": "TAG=a\nB=${TAG}", "b.env": "TAG=b", "pd/.env": "TAG=pd"}
    assert image(loaded(ONE, files)) == "bb:dot"
    assert image(loaded(ONE, environment={"TAG": "os"})) == "bb:os"
    assert image(loaded(ONE, env_files=("a.env", "b.env"))) == "bb:b"
    assert image(loaded(ONE, environment={"COMPOSE_ENV_FILES": "b.env,a.env"})) == "bb:a"
    assert image(loaded(ONE, environment={"COMPOSE_DISABLE_ENV_FILE": "1"})) == "bb:none"
    project = loaded(ONE, project_directory="pd")
    assert (image(project), project.name) == ("bb:pd", "pd")


def test_what_references_in_an_env_file_mean(loaded: Loaded) -> None:
    """The project's variable, else the service's own, else the file's, else that of a file before it."""
    text = "services:\n  web: {image: bb, environment: {OWN: service}, env_file: [one.env, two.env]}\n"
    files = {
        "one.env": "FIRST=one\nBOTH=one\nOWN=one\n",
        "two.env": "BOTH=two\nOUTSIDE=two\nREF=$FIRST|$BOTH|$OWN|$OUTSIDE\nFIRST\n",
    }
    environment = loaded(text, files, environment={"OUTSIDE": "shell"}).model["services"]["web"]["environment"]
    assert environment == {"FIRST": "one", "BOTH": "two", "OWN": "service", "OUTSIDE": "two",
                           "REF": "one|two|service|shell"}  # fmt: skip


def test_what_the_environment_says_of_the_project(loaded: Loaded) -> None:
    files = {"a.yaml": ONE, "b.yaml": "services: {web: {profiles: [p]}, other: {image: x, profiles: [q]}}"}
    for environment in (
        {"COMPOSE_FILE": "a.yaml:b.yaml", "COMPOSE_PROFILES": "p,q"},
        {"COMPOSE_FILE": "a.yaml;b.yaml", "COMPOSE_PATH_SEPARATOR": ";", "COMPOSE_PROFILES": "*"},
    ):
        project = loaded("not: read", files, environment=environment)
        assert (sorted(project.model["services"]), project.name) == (["other", "web"], "shop")


@pytest.mark.parametrize(
    ("flag", "variable", "top_level", "wanted"),
    [("flag", "variable", "top", "flag"), ("", "variable", "top", "variable"), ("", "", "top", "top"),
     ("", "", "", "shop"),
     ("", "", "My Top", "mytop")],
)  # fmt: skip
def test_names(loaded: Loaded, flag: str, variable: str, top_level: str, wanted: str) -> None:
    text = (f"name: {top_level}\n" if top_level else "") + ONE
    environment = {"COMPOSE_PROJECT_NAME": variable} if variable else {}
    project = loaded(text, project_name=flag, environment=environment)
    assert project.name == project.model["name"] == wanted
    assert project.model["networks"]["default"]["name"] == f"{wanted}_default"


def test_wrong_names(refused: Refused) -> None:
    assert refused(ONE, project_name="Shop").startswith("invalid project name 'Shop': must consist only of lowercase")
    assert refused(ONE, environment={"COMPOSE_PROJECT_NAME": "-x"}).startswith("invalid project name '-x'")


def test_standard_input(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write("not: read")
    monkeypatch.setattr(sys, "stdin", io.StringIO("name: piped\n" + ONE))
    project = load(LoadOptions(files=("-",)))
    assert (project.name, project.working_dir, image(project)) == ("piped", str(folder), "bb:none")


def test_profiles(loaded: Loaded) -> None:
    text = "services: {web: {image: a}, p: {image: b, profiles: [p, q]}, r: {image: c, profiles: [r]}}"

    def enabled(*profiles: str, services: tuple[str, ...] = ()) -> list[str]:
        project = loaded(text, profiles=profiles, services=services)
        assert sorted({*project.model["services"], *project.disabled}) == ["p", "r", "web"]
        return list(project.model["services"])

    assert enabled() == ["web"]
    assert enabled("q") == ["p", "web"]
    assert enabled("*") == ["p", "r", "web"]
    assert enabled(services=("r",)) == ["r", "web"]


def test_a_service_that_is_named_activates_its_profiles(loaded: Loaded) -> None:
    text = "services: {a: {image: a, profiles: [test], depends_on: [b]}, b: {image: b, profiles: [test]}}"
    assert list(loaded(text, services=("a",)).model["services"]) == ["a", "b"]


def test_resources_that_no_service_uses_are_left_out(loaded: Loaded) -> None:
    text = "services: {web: {image: a, networks: [n]}, p: {image: b, profiles: [p], volumes: ['v:/v']}}\n" \
           "networks: {n: , m: }\nvolumes: {v: }\nsecrets: {s: {file: ./s}}\n"
    assert {*loaded(text).model} == {"name", "services", "networks"}
    assert list(loaded(text).model["networks"]) == ["n"]
    assert list(loaded(text, all_resources=True).model["networks"]) == ["m", "n"]
    assert list(loaded(text, profiles=("p",)).model["volumes"]) == ["v"]


def test_a_project_can_be_narrowed_to_services_and_what_they_need(loaded: Loaded) -> None:
    project = loaded("services: {a: {image: x, depends_on: [b]}, b: {image: x, networks: [n]}, "
                     "c: {image: x, networks: [m]}}\nnetworks: {n: , m: }")
    small = narrowed(project, ("a",))
    assert (list(small.model["services"]), list(small.model["networks"])) == (["a", "b"], ["default", "n"])
    with pytest.raises(ComposeError, match="no such service: z"):
        narrowed(project, ("z",))


def test_extends(loaded: Loaded) -> None:
    project = loaded(
        "services:\n"
        "  web: {extends: {file: parts/base.yaml, service: middle}, command: [own], environment: {B: own}, "
        "ports: [81]}\n"
        "  copy: {extends: web, hostname: h}\n",
        {
            "parts/base.yaml": "services:\n"
            "  base: {image: bb, command: [a], environment: [A=1, B=1], volumes: ['./d:/d'], env_file: e.env, "
            "build: .}\n"
            "  middle: {extends: base, labels: [m], ports: [80]}\n",
            "parts/e.env": "E=1",
        },
    )
    here = project.working_dir
    web = project.model["services"]["web"]
    assert web["volumes"][0]["source"] == f"{here}/parts/d" and web["build"]["context"] == f"{here}/parts"
    assert web["environment"] == {"A": "1", "B": "own", "E": "1"}
    assert (web["command"], web["labels"], [port["target"] for port in web["ports"]]) == (["own"], {"m": ""}, [80, 81])
    assert project.model["services"]["copy"] == {**web, "hostname": "h"}


def test_what_is_extended_can_be_taken_away(loaded: Loaded) -> None:
    project = loaded("services:\n  web: {extends: base, ports: !reset [], cap_add: !override [B]}\n"
                     "  base: {image: bb, ports: [80], cap_add: [A]}\n")
    web = project.model["services"]["web"]
    assert ("ports" in web, web["cap_add"]) == (False, ["B"])


def test_include(loaded: Loaded) -> None:
    project = loaded(
        "include:\n  - inner/compose.yaml\n"
        "  - {path: [two/a.yaml, two/b.yaml], project_directory: pd, env_file: two.env}\n"
        "services: {web: {image: 'bb:${TAG:-none}', depends_on: [tool], networks: [tools]}}\n",
        {
            "inner/compose.yaml":
            "services: {tool: {image: 'x:$TAG', build: ., networks: [tools], volumes: ['v:/v']}}\n"
            "networks: {tools: }\nvolumes: {v: }\n",
            "inner/.env": "TAG=inner",
            "two/a.yaml": "services: {two: {image: 'y:$TAG', volumes: ['./f:/f']}}",
            "two/b.yaml": "services: {two: {hostname: h}}",
            "two.env": "TAG=two",
        },
    )
    here, services = project.working_dir, project.model["services"]
    assert (image(project), services["tool"]["image"], services["two"]["image"]) == ("bb:none", "x:inner", "y:two")
    assert services["tool"]["build"]["context"] == f"{here}/inner"
    assert (services["two"]["volumes"][0]["source"], services["two"]["hostname"]) == (f"{here}/pd/f", "h")
    assert project.model["volumes"] == {"v": {"name": "shop_v"}} and "tools" in project.model["networks"]


def test_parts_are_named_from_the_project_s_folder(loaded: Loaded) -> None:
    """Not from the folder of the file that names them."""
    parts = {f"{folder}/{name}.yaml": f"services: {{{name}: {{image: {folder}, volumes: ['./v:/v']}}}}"
             for folder in ("sub", "pd") for name in ("inc", "base")}  # fmt: skip
    text = "include: [inc.yaml]\nservices: {web: {extends: {file: base.yaml, service: base}}}"
    project = loaded(ONE, {**parts, "sub/compose.yaml": text}, files=("sub/compose.yaml",), project_directory="pd")
    for name in ("web", "inc"):
        service = project.model["services"][name]
        assert (service["image"], service["volumes"][0]["source"]) == ("pd", f"{project.working_dir}/v")


def test_an_override_may_change_what_is_included(loaded: Loaded) -> None:
    files = {"inner.yaml": "services: {tool: {image: x}}", "over.yaml": "services: {tool: {image: y}}"}
    project = loaded("include: [inner.yaml]\n" + ONE, files, files=("compose.yaml", "over.yaml"))
    assert project.model["services"]["tool"]["image"] == "y"


@pytest.mark.parametrize(
    ("text", "others", "problem"),
    [
        ("include: [no.yaml]\n" + ONE, {}, "compose.yaml:1: include[0]: no.yaml is not a file"),
        ("include: ['https://host/x.git']\n" + ONE, {},
         "compose.yaml:1: include[0]: https://host/x.git: remote compose files are not supported: fetch it, and name "
         "the local file"),
        ("services: {a: {extends: {file: 'oci://host/x', service: b}}}", {},
         "compose.yaml:1: services.a.extends.file: oci://host/x: remote compose files are not supported: fetch it, and "
         "name the local file"),
        ("include: [{path: []}]\n" + ONE, {}, "compose.yaml:1: include[0]: path is required"),
        ("include: [a.yaml]\n" + ONE, {"a.yaml": "include: [compose.yaml]"},
         "a.yaml:1: include[0]: include cycle detected: compose.yaml -> a.yaml -> compose.yaml"),
        ("include: [a.yaml]\n" + ONE, {"a.yaml": "services: {web: {image: other}}"},
         "compose.yaml:2: services.web: conflicts with the one that include[0] brings in"),
        ("services: {a: {extends: b}}", {},
         "compose.yaml:1: services.a.extends: cannot extend service 'b': not found in compose.yaml"),
        ("services: {a: {extends: b}, b: {extends: a}}", {}, "compose.yaml:1: services.a.extends: circular reference: "
         "a (compose.yaml) -> b (compose.yaml) -> a (compose.yaml)"),
        ("services: {a: {extends: {file: no.yaml, service: b}}}", {},
         "compose.yaml:1: services.a.extends.file: no.yaml is not a file"),
        ("services:\n  a: {extends: {file: b.yaml, service: b}}", {"b.yaml": "services:\n  b:\n    imag: x\n"},
         "b.yaml:3: services.b.imag: is not allowed: did you mean image?"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit(refused: Refused, text: str, others: dict[str, str], problem: str) -> None:
    assert refused(text, others) == problem


def test_a_null_list_is_empty_and_version_is_obsolete(loaded: Loaded) -> None:
    """As in the article's file: ``ports:`` with nothing behind it."""
    project = loaded("version: '3.9'\nservices:\n  backend:\n    image: bb\n    ports:\n    environment:\n")
    assert not {"ports", "environment"} & set(project.model["services"]["backend"])
    assert project.warnings == (
        "compose.yaml:5: services.backend.ports: has no value, and is taken as empty",
        "compose.yaml:6: services.backend.environment: has no value, and is taken as empty",
        "compose.yaml:1: the attribute `version` is obsolete, it will be ignored, please remove it",
    )


def test_keys_without_effect_are_named(loaded: Loaded) -> None:
    text = "services:\n  web:\n    image: bb\n    gpus: all\n    deploy:\n      placement: {constraints: [a]}\n"
    project = loaded(text)
    assert project.warnings == (
        "compose.yaml:4: services.web.gpus: takes no effect: devices of drivers are not supported",
        "compose.yaml:6: services.web.deploy.placement: takes no effect: there is one machine",
    )
    assert project.model["services"]["web"]["gpus"] == [{"count": -1}]


def test_variables_can_be_left_alone(loaded: Loaded) -> None:
    project = loaded("services: {web: {image: '$A', ports: ['${P}:80'], tty: '${T}', profiles: [p]}}\nvolumes: {v: }",
                     interpolate=False)
    web = project.model["services"]["web"]
    assert (web["image"], web["ports"], web["tty"]) == ("$A", ["${P}:80"], "${T}")
    assert project.warnings == () and project.model["volumes"] == {"v": {"name": "shop_v"}}
