"""Stages as a graph, and the documents that keys are made of."""

from __future__ import annotations

import pytest

from engine.builder import keys
from engine.builder.dockerfile import DockerfileError, parse
from engine.builder.ground import Ground
from engine.builder.instructions import commands_of
from engine.builder.modes import parse_mode
from engine.builder.planning import epoch_of
from engine.builder.stages import Stage, global_arguments, named_stages, needed, stages_of
from engine.domain.errors import InvalidArgument


def plan(text: str, target: str = "", contexts: dict[str, str] | None = None, **given: str) -> list[Stage]:
    """The stages that are needed; ``contexts`` are images by name, "" where a folder is meant."""
    commands = commands_of(parse(text.encode()))
    arguments = global_arguments(commands, given, "\\", "Dockerfile")
    stages = stages_of(commands, arguments, "\\", "Dockerfile", named_stages(contexts or {}))
    return needed(target, stages, "Dockerfile")


def test_unneeded_stages_are_left_out() -> None:
    text = (
        "ARG B=base\nFROM $B AS one\nRUN a\nFROM other AS two\nFROM one AS Three\nRUN b\n"
        "FROM scratch\nCOPY --from=three /x /\nRUN --mount=from=0,target=/m c\n"
    )
    chosen = plan(text)
    assert [(stage.name, stage.base) for stage in chosen] == [("one", "base"), ("three", "one"), ("3", "scratch")]
    assert [stage.first_step for stage in chosen] == [1, 3, 5]
    for target, name in (("ONE", "one"), ("1", "two")):
        assert [stage.name for stage in plan(text, target)] == [name]
    assert plan(text, B="given")[0].base == "given"


def test_a_later_stage_of_the_same_name_hides_the_earlier() -> None:
    chosen = plan("FROM a AS x\nFROM b AS x\nFROM x\n")
    assert [stage.base for stage in chosen] == ["b", "x"] and chosen[1].base_stage is chosen[0]


def test_named_contexts_come_before_stages_and_images_of_their_names() -> None:
    text = "FROM base AS lib\nFROM Alpine:3 AS app\nCOPY --from=lib . /\nCOPY --from=0 /a /\n"
    chosen = plan(text, contexts={"lib": "", "alpine:3": "alpine:4", "unused": ""})
    assert [(stage.index, stage.name, stage.base) for stage in chosen] == [
        (-3, "lib", "scratch"), (-2, "alpine:3", "alpine:4"), (0, "lib", "base"), (1, "app", "Alpine:3"),
    ]  # fmt: skip
    assert chosen[-1].base_stage is chosen[1] and chosen[-1].needs == [chosen[1], chosen[0], chosen[2]]
    with pytest.raises(DockerfileError, match="no build stage"):
        plan("ARG A\n", contexts={"lib": ""})


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("RUN x\nFROM a", 1, "no build stage"), ("ARG A\n", 1, "no build stage"), ("ARG A\nFROM $A", 2, "blank"),
        ("FROM ${A", 1, "not closed"), ("ARG A=${B:?gone}\nFROM a", 1, "gone"),
        ("FROM a AS x\nCOPY --from=X /a /", 2, "refers to current build stage"),
        ("FROM a\nCOPY --from=0 /a /", 2, "refers to current build stage"),
        ("FROM a\nRUN --mount=from=1,target=/x x\nFROM b", 2, "no stage before has that number"),
    ],
)  # fmt: skip
def test_what_can_not_be_planned(text: str, line: int, message: str) -> None:
    with pytest.raises(DockerfileError, match=message) as refused:
        plan(text)
    assert refused.value.line == line


BEFORE = {
    "instruction": "COPY . .", "parent": "1", "env": {"A": "1"}, "args": {}, "files_digest": ["x"],
    "files": [["a", "file", "644", "", "1"], ["b", "file", "644", "", "2"]], "command": ["c"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"files": [["a", "file", "755", "", "1"], ["c", "file", "644", "", "2"]], "files_digest": ["y"]},
         "a changed, c added, b removed"),
        ({"env": {"A": "2", "B": "3"}}, "environment variable A, B changed"),
        ({"args": {"X": "1"}}, "build argument X changed"),
        ({"parent": "2"}, "what it builds on changed"), ({"command": ["d"]}, "the command changed"),
        ({"instruction": "COPY x ."}, "the instruction is new"), ({"files_digest": ["y"]}, "its files changed"),
        ({}, "the builder itself changed"),
    ],
)  # fmt: skip
def test_differences(changes: dict, expected: str) -> None:
    assert keys.difference(BEFORE, {**BEFORE, **changes}).startswith(expected)


def test_keys_are_canonical() -> None:
    one, other = keys.document_of({"a": 1, "b": 2}), keys.document_of({"b": 2, "a": 1})
    assert one == other and keys.key_of(one) == keys.key_of(other) and keys.key_of(one).startswith("sha256:")


def test_times_of_the_history() -> None:
    """Steps without files have the time of the last that had some, and the clock's only where there is none."""
    ground = Ground.scratch()
    ground.history = [
        {"created_by": "ENV", "created_us": None, "empty_layer": True}, {"created_by": "RUN", "created_us": 5_000_000},
        {"created_by": "CMD", "created_us": None, "empty_layer": True},
    ]  # fmt: skip
    document = ground.document(9_000_000)
    assert document == ground.document(9_000_000) and document.count(b"00:00:05") == 3
    assert ground.document(2_000_000, 2_000_000).count(b"00:00:02") == 4


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [
        ("755", 0o100600, 0o755), ("1777", 0o40700, 0o1777), ("+x", 0o100644, 0o755), ("u+x,go=r", 0o100666, 0o744),
        ("g=u", 0o100640, 0o660), ("a-w", 0o100666, 0o444), ("go=", 0o100755, 0o700), ("u=rwX,g+s", 0o100644, 0o2644),
        ("u=rwX", 0o40644, 0o744), ("+t", 0o40755, 0o1755), ("u+s", 0o100755, 0o4755), ("u-x+w", 0o100500, 0o600),
    ],
)  # fmt: skip
def test_modes(text: str, mode: int, expected: int) -> None:
    apply = parse_mode(text)
    assert apply is not None and f"{apply(mode):o}" == f"{expected:o}"


@pytest.mark.parametrize("text", ["9", "u", "u~x", "755x", "777777", "u+x,", "\u0667"])
def test_bad_modes(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid --chmod"):
        parse_mode(text)


def test_the_date_of_a_reproducible_build_is_one() -> None:
    assert epoch_of({"SOURCE_DATE_EPOCH": "253402300799"}, {}) == 253402300799
    assert epoch_of({}, {"SOURCE_DATE_EPOCH": "5"}) == 5
    for bad in ("253402300800", "9" * 5000, "-1", "x"):
        with pytest.raises(InvalidArgument, match="invalid SOURCE_DATE_EPOCH"):
            epoch_of({"SOURCE_DATE_EPOCH": bad}, {})
