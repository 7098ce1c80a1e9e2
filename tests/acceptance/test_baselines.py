"""CLOUD-7, CLOUD-8: security baselines; each check automated or listed, deviations accepted by name only."""

from __future__ import annotations

import base64
import json
import shlex
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from medicarche import host_packages
from medicarche.probe import parse_ss
from medicarche.probe.sockets import SS_COMMAND
from medicarche.report import exemptions_of, load_exemptions
from medicarche.spec import listeners
from medicarche.testing.baselines import Judge, State, linux, lynis, openstack, ssh, tls
from medicarche.testing.machines import endpoint, user_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from testinfra.host import Host

    from medicarche.converge import InstanceState
    from medicarche.report import Accepted, Evidence
    from medicarche.spec.environment import Application, Environment
    from medicarche.testing.baselines import Finding
    from medicarche.testing.built import Built


@dataclass(frozen=True)
class Settling:
    """Judges what was seen somewhere by a baseline, shows it all, and fails for what isn't accepted."""

    evidence: Evidence
    exemptions: Sequence[Accepted]
    language: str

    def judge(self, baseline: str, where: str) -> Judge:
        """Return who judges there."""
        return Judge(baseline, where, self.exemptions, self.language)

    def settle(self, title: str, judge: Judge, findings: Sequence[Finding]) -> None:
        """Show all findings, and fail for those that are neither met nor accepted."""
        assert findings, f"{title}: nothing was checked"
        self.evidence.table(title, *judge.table(findings))
        wrong = [f"{f.check}: {f.words}" for f in findings if f.state is State.NOT_MET]
        if wrong:
            pytest.fail(f"{len(wrong)} of {len(findings)} not met: {'; '.join(wrong)}", pytrace=False)


@pytest.fixture
def baseline(environment: Environment, evidence: Evidence, pytestconfig: pytest.Config) -> Settling:
    """Judge with the environment's exemptions, in the report's language."""
    exemptions = load_exemptions(exemptions_of(environment.source))
    return Settling(evidence, exemptions, pytestconfig.getoption("--report-language"))


@pytest.mark.requirement("CLOUD-8")
def test_the_ssh_server_follows_the_baseline(instance: InstanceState, baseline: Settling) -> None:
    address = str(instance.floating_address)
    audited = ssh.audit(address)
    judging = baseline.judge("ssh-audit", instance.name)
    findings = judging.free(ssh.seen_in(audited))
    baseline.evidence.command(
        "ssh-audit",
        shlex.join(["ssh-audit", *ssh.command(address)[1:]]),
        str(audited.get("banner", {}).get("raw", "")),
    )
    baseline.settle(f"SSH, {instance.name} (ssh-audit)", judging, findings)


@pytest.mark.requirement("CLOUD-7")
def test_tls_follows_the_baseline(  # noqa: PLR0917 - fixtures
    provisioned: Built,
    application: Application,
    instances: tuple[InstanceState, ...],
    authority: Path,
    baseline: Settling,
    tmp_path: Path,
) -> None:
    instance = next(i for i in instances if i.name == application.instance)
    judging = baseline.judge("sslyze", application.name)
    with endpoint(provisioned.selection, application, instance) as (address, port):
        scanned = tls.scan(f"{address}:{port}", authority, tmp_path)
    findings = judging.free(tls.seen_in(scanned))
    baseline.settle(f"TLS, {application.name} (SSLyze)", judging, findings)


@pytest.mark.requirement("CLOUD-7", "CLOUD-8")
def test_the_operating_system_follows_bp_028(
    provisioned: Built,
    environment: Environment,
    instance: InstanceState,
    machine: Host,
    baseline: Settling,
) -> None:
    script = files("medicarche.testing.baselines").joinpath("collect.py").read_bytes()
    facts = json.loads(
        machine.check_output("echo %s | base64 -d | python3 -", base64.b64encode(script).decode())
    )
    seen = linux.seen_by(
        facts,
        user=user_of(provisioned.selection, instance.name),
        public={(w.protocol, w.port) for w in listeners(environment, instance.name) if w.public},
        listening=parse_ss(machine.check_output(SS_COMMAND)),
    )
    judging = baseline.judge("bp-028", instance.name)
    findings = judging.listed(seen, container=linux.in_container(facts))
    baseline.settle(f"ANSSI-BP-028, {instance.name}", judging, findings)


@pytest.fixture(scope="session")
def packed_lynis(host_has: Callable[[tuple[str, ...]], None]) -> bytes:
    """Lynis as this machine's package brings it."""
    host_has(host_packages.missing(lynis.PROGRAM))
    return lynis.packed()


@pytest.mark.requirement("CLOUD-7")
def test_lynis_warns_of_nothing(
    instance: InstanceState,
    machine: Host,
    baseline: Settling,
    record_property: Callable[[str, object], None],
    packed_lynis: bytes,
) -> None:
    parsed = lynis.parse(lynis.audit(machine.backend.client, packed_lynis))
    assert machine.run("ls -d /run/medicarche-lynis.*").rc != 0, "something of it was left behind"
    record_property("hardening index", parsed["hardening_index"][0])
    judging = baseline.judge("lynis", instance.name)
    suggestions = [line.split("|")[:2] for line in parsed.get("suggestion", ())]
    baseline.evidence.table(f"Lynis, {instance.name}: suggestions", ("", ""), suggestions)
    baseline.settle(f"Lynis, {instance.name}", judging, judging.free(lynis.seen_in(parsed)))


@pytest.mark.requirement("CLOUD-7", "CLOUD-9")
def test_the_embedded_cloud_follows_the_openstack_security_guide(
    provisioned: Built, baseline: Settling
) -> None:
    cloud = provisioned.selection.embedded
    if cloud is None:
        pytest.skip("a configured cloud's nodes aren't ours to look into")
    judging = baseline.judge("openstack", cloud.name)
    findings = judging.listed(openstack.seen_in(openstack.gather(cloud)))
    baseline.settle("OpenStack Security Guide", judging, findings)
