"""The tests are tested: one thing is broken at a time, and the acceptance suite goes red for that reason.

Each test breaks one thing, runs the acceptance tests that are about it (and its neighbours, which must stay
green), looks that they fail and say what is wrong, lets ``medicarche provision`` mend it, and looks again.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from medicarche.options import Options
from medicarche.plan import derive
from medicarche.plan.reach import Policy, expectation, group_name
from medicarche.plan.resources import Kind, SecurityGroupRule
from medicarche.planning import site_of
from medicarche.probe import firewall
from medicarche.process import run
from medicarche.spec import Site
from medicarche.target import select
from medicarche.testing.reachability import UDP_PORTS, lay_out
from medicarche.testing.suite import Verdicts, run_suite

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from testinfra.host import Host

    from medicarche.converge import InstanceState
    from medicarche.report import Evidence
    from medicarche.testing.built import Built

GROUPS = "tests/acceptance/test_security_groups.py"
#: what all rules and listeners of the environment name, and what databases and agents would listen on
FEW_PORTS = "22,53,80,443,3142,3306,5000,5432,8000-9000,9100,9104,9113,9117,9187,9292,9696"
SSH = 22
NEUTRON = "test_neutrons_rules_are_those_that_follow_from_the_declaration"
NODE = "test_the_nodes_packet_filter_holds_what_is_declared_and_nothing_else"
REACHED = "test_what_is_reached_is_what_is_declared"
RULES = (f"{GROUPS}::{NEUTRON}", f"{GROUPS}::{NODE}", "tests/acceptance/test_reachability.py")


@dataclass(frozen=True)
class Broken:
    """What was done, and what has to be said of it.

    Attributes:
        tests: arguments of pytest.
        caught: test (regular expression of its name) → what its message must hold (likewise). All of them
            must fail, and no others but those of ``may``.
        may: tests that may fail too, as the same damage is in their way.
    """

    tests: Sequence[str]
    caught: Mapping[str, str]
    may: Sequence[str] = ()


@pytest.fixture
def suite(pytestconfig: pytest.Config, tmp_path: Path) -> Callable[[Sequence[str]], Verdicts]:
    """Run acceptance tests, on the environment as it is."""

    def suite(tests: Sequence[str]) -> Verdicts:
        arguments = [*tests, f"--tcp-ports={FEW_PORTS}"]
        return run_suite(arguments, tmp_path, directory=pytestconfig.rootpath)

    return suite


@pytest.fixture
def prove(
    suite: Callable[[Sequence[str]], Verdicts],
    run_medicarche: Callable[..., subprocess.CompletedProcess[str]],
    evidence: Evidence,
) -> Callable[[Callable[[], Broken]], None]:
    """Break, see red for the reason, mend, see green."""

    def prove(damage: Callable[[], Broken]) -> None:
        try:
            broken = damage()
            red = suite(broken.tests)
        finally:
            mended = run_medicarche("provision", "--yes", timeout=900)
        assert mended.returncode == 0, mended.stdout + mended.stderr
        _compare(broken, red)
        rows = [(name, _first_line(said)) for name, said in red.failed.items()]
        evidence.table("Ce qui l'a vu", ("essai", "constat"), rows)
        green = suite(broken.tests)
        assert green.failed == {}
        assert set(green.passed) >= set(red.passed)

    return prove


def _compare(broken: Broken, red: Verdicts) -> None:
    for pattern, message in broken.caught.items():
        seen = {name: said for name, said in red.failed.items() if re.fullmatch(pattern, name)}
        assert seen, f"nobody saw it: {pattern}\n{red.output}"
        for name, said in seen.items():
            assert re.search(message, said), f"{name} failed for another reason than {message}:\n{said}"
    known = [*broken.caught, *broken.may]
    others = [name for name in red.failed if not any(re.fullmatch(p, name) for p in known)]
    assert others == [], f"these failed, and aren't about it:\n{red.output}"


def _first_line(said: str) -> str:
    lines = [line for line in said.splitlines() if line.startswith("E ")]
    return (lines or said.splitlines() or [""])[0].removeprefix("E").strip()[:200]


# --- rules -------------------------------------------------------------------------------------------------


def _declared_rules(file: Path) -> dict[str, SecurityGroupRule]:
    selection = select(Options(environment_file=file))
    environment = selection.environment
    # what a rule is called depends on the cloud: where packages and the API are
    recipes = dict.fromkeys([i.name for i in environment.images], "")
    site = Site("raw", "kvm", None, recipes, "")
    if selection.embedded is not None:
        facts = selection.embedded.site_facts()
        site = replace(site, package_proxy=facts.package_proxy, api=facts.api)
    return {r.name: r for r in derive(environment, site) if isinstance(r, SecurityGroupRule)}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each rule that the environment declares."""
    if "rule_name" in metafunc.fixturenames:
        file = metafunc.config.getoption("--environment")
        file = file or metafunc.config.rootpath / "environments" / "medicarche.yaml"
        names = list(_declared_rules(file))
        # in CI one of each direction; the others are of the same kind
        few = {
            next(n for n in names if "-egress-udp-53-" in n),
            next(n for n in names if n.startswith("app-") and "-ingress-" in n),
        }
        marks = [[] if name in few else [pytest.mark.slow] for name in names]
        metafunc.parametrize(
            "rule_name", [pytest.param(n, marks=m) for n, m in zip(names, marks, strict=True)]
        )


