"""Whatever state a cloud is in, one plan leads to what is wanted, and nothing is left to do after it.

The cloud is a small simulation with the rules by which Neutron, Nova and Glance refuse: references that hold
a deletion, unique names and addresses, floating addresses that hold their router. Plans are run in random
orders that respect the dependencies, as a parallel executor would.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from medicarche.plan import Action, Observed, Plan, Verb, make_plan, mark, plan_destroy
from medicarche.plan.differences import on_change
from medicarche.plan.resources import (
    Flavor,
    FloatingIp,
    Image,
    KeyPair,
    Kind,
    Network,
    Port,
    Resource,
    Router,
    RouterInterface,
    SecurityGroup,
    SecurityGroupRule,
    Server,
    Subnet,
)

ENVIRONMENT = "lab"


def _chance(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - chance that a seed repeats, no secret


class RefusedError(Exception):
    """The simulated cloud answers 409."""


@dataclass
class Thing:
    """An object of the simulated cloud; the resource's references are the cloud's ids."""

    id: str
    resource: Any
    mark: str | None
    status: str
    #: the subnet that a router's or floating address comes from
    address_from: str | None = None
    visible: bool = True

    @property
    def kind(self) -> Kind:
        """Return the resource's kind."""
        kind: Kind = self.resource.kind
        return kind


