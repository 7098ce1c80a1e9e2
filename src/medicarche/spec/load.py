"""Reading the environment file: YAML, form, meaning, and the frozen data that all else works with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from medicarche.spec.checks import CHECKS, RESERVED_PORTS, Content
from medicarche.spec.checks.directory import kinds_findings
from medicarche.spec.directory import Directory, Keystone
from medicarche.spec.document import Document, KeyPath, Problem, read
from medicarche.spec.environment import (
    Application,
    ApplicationCredentialSpec,
    CertificateSpec,
    Environment,
    FlavorSpec,
    ImageSpec,
    IngressRule,
    Instance,
    Listener,
    Locale,
    Mirrors,
    NetworkSpec,
    Person,
    RouterSpec,
    SecurityGroupSpec,
    Size,
    SubnetSpec,
    Traits,
)
from medicarche.spec.people_file import read_people
from medicarche.spec.ssh_accounts import LOCAL_ACCOUNTS
from medicarche.spec.validate import validate
from medicarche.spec.values import ADMINISTRATORS, ANYWHERE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from medicarche.spec.schema import EnvironmentFile, InstanceModel

__all__ = ["load_environment"]

_ANYWHERE_PREFIX = "0.0.0.0/0"


def load_environment(
    path: Path | str,
    *,
    check_settings: Callable[[Application], Iterable[str]] | None = None,
    private_listeners: Callable[[Application], Iterable[Listener]] | None = None,
    minimum_size: Callable[[Application], Size | None] | None = None,
    traits: Callable[[str], Traits | None] | None = None,
) -> Environment:
    """Read the environment file and check all of it.

    Args:
        path: the YAML file.
        check_settings: says what is wrong with an application's kind and settings, one line per error;
            ``key: what is wrong; what to do`` (or ``kind: ...``) points at that key's line.
        private_listeners: gives the sockets that an application opens besides its public port, so that
            ports claimed twice in one instance are found.
        minimum_size: gives the smallest instance that carries an application, so that a flavor that is too
            small is found.
        traits: gives what holds for all applications of a kind, or None where the kind isn't known.

    Raises:
        SpecificationError: with all errors at once, one line each: ``file:line: key: what; what to do``.
    """
    document = read(Path(path))
    file, problems = validate(document)
    problems = [*document.problems, *problems]
    content = Content(file, document.data)
    for check in CHECKS:
        problems += [document.problem(document.original(where), text) for where, text in check(content)]
    applications = _applications(file, traits or (lambda _: None))
    if traits is not None:
        found = kinds_findings(content, {a.name: traits(a.kind) for a in applications})
        problems += [document.problem(document.original(where), text) for where, text in found]
    if check_settings is not None:
        for application in applications:
            problems += _settings_problems(document, application, check_settings(application))
    if private_listeners is not None:
        problems += _ports_problems(document, applications, private_listeners)
    if minimum_size is not None:
        problems += _size_problems(document, file, applications, minimum_size)
    directory, people, theirs = _directory(document, file, applications)
    if problems or theirs:
        raise document.error(problems, people, theirs)
    return replace(_environment(document.path, file, applications), directory=directory)


def _directory(
    document: Document, file: EnvironmentFile, applications: tuple[Application, ...]
) -> tuple[Directory | None, Document | None, list[Problem]]:
    """Read the people's file, where one is named; what is wrong in it is told beside the rest."""
    declared = file.directory
    if declared is None:
        return None, None, []
    path = document.path.parent / Path(declared.people).expanduser()
    taken = {
        application.settings["administrator"]: f"the local administrator of {application.name}"
        for application in applications
        if application.roles and "administrator" in application.settings
    }
    users = {image.user for image in file.images.values()} if declared.ssh_groups else set()
    members, people, problems = read_people(
        path,
        sites=declared.sites,
        groups=declared.groups,
        taken=taken,
        ssh_groups=declared.ssh_groups,
        local=LOCAL_ACCOUNTS | users,
    )
    directory = Directory(
        application=declared.application,
        people_file=path,
        sites=dict(declared.sites),
        groups=dict(declared.groups),
        members=members,
        ssh_groups=tuple(sorted(declared.ssh_groups)),
        cloud_groups=dict(sorted(declared.cloud_groups.items())),
        keystone=None
        if declared.keystone is None
        else Keystone(
            prefixes=tuple(dict.fromkeys(declared.keystone.prefixes)), authority=declared.keystone.authority
        ),
    )
    return directory, people, problems