def _carriers(built: Built, group: str) -> list[str]:
    wanted = derive(built.selection.environment, site_of(built.selection))
    address = f"{Kind.SECURITY_GROUP}/{group}"
    return sorted(r.name for r in wanted if address in getattr(r, "security_groups", ()))


def _missed_from(built: Built, instances: Sequence[InstanceState], rule: SecurityGroupRule) -> set[str]:
    """Return the kinds of vantage points from which another answer comes without a rule."""
    environment = built.selection.environment
    wanted = [r for r in derive(environment, site_of(built.selection)) if r != rule]
    poorer = Policy(environment, wanted, {i.name: i.private_address for i in instances})
    return {
        point.kind
        for point, target, spans, not_tried in lay_out(built, instances).pairs
        if not not_tried and expectation(poorer, point, target, UDP_PORTS) != spans
    }


def _filters(built: Built) -> object:
    """What the node holds now, for all instances."""
    embedded = built.selection.embedded
    if embedded is None:
        pytest.skip("a configured cloud's nodes can't be looked into")
    rules, sets = (run(embedded.command(firewall.COMMANDS[what])) for what in ("IPv4", "sets"))
    ports = built.connections.member.sdk.network.ports()
    return firewall.parse(rules, sets, [p.id for p in ports if p.device_owner.startswith("compute:")])


def _wait_for_change(built: Built, before: object) -> None:
    """Neutron's agent applies what its API has taken a moment later."""
    deadline = time.monotonic() + 60
    while _filters(built) == before:
        assert time.monotonic() < deadline, "the node's filter didn't follow"
        time.sleep(0.3)


@pytest.mark.requirement("CLOUD-7")
@pytest.mark.alone
def test_each_rule_that_is_taken_away_is_missed(
    rule_name: str,
    provisioned: Built,
    instances: tuple[InstanceState, ...],
    prove: Callable[[Callable[[], Broken]], None],
) -> None:
    wanted = derive(provisioned.selection.environment, site_of(provisioned.selection))
    rule = next(r for r in wanted if isinstance(r, SecurityGroupRule) and r.name == rule_name)
    group, port = group_name(rule), rule.port_min
    remote_group = rule.remote_group and rule.remote_group.removeprefix(f"{Kind.SECURITY_GROUP}/")
    missed_from = _missed_from(provisioned, instances, rule)
    network = provisioned.connections.member.sdk.network

    def damage() -> Broken:
        before = _filters(provisioned)
        ids = {g.name: g.id for g in network.security_groups()}
        (found,) = (
            r
            for r in network.security_group_rules(security_group_id=ids[group], direction=rule.direction)
            if (r.protocol, r.port_range_min) == (rule.protocol, port)
            and (r.remote_ip_prefix or "0.0.0.0/0") == (rule.remote_prefix or "0.0.0.0/0")
            and r.remote_group_id == (remote_group and ids[remote_group])
        )
        network.delete_security_group_rule(found)
        _wait_for_change(provisioned, before)
        names = "|".join(_carriers(provisioned, group))
        lost = f"{rule.protocol} {port}: declared (open|refused|closed), found silent"
        caught = {
            NEUTRON: re.escape(group),
            rf"{NODE}\[({names})\]": re.escape(f"{rule.direction} {rule.protocol} {port}-{port}"),
        }
        # without SSH nobody can look into the instances, nor probe from them
        blind = {"instance", "router"} if port == SSH else set()
        caught |= {rf"{REACHED}\[{kind}\]": lost for kind in missed_from - blind}
        may = [rf"{REACHED}\[{kind}\]" for kind in blind]
        if blind:
            may.append("test_nothing_arrives_in_an_instance_that_no_rule_lets_in")
        return Broken(RULES, caught, may)

    prove(damage)


