"""Go templates: what Docker's users write after --format, and the words for what they get wrong."""

from __future__ import annotations

from typing import Any

import pytest

from engine.cli.listing import Row
from engine.cli.output import CommandError
from engine.cli.template import parse, parse_format

CONTAINER: dict[str, Any] = {
    "Id": "3f2a",
    "Name": "/web",
    "State": {"Status": "running", "Running": True, "Pid": 42, "Error": ""},
    "Config": {"Labels": {"team": "x", "a b": "y"}, "Env": ["A=1", "B=2"], "Cmd": None},
    "Mounts": [{"Source": "/srv", "Destination": "/data"}, {"Source": "/a", "Destination": "/b"}],
    "HostConfig": {"NanoCpus": 500000000, "Ratio": 0.5, "Whole": 2.0},
}


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("plain", "plain"),
        ("{{.State.Pid}}", "42"),
        ("{{.ID}} {{.State.PID}} {{.Config.Labels.TEAM}}", "3f2a 42 <no value>"),
        ("{{ .State.Status }} {{.State.Running}}", "running true"),
        ("{{json .State}}", '{"Status":"running","Running":true,"Pid":42,"Error":""}'),
        ("{{.Config.Env}}", "[A=1 B=2]"),
        ("{{.Config.Labels}}", "map[a b:y team:x]"),
        ("{{.Config.Labels.team}}|{{.Config.Labels.none}}", "x|<no value>"),
        ('{{index .Config.Labels "a b"}}', "y"),
        ("{{index .Mounts 1}}", "map[Destination:/b Source:/a]"),
        ("{{(index .Mounts 0).Source}}", "/srv"),
        ("{{range .Mounts}}{{.Source}}->{{.Destination}};{{end}}", "/srv->/data;/a->/b;"),
        ("{{range $i, $m := .Mounts}}{{$i}}{{$m.Source}}{{end}}", "0/srv1/a"),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}},{{end}}", "a b=y,team=x,"),
        ("{{range .Config.Cmd}}x{{else}}none{{end}}", "none"),
        ("{{if .State.Error}}bad{{else if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if not .State.Running}}down{{end}}", ""),
        ("{{if and .State.Running (eq .State.Pid 42 43)}}yes{{end}}", "yes"),
        ('{{if or .State.Error "x"}}yes{{end}}', "yes"),
        ("{{with .Config}}{{.Env}}{{$.Name}}{{end}}", "[A=1 B=2]/web"),
        ("{{with $c := .State}}{{$c.Pid}}{{end}}{{with .State.Error}}x{{else}}y{{end}}", "42y"),
        ("{{$x := .State.Pid}}{{$x}}{{$x = 7}}{{$x}}", "427"),
        ("a {{- .Name -}} b", "a/webb"),
        ("{{/* nothing */}}x{{- /* trimmed */ -}} y", "xy"),
        ('{{join .Config.Env ", "}}', "A=1, B=2"),
        ('{{index (split .Name "/") 1}}', "web"),
        ('{{.Name | printf "%s-%d" "x" | upper}}', "X-%!D(/WEB)"),
        ('{{printf "%-5s|%5s|%03d|%q|%v|%%" "a" "b" 7 "q" .Config.Env}}', 'a    |    b|007|"q"|[A=1 B=2]|%'),
        ("{{len .Mounts}}{{len .Name}}", "24"),
        ("{{slice .Id 1 3}}{{truncate .Id 2}}", "f23f"),
        ('{{title "hello world"}}{{lower "ABC"}}{{pad "x" 1 2}}|', "Hello Worldabc x  |"),
        ("{{println .Id 1}}{{print 1 2 .Id}}", "3f2a 1\n1 23f2a"),
        ("{{.HostConfig.Ratio}} {{.HostConfig.Whole}} {{.HostConfig.NanoCpus}}", "0.5 2 500000000"),
        ("{{eq 1 1}}{{ne 1 1}}{{lt 1 2}}{{le 2 2}}{{gt 1 2}}{{ge 1 2}}", "truefalsetruetruefalsefalse"),
        ("{{`raw \\n`}}{{'a'}}{{true}}{{nil | json}}", "raw \\n97truenull"),
        ('{{index .Config.Labels "none"}}|{{index .State "none"}}', "|<no value>"),
        ("{{range $i, $m := .Mounts}}{{if eq $i 1}}{{break}}{{end}}{{.Source}}{{end}}", "/srv"),
        ('{{range .Mounts}}{{if eq .Source "/srv"}}{{continue}}{{end}}{{.Source}}{{end}}', "/a"),
        ('{{define "T"}}<{{.}}{{$}}>{{end}}{{template "T" .Id}}{{template "T"}}', "<3f2a3f2a><<no value><no value>>"),
        ('{{block "B" .State}}{{.Pid}}{{end}}{{template "B" .State}}', "4242"),
        ('{{html "<a&b>"}} {{js "a\'b<"}} {{urlquery "a b&c/d"}}', "&lt;a&amp;b&gt; a\\'b\\u003C a+b%26c%2Fd"),
        ("{{json .Config.Labels}}{{.Config.Cmd}}", '{"team":"x","a b":"y"}[]'),
    ],
)
def test_shown(template: str, shown: str) -> None:
    assert parse(template).execute(CONTAINER) == shown


