"""What one load carries along: variables, positions, warnings, and how to treat what it reads."""

from __future__ import annotations

from engine.compose.model.positions import Positions
from engine.compose.project import LoadOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping


class Context:
    """Shared by everything that one call of ``load`` reads. Files that are included have variables of their own."""

    def __init__(
        self, options: LoadOptions, environment: dict[str, str], positions: Positions | None = None,
        warnings: dict[str, None] | None = None,
    ) -> None:  # fmt: skip
        self.options = options
        self.environment = environment
        self.positions = Positions() if positions is None else positions
        self.warnings: dict[str, None] = {} if warnings is None else warnings
        """In the order they came, each once."""

    def warn(self, line: str) -> None:
        self.warnings[line] = None

    def warn_unset(self, name: str) -> None:
        self.warn(f'The "{name}" variable is not set. Defaulting to a blank string.')

    def with_environment(self, environment: Mapping[str, str]) -> Context:
        """The same load, for files that other variables are meant for."""
        return Context(self.options, dict(environment), self.positions, self.warnings)

    @property
    def home(self) -> str:
        return self.environment.get("HOME", "/root")
