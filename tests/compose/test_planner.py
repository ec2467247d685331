"""The planner: by tables of what it decides, and by seeded walks in which commands are cut off anywhere."""

from __future__ import annotations

import random
import threading
from typing import Any, Iterator

import pytest

from compose.fake_engine import FakeClient, FakeEngine
from engine.compose.project import ComposeError, Project
from engine.compose.running import comparison
from engine.compose.running.actual import Actual, image_ids, read
from engine.compose.running.desired import desired_state
from engine.compose.running.effects import Effects
from engine.compose.running.executor import Executor, _Run
from engine.compose.running.hashing import service_hash
from engine.compose.running.images import Images
from engine.compose.running.listening import Listener
from engine.compose.running.plan import KILL, PAUSE, UNPAUSE, Action, Plan
from engine.compose.running.plan_down import DownOptions, plan_down, plan_each, plan_orphans, plan_remove, plan_stop
from engine.compose.running.plan_images import plan_builds, plan_images
from engine.compose.running.plan_restart import plan_restart
from engine.compose.running.plan_up import UpOptions, plan_up

Json = dict[str, Any]
HEALTH = {"test": ["CMD", "true"]}


def project_of(services: Json, networks: Json | None = None, volumes: Json | None = None) -> Project:
    """A project in canonical form: every service on the default network unless it says where."""
    full = {
        name: {"image": "app", **({} if "network_mode" in one else {"networks": {"default": None}}), **one}
        for name, one in services.items()
    }
    named = {"default": {"name": "shop_default", "ipam": {}}, **(networks or {})}
    model = {"name": "shop", "services": full, "networks": named, "volumes": volumes or {}}
    return Project("shop", "/shop", ("/shop/compose.yaml",), model, (), {}, ())


def needs(*names: str, condition: str = "service_started", **more: Any) -> Json:
    return {"depends_on": {name: {"condition": condition, "required": True, **more} for name in names}}


class World:
    """A fake engine and commands on it."""

    def __init__(self, ends: Json | None = None) -> None:
        self.engine = FakeEngine("app", "job", ends=ends)
        self.client = FakeClient(self.engine)

    def planned(
        self, project: Project, *chosen: str, scales: Json | None = None, deps: bool = True, **options: Any
    ) -> Plan:
        desired = desired_state(project, chosen, scales=scales, with_needs=deps)
        ids = image_ids(self.client, [one.image for one in desired.services.values()])  # type: ignore[arg-type]
        return plan_up(desired, self.actual(), ids, UpOptions(**options), service_hash)

    def actual(self) -> Actual:
        return read(self.client, "shop")  # type: ignore[arg-type]

    def carry_out(self, project: Project, plan: Plan, steps: int | None = None, scales: Json | None = None) -> None:
        desired = desired_state(project, scales=scales)
        ids = image_ids(self.client, [one.image for one in desired.services.values()])  # type: ignore[arg-type]
        images = Images(desired, Listener(), lambda *_: None)  # type: ignore[arg-type, return-value]
        effects = Effects(plan, desired, self.actual(), ids, Listener(), images)
        for action in plan.actions[:steps]:
            effects.perform(self.client, action, threading.Event())  # type: ignore[arg-type]

    def up(self, project: Project, *chosen: str, **options: Any) -> list[str]:
        plan = self.planned(project, *chosen, **options)
        self.carry_out(project, plan, scales=options.get("scales"))
        return keys(plan)

    def down(self, project: Project, **options: Any) -> list[str]:
        desired = desired_state(project)
        plan = plan_down(project, self.actual(), desired.needs, desired.services, DownOptions(**options))
        self.carry_out(project, plan)
        return keys(plan)


def keys(plan: Plan) -> list[str]:
    return [action.key for action in plan.actions]


def whys(plan: Plan) -> dict[str, tuple[str, ...]]:
    return {action.name: action.why for action in plan.actions if action.why}


@pytest.fixture
def world() -> World:
    return World()


SHOP = project_of(
    {
        "db": {
            "healthcheck": HEALTH,
            "volumes": [{"type": "volume", "source": "data", "target": "/data", "volume": {}}],
        },
        "api": needs("db", condition="service_healthy"),
        "web": {**needs("api"), "scale": 2},
    },
    volumes={"data": {"name": "shop_data"}},
)


