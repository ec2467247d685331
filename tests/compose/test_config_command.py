"""``docket compose config`` and the flags before the verb."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compose.conftest import Write
from engine.cli.main import main
from engine.compose.hashes import config_hash

TEXT = """
name: shop
services:
  web: {build: ., profiles: [p], networks: [n], volumes: ["v:/v"]}
  db: {image: "db:1", environment: {PRICE: 5$$, TAG: "${TAG:-none}"}}
  app: {image: app, depends_on: [db]}
networks: {n: , m: }
volumes: {v: }
"""


def run(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["compose", *words])
    captured = capfd.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["config", "--services"], "app\ndb\n"),
        (["--profile", "p", "config", "--services"], "app\ndb\nweb\n"),
        (["config", "--services", "web"], "web\n"),
        (["config", "--services", "app"], "app\ndb\n"),
        (["--profile=p", "config", "--images"], "app\ndb:1\nshop-web\n"),
        (["--profile", "p", "config", "--volumes"], "v\n"),
        (["config", "--volumes"], ""),
        (["config", "--networks"], "default\n"),
        (["--all-resources", "config", "--networks"], "default\nm\nn\n"),
        (["config", "--profiles"], "p\n"),
        (["config", "-q"], ""),
        (["convert", "--services"], "app\ndb\n"),
    ],
)
def test_lists(write: Write, capfd: pytest.CaptureFixture[str], words: list[str], printed: str) -> None:
    write(TEXT)
    assert run(capfd, *words) == (0, printed, "")


def test_a_dollar_sign_is_doubled_so_that_the_text_can_be_read_again(
    write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    write(TEXT)
    status, printed, _ = run(capfd, "config", "db", "-o", "out.yaml")
    assert (status, printed) == (0, "")
    text = Path("out.yaml").read_text()
    assert text == (
        'name: shop\nservices:\n  db:\n    environment:\n      PRICE: 5$$\n      TAG: none\n    image: db:1\n'
        "    networks:\n      default: null\nnetworks:\n  default:\n    name: shop_default\n"
    )
    assert run(capfd, "-f", "out.yaml", "config") == (0, text, "")
    model = json.loads(run(capfd, "config", "--format", "json", "db")[1])
    assert model["services"]["db"]["environment"] == {"PRICE": "5$$", "TAG": "none"}


def test_variables_left_alone(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    write(TEXT)
    printed = run(capfd, "config", "--no-interpolate")[1]
    assert "PRICE: 5$$\n      TAG: ${TAG:-none}" in printed and "web:" in printed


def test_variables_are_listed(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    write("services: {a: {image: 'x:${TAG:-a${INNER-b}}', environment: {M: '${MUST:?say}', O: '${ALT:+c}$PLAIN$$NO'}}}")
    code, printed, _ = run(capfd, "config", "--variables")
    assert code == 0 and [line.split() for line in printed.splitlines()[1:]] == [
        ["ALT", "false", "c"], ["INNER", "false", "b"], ["MUST", "true"], ["PLAIN", "false"],
        ["TAG", "false", "a${INNER-b}"],
    ]  # fmt: skip


def test_a_variable_that_is_not_closed(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    write("services: {a: {image: 'x:${TAG'}}")
    assert run(capfd, "config", "--variables") == (
        1, "", "invalid interpolation format 'x:${TAG': a brace is not closed\n",
    )  # fmt: skip


def test_colons_of_variables_take_no_mount_apart(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    write("services: {a: {image: x, devices: ['/dev/${D:-null}:/dev/z'], volumes: ['/v/${A:-b}', 'n:/w/${B:-c}:ro']}}\n"
          "volumes: {n: }")  # fmt: skip
    model = json.loads(run(capfd, "config", "--no-interpolate", "--format", "json")[1])
    service = model["services"]["a"]
    assert service["devices"] == [{"source": "/dev/${D:-null}", "target": "/dev/z", "permissions": "rwm"}]
    assert [(one.get("source"), one["target"]) for one in service["volumes"]] == [
        (None, "/v/${A:-b}"), ("n", "/w/${B:-c}"),
    ]  # fmt: skip


@pytest.mark.parametrize(("flag", "printed"), [("--services", "a\n"), ("--images", "x\n"), ("--networks", "default\n")])
def test_names_are_listed_without_env_files(
    write: Write, capfd: pytest.CaptureFixture[str], flag: str, printed: str
) -> None:
    write("services: {a: {image: x, env_file: gone.env}}")
    assert run(capfd, "config", flag) == (0, printed, "")
    assert run(capfd, "config", "-q")[0] == 1


def test_the_folder_is_known_where_no_shell_says_it(
    write: Write, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service manager sets no PWD."""
    folder = write("services: {a: {image: 'x:${PWD}'}}")
    monkeypatch.delenv("PWD")
    assert run(capfd, "config", "--images") == (0, f"x:{folder}\n", "")
    monkeypatch.setenv("PWD", "given")
    assert run(capfd, "config", "--images")[1] == "x:given\n"


