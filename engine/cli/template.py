"""The part of Go's text/template that Docker's users write after ``--format``.

Text and actions: fields (``.State.Pid``), variables, pipelines, parentheses, literals, ``if``/``else if``/``else``,
``range`` (with ``$key, $value :=``, ``break``, ``continue``), ``with``, ``end``, ``define``, ``template``, ``block``,
comments, trim marks, and the functions of template_functions.

A template is parsed to nodes, each a function from a Scope to a value or to text. Errors carry Go's words.
"""

from __future__ import annotations

from engine.cli.output import CommandError
from engine.cli.template_control import Scope, if_, leave, named, range_, sequence, with_
from engine.cli.template_fields import field_of
from engine.cli.template_functions import FUNCTIONS, show_value
from engine.cli.template_lexer import Action, Token, lex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from engine.cli.template_control import Evaluate, Render

_TABLE = "table"


class Template:
    """A parsed template."""

    def __init__(self, render: Render) -> None:
        self._render = render

    def execute(self, value: Any) -> str:
        """The text for one value. Raises CommandError."""
        pieces: list[str] = []
        self._render(Scope(value, {"$": value}), pieces)
        return "".join(pieces)


def parse_format(format: str) -> tuple[Template, bool]:
    """The template of ``--format`` and whether it wants a table; ``\\t`` and ``\\n`` may be spelled out in it."""
    is_table = format.startswith(_TABLE)
    text = format.removeprefix(_TABLE).strip() if is_table else format.strip()
    if text == "json":
        text = "{{json .}}"
    return parse(text.replace("\\t", "\t").replace("\\n", "\n")), is_table


def parse(text: str) -> Template:
    """Raises CommandError."""
    parser = _Parser(lex(text))
    render, end = parser.block()
    if end is not None:
        raise parser.error(end, f"unexpected {{{{{end.keyword}}}}}")
    return Template(render)


class _Parser:
    """Recursive descent over the actions of a template."""

    def __init__(self, items: list[str | Action]) -> None:
        self.items = items
        self.at = 0
        self.templates: dict[str, Render] = {}
        self._ranges = 0

    @staticmethod
    def error(action: Action, detail: str) -> CommandError:
        return CommandError(f"failed to parse template: template: :{action.line}: {detail}")

    # --- text and control ------------------------------------------------------------------------------------------

    def block(self) -> tuple[Render, Action | None]:
        """Everything up to an ``else`` or ``end``, which is returned, or to the end of the text."""
        parts: list[Render] = []
        while self.at < len(self.items):
            item = self.items[self.at]
            self.at += 1
            if isinstance(item, str):
                parts.append(lambda scope, out, text=item: out.append(text))
            elif item.keyword in ("else", "end"):
                return sequence(parts), item
            elif item.keyword in ("if", "with", "range"):
                parts.append(self._control(item))
            elif item.keyword in ("break", "continue"):
                parts.append(self._leaving(item))
            elif item.keyword in ("define", "template", "block"):
                parts.append(self._named(item))
            else:
                parts.append(self._output(item))
        return sequence(parts), None

    def _output(self, action: Action) -> Render:
        line = _Line(action)
        names, pipeline = line.declaration()
        line.expect_end()
        if names:
            return lambda scope, out: scope.variables.__setitem__(names[0], pipeline(scope))
        return lambda scope, out: out.append(show_value(pipeline(scope), top=True))

    def _control(self, action: Action) -> Render:
        line = _Line(action, skip=1)
        names, pipeline = line.declaration()
        line.expect_end()
        self._ranges += action.keyword == "range"
        body, end = self.block()
        self._ranges -= action.keyword == "range"
        otherwise: Render = sequence([])
        if end is not None and end.keyword == "else":
            if len(end.tokens) > 1:  # {{else if ...}}: the rest of the chain, which ends at the same {{end}}
                otherwise, end = self._control(Action(end.tokens[1:], end.line)), Action.END
            else:
                otherwise, end = self.block()
        if end is None or end.keyword != "end":
            raise self.error(action, "unexpected EOF")
        make = {"if": if_, "with": with_, "range": range_}[action.keyword]
        return make(names, pipeline, body, otherwise)

    def _leaving(self, action: Action) -> Render:
        if not self._ranges:
            raise self.error(action, f"{{{{{action.keyword}}}}} outside {{{{range}}}}")
        return leave(action.keyword)

    def _named(self, action: Action) -> Render:
        """``define`` gives a body a name, ``template`` puts it in, ``block`` does both."""
        line = _Line(action, skip=1)
        name = line.text()
        value: Evaluate = lambda scope: None  # noqa: E731
        if action.keyword == "block" or (action.keyword == "template" and not line.is_done):
            value = line.pipeline()
        line.expect_end()
        if action.keyword != "template":
            body, end = self.block()
            if end is None or end.keyword != "end":
                raise self.error(action, "unexpected EOF")
            self.templates[name] = body
        if action.keyword == "define":
            return sequence([])
        return named(self.templates, name, value)


