"""Tags and searches: pages, ends, and what comes in place of a list."""

from __future__ import annotations

import json
from typing import Any, Callable

import pytest

from engine.domain.errors import InvalidArgument, NotFound, NotSupported, Unavailable
from engine.images.registry.client import Registries, Repository
from engine.images.registry.settings import RegistrySettings
from engine.images.registry.transfers import SearchResult
from support.scripted_registry import Exchange, ScriptedRegistry

Make = Callable[..., Repository]


def pages(*tags: str) -> Callable[[Exchange], None]:
    """One tag a page, the next by a relative Link."""

    def action(exchange: Exchange) -> None:
        at = int(exchange.asked.query.get("last", "0"))
        more = {"Link": f'</v2/team/app/tags/list?last={at + 1}&n=1>; rel="next"'} if at + 1 < len(tags) else {}
        exchange.reply_json(200, {"name": "team/app", "tags": [tags[at]]}, **more)

    return action


def test_all_pages(registry: ScriptedRegistry, repository: Make) -> None:
    registry.on("GET", "/tags/", pages("c", "a", "b", "a"))
    assert repository("team/app").tags() == ["a", "b", "c"]
    assert len(registry.asked) == 4


def test_no_tags(registry: ScriptedRegistry, repository: Make) -> None:
    assert repository("team/app").tags() == []


def test_an_unknown_repository(registry: ScriptedRegistry, repository: Make) -> None:
    registry.on("GET", "/tags/", lambda exchange: exchange.refuse(404, "NAME_UNKNOWN", "repository name not known"))
    with pytest.raises(NotFound, match="repository does not exist"):
        repository("team/app").tags()


def test_a_list_without_an_end(registry: ScriptedRegistry, repository: Make) -> None:
    registry.on("GET", "/tags/", lambda exchange: exchange.reply_json(
        200, {"tags": ["a"]}, Link='</v2/team/app/tags/list?n=1>; rel="next"'
    ))  # fmt: skip
    with pytest.raises(InvalidArgument, match="has no end"):
        repository("team/app").tags()


def test_a_list_that_goes_on_elsewhere(
    registry: ScriptedRegistry, other: ScriptedRegistry, repository: Make
) -> None:
    registry.on("GET", "/tags/", lambda exchange: exchange.reply_json(
        200, {"tags": ["a"]}, Link=f'<{other.url}/v2/team/app/tags/list>; rel="next"'
    ))  # fmt: skip
    with pytest.raises(InvalidArgument, match="in the middle of a listing"):
        repository("team/app").tags()
    assert not other.asked


@pytest.mark.parametrize(
    "body", [[], "x", {"tags": "x"}, {"tags": [1]}, {"tags": ["../x"]}, {"tags": ["a" * 129]}, {"tags": {"a": 1}}]
)
def test_what_is_no_list_of_tags(registry: ScriptedRegistry, repository: Make, body: Any) -> None:
    registry.on("GET", "/tags/", lambda exchange: exchange.reply_json(200, body))
    with pytest.raises(InvalidArgument, match="tag"):
        repository("team/app").tags()


# --- search ------------------------------------------------------------------------------------------------------


def found(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "description": "about it", "star_count": 3, "is_official": False, **more}


def index(registry: ScriptedRegistry, results: Any) -> None:
    registry.on("GET", "^/v1/search", lambda exchange: exchange.reply(200, json.dumps({"results": results}).encode()))


def test_search(registry: ScriptedRegistry, settings: RegistrySettings) -> None:
    index(registry, [found("alpine", is_official=True), found("b", description=None, is_automated=True)])
    registries = Registries(settings._replace(search_index=registry.url))
    assert registries.search("alpine linux", 7) == [
        SearchResult("alpine", "about it", 3, True, False),
        SearchResult("b", "", 3, False, True),
    ]
    assert registry.asked[-1].query == {"q": "alpine linux", "n": "7"}
    assert len(registries.search("x", 1)) == 1


def test_search_at_a_host(registry: ScriptedRegistry, settings: RegistrySettings) -> None:
    index(registry, [found("team/app")])
    assert Registries(settings).search(f"{registry.address}/app")[0].name == "team/app"
    assert registry.asked[-1].query["q"] == "app"


def test_an_index_that_is_not_there(settings: RegistrySettings) -> None:
    registries = Registries(settings._replace(search_index="http://127.0.0.1:1"))
    with pytest.raises(Unavailable, match="search index can't be reached: .*connection refused.*search-index"):
        registries.search("x")


def test_a_registry_without_search(registry: ScriptedRegistry, settings: RegistrySettings) -> None:
    with pytest.raises(NotSupported, match=f"{registry.url} offers no search"):
        Registries(settings).search(f"{registry.address}/app")


def test_terms_and_limits_that_make_no_sense(settings: RegistrySettings) -> None:
    for limit in (0, 101, -1):
        with pytest.raises(InvalidArgument, match=r"outside the range of \[1, 100\]"):
            Registries(settings).search("x", limit)
    with pytest.raises(InvalidArgument, match="without a scheme"):
        Registries(settings).search("https://host/x")


@pytest.mark.parametrize("results", [None, "x", [1], [{}], [found("a", star_count="x")], [found("a", description=[1])]])
def test_what_is_no_list_of_results(registry: ScriptedRegistry, settings: RegistrySettings, results: Any) -> None:
    index(registry, results)
    with pytest.raises(InvalidArgument, match="search index"):
        Registries(settings._replace(search_index=registry.url)).search("x")


def test_descriptions_do_not_reach_into_the_terminal(registry: ScriptedRegistry, settings: RegistrySettings) -> None:
    index(registry, [found("a", description="x\x1b]0;title\x07\ny" + "z" * 10_000)])
    (result,) = Registries(settings._replace(search_index=registry.url)).search("a")
    assert result.description.isprintable() and len(result.description) < 600