# --- up --------------------------------------------------------------------------------------------------------------


def test_a_project_comes_up_in_the_order_of_its_dependencies(world: World) -> None:
    plan = world.planned(SHOP)
    order = keys(plan)
    assert order.index("create Network shop_default") < order.index("create Container shop-db-1")
    assert order.index("create Volume shop_data") < order.index("create Container shop-db-1")
    by_key = {action.key: action for action in plan.actions}
    assert "wait Container shop-db-1 service_healthy" in by_key["start Container shop-api-1"].needs
    assert by_key["wait Container shop-db-1 service_healthy"].needs == {"start Container shop-db-1"}
    assert "start Container shop-api-1" in by_key["start Container shop-web-2"].needs
    assert not by_key["create Container shop-web-1"].needs & {"start Container shop-api-1"}, "making waits for nobody"
    world.carry_out(SHOP, plan)
    assert world.engine.names() == ["shop-api-1", "shop-db-1", "shop-web-1", "shop-web-2"]


def test_an_unchanged_project_is_left_alone(world: World) -> None:
    world.up(SHOP)
    plan = world.planned(SHOP)
    assert not plan and plan.unchanged == ("shop-db-1", "shop-api-1", "shop-web-1", "shop-web-2")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"environment": {"A": "1"}}, "environment: set to {\"A\":\"1\"}"),
        ({"command": ["sleep", "2"]}, "command: set to [\"sleep\",\"2\"]"),
        ({"labels": {"a": "b"}}, "labels: set to {\"a\":\"b\"}"),
    ],
)
def test_what_changed_is_made_anew_and_named(world: World, change: Json, why: str) -> None:
    world.up(SHOP)
    services = SHOP.model["services"]
    changed = project_of({**services, "api": {**services["api"], **change}}, volumes=SHOP.model["volumes"])
    plan = world.planned(changed)
    assert keys(plan) == ["recreate Container shop-api-1", "start Container shop-api-1"]
    assert whys(plan) == {"shop-api-1": (why,)}
    world.carry_out(changed, plan)
    assert not world.planned(changed)


def test_what_does_not_make_another_container_changes_nothing(world: World) -> None:
    world.up(SHOP)
    services = SHOP.model["services"]
    changed = project_of({**services, "api": {**services["api"], "pull_policy": "always", "depends_on": {}}},
                         volumes=SHOP.model["volumes"])  # fmt: skip
    assert not world.planned(changed)


def test_a_new_image_is_a_reason(world: World) -> None:
    world.up(SHOP)
    world.engine.images["app"] = "sha256:newer"
    assert whys(world.planned(SHOP, "db"))["shop-db-1"] == ("image app: app -> newer",)
    assert not world.planned(SHOP, no_recreate=True)


def test_force_recreate_is_for_the_named_services(world: World) -> None:
    world.up(SHOP)
    assert list(whys(world.planned(SHOP, "api", force_recreate=True))) == ["shop-api-1"]
    assert len(whys(world.planned(SHOP, force_recreate=True))) == 4


def test_scaling_up_and_down(world: World) -> None:
    world.up(SHOP)
    world.up(SHOP, scales={"web": 4})
    assert [name for name in world.engine.names() if "web" in name] == [f"shop-web-{n}" for n in (1, 2, 3, 4)]
    assert world.up(SHOP, "web", scales={"web": 1}) == [
        f"{verb} Container shop-web-{number}" for verb in ("stop", "remove") for number in (2, 3, 4)
    ]
    assert not world.up(SHOP, scales={"web": 1})


def test_one_name_is_for_one_container() -> None:
    with pytest.raises(ComposeError, match="container names must be unique"):
        desired_state(project_of({"web": {"container_name": "site", "scale": 2}}))


def test_without_dependencies(world: World) -> None:
    plan = world.planned(SHOP, "api", deps=False)
    assert [action.name for action in plan.actions if action.kind == "Container"] == ["shop-api-1", "shop-api-1"]


def test_stopped_and_paused_ones_run_again(world: World) -> None:
    world.up(SHOP)
    world.engine.by_name("shop-web-1")["state"] = "paused"
    world.engine.by_name("shop-web-2").update(state="exited", code=0)
    assert keys(world.planned(SHOP)) == ["unpause Container shop-web-1", "start Container shop-web-2"]


