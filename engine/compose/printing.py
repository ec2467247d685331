"""A project's model as ``config`` prints it, in the words and the layout of Docker Compose."""

from __future__ import annotations

import json

from engine.compose import yamltext
from engine.compose.model.elements import PROJECT
from engine.compose.model.ordering import natural_order
from engine.compose.model.shapes import HTML_ESCAPES, JSON, YAML, ordered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ORDER = ("name", "services", "networks", "volumes", "secrets", "configs", "models")


def json_text(model: dict[str, Any]) -> str:
    """JSON with two spaces of indentation and no newline at its end. A dollar sign is doubled."""
    shown = {**PROJECT.shown(_without_label_files(model), JSON), **_extensions(model)}
    shown.pop("models", None)  # Docker Compose prints them in YAML alone
    text = json.dumps({key: shown[key] for key in sorted(shown)}, indent=2, ensure_ascii=False)
    return _escaped(text.translate(HTML_ESCAPES))


def yaml_text(model: dict[str, Any]) -> str:
    """YAML in block style. A dollar sign is doubled, so that the text can be read again."""
    shown = PROJECT.shown(_without_label_files(model), YAML)
    sections = {key: shown[key] for key in _ORDER if key in shown}
    extensions = {key: ordered(item, natural_order) for key, item in _extensions(model).items()}
    return _escaped(yamltext.dump({**sections, **extensions}))


def _without_label_files(model: dict[str, Any]) -> dict[str, Any]:
    """Their labels are among the service's."""
    services = {
        name: {key: value for key, value in service.items() if key != "label_file"}
        for name, service in model["services"].items()
    }
    return {**model, "services": services}


def _extensions(model: dict[str, Any]) -> dict[str, Any]:
    return {key: model[key] for key in sorted(model) if key.startswith("x-")}


def _escaped(text: str) -> str:
    return text.replace("$", "$$")


def raw_text(model: dict[str, Any], form: str) -> str:
    """A model whose variables were not filled in, keys in the order of the alphabet, dollar signs as they are."""
    if form == JSON:
        return json.dumps(model, indent=2, sort_keys=True, ensure_ascii=False).translate(HTML_ESCAPES)
    return yamltext.dump(ordered(model, natural_order))