@dataclass
class Cloud:
    """A simulated project."""

    things: dict[str, Thing] = field(default_factory=dict)
    numbers: Any = field(default_factory=count)

    def of(self, kind: Kind) -> list[Thing]:
        """Return all things of a kind."""
        return [thing for thing in self.things.values() if thing.kind is kind]

    def refuse(self, condition: object, why: str) -> None:
        """Answer 409 if the condition holds."""
        if condition:
            raise RefusedError(why)

    def create(self, resource: Resource, owner: str | None, *, checked: bool = True) -> Thing:
        """Answer a POST."""
        for referred in resource.referred():
            self.refuse(referred not in self.things, f"{resource}: {referred} doesn't exist")
        thing = Thing(f"{resource.kind.value}-{next(self.numbers):04}", resource, owner, "ACTIVE")
        if checked:
            self._check(thing)
        if isinstance(resource, Router | FloatingIp):
            self._take_address(thing)
        self.things[thing.id] = thing
        return thing

    def _take_address(self, thing: Thing) -> None:
        network = getattr(thing.resource, "external_network", None) or getattr(
            thing.resource, "network", None
        )
        if network is None:
            thing.address_from = None
            return
        subnets = [s for s in self.of(Kind.SUBNET) if s.resource.network == network]
        wished = getattr(thing.resource, "external_address", None)
        if wished is not None:
            # that an unseen subnet has another range than the file says can only be told by the cloud
            subnets = [
                s for s in subnets if not s.visible or IPv4Address(wished) in IPv4Network(s.resource.cidr)
            ]
        self.refuse(not subnets, f"{thing.resource}: no subnet to take the address from")
        thing.address_from = min(subnets, key=lambda s: s.id).id

    def _check(self, thing: Thing) -> None:  # noqa: C901 - the rules of three services, one by one
        others = [t for t in self.of(thing.kind) if t.id != thing.id]
        match thing.resource:
            case Flavor(name=name) | KeyPair(name=name):
                self.refuse(any(t.resource.name == name for t in others), f"{name} exists")
            case Network(external=True):
                ours = [t for t in others if t.mark and t.mark.startswith(mark(ENVIRONMENT, ""))]
                self.refuse(any(t.resource.external for t in ours), "the physical network is taken")
            case Subnet(network=network, cidr=cidr):
                for t in others:
                    if t.resource.network == network:
                        overlap = IPv4Network(t.resource.cidr).overlaps(IPv4Network(cidr))
                        self.refuse(overlap, f"{cidr} overlaps with {t.resource.cidr}")
            case Router(external_address=str(address)):
                self.refuse(
                    any(t.resource.external_address == address for t in others), f"{address} is taken"
                )
            case RouterInterface(subnet=subnet):
                self.refuse(
                    any(t.resource.subnet == subnet for t in others), "the gateway's address is taken"
                )
            case SecurityGroupRule():
                for t in others:
                    self.refuse(_content(t.resource) == _content(thing.resource), "the rule exists")
            case Server(port=port, image=image):
                taken = any(t.resource.port == port and t.status != "ERROR" for t in others)
                self.refuse(taken, "the port has a server")
                self.refuse(self.things[image].status != "ACTIVE", "the image isn't active")
            case FloatingIp(port=str(port)):
                self.refuse(any(t.resource.port == port for t in others), "the port has a floating address")
                subnet = self.things[port].resource.subnet
                ways = [
                    self.things[i.resource.router].resource.external_network
                    for i in self.of(Kind.ROUTER_INTERFACE)
                    if i.resource.subnet == subnet
                ]
                self.refuse(thing.resource.network not in ways, "no router leads there")

    def update(self, thing_id: str, resource: Resource) -> None:
        """Answer a PUT."""
        thing = self.things[thing_id]
        old = thing.resource
        for name in (f.name for f in dataclasses.fields(resource) if f.name != "name"):
            if on_change(resource, name) == "replace":
                self.refuse(
                    getattr(old, name) != getattr(resource, name), f"{thing_id}: {name} can't be changed"
                )
        if isinstance(resource, Subnet) and old.gateway != resource.gateway:
            held = any(i.resource.subnet == thing_id for i in self.of(Kind.ROUTER_INTERFACE))
            self.refuse(held, "the gateway's address is in use")
        if isinstance(resource, Router) and old.external_network != resource.external_network:
            self.refuse(self._floating_through(thing), "floating addresses go through this router")
        changed = Thing(thing.id, resource, thing.mark, thing.status)
        self._check(changed)
        if isinstance(resource, Router):
            self._take_address(changed)
            thing.address_from = changed.address_from
        thing.resource = resource

    def _floating_through(self, router: Thing) -> list[Thing]:
        subnets = {
            i.resource.subnet for i in self.of(Kind.ROUTER_INTERFACE) if i.resource.router == router.id
        }
        return [
            f
            for f in self.of(Kind.FLOATING_IP)
            if f.resource.port is not None and self.things[f.resource.port].resource.subnet in subnets
        ]

    def delete(self, thing_id: str) -> None:
        """Answer a DELETE."""
        self.refuse(thing_id not in self.things, f"{thing_id} isn't there")
        thing = self.things[thing_id]
        match thing.kind:
            case Kind.ROUTER_INTERFACE:
                router = self.things[thing.resource.router]
                through = [
                    f
                    for f in self._floating_through(router)
                    if self.things[f.resource.port].resource.subnet == thing.resource.subnet
                ]
                self.refuse(through, "floating addresses go through this interface")
            case Kind.PORT:
                for floating in self.of(Kind.FLOATING_IP):
                    if floating.resource.port == thing_id:
                        floating.resource = dataclasses.replace(floating.resource, port=None)
            case Kind.SECURITY_GROUP:
                for rule in self.of(Kind.SECURITY_GROUP_RULE):
                    if rule.resource.group == thing_id:
                        del self.things[rule.id]
        for other in self.things.values():
            held = thing_id in other.resource.referred() or other.address_from == thing_id
            self.refuse(held, f"{other.id} uses {thing_id}")
        del self.things[thing_id]

    # -- what the executor and the observer of the cloud room do

    def observe(self, *, told: bool = True) -> list[Observed]:
        """Observe everything; ``told``: references by id come with it."""
        prefix = mark(ENVIRONMENT, "")
        ours = {
            t.id: t.mark.removeprefix(prefix)
            for t in self.things.values()
            if t.mark and t.mark.startswith(prefix)
        }
        used = {r for t in self.things.values() for r in t.resource.referred()}
        found = []
        for thing in self.things.values():
            if not thing.visible:
                continue

            def named(value: Any) -> Any:  # noqa: ANN401 - id, ids or None
                if isinstance(value, tuple):
                    return tuple(sorted(named(item) for item in value))
                return value if value is None else ours.get(value, f"id:{value}")

            references = {name: named(getattr(thing.resource, name)) for name in thing.resource.references}
            found.append(
                Observed(
                    id=thing.id,
                    resource=dataclasses.replace(thing.resource, **references),
                    mark=thing.mark,
                    status=thing.status,
                    in_use=thing.id in used,
                    created_at=thing.id[-4:],
                    references=tuple((ours[r], r) for r in thing.resource.referred() if r in ours)
                    if told
                    else (),
                ),
            )
        return found

    def run(self, plan: Plan, random: Random, *, steps: int | None = None) -> None:
        """Run a plan in a random order that its dependencies allow; stop dead after some steps."""
        ids = dict(plan.kept)
        waiting = list(plan.actions)
        done: set[str] = set()
        while waiting and (steps is None or len(done) < steps):
            action = random.choice([a for a in waiting if a.after <= done])
            waiting.remove(action)
            done.add(action.id)
            self._act(action, ids)

    def _act(self, action: Action, ids: dict[str, str]) -> None:
        if action.verb is Verb.DELETE:
            assert action.observed is not None
            self.delete(action.observed.id)
            return
        assert action.wanted is not None
        resource = _with_ids(action.wanted, ids)
        if action.verb is Verb.UPDATE:
            assert action.observed is not None
            self.update(action.observed.id, resource)
        else:
            ids[action.address] = self.create(resource, mark(ENVIRONMENT, action.address)).id