def test_a_job_has_to_complete() -> None:
    job = {"image": "job"}
    project = project_of({"migrate": job, "api": needs("migrate", condition="service_completed_successfully")})
    world = World(ends={"job": 0})
    assert "wait Container shop-migrate-1 service_completed_successfully" in world.up(project)
    failing = World(ends={"job": 3})
    with pytest.raises(ComposeError, match='service "migrate" didn\'t complete successfully: exit 3'):
        failing.up(project)
    assert failing.engine.by_name("shop-api-1")["state"] == "created"


def test_an_optional_dependency_may_fail() -> None:
    how = needs("migrate", condition="service_completed_successfully")
    how["depends_on"]["migrate"]["required"] = False
    world = World(ends={"job": 3})
    world.up(project_of({"migrate": {"image": "job"}, "api": how}))
    assert world.engine.by_name("shop-api-1")["state"] == "running"


def test_whoever_wants_to_is_restarted_along(world: World) -> None:
    project = project_of({"db": {}, "api": needs("db", restart=True), "web": needs("api")})
    world.up(project)
    changed = project_of({**project.model["services"], "db": {"environment": {"A": "1"}}})
    order = keys(world.planned(changed))
    assert order == [
        "stop Container shop-api-1", "recreate Container shop-db-1", "start Container shop-db-1",
        "start Container shop-api-1",
    ]  # fmt: skip
    desired = desired_state(project, ("db",), with_needs=False)
    restarts = plan_restart(desired, world.actual(), ["db"], with_dependents=True, timeout_s=None)
    assert keys(restarts) == ["restart Container shop-db-1", "restart Container shop-api-1"]
    alone = plan_restart(desired, world.actual(), ["db"], with_dependents=False, timeout_s=None)
    assert keys(alone) == ["restart Container shop-db-1"]


def test_who_shares_a_namespace_follows(world: World) -> None:
    project = project_of({"vpn": {}, "app": {"network_mode": "service:vpn"}})
    world.up(project)
    vpn = next(id for id, one in world.engine.containers.items() if one["name"] == "shop-vpn-1")
    assert world.engine.by_name("shop-app-1")["body"]["HostConfig"]["NetworkMode"] == f"container:{vpn}"
    assert not world.planned(project)
    plan = world.planned(project, "vpn", "app", force_recreate=True)
    world.carry_out(project, plan)
    changed = project_of({"vpn": {"environment": {"A": "1"}}, "app": {"network_mode": "service:vpn"}})
    assert whys(world.planned(changed))["shop-app-1"] == ("container of vpn, which it shares, is made anew",)


def test_a_changed_network_is_made_anew_with_everybody_on_it(world: World) -> None:
    world.up(SHOP)
    changed = SHOP.replace(model={**SHOP.model, "networks": {
        "default": {"name": "shop_default", "ipam": {}, "internal": True}}})  # fmt: skip
    order = world.up(changed, "db")
    assert order.index("remove Network shop_default") < order.index("create Network shop_default")
    assert {"recreate Container shop-web-2", "start Container shop-web-2"} <= {*order}
    assert not world.planned(changed)


def test_what_others_own_is_not_taken(world: World) -> None:
    project = project_of({"db": {"volumes": [{"type": "volume", "source": "data", "target": "/d", "volume": {}}]}},
                         volumes={"data": {"name": "shop_data"}})  # fmt: skip
    world.engine.volumes["shop_data"] = {}
    assert "already exists but was not created by Docker Compose" in world.planned(project).warnings[0]
    world.engine.networks["shop_default"] = {"Id": "n", "Labels": {
        "com.docker.compose.project": "shop", "com.docker.compose.network": "other"}}  # fmt: skip
    with pytest.raises(ComposeError, match="incorrect label com.docker.compose.network"):
        world.planned(project)


@pytest.mark.parametrize(
    ("networks", "volumes", "words"),
    [
        ({"default": {"name": "outer", "external": True}}, {}, "network outer declared as external, but could not"),
        ({}, {"data": {"name": "kept", "external": True}}, 'external volume "kept" not found'),
    ],
)
def test_external_ones_must_be_there(world: World, networks: Json, volumes: Json, words: str) -> None:
    mounts = [{"type": "volume", "source": "data", "target": "/d", "volume": {}}] if volumes else []
    with pytest.raises(ComposeError, match=words):
        world.planned(project_of({"db": {"volumes": mounts}}, networks, volumes))