def test_what_inspection_leaves_out_is_empty_and_no_mistake() -> None:
    text = (
        "{{.State.Health}}{{with .Config.Healthcheck}}x{{end}}{{.Config.ExposedPorts}}{{.Config.StopSignal}}"
        "{{len .HostConfig.Mounts}}{{json .SizeRw}}{{range .HostConfig.Tmpfs}}x{{end}}"
    )
    assert parse(text).execute(CONTAINER) == "<nil>map[]0null"
    with pytest.raises(CommandError, match='map has no entry for key "Health"'):
        parse("{{.State.Health.Status}}").execute(CONTAINER)


NULLS = {
    "ExecIDs": None,
    "HostConfig": {"Binds": None, "PidsLimit": None, "Sysctls": None, "StorageOpt": None},
    "Config": {"Volumes": None, "Entrypoint": None, "Labels": {"PidsLimit": None}},
    "NetworkSettings": {"Ports": {"80/tcp": None}},
}


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("{{.ExecIDs}}{{.HostConfig.Binds}}{{.Config.Entrypoint}}{{.Config.entrypoint}}", "[][][][]"),
        ("{{.Config.Volumes}}{{.HostConfig.Sysctls}}{{.HostConfig.StorageOpt}}", "map[]map[]map[]"),
        ("{{.HostConfig.PidsLimit}}{{.HostConfig.PidsLimit.Value}}", "<nil><no value>"),
        ("{{json .ExecIDs}}{{json .Config.Volumes}}{{json .HostConfig.PidsLimit}}", "nullnullnull"),
        ("{{len .ExecIDs}}{{if .Config.Volumes}}x{{end}}{{if .HostConfig.PidsLimit}}x{{end}}", "0"),
        ("{{range .ExecIDs}}x{{else}}none{{end}}{{with .HostConfig.Binds}}x{{else}}none{{end}}", "nonenone"),
        ('{{index .NetworkSettings.Ports "80/tcp"}}{{join .HostConfig.Binds ","}}', "[]"),
    ],
)
def test_nulls_are_shown_as_dockers_types_have_them(template: str, shown: str) -> None:
    """Docker's client decodes into types: a null list is an empty one, a null pointer is <nil>."""
    assert parse(template).execute(NULLS) == shown


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{.Foo}}", 'template parsing error: template: :1:2: executing "" at <.Foo>: map has no entry for key "Foo"'),
        (
            "\n{{.State.Foo}}",
            'template parsing error: template: :2:8: executing "" at <.State.Foo>: map has no entry for key "Foo"',
        ),
        (
            "{{.Name.X}}",
            'template parsing error: template: :1:7: executing "" at <.Name.X>: '
            "can't evaluate field X in type str",
        ),
        ("{{.Name", "failed to parse template: template: :1: unclosed action"),
        ("{{foo}}", 'failed to parse template: template: :1: function "foo" not defined'),
        ("{{if .Name}}", "failed to parse template: template: :1: unexpected EOF"),
        ("{{end}}", "failed to parse template: template: :1: unexpected {{end}}"),
        ("{{}}{{|}}", 'failed to parse template: template: :1: unexpected "|" in operand'),
        ('{{"abc}}', "failed to parse template: template: :1: unterminated quoted string"),
        ("{{(.Name}}", "failed to parse template: template: :1: unclosed left paren"),
        ("{{.Name )}}", 'failed to parse template: template: :1: unexpected ")" in operand'),
        ("{{break}}", "failed to parse template: template: :1: {{break}} outside {{range}}"),
        ('{{define "x"}}', "failed to parse template: template: :1: unexpected EOF"),
        ('{{template "x"}}', 'failed to execute template: template: template "x" not defined'),
        ("{{index .Mounts 9}}", "failed to execute template: template: error calling index: index out of range: 9"),
        ("{{range .Name}}{{end}}", "failed to execute template: range can't iterate over /web"),
        ('{{eq 1 "a"}}', "failed to execute template: template: error calling eq: incompatible types for comparison"),
        ("{{.Name 1}}", "failed to execute template: template: can't give argument to non-function"),
        ("{{upper 1}}", "failed to execute template: template: error calling upper: "),
    ],
)
def test_errors(template: str, message: str) -> None:
    with pytest.raises(CommandError) as raised:
        parse(template).execute(CONTAINER)
    assert str(raised.value).startswith(message) and "\n" not in str(raised.value)


@pytest.mark.parametrize("start", range(0, 60))
def test_a_cut_template_is_an_error_or_a_template_never_a_crash(start: int) -> None:
    whole = '{{range $i, $m := .Mounts}}{{if eq $i 0}}{{$m.Source | printf "%s" | upper}}{{else}}-{{end}}{{end}}'
    for text in (whole[start:], whole[:start], whole[start : start + 12]):
        try:
            parse(text).execute(CONTAINER)
        except CommandError as error:
            assert "template" in str(error)


def test_a_row_is_json_by_name_and_escapes_what_html_would_read() -> None:
    row = Row(Tag="<none>", ID="3f", Label=lambda name: name)
    assert parse("{{json .}}").execute(row) == '{"ID":"3f","Tag":"\\u003cnone\\u003e"}'
    assert parse('{{.Label "team"}} {{.Tag}}').execute(row) == "team <none>"


def test_a_field_that_a_row_lacks() -> None:
    with pytest.raises(CommandError, match=r"can't evaluate field Foo in type row"):
        parse("{{.Foo}}").execute(Row(ID="3f"))


def test_formats() -> None:
    template, is_table = parse_format("table {{.ID}}\\t{{.Names}}")
    assert (template.execute({"ID": "1", "Names": "x"}), is_table) == ("1\tx", True)
    template, is_table = parse_format("json")
    assert (template.execute({"b": 1, "a": "é"}), is_table) == ('{"b":1,"a":"é"}', False)