def test_hashes(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    write(TEXT)
    _, printed, _ = run(capfd, "config", "--hash", "*")
    assert [line.split()[0] for line in printed.splitlines()] == ["app", "db"]
    _, again, _ = run(capfd, "config", "--hash", "db")
    assert again == printed.splitlines(keepends=True)[1]
    write(TEXT.replace('image: "db:1"', 'image: "db:1", scale: 3, pull_policy: always, build: ., depends_on: [app]')
          .replace(", depends_on: [db]", ""))  # fmt: skip
    assert run(capfd, "config", "--hash", "db")[1] == again
    write(TEXT.replace("PRICE: 5$$", "PRICE: 6"))
    assert run(capfd, "config", "--hash", "db")[1] != again


def test_a_hash_does_not_depend_on_the_number_of_replicas() -> None:
    service = {"image": "x", "deploy": {"replicas": 1, "mode": "replicated"}}
    more = {"image": "x", "deploy": {"replicas": 2, "mode": "replicated"}}
    assert config_hash(service) == config_hash(more) != config_hash({"image": "y"})


def test_the_environment(write: Write, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    write(TEXT, {".env": "TAG=7"})
    monkeypatch.setenv("OTHER", "o")
    lines = run(capfd, "config", "--environment")[1].splitlines()
    assert {"TAG=7", "OTHER=o", "COMPOSE_PROJECT_NAME=shop"} <= set(lines)


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (["config", "nope"], 1, "no such service: nope"),
        (["config", "--hash", "nope"], 1, "no such service: nope"),
        (["config", "--format", "toml"], 1, 'unsupported format "toml": use yaml or json'),
        (["confg"], 1, "docket: unknown command: docket compose confg"),
        (["--compatibility", "config"], 1,
         'docket: invalid argument "true" for "--compatibility" flag: the names that Docker Compose 1 gave are '
         "not supported"),
        (["--ansi", "maybe", "config"], 1,
         'docket: invalid argument "maybe" for "--ansi" flag: use one of never, always, auto'),
        (["config", "--lock-image-digests"], 1, "docket: --lock-image-digests is not supported: name images"),
        (["scale", "web=x"], 1, "invalid scale specifier: can't parse replica value as int: web=x"),
        (["publish", "x"], 1, "docket: the command compose publish is not supported: push the images by"),
        (["--dry-run", "exec", "web", "true"], 1, "docket: --dry-run: compose exec carries out no plan"),
        (["-f", "nope.yaml", "config"], 1, "open nope.yaml: no such file or directory"),
        (["-p", "Shop", "config"], 1, "invalid project name 'Shop'"),
    ],
)  # fmt: skip
def test_refusals(
    write: Write, capfd: pytest.CaptureFixture[str], words: list[str], status: int, line: str
) -> None:
    write(TEXT)
    found = run(capfd, *words)
    assert (found[0], found[1]) == (status, "") and found[2].startswith(line)


def test_warnings_go_to_standard_error(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    write("version: '3'\nservices: {web: {image: 'bb$NO'}, api: {image: bb}}")
    status, printed, told = run(capfd, "config", "--images")
    assert status == 0 and printed == "bb\nbb\n"
    assert told.splitlines() == [
        'WARN: The "NO" variable is not set. Defaulting to a blank string.',
        "WARN: compose.yaml:1: the attribute `version` is obsolete, it will be ignored, please remove it",
    ]


def test_help(capfd: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--help"], ["config", "--help"]):
        status, printed, told = run(capfd, *words)
        assert (status, told) == (0, "") and printed.startswith("Usage:  docket compose")
        assert "Examples:" in printed
    assert "docket compose config, docket compose convert" in run(capfd, "convert", "--help")[1]


@pytest.mark.parametrize(
    ("words", "some"),
    [
        (["compose", ""], {"config"}), (["compose", "--pro"], {"--profile", "--progress", "--project-name"}),
        (["compose", "config", "--no-i"], {"--no-interpolate"}), (["compose", "config", "d"], {"db"}),
        (["compose", "--profile", "p", "config", "w"], {"web"}), (["compose", "-f", "nope.yaml", "config", ""], set()),
        (["compose", "frob", ""], set()),
    ],
)  # fmt: skip
def test_completion(
    write: Write, capfd: pytest.CaptureFixture[str], words: list[str], some: set[str]
) -> None:
    write(TEXT)
    assert main(["__complete", *words]) == 0
    offered = set(capfd.readouterr().out.split())
    assert some <= offered and (some or not offered)