# --- one action ------------------------------------------------------------------------------------------------------


class _Line:
    """The tokens of one action, read from left to right."""

    def __init__(self, action: Action, skip: int = 0) -> None:
        self.action = action
        self.tokens = action.tokens
        self.at = skip

    def _peek(self, ahead: int = 0) -> Token | None:
        at = self.at + ahead
        return self.tokens[at] if at < len(self.tokens) else None

    def _is(self, kind: str, ahead: int = 0) -> bool:
        token = self._peek(ahead)
        return token is not None and token.kind == kind

    @property
    def is_done(self) -> bool:
        return self._peek() is None

    def text(self) -> str:
        """A name in quotes."""
        token = self._peek()
        if token is None or not isinstance(token.value, str):
            shown = token.text if token else "}}"
            raise _Parser.error(self.action, f"unexpected {shown} in {self.action.keyword} clause")
        self.at += 1
        return token.value

    def expect_end(self) -> None:
        if (token := self._peek()) is not None:
            raise _Parser.error(self.action, f'unexpected "{token.text}" in operand')

    def declaration(self) -> tuple[list[str], Evaluate]:
        """``$x :=`` or ``$key, $value :=`` where there is one, and the pipeline."""
        names: list[str] = []
        ahead = 0
        while self._is("variable", ahead):
            names.append(self.tokens[self.at + ahead].text)
            if self._is("assign", ahead + 1):
                self.at += ahead + 2
                return names, self.pipeline()
            if not self._is("comma", ahead + 1):
                break
            ahead += 2
        return [], self.pipeline()

    def pipeline(self) -> Evaluate:
        value = self._command(None)
        while self._is("pipe"):
            self.at += 1
            value = self._command(value)
        return value

    def _command(self, piped: Evaluate | None) -> Evaluate:
        """An operand, or a function or method with its operands; what was piped in is the last of them."""
        token = self._peek()
        if token is None:
            raise _Parser.error(self.action, "missing value for command")
        if token.kind == "word" and token.text not in ("true", "false", "nil"):
            if token.text not in FUNCTIONS:
                raise _Parser.error(self.action, f'function "{token.text}" not defined')
            self.at += 1
            call: Callable[..., Any] = _guarded(token.text, FUNCTIONS[token.text])
            return _call(lambda scope: call, [*self._operands(), *([piped] if piped else [])])
        first = self._operand()
        arguments = [*self._operands(), *([piped] if piped else [])]
        return _call(first, arguments) if arguments else first

    def _operands(self) -> list[Evaluate]:
        found = []
        while (token := self._peek()) is not None and token.kind not in ("pipe", "close"):
            found.append(self._operand())
        return found

    def _operand(self) -> Evaluate:
        token = self.tokens[self.at]
        self.at += 1
        if token.kind == "literal":
            return lambda scope: token.value
        if token.kind == "word" and token.text in ("true", "false", "nil"):
            constant = {"true": True, "false": False, "nil": None}[token.text]
            return lambda scope: constant
        if token.kind == "word" and token.text in FUNCTIONS:
            return _call(lambda scope: FUNCTIONS[token.text], [])
        if token.kind == "dot":
            return lambda scope: scope.dot
        if token.kind == "field":
            return self._fields(lambda scope: scope.dot, token)
        if token.kind == "variable":
            return self._chain(lambda scope: scope.variables.get(token.text))
        if token.kind == "open":
            inner = self.pipeline()
            if not self._is("close"):
                raise _Parser.error(self.action, "unclosed left paren")
            self.at += 1
            return self._chain(inner)
        raise _Parser.error(self.action, f'unexpected "{token.text}" in operand')

    def _chain(self, base: Evaluate) -> Evaluate:
        """Fields that follow a variable or a parenthesis without a space."""
        token = self._peek()
        if token is not None and token.kind == "field" and token.glued:
            self.at += 1
            return self._fields(base, token)
        return base

    def _fields(self, base: Evaluate, token: Token) -> Evaluate:
        names = token.text[1:].split(".")
        places, column = [], token.column
        for name in names:
            places.append(f'template: :{self.action.line}:{column}: executing "" at <{token.text}>: ')
            column += 1 + len(name)

        def evaluate(scope: Scope) -> Any:
            value, parent = base(scope), ""
            for number, (name, place) in enumerate(zip(names, places), 1):
                value, parent = field_of(value, name, parent, place, is_last=number == len(names)), name
            return value

        return evaluate


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose wrong operands become Go's error line."""

    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            raise CommandError(f"failed to execute template: template: error calling {name}: {error}") from error

    return call


def _call(function: Evaluate, arguments: list[Evaluate]) -> Evaluate:
    def evaluate(scope: Scope) -> Any:
        called = function(scope)
        values = [argument(scope) for argument in arguments]
        if not callable(called):
            raise CommandError("failed to execute template: template: can't give argument to non-function")
        return called(*values)

    return evaluate
