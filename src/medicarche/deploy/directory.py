"""What the directory's own application and those that ask it are told of each other, in the deployment's job.

Passwords are made here. A person's first one is handed over by a file that only its owner may read; what the
person sets afterwards is known to the directory alone.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from medicarche.deploy.applications import KINDS
from medicarche.errors import DeploymentError
from medicarche.private_files import make_private_folder, write_private
from medicarche.spec import cloud_groups
from medicarche.spec.cloud_groups import KEYSTONE
from medicarche.spec.directory import base_of
from medicarche.spec.ssh_accounts import serving

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from medicarche.credentials import Credentials
    from medicarche.spec.directory import Directory
    from medicarche.spec.environment import Application, Environment
    from medicarche.ssh import Instance

__all__ = [
    "accounts_told",
    "base_of",
    "hand_over",
    "instance_secret",
    "keystone_secret",
    "person_secret",
    "secrets_of",
    "service_secret",
    "told",
]


def person_secret(login: str) -> str:
    """Return the purpose of a person's first password, among the directory's secrets."""
    return f"person/{login}"


def service_secret(application: str) -> str:
    """Return the purpose of the password with which an application asks, among the directory's secrets."""
    return f"service/{application}"


def instance_secret(instance: str) -> str:
    """Return the purpose of the password with which an instance asks, among the directory's secrets."""
    return f"instance/{instance}"


def keystone_secret(directory: Directory) -> str:
    """Return the purpose of the password with which Keystone asks, among the environment's credentials."""
    return f"{directory.application}/{service_secret(KEYSTONE)}"


def _services(environment: Environment, directory: Directory) -> list[Application]:
    users = environment.users_of(directory.application)
    return [a for a in users if a.deployed and KINDS[a.kind].service_account]


def _instances(environment: Environment) -> list[str]:
    """Return the names of the instances that ask for SSH accounts: all, or none."""
    return [] if serving(environment) is None else [i.name for i in environment.instances]


def secrets_of(
    environment: Environment, application: Application, credentials: Credentials
) -> dict[str, str]:
    """Return purpose → password of all that an application needs with or for the directory."""
    directory = environment.directory
    if directory is None:
        return {}
    if application.name == directory.application:
        purposes = [person_secret(member.login) for member in directory.members]
        purposes += [service_secret(user.name) for user in _services(environment, directory)]
        purposes += [instance_secret(name) for name in _instances(environment)]
        if cloud_groups.serving(environment) is not None:
            purposes.append(service_secret(KEYSTONE))
        names = {purpose: f"{directory.application}/{purpose}" for purpose in purposes}
        made = credentials.get_or_create_all(names.values())
        return {purpose: made[name] for purpose, name in names.items()}
    if application in _services(environment, directory):
        name = f"{directory.application}/{service_secret(application.name)}"
        return {"directory": credentials.get_or_create(name)}
    return {}