def _content(rule: SecurityGroupRule) -> SecurityGroupRule:
    return dataclasses.replace(rule, name="", purpose="")


def _with_ids(resource: Resource, ids: dict[str, str]) -> Resource:
    values: dict[str, Any] = {}
    for name in resource.references:
        value = getattr(resource, name)
        if isinstance(value, tuple):
            values[name] = tuple(sorted(ids[item] for item in value))
        elif value is not None:
            values[name] = ids[value]
    return dataclasses.replace(resource, **values)


def wanted_by(random: Random) -> list[Resource]:
    """Make up an environment that is right in itself."""
    outside = random.choice(["external", "external", "outside"])
    outer = random.choice(["10.20.20.0/24", "10.20.20.0/24", "10.20.30.0/24"])
    inner = random.choice(["192.168.222.0/24", "192.168.222.0/24", "192.168.208.0/20"])
    router = random.choice(["router", "router", "gate"])
    gateway = str(IPv4Network(inner)[random.choice([1, 1, 254])])
    subnet = f"subnet/{random.choice(['private', 'private', 'inside'])}"
    address = random.choice([None, str(IPv4Network(outer)[224])])
    found: list[Resource] = [
        Network(name=outside, external=True),
        Subnet(name=f"{outside}-subnet", network=f"network/{outside}", cidr=outer, dhcp=False),
        Network(name="private"),
        Subnet(name=subnet.partition("/")[2], network="network/private", cidr=inner, gateway=gateway),
        Router(name=router, external_network=f"network/{outside}", external_address=address),
        RouterInterface(name=f"{router}-private", router=f"router/{router}", subnet=subnet),
        Flavor(name="small", vcpus=random.choice([1, 2]), ram_mib=1024, disk_gib=5),
        Image(name="debian", disk_format="raw", recipe=random.choice("ab")),
        KeyPair(name="admin", public_key=random.choice(["ssh-ed25519 A", "ssh-ed25519 B"])),
        SecurityGroup(name="shared"),
    ]
    ports = random.sample([22, 80, 443], random.randint(0, 3))
    found += [_rule("shared", port) for port in ports]
    for name in random.sample(["web", "files", "erp"], random.randint(0, 3)):
        groups = ["security_group/shared"]
        if random.random() < 0.7:
            found += [SecurityGroup(name=f"app-{name}"), _rule(f"app-{name}", 8000 + len(name))]
            groups.append(f"security_group/app-{name}")
        found += [
            Port(name=name, network="network/private", subnet=subnet, security_groups=tuple(sorted(groups))),
            Server(
                name=name,
                flavor="flavor/small",
                image="image/debian",
                key_pair="key_pair/admin",
                port=f"port/{name}",
            ),
        ]
        if random.random() < 0.7:
            found.append(FloatingIp(name=name, network=f"network/{outside}", port=f"port/{name}"))
    random.shuffle(found)
    return found


def _rule(group: str, port: int) -> SecurityGroupRule:
    return SecurityGroupRule(
        name=f"{group}-ingress-tcp-{port}",
        group=f"security_group/{group}",
        direction="ingress",
        protocol="tcp",
        port_min=port,
        port_max=port,
        remote_prefix="0.0.0.0/0",
    )


def damage(cloud: Cloud, random: Random) -> None:
    """Do to a cloud what crashes, lost responses, hands and other projects do."""
    for _ in range(random.randint(0, 6)):
        things = list(cloud.things.values())
        if not things:
            return
        thing = random.choice(things)
        try:
            random.choice([_twice, _twice, _vanish, _break, _by_hand, _by_hand, _retarget])(
                cloud, thing, random
            )
        except RefusedError:
            continue  # it can't come about


def _same_mark(cloud: Cloud, thing_id: str, random: Random) -> str:
    owner = cloud.things[thing_id].mark
    return random.choice(
        [t.id for t in cloud.things.values() if t.id == thing_id or (owner and t.mark == owner)]
    )


