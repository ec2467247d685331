"""Reading logs: rotated files, from the end, while they are written, and damaged ones."""

from __future__ import annotations

import gzip
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.domain.errors import InvalidArgument, NotSupported
from engine.runtime.json_log import JsonLog
from engine.services import log_config
from engine.services.json_log import Choice, read
from engine.services.log_files import Reader, chain

BOTH = ("stdout", "stderr")


def write_lines(
    path: Path, count: int, *, max_bytes: int = 500, max_files: int = 50, compress: bool = False
) -> None:
    log = JsonLog(str(path), max_bytes, max_files, compress=compress)
    for number in range(count):
        log.write("stdout" if number % 3 else "stderr", f"line {number}\n".encode())
    log.close()


def texts(path: Path, **choice: Any) -> list[str]:
    chosen = Choice(**{"streams": BOTH, **choice})
    return [data.decode() for _, data in read(path, chosen, None)]


def test_rotated_files_are_read_oldest_first(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write_lines(path, 100)
    assert len(chain(path)) > 10 and chain(path)[-1] == path
    assert texts(path) == [f"line {number}\n" for number in range(100)]


@pytest.mark.parametrize("tail", [0, 1, 5, 7, 50, 99, 100, 1000])
def test_the_last_lines_come_from_as_many_files_as_it_takes(tmp_path: Path, tail: int) -> None:
    path = tmp_path / "log"
    write_lines(path, 100)
    assert texts(path, tail=tail) == [f"line {number}\n" for number in range(100)][max(0, 100 - tail) :]
    stderr = [f"line {number}\n" for number in range(0, 100, 3)]
    assert texts(path, streams=("stderr",), tail=tail) == stderr[max(0, len(stderr) - tail) :]


def test_lines_longer_than_a_block_are_found_from_the_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    entries = [json.dumps({"log": f"{letter * 200_000}\n", "stream": "stdout", "time": "2026-01-01T00:00:00Z"})
               for letter in "abc"]  # fmt: skip
    path.write_text("".join(entry + "\n" for entry in entries) + '{"log":"unfinished')
    assert [text[0] for text in texts(path, tail=2)] == ["b", "c"]
    assert [text[0] for text in texts(path)] == ["a", "b", "c"]


def test_compressed_files_are_read_like_others(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write_lines(path, 60, compress=True)
    names = [file.name for file in chain(path)]
    assert len(names) > 6 and names[-1] == "log" and all(name.endswith(".gz") for name in names[:-1])
    every = [f"line {number}\n" for number in range(60)]
    assert texts(path) == every and texts(path, tail=30) == every[30:]
    middle = chain(path)[3]
    middle.write_bytes(middle.read_bytes()[:40])
    assert texts(path)[-20:] == every[-20:], "a damaged file costs its own lines"
    assert set(texts(path, tail=60)) < set(every)


def test_a_file_that_a_crash_left_in_both_forms_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write_lines(path, 12)
    (tmp_path / "log.1.gz").write_bytes(gzip.compress((tmp_path / "log.1").read_bytes()))
    assert texts(path) == texts(path, tail=100) == [f"line {number}\n" for number in range(12)]
    write_lines(path, 100, max_files=3, compress=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["log", "log.1.gz", "log.2.gz"]


@pytest.mark.parametrize(("tail", "compress"), [(None, False), (0, False), (0, True)])
def test_a_follower_misses_and_doubles_nothing_while_files_are_renamed(
    tmp_path: Path, tail: int | None, compress: bool
) -> None:
    path = tmp_path / "log"
    path.touch()
    running = threading.Event()
    running.set()
    found: list[str] = []

    def follow() -> None:
        for _, data in read(path, Choice(BOTH, tail=tail), running.is_set):
            found.append(data.decode())

    reader = threading.Thread(target=follow)
    reader.start()
    while reader.is_alive() and tail is not None and not (tmp_path / "begun").exists():
        log = JsonLog(str(path), 0, 1)
        log.write("stdout", b"begin\n")
        log.close()
        if found:
            (tmp_path / "begun").touch()
    count = 400 if compress else 3000
    write_lines(path, count, max_bytes=2000, max_files=500, compress=compress)
    running.clear()
    reader.join(30)
    assert [text for text in found if text != "begin\n"] == [f"line {number}\n" for number in range(count)]


def test_a_log_of_one_file_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write_lines(path, 3, max_bytes=0)
    with Reader.at_start(path) as reader:
        assert len(list(reader.lines())) == 3
        log = JsonLog(str(path), 100, 1)
        log.write("stdout", b"anew\n")
        log.close()
        assert [json.loads(line)["log"] for line in reader.lines()] == ["anew\n"]


@pytest.mark.parametrize(
    "damage",
    [
        b"\0" * 100, b"{}", b"null", b"[" * 100_000, b'{"log":1,"stream":"stdout","time":"x"}',
        b'{"log":"\xff","stream":2}',
    ],
)
def test_damaged_lines_are_left_out_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: bytes
) -> None:
    path = tmp_path / "log"
    write_lines(path, 2, max_bytes=0)
    with path.open("ab") as file:
        file.write(damage + b"\n")
    write_lines(path, 1, max_bytes=0)
    assert texts(path) == ["line 0\n", "line 1\n", "line 0\n"]
    assert "1 damaged lines left out" in capsys.readouterr().err


def test_details_are_the_attributes_of_the_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = JsonLog(str(path), 0, 1, {"b c": "d=e", "a": "ü"})
    log.write("stdout", b"hi\n")
    log.close()
    assert texts(path, details=True) == ["a=%C3%BC,b+c=d%3De hi\n"]
    assert texts(path) == ["hi\n"]


def settings(driver: str = "", own: dict[str, str] | None = None, **options: str) -> dict[str, Any] | None:
    host = {"LogConfig": {"Type": driver, "Config": {name.replace("_", "-"): value for name, value in options.items()}}}
    log_config.check(host)
    config = {"Labels": own or {}, "Env": ["A=1", "OTHER=2"], "Hostname": ""}
    return log_config.settings(host, config, Path("/log"), WEB)


WEB: Any = SimpleNamespace(id="c" * 64, name="web", image="base", image_id="sha256:" + "d" * 64, command=["sleep", "9"])


def test_bounds_and_attributes() -> None:
    bounds = {"max_bytes": 20_000_000, "max_files": 5, "buffer_bytes": 0, "compress": False}
    assert settings() == {"path": "/log", "attributes": {}, **bounds}
    waiting = [settings(mode="non-blocking", **more) or {} for more in ({}, {"max_buffer_size": "4m"})]
    assert [one["buffer_bytes"] for one in waiting] == [1_000_000, 4_000_000]
    assert settings("none") is None
    chosen = settings("local", max_size="1.5m", max_file="2", compress="false")
    assert chosen is not None and (chosen["max_bytes"], chosen["max_files"]) == (1_500_000, 2)
    packed = [(settings(driver, **more) or {})["compress"] for driver, more in (
        ("json-file", {"compress": "True"}), ("local", {}), ("local", {"compress": "false"}))]  # fmt: skip
    assert packed == [True, True, False]
    unbounded = settings(max_size="-1")
    assert unbounded is not None and unbounded["max_bytes"] == 0
    named = settings(own={"tier": "web", "x.y": "z", "no": "n"}, labels_regex="^x", env="A") or {}
    assert named["attributes"] == {"x.y": "z", "A": "1"}
    tagged = settings(tag="{{.Name}}/{{ .ID }}/{{.ImageName}}/{{.Command}}/{{.Hostname}}") or {}
    assert tagged["attributes"] == {"tag": f"web/{'c' * 12}/base/sleep 9/{'c' * 12}"}


@pytest.mark.parametrize(
    ("driver", "options", "error", "words"),
    [
        ("json-file", {"max_size": "lots"}, InvalidArgument, "invalid value for max-size"),
        ("json-file", {"max_size": "0"}, InvalidArgument, "invalid value for max-size"),
        ("json-file", {"max_file": "0"}, InvalidArgument, "invalid value for max-file"),
        ("json-file", {"labels_regex": "("}, InvalidArgument, "invalid regular expression"),
        ("json-file", {"colour": "red"}, InvalidArgument, "unknown log opt 'colour' for json-file"),
        ("local", {"labels": "a"}, InvalidArgument, "unknown log opt 'labels' for local"),
        ("none", {"max_size": "1m"}, InvalidArgument, "unknown log opt 'max-size' for none"),
        ("json-file", {"tag": "{{.Color}}"}, InvalidArgument, "log opt tag: there is no"),
        ("local", {"tag": "x"}, InvalidArgument, "unknown log opt 'tag' for local"),
        ("json-file", {"mode": "fast"}, InvalidArgument, "logging mode 'fast' is invalid"),
        ("json-file", {"max_buffer_size": "1m"}, InvalidArgument, "only used with mode=non-blocking"),
        ("json-file", {"mode": "non-blocking", "max_buffer_size": "-1"}, InvalidArgument, "max-buffer-size"),
        ("json-file", {"compress": "maybe"}, InvalidArgument, "invalid value for compress"),
        ("json-file", {"compress": "true", "max_file": "1"}, InvalidArgument, "when max-file is less than 2"),
        ("local", {"compress": "true", "max_size": "-1"}, InvalidArgument, "or max-size is not set"),
        ("syslog", {}, NotSupported, "log driver 'syslog'"),
    ],
)
def test_bad_options_are_refused(driver: str, options: dict[str, str], error: type, words: str) -> None:
    with pytest.raises(error, match=words.replace("(", r"\(")):
        settings(driver, **options)
