"""Accounts of those who work on the cloud, and credentials of programs: each is handed over by a file.

The file is readable by its owner only. It is a ``clouds.yaml`` with one entry, and works as it is::

    OS_CLIENT_CONFIG_FILE=.../people/NAME openstack --os-cloud medicarche server list
"""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from medicarche.cloud.observe import observe
from medicarche.credentials import Credentials
from medicarche.errors import CloudRefused, MedicarcheError
from medicarche.plan.resources import User
from medicarche.private_files import make_private_folder, write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from medicarche.cloud.connect import Connections

__all__ = [
    "CLOUD",
    "credential_file",
    "file_of",
    "forget_credentials",
    "forget_others",
    "hand_over",
    "reset_password",
    "with_secrets",
]

#: the entry in a person's file
CLOUD = "medicarche"


def file_of(folder: Path, login: str) -> Path:
    """Return where a person's account is handed over; ``folder``: the environment's."""
    return folder / "people" / login


def credential_file(folder: Path, name: str) -> Path:
    """Return where an application credential is handed over; ``folder``: the environment's."""
    return folder / "application-credentials" / name


def with_secrets(connections: Connections, folder: Path) -> Connections:
    """Return the connections, able to make users and application credentials.

    Each new password and secret is in its owner's file first.
    """
    return replace(
        connections,
        password_of=lambda user: hand_over(connections, folder, user.name),
        secret_of=lambda credential, title: _hand_over_credential(
            connections, folder, credential.name, title
        ),
    )


def hand_over(connections: Connections, folder: Path, login: str) -> str:
    """Make a new password, write it into its owner's file, and return it."""
    password = Credentials(folder).renew(_purpose(login))
    auth = {
        "username": login,
        "password": password,
        "user_domain_id": connections.member.domain_id,
        "project_id": connections.member.project_id,
    }
    _write(file_of(folder, login), connections, {"auth": auth})
    return password


def _hand_over_credential(connections: Connections, folder: Path, name: str, title: str) -> str:
    """Make a new secret, write it into the credential's file, and return it.

    The file names the credential, and not its id: it is written before the cloud gives one.
    """
    secret = Credentials(folder).renew(_credential_purpose(name))
    auth = {
        "user_id": connections.member.user_id,
        "application_credential_name": title,
        "application_credential_secret": secret,
    }
    entry = {"auth_type": "v3applicationcredential", "auth": auth}
    _write(credential_file(folder, name), connections, entry)
    return secret


def _write(path: Path, connections: Connections, entry: dict[str, Any]) -> None:
    """Write a clouds.yaml with one entry of the member's cloud."""
    known = connections.member.sdk.config
    entry["auth"] = {"auth_url": known.config["auth"]["auth_url"], **entry["auth"]}
    entry |= {"region_name": known.get_region_name(), "identity_api_version": 3}
    verify = known.config.get("cacert")
    if verify:
        entry["cacert"] = str(verify)
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump({"clouds": {CLOUD: entry}}, stream)
    make_private_folder(path.parent)
    write_private(path, stream.getvalue().encode())


def reset_password(connections: Connections, environment_name: str, folder: Path, login: str) -> Path:
    """Give a person a new password, and return the file that it is in.

    Raises:
        CloudRefused: there is no admin, who alone can do this.
        MedicarcheError: the environment has no such account.
    """
    if connections.admin is None:
        raise CloudRefused(
            "only an admin of the cloud gives a new password", hint="Name one: --admin-cloud ENTRY"
        )
    accounts = {
        found.resource.name: found.id
        for found in observe(connections, environment_name, ())
        if isinstance(found.resource, User) and found.mark is not None
    }
    if login not in accounts:
        known = ", ".join(sorted(accounts)) or "nobody"
        raise MedicarcheError(
            f"{login!r} has no account that {environment_name} made; these have: {known}",
            hint="`medicarche provision` makes the accounts of the environment file",
        )
    password = hand_over(connections, folder, login)
    connections.admin.identity.change(f"/users/{accounts[login]}", {"user": {"password": password}})
    return file_of(folder, login)


def forget_others(folder: Path, logins: Collection[str]) -> None:
    """Remove the files and passwords of all but these people: their accounts are gone."""
    _forget(folder, file_of(folder, "x").parent, logins, _purpose)


def forget_credentials(folder: Path, names: Collection[str]) -> None:
    """Remove the files and secrets of all but these application credentials: they are gone."""
    _forget(folder, credential_file(folder, "x").parent, names, _credential_purpose)


def _forget(folder: Path, files: Path, kept: Collection[str], purpose: Callable[[str], str]) -> None:
    credentials = Credentials(folder)
    for path in sorted(files.iterdir()) if files.is_dir() else ():
        if path.name not in kept and not path.name.startswith("."):
            path.unlink()
            credentials.forget(purpose(path.name))


def _purpose(login: str) -> str:
    return f"people/{login}"


def _credential_purpose(name: str) -> str:
    return f"application-credentials/{name}"