def told(
    environment: Environment, application: Application, instances: Sequence[Instance], authority: str
) -> dict[str, Any] | None:
    """Return what an application is told of the directory: all where it serves it, how to ask where it asks.

    Args:
        environment: what is wanted.
        application: whom to tell.
        instances: all instances, as they are.
        authority: the certificate (PEM) of the environment's authority.

    Raises:
        DeploymentError: it asks, and the directory's instance has no address.
    """
    directory = environment.directory
    if directory is None:
        return None
    base = base_of(environment.domain)
    if application.name == directory.application:
        return {
            "base": base,
            "sites": dict(directory.sites),
            "groups": dict(directory.groups),
            "members": [asdict(member) for member in directory.members],
            "services": [
                {
                    "name": user.name,
                    "groups": sorted(user.roles),
                    "lists": KINDS[user.kind].lists_people,
                }
                for user in _services(environment, directory)
            ],
            "ssh": {
                "groups": list(directory.ssh_groups),
                "instances": _instances(environment),
                "keys": {member.login: member.ssh_key for member in directory.ssh_members},
            }
            if _instances(environment)
            else None,
            "cloud": {"account": KEYSTONE, "groups": sorted(directory.cloud_groups)}
            if cloud_groups.serving(environment) is not None
            else None,
        }
    if not application.roles:
        return None
    address = _address(environment, directory, instances, application.name)
    powers = application.traits.roles
    ordered = sorted(application.roles.items(), key=lambda item: (powers.index(item[1]), item[0]))
    people, groups = {}, {}
    # an account of its own may read as much anyway
    if KINDS[application.kind].service_account:
        theirs = directory.with_all_roles(application.roles, powers)
        people = {
            member.login: {"name": member.name, "mail": member.mail, "roles": theirs[member.login]}
            for member in directory.members
            if member.login in theirs
        }
        groups = {
            group: {
                "title": directory.groups[group],
                "members": [member.login for member in directory.members if group in member.groups],
            }
            for group in sorted(application.roles)
        }
    names = [f"cn={group},ou=groups,{base}" for group, _ in ordered]
    return {
        "base": base,
        "uri": f"ldaps://{address}",
        "address": address,
        "authority": authority,
        "account": f"cn={application.name},ou=services,{base}",
        # the most powerful first
        "roles": [{"group": dn, "role": role} for dn, (_, role) in zip(names, ordered, strict=True)],
        # whom they have in common; %s is the name that somebody logs in with
        "filter": f"(&(uid=%s)(|{''.join(f'(memberOf={dn})' for dn in names)}))",
        "members": directory.with_roles(application.roles, powers),
        # with all that each of them is, where an application's roles add up
        "people": people,
        # who shares something with a whole department
        "groups": groups,
    }


def accounts_told(
    environment: Environment,
    instance: str,
    instances: Sequence[Instance],
    authority: str,
    credentials: Credentials,
) -> dict[str, Any] | None:
    """Return what an instance is told of its SSH accounts and of how to ask for them; None where it has none.

    Args:
        environment: what is wanted.
        instance: whom to tell.
        instances: all instances, as they are.
        authority: the certificate (PEM) of the environment's authority.
        credentials: the environment's passwords; the instance's own is made here.

    Raises:
        DeploymentError: the directory's instance has no address.
    """
    directory = environment.directory
    if directory is None or serving(environment) is None:
        return None
    base = base_of(environment.domain)
    address = _address(environment, directory, instances, instance)
    return {
        "base": base,
        "uri": f"ldaps://{address}",
        "authority": authority,
        "account": f"cn={instance},ou=instances,{base}",
        "password": credentials.get_or_create(f"{directory.application}/{instance_secret(instance)}"),
        "groups": [f"cn={group},ou=groups,{base}" for group in directory.ssh_groups],
        # who has no key can't log in, and may be there from before
        "logins": [member.login for member in directory.ssh_members],
    }


def _address(environment: Environment, directory: Directory, instances: Sequence[Instance], who: str) -> str:
    """Return the directory's private address and port."""
    found = directory.served_by(environment.applications)
    address = next((i.private_address for i in instances if i.name == found.instance), None)
    if address is None:
        raise DeploymentError(
            f"{who}: the directory's instance {found.instance} has no address",
            hint="run `medicarche provision`",
        )
    return f"{address}:{found.port}"


def hand_over(environment: Environment, credentials: Credentials, folder: Path) -> None:
    """Write each person's first password into a file of its own; remove those of who has left.

    Args:
        environment: what is wanted.
        credentials: the environment's passwords.
        folder: the environment's folder.
    """
    directory = environment.directory
    if directory is None:
        return
    files = make_private_folder(folder / "directory")
    prefix = f"{directory.application}/{person_secret('')}"
    here = {person_secret(member.login) for member in directory.members}
    for member in directory.members:
        password = credentials.get(f"{prefix}{member.login}")
        if password is not None:
            content = f"{member.name}\n{member.login}\n{password}\n".encode()
            path = files / member.login
            if not path.exists() or path.read_bytes() != content:
                write_private(path, content)
    for path in files.iterdir():
        if person_secret(path.name) not in here and not path.name.startswith("."):
            path.unlink()
    credentials.forget_all(
        name
        for name in credentials.names()
        if name.startswith(prefix) and person_secret(name.removeprefix(prefix)) not in here
    )