def _settings_problems(document: Document, application: Application, errors: Iterable[str]) -> list[Problem]:
    here: KeyPath = ("applications", application.name)
    problems = []
    for error in errors:
        key, colon, rest = error.partition(":")
        if colon and key == "kind":
            problems.append(document.problem((*here, "kind"), rest.strip()))
        elif colon and key.replace("_", "").replace("-", "").isalnum():
            problems.append(document.problem((*here, "settings", key), rest.strip()))
        else:
            problems.append(document.problem((*here, "settings"), error))
    return problems


def _ports_problems(
    document: Document,
    applications: tuple[Application, ...],
    private_listeners: Callable[[Application], Iterable[Listener]],
) -> list[Problem]:
    """Find public ports that are another socket's too: all of 0.0.0.0 includes loopback."""
    problems = []
    taken: dict[tuple[str, str, int], str] = {}
    for application in applications:
        for port, what in RESERVED_PORTS.items():
            taken[application.instance, "tcp", port] = what
    for application in applications:
        taken.setdefault((application.instance, "tcp", application.port), f"application {application.name!r}")
    for application in applications:
        for listener in private_listeners(application):
            if listener.public:
                continue
            claim = (application.instance, listener.protocol, listener.port)
            other = taken.setdefault(claim, f"application {application.name!r}, inside ({listener.process})")
            if other.startswith(f"application {application.name!r}, inside"):
                continue
            problems.append(
                document.problem(
                    ("applications", application.name),
                    f"its {listener.process} listens on port {listener.port} inside instance"
                    f" {application.instance!r}, which is claimed by {other} already; choose another port",
                ),
            )
    return problems


def _size_problems(
    document: Document,
    file: EnvironmentFile,
    applications: tuple[Application, ...],
    minimum_size: Callable[[Application], Size | None],
) -> list[Problem]:
    """Find flavors that are smaller than what the applications of an instance ask for, taken together."""
    problems = []
    for name, instance in file.instances.items():
        flavor = file.flavors.get(instance.flavor)
        sizes = {a.name: minimum_size(a) for a in applications if a.instance == name}
        known = {application: size for application, size in sizes.items() if size is not None}
        if flavor is None:
            continue
        asked = "; ".join(f"{application}: {size.source}" for application, size in known.items())
        for has, unit, wants, what in (
            (flavor.ram_mib, "MiB", sum(s.ram_mib for s in known.values()), "memory"),
            (flavor.disk_gib, "GiB", sum(s.disk_gib for s in known.values()), "disk"),
        ):
            if has < wants:
                text = (
                    f"flavor {instance.flavor!r} has {has} {unit} of {what}, and {', '.join(known)} asks for"
                    f" {wants} {unit} ({asked}); choose a larger flavor"
                )
                problems.append(document.problem(("instances", name, "flavor"), text))
    return problems


