"""Which files count for ``develop.watch``, and what has changed among them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from engine.compose.project import ComposeError
from engine.compose.running.watching import Trigger, changed, look, places_gone, triggers_of


def triggers(folder: Path, *watched: dict[str, Any], **service: Any) -> list[Trigger]:
    entries = [{"path": str(folder), "action": "sync", "target": "/app", **one} for one in watched]
    return triggers_of("web", {"develop": {"watch": entries}, **service})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in ("a.py", "lib/b.py", "lib/c.txt", ".git/HEAD", "node_modules/x", "a.py~", "lib/.b.py.swp"):
        path = tmp_path / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "src"


def test_what_is_ignored_and_what_is_included(source: Path) -> None:
    (trigger,) = triggers(source, {"ignore": ["node_modules/"]})
    assert set(look(trigger)) == {"a.py", "lib/b.py", "lib/c.txt"}
    (trigger,) = triggers(source, {"include": ["**/*.py"]})
    assert set(look(trigger)) == {"a.py", "lib/b.py"}
    (source.parent / ".dockerignore").write_text("src/lib\n**/node_modules\n")
    (trigger,) = triggers(source, {}, build={"context": str(source.parent)})
    assert set(look(trigger)) == {"a.py"}
    (trigger,) = triggers(source / "a.py", {"target": "/app/"})
    assert set(look(trigger)) == {""} and trigger.place_of("") == "/app/a.py"


def test_what_has_changed(source: Path) -> None:
    (trigger,) = triggers(source, {})
    before = look(trigger)
    assert changed(before, look(trigger)) == ([], [])
    (source / "lib/c.txt").chmod(0o755)
    assert changed(before, look(trigger)) == (["lib/c.txt"], [])
    before = look(trigger)
    os.utime(source / "a.py", ns=(1, 1))
    (source / "new").symlink_to("nowhere")
    (source / "lib/b.py").unlink()
    assert changed(before, look(trigger)) == (["a.py", "new"], ["lib/b.py"])
    assert places_gone(trigger, ["lib/b.py"]) == ["/app/lib/b.py"]
    (source / "lib/c.txt").unlink()
    (source / "lib/.b.py.swp").unlink()
    (source / "lib").rmdir()
    assert places_gone(trigger, ["lib/b.py", "lib/c.txt"]) == ["/app/lib"]


@pytest.mark.parametrize(
    ("action", "verbs", "syncs"),
    [("sync", (), True), ("restart", ("restart",), False), ("sync+restart", ("restart",), True),
     ("sync+exec", ("exec",), True), ("rebuild", ("rebuild",), False)],
)  # fmt: skip
def test_actions(source: Path, action: str, verbs: tuple[str, ...], syncs: bool) -> None:
    (trigger,) = triggers(source, {"action": action}, build={"context": str(source)})
    assert (trigger.verbs, trigger.syncs) == (verbs, syncs)


def test_what_can_not_be_watched(source: Path) -> None:
    with pytest.raises(ComposeError, match="rebuild needs a service with a build"):
        triggers(source, {"action": "rebuild"})
    with pytest.raises(ComposeError, match="is not there"):
        triggers(source / "nope", {})
    with pytest.raises(ComposeError, match=r"services\.web\.develop\.watch: .*pattern"):
        triggers(source, {"ignore": ["[z-a]"]})
