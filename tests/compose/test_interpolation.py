"""Variables: each form with a variable that is set, empty, or not there. The values are Docker Compose 2.40's."""

from __future__ import annotations

import pytest

from compose.conftest import Loaded, Refused
from engine.compose.reading.interpolation import InterpolationError, substitute

VARIABLES = {"SET": "s", "EMPTY": "", "OTHER": "o"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain", "plain"), ("$SET", "s"), ("${SET}", "s"), ("a$SET-b", "as-b"), ("${SET}x$SET", "sxs"),
        ("$$SET", "$SET"), ("$$$SET", "$s"), ("$", "$"), ("a$", "a$"), ("$ x", "$ x"), ("$5", "$5"), ("$NO", ""),
        ("${SET:-d}", "s"), ("${EMPTY:-d}", "d"), ("${NO:-d}", "d"), ("${SET-d}", "s"), ("${EMPTY-d}", ""),
        ("${NO-d}", "d"), ("${SET:+c}", "c"), ("${EMPTY:+c}", ""), ("${NO:+c}", ""), ("${EMPTY+c}", "c"),
        ("${NO+c}", ""), ("${SET:?m}", "s"), ("${EMPTY?m}", ""), ("${NO:-}", ""), ("${NO:-${SET}}", "s"),
        ("${NO:-${EMPTY:-${OTHER}}}", "o"), ("${NO:-a}b}", "ab}"), ("${NO:-{a}}", "{a}"), ("${NO:-$$x}", "$x"),
        ("${SET:+a:-b}", "a:-b"), ("${NO-a:-b}", "a:-b"), ("${NO:-a?b}", "a?b"), ("${NO:-x:?y}", "x:?y"),
        ("{${SET}}", "{s}"), ("${SET:+${OTHER}}", "o"), ("${_a1:-x}", "x"),
    ],
)  # fmt: skip
def test_values(text: str, wanted: str) -> None:
    assert substitute(text, VARIABLES, lambda name: None) == wanted


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("${NO:?must be set}", "required variable NO is missing a value: must be set"),
        ("${EMPTY:?${SET}}", "required variable EMPTY is missing a value: s"),
        ("${NO?}", "required variable NO is missing a value"),
        ("${", "a brace is not closed"),
        ("${SET", "a brace is not closed"),
        ("${}", "invalid interpolation format '${}'"),
        ("${5}", "invalid interpolation format '${5}'"),
        ("${SET!x}", "invalid interpolation format '${SET!x}'"),
        ("${SET:}", "invalid interpolation format '${SET:}'"),
    ],
)
def test_refusals(text: str, problem: str) -> None:
    with pytest.raises(InterpolationError) as caught:
        substitute(text, VARIABLES, lambda name: None)
    assert problem in str(caught.value)


def test_values_get_the_type_that_belongs_there(loaded: Loaded) -> None:
    text = """
services:
  web:
    image: "bb:${NO:-1}"
    init: ${FLAG}
    scale: ${COUNT}
    cpus: ${CPUS}
    mem_limit: ${SIZE}
    ports: ["${PORT}:80", {target: "${PORT}", published: "${PORT}"}]
    healthcheck: {retries: "${COUNT}", interval: "${NO:-90s}"}
    ulimits: {nofile: "${COUNT}"}
    environment: {A: "${COUNT}"}
"""
    environment = {"FLAG": "yes", "COUNT": "2", "CPUS": "0.5", "SIZE": "1m", "PORT": "8080"}
    web = loaded(text, environment=environment).model["services"]["web"]
    assert (web["image"], web["init"], web["scale"], web["cpus"], web["mem_limit"]) == ("bb:1", True, 2, 0.5, "1048576")
    assert [(port["target"], port["published"]) for port in web["ports"]] == [(80, "8080"), (8080, "8080")]
    assert web["healthcheck"] == {"interval": "1m30s", "retries": 2}
    assert (web["ulimits"], web["environment"]) == ({"nofile": 2}, {"A": "2"})


def test_a_variable_without_a_value_is_told_once(loaded: Loaded) -> None:
    project = loaded("services: {web: {image: 'bb:$NO', hostname: 'a${NO}', user: '${OTHER}1'}}")
    assert project.warnings == (
        'The "NO" variable is not set. Defaulting to a blank string.',
        'The "OTHER" variable is not set. Defaulting to a blank string.',
    )


def test_places_of_what_is_wrong(refused: Refused) -> None:
    assert refused("services:\n  web:\n    image: ${NO:?give one}\n") == (
        "compose.yaml:3: services.web.image: required variable NO is missing a value: give one"
    )
    assert refused("services:\n  web:\n    image: bb\n    tty: ${NO:-maybe}\n") == (
        'compose.yaml:4: services.web.tty: "maybe" is not a valid boolean'
    )


def test_the_project_s_name_is_a_variable(loaded: Loaded) -> None:
    project = loaded("name: ${NO:-named}\nservices: {web: {image: '$COMPOSE_PROJECT_NAME'}}")
    assert (project.name, project.model["services"]["web"]["image"]) == ("named", "named")