def test_orphans_are_named_or_removed(world: World) -> None:
    world.up(SHOP)
    smaller = project_of({"db": {}})
    plan = world.planned(smaller)
    assert "Found orphan containers ([shop-api-1 shop-web-1 shop-web-2])" in plan.warnings[0]
    assert keys(plan_orphans(smaller, world.actual())) == [
        f"{verb} Container shop-{name}" for verb in ("stop", "remove") for name in ("api-1", "web-1", "web-2")
    ]
    world.up(smaller, remove_orphans=True)
    assert world.engine.names() == ["shop-db-1"]


@pytest.mark.parametrize(
    ("services", "words"),
    [
        ({"a": needs("b"), "b": needs("c"), "c": needs("a")}, "dependency cycle detected: a -> b -> c -> a"),
        ({"a": needs("b")}, 'service "a" depends on undefined service "b"'),
        ({"a": {"network_mode": "service:b"}}, 'service "a" depends on undefined service "b"'),
    ],
)
def test_what_can_not_be_is_named_at_once(services: Json, words: str) -> None:
    with pytest.raises(ComposeError, match=words):
        desired_state(project_of(services))
    with pytest.raises(ComposeError, match="no such service: nope"):
        desired_state(SHOP, ("nope",))


# --- down, stop, rm, start -------------------------------------------------------------------------------------------


def test_down_goes_backwards(world: World) -> None:
    world.up(SHOP)
    desired = desired_state(SHOP)
    plan = plan_down(SHOP, world.actual(), desired.needs, desired.services, DownOptions())
    by_key = {action.key: action for action in plan.actions}
    assert by_key["stop Container shop-db-1"].needs == {
        f"stop Container shop-{name}" for name in ("api-1", "web-1", "web-2")
    }
    stops = {f"stop Container shop-{name}" for name in ("api-1", "db-1", "web-1", "web-2")}
    assert by_key["remove Network shop_default"].needs == stops, "beside the removal of the containers"
    world.carry_out(SHOP, plan)
    assert not world.engine.containers and not world.engine.networks and list(world.engine.volumes) == ["shop_data"]
    assert world.down(SHOP, volumes=True) == ["remove Volume shop_data"]
    assert not world.down(SHOP)


def test_a_part_goes_down(world: World) -> None:
    world.up(SHOP)
    plan = plan_down(SHOP, world.actual(), desired_state(SHOP).needs, ["web"], DownOptions(volumes=True))
    assert {action.kind for action in plan.actions} == {"Container"} and len(plan.actions) == 4


def test_stop_remove_kill_and_start(world: World) -> None:
    world.up(SHOP)
    desired = desired_state(SHOP)
    for verb in (KILL, PAUSE, UNPAUSE):  # whether one is paused already is the engine's to say
        assert len(plan_each(verb, world.actual(), ["web"], "TERM").actions) == 2
    world.carry_out(SHOP, plan_stop(world.actual(), desired.needs, ["web", "api"], None))
    assert keys(plan_stop(world.actual(), desired.needs, ["web", "api", "db"], None)) == ["stop Container shop-db-1"]
    start = world.planned(SHOP, "api", make=False)
    assert keys(start) == ["start Container shop-api-1"]
    removal = plan_remove(world.actual(), desired.needs, desired.services, stop=False, volumes=False)
    world.carry_out(SHOP, removal)
    assert world.engine.names() == ["shop-db-1"]
    with pytest.raises(ComposeError, match='service "api" has no container to start'):
        world.planned(SHOP, "api", make=False)


