"""Keystone's domain of the directory's people, and their groups' roles, on the fake cloud."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fake_openstack import Fault, Kind
from fake_openstack.company import NAME, company, destroy, plan
from fake_openstack.company import provision as provision_all
from medicarche import converge
from medicarche.cloud.kinds.domain import public_id
from medicarche.errors import CloudUnsuitable, ConvergenceError, MedicarcheError
from medicarche.plan.phases import after_deployment, before_deployment, something_left
from medicarche.plan.resources import Domain, GroupRole, Project, Resource
from medicarche.progress import SilentReporter

if TYPE_CHECKING:
    from pathlib import Path

    from fake_openstack import FakeOpenStack
    from medicarche.cloud.connect import Connections
    from medicarche.plan import Plan

PROJECT = Project(name=NAME)
DOMAIN = f"domain/{NAME}"
ASKED_WITH = "what keystone asks with"
ROLES = {"dsi": "member", "direction": "reader"}


def wanted(roles: dict[str, str] | None = None, handed_over: str = "first") -> tuple[Resource, ...]:
    """Return the company, with a domain whose groups have these roles."""
    given = ROLES if roles is None else roles
    named = "".join(f"(cn={group})" for group in sorted(given))
    domain = Domain(
        name=NAME,
        server="floating_ip/website",
        port=636,
        options=(
            ("identity.driver", "ldap"),
            ("ldap.group_filter", f"(|{named})"),
            ("ldap.tls_req_cert", "demand"),
            ("ldap.use_tls", False),
        ),
        handed_over=handed_over,
    )
    groups = [
        GroupRole(name=f"{g}-{r}", domain=DOMAIN, project=PROJECT.address, group=g, role=r)
        for g, r in given.items()
    ]
    return (PROJECT, domain, *groups, *company())


@pytest.fixture(name="able")
def _able(connections: Connections) -> Connections:
    """Connections that have a password to hand over."""
    return replace(connections, asks_with=lambda _: ASKED_WITH)


def apply(connections: Connections, part: Plan, image: Path) -> None:
    """Run a part of a plan."""
    converge.apply(connections, part, images={"debian-13": image}, reporter=SilentReporter(), poll_interval=0)


def provision(cloud: FakeOpenStack, able: Connections, image: Path, want: tuple[Resource, ...]) -> None:
    """Do what `provision` does: the cloud, the deployment, then what had to wait for that."""
    first = plan(able, want)
    apply(able, before_deployment(first), image)
    cloud.people.directory = set(ROLES)
    if something_left(first):
        apply(able, after_deployment(plan(able, want)), image)


def granted(cloud: FakeOpenStack) -> set[tuple[str, str]]:
    """Return group and role of what groups of our domain have in the project."""
    names = {public_id(d, g): g for d in cloud.people.domains for g in (*ROLES, "old")}
    return {(names.get(g, g), r.removeprefix("id-")) for _, g, r in cloud.people.group_grants}


def test_a_group_is_known_by_the_id_that_keystone_makes() -> None:
    # sha256 of domain_id, entity_type and local_id, as Keystone's generator joins them
    assert public_id("3a1f", "dsi") == "feec78c44d9572f8c0fc7f81c4ad37dd144a49d8644944f68c09b456d72f1fb2"


def test_roles_are_given_when_the_directory_answers_and_then_nothing_is_left(
    cloud: FakeOpenStack, able: Connections, image: Path
) -> None:
    cloud.people.directory = None
    provision(cloud, able, image, wanted())
    assert granted(cloud) == set(ROLES.items())
    ((identifier, domain),) = cloud.people.domains.items()
    assert domain["name"] == NAME
    assert domain["description"] == f"medicarche:{NAME}:{DOMAIN} project=project-demo handed_over=first"
    config = cloud.people.configurations[identifier]
    (address,) = (f["floating_ip_address"] for f in cloud.neutron.floatingips.values())
    assert config["ldap"]["url"] == f"ldaps://{address}:636"
    assert config["ldap"]["password"] == ASKED_WITH
    assert config["ldap"]["use_tls"] is False
    assert config["identity"] == {"driver": "ldap"}
    writes = len(cloud.faults.writes)
    again = plan(able, wanted())
    assert again.empty
    assert not something_left(again)
    assert len(cloud.faults.writes) == writes


def test_a_first_plan_shows_all_and_does_what_it_can(
    cloud: FakeOpenStack, able: Connections, image: Path
) -> None:
    first = plan(able, wanted())
    assert {a.id for a in first.actions if a.kind.value in {"domain", "group_role"}} == {
        f"create {DOMAIN}", "create group_role/dsi-member", "create group_role/direction-reader",
    }  # fmt: skip
    order = [a.id for a in first.actions]
    assert order.index("create floating_ip/website") < order.index(f"create {DOMAIN}")
    cloud.people.directory = None
    apply(able, before_deployment(first), image)
    assert granted(cloud) == set()
    assert len(cloud.people.domains) == 1


def test_while_the_directory_is_down_a_plan_asks_it_nothing(
    cloud: FakeOpenStack, able: Connections, image: Path
) -> None:
    provision(cloud, able, image, wanted())
    cloud.people.directory = None
    assert plan(able, wanted()).empty


def test_a_role_that_is_taken_from_a_group_goes_before_the_group_is_forgotten(
    cloud: FakeOpenStack, able: Connections, image: Path
) -> None:
    provision(cloud, able, image, wanted())
    less = wanted({"dsi": "member"})
    actions = plan(able, less).actions
    assert [a.id.partition("#")[0] for a in actions] == [
        "delete group_role/direction-reader", f"update {DOMAIN}",
    ]  # fmt: skip
    assert actions[0].id in actions[1].after
    provision(cloud, able, image, less)
    assert granted(cloud) == {("dsi", "member")}
    provision(cloud, able, image, wanted({"dsi": "reader"}))
    assert granted(cloud) == {("dsi", "reader")}


def test_what_was_changed_by_hand_is_put_back(cloud: FakeOpenStack, able: Connections, image: Path) -> None:
    provision(cloud, able, image, wanted())
    ((identifier, domain),) = cloud.people.domains.items()
    config = cloud.people.configurations[identifier]
    config["ldap"] |= {"tls_req_cert": "never", "url": "ldap://10.0.0.1", "user_filter": "(uid=*)"}
    domain["enabled"] = False
    cloud.people.group_grants.add(("project-demo", public_id(identifier, "dsi"), "id-admin"))
    found = plan(able, wanted())
    changed = {c.field for a in found.actions for c in a.changes}
    assert changed == {"options.ldap.tls_req_cert", "options.ldap.user_filter", "server", "port", "enabled"}
    assert [a.reason for a in found.actions if a.address == "group_role/dsi-admin"] == [
        "a role that the environment file doesn't give"
    ]
    provision(cloud, able, image, wanted())
    assert plan(able, wanted()).empty
    assert config is not cloud.people.configurations[identifier]
    assert granted(cloud) == set(ROLES.items())


def test_another_password_or_authority_is_handed_over_once(
    cloud: FakeOpenStack, able: Connections, image: Path
) -> None:
    provision(cloud, able, image, wanted())
    other = wanted(handed_over="second")
    renewed = replace(able, asks_with=lambda _: ASKED_WITH.upper())
    provision(cloud, renewed, image, other)
    ((identifier, _),) = cloud.people.domains.items()
    assert cloud.people.configurations[identifier]["ldap"]["password"] == ASKED_WITH.upper()
    assert plan(able, other).empty


def test_a_run_that_is_cut_off_between_domain_and_configuration_is_gone_on_with(
    cloud: FakeOpenStack, able: Connections, image: Path
) -> None:
    cloud.order(Fault(Kind.REFUSE, "PUT", "/config$", status=400))
    with pytest.raises(MedicarcheError):
        provision(cloud, able, image, wanted())
    assert len(cloud.people.domains) == 1
    assert cloud.people.configurations == {}
    provision(cloud, able, image, wanted())
    assert granted(cloud) == set(ROLES.items())
    assert len(cloud.people.domains) == 1


@pytest.mark.parametrize("down", [False, True])
def test_all_is_taken_away_whether_the_directory_answers_or_not(
    cloud: FakeOpenStack, able: Connections, image: Path, *, down: bool
) -> None:
    provision(cloud, able, image, wanted())
    if down:
        cloud.people.directory = None
    rest = (PROJECT, *company())
    provision_all(able, image, rest)
    assert (cloud.people.domains, cloud.people.configurations) == ({}, {})
    assert cloud.people.group_grants == set()
    assert plan(able, rest).empty


def test_destroying_takes_it_away_too_and_no_group_of_another(
    cloud: FakeOpenStack, able: Connections, image: Path
) -> None:
    provision(cloud, able, image, wanted())
    others = ("project-demo", "a group of somebody else's", "id-member")
    cloud.people.group_grants.add(others)
    cloud.people.domains["other"] = {
        "id": "other", "name": "other", "enabled": True, "description": f"medicarche:x:{DOMAIN}",
    }  # fmt: skip
    destroy(able)
    assert list(cloud.people.domains) == ["other"]
    assert cloud.people.group_grants == {others}


def test_a_domain_of_somebody_else_s_is_in_the_way(cloud: FakeOpenStack, able: Connections) -> None:
    cloud.people.domains["x"] = {"id": "x", "name": NAME, "enabled": True, "description": "by hand"}
    (conflict,) = plan(able, wanted()).conflicts
    assert conflict.startswith(f"{DOMAIN} is in the cloud already (x) and isn't ours")


def test_without_an_admin_it_is_taken_as_given(cloud: FakeOpenStack, able: Connections) -> None:
    del cloud
    alone = plan(replace(able, admin=None), wanted())
    assert not [a for a in alone.actions if a.kind.value in {"domain", "group_role"}]
    assert any(DOMAIN in note and "only an admin" in note for note in alone.notes)


def test_a_cloud_whose_operator_doesn_t_allow_it_is_told(
    cloud: FakeOpenStack, able: Connections, image: Path
) -> None:
    cloud.people.configurable = False
    with pytest.raises(ConvergenceError, match="refuses a domain a configuration of its own"):
        provision(cloud, able, image, wanted())
    cloud.people.configurable = True


def test_a_directory_that_doesn_t_answer_is_told(
    cloud: FakeOpenStack, able: Connections, image: Path
) -> None:
    first = plan(able, wanted())
    cloud.people.directory = None
    apply(able, before_deployment(first), image)
    with pytest.raises(ConvergenceError, match="the directory doesn't answer Keystone"):
        apply(able, after_deployment(plan(able, wanted())), image)
    cloud.people.directory = set()
    with pytest.raises(ConvergenceError, match="finds no group 'dsi'"):
        apply(able, after_deployment(plan(able, wanted())), image)


def test_a_keystone_that_makes_other_ids_is_refused(
    cloud: FakeOpenStack, able: Connections, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fake_openstack.people.public_id", lambda domain, group: f"{domain}-{group}")
    with pytest.raises((CloudUnsuitable, ConvergenceError), match="makes ids of another kind"):
        provision(cloud, able, image, wanted())
