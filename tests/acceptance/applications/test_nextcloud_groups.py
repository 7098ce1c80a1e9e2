"""DIR-2: the directory's groups in Nextcloud, to share with. Where it isn't deployed, this is skipped."""

from __future__ import annotations

import json
import secrets
from contextlib import ExitStack
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest

from medicarche.probe import Client
from medicarche.testing.nextcloud import OCC, OCS

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from requests import Response
    from testinfra.host import Host

    from medicarche.credentials import Credentials
    from medicarche.spec import Directory, Member
    from medicarche.spec.environment import Application, Environment

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [
    pytest.mark.requirement("DIR-2"),
    pytest.mark.application_kind("nextcloud"),
    pytest.mark.asks_directory,
]

_SHARING = "ocs/v2.php/apps/files_sharing/api/v1"
#: Nextcloud's number for a share with a group
_GROUP_SHARE = 1


@dataclass(frozen=True)
class Company:
    """Nextcloud's people, a group of theirs, and somebody who isn't in it."""

    directory: Directory
    url: str
    authority: Path
    credentials: Credentials
    group: str
    giver: Member
    receiver: Member
    stranger: Member

    def auth(self, member: Member) -> tuple[str, str]:
        """Return somebody's login and password."""
        password = self.credentials.get(f"{self.directory.application}/person/{member.login}")
        assert password, f"no password was generated for {member.login}"
        return member.login, password

    def request(self, member: Member, method: str, address: str, **options: Any) -> Response:  # noqa: ANN401 - of requests
        """Ask as somebody, by a client of their own: who has logged in keeps a cookie."""
        with Client(self.authority, timeout=60) as client:
            return client.request(method, address, auth=self.auth(member), **options)

    def file(self, member: Member, name: str) -> str:
        """Return the address of a file among somebody's own."""
        return f"{self.url}/remote.php/dav/files/{member.login}/{name}"

    def sees(self, member: Member, name: str) -> bool:
        """Tell whether somebody reads a file."""
        answer = self.request(member, "GET", self.file(member, name))
        assert answer.status_code in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}, answer.text
        return answer.status_code == HTTPStatus.OK

    def ask(self, member: Member, path: str, **parameters: object) -> Any:  # noqa: ANN401 - JSON
        """Ask for a list as somebody."""
        answer = self.request(member, "GET", f"{self.url}/{path}", params=parameters, headers=OCS)
        assert answer.status_code == HTTPStatus.OK, answer.text
        return answer.json()["ocs"]["data"]


@pytest.fixture
def company(
    environment: Environment, application: Application, url: str, credentials: Credentials, authority: Path
) -> Company:
    """Nextcloud's people."""
    directory = environment.directory
    assert directory is not None
    inside = [m for m in directory.members if set(m.groups) & application.roles.keys()]
    # nobody becomes an administrator for a test
    least = (g for g, role in application.roles.items() if role == application.traits.roles[-1])
    group = next(g for g in least if sum(g in m.groups for m in inside) > 1)
    giver, receiver = [m for m in inside if group in m.groups][:2]
    stranger = next(m for m in inside if group not in m.groups)
    return Company(directory, url, authority, credentials, group, giver, receiver, stranger)


@pytest.fixture
def shared(company: Company) -> Iterator[str]:
    """The name of a file that is shared with the group."""
    name = f"essai-{secrets.token_hex(4)}.txt"
    address, giver = company.file(company.giver, name), company.giver
    assert company.request(giver, "PUT", address, data=b"essai").status_code == HTTPStatus.CREATED
    try:
        data = {"path": f"/{name}", "shareType": _GROUP_SHARE, "shareWith": f"directory-{company.group}"}
        shares = f"{company.url}/{_SHARING}/shares"
        answer = company.request(giver, "POST", shares, data=data, headers=OCS)
        assert answer.status_code == HTTPStatus.OK, answer.text
        yield name
    finally:
        company.request(giver, "DELETE", address)


def test_a_group_is_found_by_its_title_and_nobody_else_sees_what_is_shared_with_it(
    company: Company, shared: str
) -> None:
    title = company.directory.groups[company.group]
    found = company.ask(
        company.giver, f"{_SHARING}/sharees", search=title, itemType="file", perPage=20, lookup="false"
    )
    groups = [*found["groups"], *found["exact"]["groups"]]
    assert (title, f"directory-{company.group}") in {(g["label"], g["value"]["shareWith"]) for g in groups}
    assert company.sees(company.receiver, shared)
    assert not company.sees(company.stranger, shared)


def test_every_group_that_is_let_in_is_there_with_its_people(
    company: Company, application: Application, machine: Host
) -> None:
    for group in application.roles:
        told = json.loads(machine.check_output(f"{OCC} group:info directory-{group} --output=json"))
        assert told["displayName"] == company.directory.groups[group]
        members = {m.login for m in company.directory.members if group in m.groups}
        for member in (company.giver, company.receiver, company.stranger):
            theirs = company.ask(member, "ocs/v2.php/cloud/user")["groups"]
            assert (f"directory-{group}" in theirs) == (member.login in members)
    listed = json.loads(machine.check_output(f"{OCC} group:list --output=json"))
    ours = {name for name in listed if name.startswith("directory-")}
    assert ours == {f"directory-{group}" for group in application.roles}


@pytest.mark.alone
def test_a_group_follows_the_people_and_what_was_changed_by_hand_is_put_back(  # noqa: PLR0917 - fixtures
    company: Company,
    shared: str,
    machine: Host,
    administrator: tuple[str, str],
    run_medicarche: Run,
    with_people: Callable[[Sequence[Member]], Path],
) -> None:
    group, receiver, stranger = f"directory-{company.group}", company.receiver, company.stranger
    moved = (
        replace(receiver, groups=stranger.groups),
        replace(stranger, groups=(*stranger.groups, company.group)),
    )
    rest = [m for m in company.directory.members if m not in {receiver, stranger}]
    with ExitStack() as stack:
        stack.callback(_provision, run_medicarche)
        machine.check_output(f"{OCC} group:adduser {group} {administrator[0]}")
        stack.callback(machine.check_output, f"{OCC} group:removeuser {group} {administrator[0]}")
        machine.check_output(f"{OCC} group:adduser {group} {stranger.login}")
        machine.check_output(f"{OCC} group:removeuser {group} {receiver.login}")
        shown = run_medicarche("plan", "--deploy")
        assert shown.returncode == 2, shown.stdout + shown.stderr
        assert f"{receiver.login} is to be in group {group}" in shown.stdout
        assert f"{stranger.login} is in group {group}" in shown.stdout
        # a local account is the business of who has put it there
        assert f"{administrator[0]} is" not in shown.stdout
        _provision(run_medicarche)
        assert company.sees(receiver, shared)
        assert not company.sees(stranger, shared)
        file = ("--environment", str(with_people([*rest, *moved])))
        _provision(run_medicarche, *file)
        assert company.sees(stranger, shared)
        assert not company.sees(receiver, shared)
        idle = run_medicarche(*file, "plan", "--deploy")
        assert idle.returncode == 0, idle.stdout
    assert company.sees(receiver, shared)
    assert not company.sees(stranger, shared)


def _provision(run_medicarche: Run, *options: str) -> None:
    done = run_medicarche(*options, "provision")
    assert done.returncode == 0, done.stdout + done.stderr