# --- images ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "there", "options", "expected"),
    [
        ({}, True, {}, []),
        ({}, False, {}, ["pull Image app"]),
        ({"pull_policy": "always"}, True, {}, ["pull Image app"]),
        ({}, True, {"pull": "always"}, ["pull Image app"]),
        ({"pull_policy": "always"}, True, {"pull": "never"}, []),
        ({"build": {"context": "."}}, False, {}, ["build Image app"]),
        ({"build": {"context": "."}}, True, {}, []),
        ({"build": {"context": "."}}, True, {"build": True}, ["build Image app"]),
        ({"build": {"context": "."}, "pull_policy": "build"}, True, {}, ["build Image app"]),
        ({"build": {"context": "."}}, False, {"no_build": True}, ["pull Image app"]),
        ({"pull_policy": "daily"}, True, {"ages_s": {"app": 90000.0}}, ["pull Image app"]),
        ({"pull_policy": "every_2d"}, True, {"ages_s": {"app": 90000.0}}, []),
        ({"scale": 0}, False, {}, []),
    ],
)
def test_which_images_are_fetched(service: Json, there: bool, options: Json, expected: list[str]) -> None:
    desired = desired_state(project_of({"web": service}))
    assert keys(plan_images(desired, {"app": "sha256:1"} if there else {}, **options)) == expected


def test_an_image_that_is_a_context_is_built_first() -> None:
    def built_with(*names: str) -> Json:
        return {"image": None, "build": {"additional_contexts": {name: f"service:{name}" for name in names}}}

    project = project_of({"app": built_with("tool"), "lib": built_with(), "tool": built_with("lib")})
    desired = desired_state(project, ("app",))
    for plan in (plan_images(desired, {}), plan_builds(desired, desired.selected)):
        assert keys(plan) == [f"build Image shop-{name}" for name in ("lib", "tool", "app")]
        assert plan.actions[2].needs == {"build Image shop-tool"}
    assert keys(plan_images(desired, {"shop-tool": "sha256:1"})) == ["build Image shop-app"]


def test_images_that_are_made_of_each_other() -> None:
    services: dict[str, Json] = {
        name: {"image": None, "build": {"additional_contexts": {"base": f"service:{base}"}}}
        for name, base in (("a", "b"), ("b", "a"))
    }
    desired = desired_state(project_of(services))
    for plan in (lambda: plan_images(desired, {}), lambda: plan_builds(desired, desired.selected)):
        with pytest.raises(ComposeError, match="dependency cycle detected: shop-a -> shop-b -> shop-a"):
            plan()


def test_an_image_that_is_not_to_be_pulled_must_be_there() -> None:
    with pytest.raises(ComposeError, match='service "web": no such image: app'):
        plan_images(desired_state(project_of({"web": {"pull_policy": "never"}})), {})


# --- differences -----------------------------------------------------------------------------------------------------


def test_differences_name_each_key() -> None:
    old = {"image": "a", "environment": {"A": "1", "B": "2"}, "command": ["x"]}
    new = {"image": "b", "environment": {"A": "2", "C": "3"}, "command": ["x"]}
    assert list(comparison.differences(old, new)) == [
        "environment.A: 1 -> 2", "environment.B: 2 is no longer set", "environment.C: set to 3", "image: a -> b",
    ]  # fmt: skip


# --- carrying out ----------------------------------------------------------------------------------------------------