@pytest.mark.requirement("CLOUD-7")
@pytest.mark.alone
def test_one_rule_too_many_is_seen(provisioned: Built, prove: Callable[[Callable[[], Broken]], None]) -> None:
    application = provisioned.selection.environment.applications[0]
    group, port = f"app-{application.name}", 8999
    network = provisioned.connections.member.sdk.network

    def damage() -> Broken:
        before = _filters(provisioned)
        ids = {g.name: g.id for g in network.security_groups()}
        network.create_security_group_rule(
            security_group_id=ids[group],
            direction="ingress",
            protocol="tcp",
            port_range_min=port,
            port_range_max=port,
        )
        _wait_for_change(provisioned, before)
        too_much = f"tcp {port}: declared filtered, found refused"
        return Broken(
            RULES,
            {
                NEUTRON: f"{group}.*{port}",
                rf"{NODE}\[{application.instance}\]": f"ingress tcp {port}-{port} 0.0.0.0/0",
                rf"{REACHED}\[(outside|administrators|router)\]": too_much,
                "test_nothing_arrives_in_an_instance_that_no_rule_lets_in": f"received tcp {port}",
            },
        )

    prove(damage)


# --- in an instance ----------------------------------------------------------------------------------------


@pytest.fixture
def looked_into(
    instances: tuple[InstanceState, ...], machines: Callable[[InstanceState], Host]
) -> Callable[[str], Host]:
    """Give an instance by its name."""
    return lambda name: machines(next(i for i in instances if i.name == name))


@pytest.mark.requirement("CLOUD-7")
@pytest.mark.alone
def test_a_database_that_listens_to_all_is_seen(
    provisioned: Built,
    looked_into: Callable[[str], Host],
    prove: Callable[[Callable[[], Broken]], None],
) -> None:
    kinds = {a.kind: a.instance for a in provisioned.selection.environment.applications if a.deployed}
    if "wordpress" not in kinds:
        pytest.skip("no application with a MariaDB of ours is deployed")
    name = kinds["wordpress"]

    def damage() -> Broken:
        machine = looked_into(name)
        file = "/etc/mysql/mariadb.conf.d/90-medicarche.cnf"
        machine.check_output("sed -i 's/^skip-networking$/bind-address = 0.0.0.0/' %s", file)
        machine.check_output("systemctl restart mariadb")
        seen = r"tcp 0\.0\.0\.0:3306 \(mariadbd"
        return Broken(
            (GROUPS,),
            {
                rf"test_what_listens_is_what_is_declared\[{name}\]": f"undeclared: {seen}",
                rf"test_what_isnt_public_is_bound_to_loopback\[{name}\]": seen,
            },
        )

    prove(damage)


@pytest.mark.requirement("CLOUD-7")
@pytest.mark.alone
def test_a_program_that_became_root_is_seen(
    provisioned: Built,
    looked_into: Callable[[str], Host],
    prove: Callable[[Callable[[], Broken]], None],
) -> None:
    kinds = {a.kind: a.instance for a in provisioned.selection.environment.applications if a.deployed}
    if "supervision" not in kinds:
        pytest.skip("no supervision is deployed, whose unit is ours")
    name = kinds["supervision"]

    def damage() -> Broken:
        machine = looked_into(name)
        unit = "medicarche-cloud-exporter.service"
        machine.check_output("sed -i 's/^User=.*/User=root/' %s", f"/etc/systemd/system/{unit}")
        machine.check_output("systemctl daemon-reload && systemctl restart %s", unit)
        # it listens a moment after it was started
        machine.check_output("timeout 30 sh -c 'until ss -Hltn sport = 9180 | grep -q .; do sleep 0.2; done'")
        seen = r"wrong account: tcp 127\.0\.0\.1:9180 \(python3, root\); declared prometheus"
        return Broken((GROUPS,), {rf"test_what_listens_is_what_is_declared\[{name}\]": seen})

    prove(damage)