def _twice(cloud: Cloud, thing: Thing, random: Random) -> None:
    """Send a POST twice: two with one mark."""
    if thing.mark is None:
        return
    resource = thing.resource
    values = {n: getattr(resource, n) for n in resource.references}
    for name, value in values.items():
        if isinstance(value, str):
            values[name] = _same_mark(cloud, value, random)
        elif value is not None:
            values[name] = tuple(sorted({_same_mark(cloud, v, random) for v in value}))
    if isinstance(resource, Router):
        values |= {"external_address": None}
    if isinstance(resource, FloatingIp):
        values |= {"port": None}
    failed = isinstance(resource, Server)
    double = cloud.create(dataclasses.replace(resource, **values), thing.mark, checked=not failed)
    double.status = "ERROR" if failed else thing.status


def _retarget(cloud: Cloud, thing: Thing, random: Random) -> None:
    """Let something refer to the other one of two with one mark."""
    if isinstance(thing.resource, Port):
        groups = tuple(sorted({_same_mark(cloud, g, random) for g in thing.resource.security_groups}))
        cloud.update(thing.id, dataclasses.replace(thing.resource, security_groups=groups))
    if isinstance(thing.resource, FloatingIp):
        cloud.update(thing.id, dataclasses.replace(thing.resource, port=None))


def _vanish(cloud: Cloud, thing: Thing, _random: Random) -> None:
    if thing.mark is not None and thing.mark.startswith(mark(ENVIRONMENT, "")):
        cloud.delete(thing.id)


def _break(_cloud: Cloud, thing: Thing, random: Random) -> None:
    if thing.mark is not None and thing.kind is Kind.SERVER:
        thing.status = random.choice(["ERROR", "SHUTOFF"])
    if thing.mark is not None and thing.kind is Kind.IMAGE:
        thing.status = random.choice(["QUEUED", "saving"])


def _by_hand(cloud: Cloud, _thing: Thing, random: Random) -> None:
    groups = [g.id for g in cloud.of(Kind.SECURITY_GROUP)]
    match random.randint(0, 8):
        case 0:
            cloud.create(Flavor(name="small", vcpus=random.choice([1, 2]), ram_mib=1024, disk_gib=5), None)
        case 1:
            cloud.create(Image(name="debian", disk_format="raw", recipe=random.choice("abc")), None)
        case 2:
            other = cloud.create(Network(name="external", external=True), None, checked=False)
            subnet = Subnet(
                name="x", network=other.id, cidr=random.choice(["10.20.20.0/24"] * 3 + ["10.99.0.0/16"])
            )
            cloud.create(subnet, None).visible = random.random() < 0.5
        case 3:
            other = cloud.create(Network(name="private"), f"medicarche:{ENVIRONMENT}2:network/private")
            cloud.create(Subnet(name="s", network=other.id, cidr="192.168.222.0/24"), None)
        case 4 if groups:
            cloud.create(SecurityGroupRule(name="", group=random.choice(groups), direction="egress"), None)
        case 5 | 6 if groups:
            rule = _rule("", random.choice([22, 80, 443, 5432, 8003]))
            cloud.create(dataclasses.replace(rule, name="", group=random.choice(groups)), None)
        case _:
            cloud.create(SecurityGroup(name="shared"), None)


def _foreign(cloud: Cloud) -> dict[str, Thing]:
    """Return what isn't ours and isn't a rule in a group of ours."""
    prefix = mark(ENVIRONMENT, "")
    ours = {t.id for t in cloud.things.values() if t.mark and t.mark.startswith(prefix)}
    return {
        t.id: dataclasses.replace(t)
        for t in cloud.things.values()
        if t.id not in ours and not (isinstance(t.resource, SecurityGroupRule) and t.resource.group in ours)
    }


def _assert_converged(cloud: Cloud, wanted: list[Resource], *, told: bool = True) -> None:
    again = make_plan(ENVIRONMENT, wanted, cloud.observe(told=told))
    assert again.empty, [a.id for a in again.actions]
    marks = [t.mark for t in cloud.things.values() if t.mark and t.mark.startswith(mark(ENVIRONMENT, ""))]
    assert len(marks) == len(set(marks))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**40))
