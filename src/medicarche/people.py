"""The accounts of those who work on the cloud: each gets one file, which only its owner may read.

The file is a ``clouds.yaml`` with one entry: a person's password is in it, and it works as it is::

    OS_CLIENT_CONFIG_FILE=.../people/NAME openstack --os-cloud medicarche server list
"""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

from medicarche.cloud import observe
from medicarche.credentials import Credentials
from medicarche.errors import CloudRefused, MedicarcheError
from medicarche.plan.resources import User
from medicarche.private_files import make_private_folder, write_private

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from medicarche.cloud import Connections

__all__ = ["CLOUD", "file_of", "forget_others", "hand_over", "reset_password", "with_passwords"]

#: the entry in a person's file
CLOUD = "medicarche"


def file_of(folder: Path, login: str) -> Path:
    """Return where a person's account is handed over; ``folder``: the environment's."""
    return folder / "people" / login


def with_passwords(connections: Connections, folder: Path) -> Connections:
    """Return the connections, able to make users: each new password is in its owner's file first."""
    return replace(connections, password_of=lambda user: hand_over(connections, folder, user.name))


def hand_over(connections: Connections, folder: Path, login: str) -> str:
    """Make a new password, write it into its owner's file, and return it."""
    password = Credentials(folder).renew(_purpose(login))
    auth = connections.member.sdk.config.config["auth"]
    content = {
        "clouds": {
            CLOUD: {
                "auth": {
                    "auth_url": auth["auth_url"],
                    "username": login,
                    "password": password,
                    "user_domain_id": connections.member.domain_id,
                    "project_id": connections.member.project_id,
                },
                "region_name": connections.member.sdk.config.get_region_name(),
                "identity_api_version": 3,
            }
        }
    }
    verify = connections.member.sdk.config.config.get("cacert")
    if verify:
        content["clouds"][CLOUD]["cacert"] = str(verify)
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(content, stream)
    path = file_of(folder, login)
    make_private_folder(path.parent)
    write_private(path, stream.getvalue().encode())
    return password


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
    credentials = Credentials(folder)
    files = file_of(folder, "x").parent
    for path in sorted(files.iterdir()) if files.is_dir() else ():
        if path.name not in logins and not path.name.startswith("."):
            path.unlink()
            credentials.forget(_purpose(path.name))


def _purpose(login: str) -> str:
    return f"people/{login}"