@pytest.mark.requirement("SUP-1")
@pytest.mark.alone
def test_an_agent_that_reads_a_databases_data_is_seen(
    provisioned: Built,
    looked_into: Callable[[str], Host],
    prove: Callable[[Callable[[], Broken]], None],
) -> None:
    kinds = {a.kind: a for a in provisioned.selection.environment.applications if a.deployed}
    if not {"supervision", "wordpress"} <= kinds.keys():
        pytest.skip("no supervised application with a MariaDB of ours is deployed")

    def damage() -> Broken:
        machine = looked_into(kinds["wordpress"].instance)
        machine.check_output('mariadb -e "GRANT SELECT ON wordpress.* TO prometheus@localhost"')
        test = "test_an_agent_reads_no_data_and_nobody_else_takes_its_account"
        return Broken(
            (f"tests/acceptance/applications/test_supervision.py::{test}",),
            {rf"{test}\[{kinds['supervision'].name}\]": r"SELECT \* FROM wordpress\.wp_users"},
        )

    prove(damage)


@pytest.mark.requirement("CLOUD-8")
@pytest.mark.alone
def test_ssh_passwords_are_seen(
    provisioned: Built,
    looked_into: Callable[[str], Host],
    prove: Callable[[Callable[[], Broken]], None],
) -> None:
    name = provisioned.selection.environment.instances[0].name

    def damage() -> Broken:
        machine = looked_into(name)
        file = "/etc/ssh/sshd_config.d/00-medicarche.conf"
        machine.check_output("sed -i 's/^PasswordAuthentication no$/PasswordAuthentication yes/' %s", file)
        machine.check_output("sed -i 's/^AuthenticationMethods .*/AuthenticationMethods any/' %s", file)
        machine.check_output("systemctl reload ssh")
        return Broken(
            ("tests/acceptance/test_ssh.py",),
            {
                rf"test_no_password_is_taken\[({name}-.*|.*-{name})\]": "password",
                rf"test_the_server_says_so_itself\[{name}\]": "'?yes'? == '?no'?",
            },
        )

    prove(damage)


@pytest.mark.requirement("CLOUD-8")
@pytest.mark.alone
def test_a_key_file_that_others_may_read_is_seen(
    provisioned: Built, prove: Callable[[Callable[[], Broken]], None]
) -> None:
    selection = provisioned.selection

    def damage() -> Broken:
        (selection.folder / selection.environment.key_pair).chmod(0o444)
        return Broken(
            ("tests/acceptance/test_ssh.py",),
            {
                "test_the_private_key_is_its_owners_and_read_only": (
                    rf"{selection.environment.key_pair}[\s\S]*0o444"
                ),
                # the program ssh uses no key that others may read
                r"test_(another_host_key_is_refused|the_command_runs_a_program_there)(\[.*)?": (
                    "bad permissions|too open"
                ),
            },
        )

    prove(damage)


# --- identity ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("CLOUD-9")
@pytest.mark.alone
def test_a_reader_who_became_a_member_is_seen(
    provisioned: Built, prove: Callable[[Callable[[], Broken]], None]
) -> None:
    connections = provisioned.connections
    people = provisioned.selection.environment.people
    reader = next((p.login for p in people if p.cloud_role == "reader"), None)
    if connections.admin is None or reader is None:
        pytest.skip("there is nobody who could be given a role, or who could give it")
    identity = connections.admin.identity

    def damage() -> Broken:
        (user,) = identity.collection("/users", "users", name=reader)
        (role,) = identity.collection("/roles", "roles", name="member")
        identity.put(f"/projects/{connections.member.project_id}/users/{user['id']}/roles/{role['id']}")
        return Broken(
            ("tests/acceptance/test_people.py", "-k", "role_of_the_group or can_not_make or wrong_password"),
            {
                r"test_a_person_has_the_role_of_the_group_in_our_project_and_no_other\[reader\]": "member",
                r"test_a_reader_can_not_make\[.*": "a reader made",
            },
        )

    prove(damage)