def test_an_interruption_at_any_moment_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the moment when an end was heard and not yet counted."""
    taken = _Run._take

    def interrupted(run: _Run, action: Action, error: BaseException | None) -> None:
        if action.key == "b Container x":
            raise KeyboardInterrupt
        taken(run, action, error)

    monkeypatch.setattr(_Run, "_take", interrupted)
    done: list[str] = []
    actions = (Action("a", "Container", "x"), Action("b", "Container", "x", needs=frozenset({"a Container x"})),
               Action("c", "Container", "x", needs=frozenset({"b Container x"})))  # fmt: skip

    def perform(client: Any, action: Action, give_up: threading.Event) -> str:
        done.append(action.verb)
        return ""

    executor = Executor(lambda: FakeClient(FakeEngine()), perform, Listener())  # type: ignore[arg-type, return-value]
    with pytest.raises(KeyboardInterrupt):
        executor.run(Plan(actions))
    assert done == ["a", "b"]


def test_a_failure_lets_nothing_new_begin_unless_the_plan_tears_down() -> None:
    actions = (Action("a", "Container", "x"), Action("b", "Container", "x", needs=frozenset({"a Container x"})),
               Action("c", "Container", "y"),
               Action("d", "Container", "y", needs=frozenset({"c Container y"})))  # fmt: skip
    for keep_going, expected in ((False, {"a", "c"}), (True, {"a", "c", "d"})):
        done: list[str] = []

        def perform(client: Any, action: Action, give_up: threading.Event, done: list[str] = done) -> str:
            done.append(action.verb)
            if action.verb == "a":
                raise ComposeError("a failed")
            return ""

        executor = Executor(lambda: FakeClient(FakeEngine()), perform, Listener(), parallel=1)  # type: ignore
        with pytest.raises(ComposeError, match="a failed"):
            executor.run(Plan(actions), keep_going=keep_going)
        assert set(done) <= expected and "b" not in done and (not keep_going or set(done) == expected)


# --- walks -----------------------------------------------------------------------------------------------------------


def random_project(rng: random.Random) -> Project:
    names = ["a", "b", "c", "d"][: rng.randint(1, 4)]
    services: Json = {}
    for at, name in enumerate(names):
        below = rng.sample(names[:at], rng.randint(0, at))
        how = {"condition": rng.choice(["service_started", "service_healthy"]), "restart": rng.random() < 0.3}
        services[name] = {
            "healthcheck": HEALTH, "environment": {"V": str(rng.randint(0, 1))}, "scale": rng.randint(0, 2),
            "depends_on": {other: {"required": True, **how} for other in below},
        }  # fmt: skip
        if below and services[below[0]]["scale"] and rng.random() < 0.3:
            services[name]["network_mode"] = f"service:{below[0]}"
            services[name]["depends_on"] = {below[0]: {"condition": "service_started", "required": True}}
    return project_of(services, {"default": {"name": "shop_default", "ipam": {}, "internal": rng.random() < 0.2}})


def walk(rng: random.Random) -> Iterator[tuple[World, Project]]:
    """Commands that are cut off anywhere; then an ``up`` that comes to its end."""
    world = World()
    for _ in range(8):
        project = random_project(rng)
        if rng.random() < 0.3:
            plan = plan_down(project, world.actual(), desired_state(project).needs, project.model["services"],
                             DownOptions(remove_orphans=rng.random() < 0.5))  # fmt: skip
        else:
            plan = world.planned(project, remove_orphans=rng.random() < 0.5, force_recreate=rng.random() < 0.2)
        world.carry_out(project, shuffled(plan, rng), rng.randint(0, len(plan.actions)))
        cut = rng.choice([None, "half of a recreation"])
        if cut and (project_again := random_project(rng)):
            cut_inside_a_recreation(world, project_again, rng)
        yield world, random_project(rng)


def shuffled(plan: Plan, rng: random.Random) -> Plan:
    """The same actions in another order that respects their needs: side by side anything may come first."""
    rest, order = list(plan.actions), []
    while rest:
        done = {action.key for action in order}
        order.append(rest.pop(rest.index(rng.choice([action for action in rest if action.needs <= done]))))
    return plan.replace(actions=tuple(order))


def cut_inside_a_recreation(world: World, project: Project, rng: random.Random) -> None:
    """The new container is there under its name in between; whether the old one is gone is left to chance."""
    plan = world.planned(project)
    for number, action in enumerate(plan.actions):
        if action.verb != "recreate" or action.container is None:
            continue
        world.carry_out(project, plan, number)
        before = {**world.engine.containers}
        world.carry_out(project, plan.replace(actions=(action,)))
        (made,) = world.engine.containers.keys() - before.keys()
        world.engine.containers[made]["name"] = f"{action.container.id[:12]}_{action.name}"
        if rng.random() < 0.5:
            world.engine.containers[action.container.id] = before[action.container.id]
        return


@pytest.mark.parametrize("seed", range(60))
def test_whatever_was_cut_off_the_next_up_settles(seed: int) -> None:
    rng = random.Random(seed)
    for world, project in walk(rng):
        world.carry_out(project, shuffled(world.planned(project, remove_orphans=True), rng))
        expected = [f"shop-{name}-{n}" for name, one in project.model["services"].items() for n in range(one["scale"])]
        assert len(world.engine.names()) == len(expected)
        assert not [name for name in world.engine.names() if "_" in name], "no name in between is left"
        assert all(one["state"] == "running" for one in world.engine.containers.values())
        again = world.planned(project)
        assert not again, keys(again)
    world.down(project)
    assert not world.engine.containers and not world.engine.networks
