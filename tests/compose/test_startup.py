"""Start-up of ``docket compose`` is a feature, too: an unchanged project costs little more than its file."""

from __future__ import annotations

import subprocess
import sys

from support.sources import REPOSITORY

SLOW = {
    "argparse", "bz2", "contextlib", "copy", "dataclasses", "hashlib", "_hashlib", "inspect", "json", "logging", "lzma",
    "pathlib", "random", "selectors", "shutil", "signal", "socket", "subprocess", "tarfile", "tempfile", "typing",
    "urllib",
}  # fmt: skip
"""Each costs between one and twenty milliseconds. PyYAML brings the others that the client does without."""
LEFT_OUT = {"engine.compose.running.images", "engine.compose.running.one_off", "engine.compose.printing"}


def test_a_plan_and_its_execution_import_nothing_slow() -> None:
    """All that ``up`` and ``down`` import, unless images have to be made."""
    program = (
        "import sys; before = set(sys.modules)\n"
        "import engine.cli.compose.up, engine.compose.loader, engine.compose.running.executor\n"
        "import engine.compose.running.effects, yaml\n"
        "print('\\n'.join(sorted(set(sys.modules) - before)))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=30)
    found = set(done.stdout.split())
    assert not found & SLOW
    assert not found & LEFT_OUT


def test_patterns_of_pyyaml_that_nobody_asks_for_are_not_compiled() -> None:
    """And those that somebody asks for work as ever."""
    program = (
        "import re\n"
        "from engine.compose.reading.documents import documents\n"
        "(document,) = documents('a: 1.5', 'x')\n"
        "import yaml, yaml.reader\n"
        "print(document.value, vars(yaml.reader.Reader.NON_PRINTABLE).keys() - {'_given'}, type(re.compile('x')))\n"
        "print(yaml.load('[2001-01-01, 1.5, on]', Loader=yaml.SafeLoader))\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "{'a': 1.5} set() <class 're.Pattern'>\n[datetime.date(2001, 1, 1), 1.5, True]\n"