def _environment(path: Path, file: EnvironmentFile, applications: tuple[Application, ...]) -> Environment:
    administrators = tuple(dict.fromkeys(file.administrators.prefixes))
    return Environment(
        source=path,
        name=file.name,
        organization=file.organization,
        domain=file.domain,
        locale=Locale(
            language=file.locale.language,
            keyboard=file.locale.keyboard,
            timezone=file.locale.timezone,
        ),
        administrators=administrators,
        mirrors=Mirrors(debian=file.mirrors.debian, security=file.mirrors.security),
        networks=_networks(file),
        routers=tuple(
            RouterSpec(
                name=name,
                external_network=router.external_network,
                external_address=router.external_address,
                subnets=tuple(router.subnets),
            )
            for name, router in file.routers.items()
        ),
        security_groups=_security_groups(file, administrators),
        flavors=tuple(
            FlavorSpec(
                name=name,
                vcpus=flavor.vcpus,
                ram_mib=flavor.ram_mib,
                disk_gib=flavor.disk_gib,
                ephemeral_gib=flavor.ephemeral_gib,
                swap_mib=flavor.swap_mib,
                public=flavor.public,
                metadata=tuple(sorted(flavor.metadata.items())),
            )
            for name, flavor in file.flavors.items()
        ),
        images=tuple(
            ImageSpec(
                name=name,
                suite=image.suite,
                user=image.user,
                disk_mib=image.disk_mib,
                visibility=image.visibility,
                packages=tuple(sorted(set(image.packages))),
            )
            for name, image in file.images.items()
        ),
        key_pair=file.key_pair,
        instances=tuple(
            _instance(file, name, instance, path.parent) for name, instance in file.instances.items()
        ),
        applications=applications,
        people=tuple(
            Person(
                login=login,
                name=person.name,
                group=person.group,
                cloud_role=file.groups[person.group].cloud_role,
            )
            for login, person in file.people.items()
        ),
        application_credentials=tuple(
            ApplicationCredentialSpec(name=name, role=credential.role, why=credential.why)
            for name, credential in file.application_credentials.items()
        ),
        quotas=tuple((name, limit) for name, limit in file.quotas.model_dump().items() if limit is not None),
    )


def _networks(file: EnvironmentFile) -> tuple[NetworkSpec, ...]:
    return tuple(
        NetworkSpec(
            name=name,
            external=network.external,
            physical_network=network.physical_network,
            subnets=tuple(
                SubnetSpec(
                    name=subnet_name,
                    cidr=subnet.cidr,
                    gateway=subnet.gateway,
                    dhcp=subnet.dhcp,
                    pools=tuple((pool.first, pool.last) for pool in subnet.pools),
                    dns=tuple(subnet.dns),
                )
                for subnet_name, subnet in network.subnets.items()
            ),
        )
        for name, network in file.networks.items()
    )


def _security_groups(file: EnvironmentFile, administrators: tuple[str, ...]) -> tuple[SecurityGroupSpec, ...]:
    def sources(written: str | list[str]) -> tuple[str, ...]:
        if written == ADMINISTRATORS:
            return administrators
        if written == ANYWHERE:
            return (_ANYWHERE_PREFIX,)
        return tuple(dict.fromkeys(written))

    return tuple(
        SecurityGroupSpec(
            name=name,
            ingress=tuple(
                IngressRule(
                    port=rule.port, protocol=rule.protocol, sources=sources(rule.sources), why=rule.why
                )
                for rule in group.ingress
            ),
        )
        for name, group in file.security_groups.items()
    )


def _instance(file: EnvironmentFile, name: str, instance: InstanceModel, folder: Path) -> Instance:
    given = instance.certificate
    return Instance(
        name=name,
        flavor=instance.flavor,
        image=instance.image,
        network=instance.network,
        floating_ip=instance.floating_ip,
        security_groups=tuple(instance.security_groups),
        subnet=instance.subnet or next(iter(file.networks[instance.network].subnets)),
        metadata=tuple(sorted(instance.metadata.items())),
        certificate=None
        if given is None
        else CertificateSpec(
            folder / Path(given.chain).expanduser(),
            folder / Path(given.key).expanduser(),
            folder / Path(given.authority).expanduser() if given.authority else None,
        ),
    )


def _applications(file: EnvironmentFile, traits: Callable[[str], Traits | None]) -> tuple[Application, ...]:
    return tuple(
        Application(
            name=name,
            kind=application.kind,
            instance=application.instance,
            port=application.port,
            title=application.title,
            settings=dict(sorted(application.settings.items())),
            egress=tuple(sorted(set(application.egress))),
            deployed=application.deployed,
            if_unavailable=application.if_unavailable,
            roles=dict(sorted(application.roles.items())),
            traits=traits(application.kind) or Traits(),
        )
        for name, application in file.applications.items()
    )