@example(seed=0)
def test_any_state_converges_in_one_plan(seed: int) -> None:
    random = _chance(seed)
    cloud = Cloud()
    # what was there before: other environments' lives, some of them cut off in the middle
    for _ in range(random.randint(0, 3)):
        before = make_plan(ENVIRONMENT, wanted_by(random), cloud.observe())
        if not before.conflicts:
            cloud.run(before, random, steps=random.choice([None, random.randint(0, 40)]))
        damage(cloud, random)
    foreign = _foreign(cloud)
    wanted = wanted_by(random)

    plan = make_plan(ENVIRONMENT, wanted, cloud.observe())

    shuffled = cloud.observe()
    random.shuffle(shuffled)
    assert make_plan(ENVIRONMENT, random.sample(wanted, len(wanted)), shuffled) == plan
    assert not {a.observed.id for a in plan.actions if a.observed} & set(foreign)
    if plan.conflicts:
        assert any(word in " ".join(plan.conflicts) for word in ("flavor/small", "isn't ours"))
    else:
        cloud.run(plan, random)
        _assert_converged(cloud, wanted)
        assert _foreign(cloud) == foreign

    cloud.run(plan_destroy(ENVIRONMENT, cloud.observe()), random)
    assert _foreign(cloud) == foreign
    assert set(cloud.things) == set(foreign)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**40))
def test_without_ids_of_references_clouds_without_duplicates_converge_too(seed: int) -> None:
    random = _chance(seed)
    cloud = Cloud()
    cloud.run(make_plan(ENVIRONMENT, wanted_by(random), ()), random, steps=random.randint(0, 60))
    wanted = wanted_by(random)
    cloud.run(make_plan(ENVIRONMENT, wanted, cloud.observe(told=False)), random)
    _assert_converged(cloud, wanted, told=False)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**40))
def test_killing_every_run_converges_at_last(seed: int) -> None:
    random = _chance(seed)
    cloud = Cloud()
    wanted = wanted_by(random)
    for _ in range(100):
        plan = make_plan(ENVIRONMENT, wanted, cloud.observe())
        if plan.empty:
            break
        cloud.run(plan, random, steps=random.randint(1, 5))
    _assert_converged(cloud, wanted)


def test_the_simulation_refuses_what_a_plan_without_dependencies_does() -> None:
    """The simulation must be able to fail: without their order, plans are refused."""
    random = _chance(1)
    wanted = wanted_by(random)
    plan = make_plan(ENVIRONMENT, wanted, ())
    loose = dataclasses.replace(
        plan, actions=tuple(dataclasses.replace(a, after=frozenset()) for a in plan.actions)
    )
    with pytest.raises((RefusedError, KeyError)):
        Cloud().run(loose, random)


def test_a_thousand_resources_are_planned_in_less_than_a_second() -> None:
    wanted: list[Resource] = [
        Network(name="external", external=True),
        Subnet(name="external", network="network/external", cidr="10.20.0.0/16"),
        Network(name="private"),
        Subnet(name="private", network="network/private", cidr="192.168.0.0/16", gateway="192.168.0.1"),
        Router(name="router", external_network="network/external"),
        RouterInterface(name="router", router="router/router", subnet="subnet/private"),
        Flavor(name="small", vcpus=1, ram_mib=512, disk_gib=5),
        Image(name="debian", disk_format="raw", recipe="a"),
        KeyPair(name="admin", public_key="ssh-ed25519 A"),
        SecurityGroup(name="shared"),
        *[_rule("shared", port) for port in range(1, 41)],
    ]
    for number in range(320):
        name = f"i{number}"
        wanted += [
            Port(
                name=name,
                network="network/private",
                subnet="subnet/private",
                security_groups=("security_group/shared",),
            ),
            Server(
                name=name,
                flavor="flavor/small",
                image="image/debian",
                key_pair="key_pair/admin",
                port=f"port/{name}",
            ),
            FloatingIp(name=name, network="network/external", port=f"port/{name}"),
        ]
    assert len(wanted) >= 1000
    started = time.process_time()
    plan = make_plan(ENVIRONMENT, wanted, ())
    creating = time.process_time() - started
    cloud = Cloud()
    ids: dict[str, str] = {}
    for action in plan.actions:
        cloud._act(action, ids)
    observed = cloud.observe()
    started = time.process_time()
    assert make_plan(ENVIRONMENT, wanted, observed).empty
    comparing = time.process_time() - started
    started = time.process_time()
    assert len(plan_destroy(ENVIRONMENT, observed).actions) == len(wanted)
    destroying = time.process_time() - started
    # of the processor, whatever else it has to do; measured 0.2 s each
    assert max(creating, comparing, destroying) < 1.0
