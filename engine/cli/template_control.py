"""What the actions of a template do: sequences, conditions, loops, templates that have names."""

from __future__ import annotations

from engine.cli.output import CommandError
from engine.cli.template_functions import is_true, show_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    Evaluate = Callable[["Scope"], Any]
    Render = Callable[["Scope", list[str]], None]


class Scope:
    """The dot, ``$`` and the variables while a template runs."""

    __slots__ = ("dot", "variables")

    def __init__(self, dot: Any, variables: dict[str, Any]) -> None:
        self.dot = dot
        self.variables = variables


class _Leave(Exception):
    """``break`` or ``continue``, on its way to its loop."""

    def __init__(self, keyword: str) -> None:
        super().__init__(keyword)
        self.keyword = keyword


def sequence(parts: list[Render]) -> Render:
    def render(scope: Scope, out: list[str]) -> None:
        for part in parts:
            part(scope, out)

    return render


def if_(names: list[str], pipeline: Evaluate, body: Render, otherwise: Render) -> Render:
    def render(scope: Scope, out: list[str]) -> None:
        value = pipeline(scope)
        inner = Scope(scope.dot, {**scope.variables, **dict.fromkeys(names, value)})
        (body if is_true(value) else otherwise)(inner, out)

    return render


def with_(names: list[str], pipeline: Evaluate, body: Render, otherwise: Render) -> Render:
    def render(scope: Scope, out: list[str]) -> None:
        value = pipeline(scope)
        variables = {**scope.variables, **dict.fromkeys(names, value)}
        if is_true(value):
            body(Scope(value, variables), out)
        else:
            otherwise(Scope(scope.dot, variables), out)

    return render


def range_(names: list[str], pipeline: Evaluate, body: Render, otherwise: Render) -> Render:
    def render(scope: Scope, out: list[str]) -> None:
        value = pipeline(scope)
        if not is_true(value):
            return otherwise(scope, out)
        if isinstance(value, dict):
            pairs: list[tuple[Any, Any]] = sorted(value.items())
        elif isinstance(value, list):
            pairs = list(enumerate(value))
        else:
            raise CommandError(f"failed to execute template: range can't iterate over {show_value(value)}")
        for pair in pairs:
            chosen = dict(zip(names, pair if len(names) == 2 else pair[1:]))
            try:
                body(Scope(pair[1], {**scope.variables, **chosen}), out)
            except _Leave as leaving:
                if leaving.keyword == "break":
                    break
        return None

    return render


def leave(keyword: str) -> Render:
    """``{{break}}`` and ``{{continue}}``."""

    def render(scope: Scope, out: list[str]) -> None:
        raise _Leave(keyword)

    return render


def named(templates: Mapping[str, Render], name: str, pipeline: Evaluate) -> Render:
    """``{{template "name" value}}``: what has this name once everything is parsed."""

    def render(scope: Scope, out: list[str]) -> None:
        if name not in templates:
            raise CommandError(f'failed to execute template: template: template "{name}" not defined')
        value = pipeline(scope)
        try:
            templates[name](Scope(value, {"$": value}), out)
        except RecursionError:
            raise CommandError(f'failed to execute template: exceeded maximum template depth in "{name}"') from None

    return render
