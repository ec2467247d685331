"""The only importer of PyYAML.

A third of the time that its import takes goes into the patterns of its loader in Python. The one in C doesn't ask them,
nor does our own resolver of scalars, so they are compiled when somebody does ask.
"""

from __future__ import annotations

import re

from engine.compose.project import ComposeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Uncompiled:
    """A pattern that is compiled when something is asked of it."""

    def __init__(self, *given: Any) -> None:
        self._given = given

    def __getattr__(self, name: str) -> Any:
        value = getattr(re.compile(*self._given), name)
        setattr(self, name, value)
        return value


def pyyaml() -> Any:
    """The package. Raises ComposeError where it is not installed."""
    compile_now = re.compile
    re.compile = _Uncompiled  # type: ignore[assignment,misc]
    try:
        import yaml
    except ImportError as error:
        raise ComposeError(
            "compose files are YAML, and PyYAML is not installed: "
            "pip install PyYAML, in the environment that docket is in"
        ) from error
    finally:
        re.compile = compile_now
    return yaml
