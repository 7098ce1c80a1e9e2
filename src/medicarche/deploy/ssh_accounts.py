"""SSH accounts from the company's directory in an instance, by sssd; and their end.

What an instance has of its own doesn't depend on any of it: its administrator's account and key are asked for
before the directory's, and are never held up by it.

Imported in the deployment's own process only.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pyinfra.api.operation import operation

from medicarche.deploy.asking import ask
from medicarche.deploy.hardening import drop_in
from medicarche.deploy.leftovers import Leftovers
from medicarche.deploy.operations import Differences, File, Unit, note, run, shell
from medicarche.deploy.packages import purge_command
from medicarche.deploy.templating import render
from medicarche.spec.ssh_accounts import FIRST_NUMBER, LAST_NUMBER

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from pyinfra.api.command import StringCommand

    from medicarche.deploy.asking import Question

__all__ = [
    "Remains",
    "accounts",
    "files",
    "find_directory",
    "let_in",
    "packages",
    "question",
    "take_away",
    "units",
    "wait",
    "withdraw",
]

_TEMPLATES = Path(__file__).parent / "templates" / "ssh_accounts"
_SCRIPT = "/usr/local/lib/medicarche/ssh-accounts.py"
_AUTHORITY = "/etc/sssd/medicarche-authority.pem"
_CONFIGURATION = "/etc/sssd/sssd.conf"
_SERVICE = "sssd.service"
_SUDO = "/etc/sudoers.d/61-medicarche-ssh"
#: path → template and mode
_WRITTEN: Final[Mapping[str, tuple[str, str]]] = {
    _SCRIPT: ("ssh-accounts.py.j2", "644"),
    _CONFIGURATION: ("sssd.conf.j2", "600"),
    drop_in(_SERVICE): ("sssd.service.j2", "644"),
    "/usr/share/pam-configs/medicarche-ssh": ("pam-config.j2", "644"),
    "/usr/local/lib/medicarche/ssh-home": ("ssh-home.j2", "755"),
    "/usr/local/lib/medicarche/ssh-keys": ("ssh-keys.j2", "755"),
}
_PACKAGES: Final = ("sssd-ldap", "libnss-sss", "libpam-sss")
#: with what they bring along
_PURGED: Final = (*_PACKAGES, "sssd-common", "sssd-krb5-common", "python3-sss")


def packages(instance: Mapping[str, Any]) -> tuple[str, ...]:
    """Return Debian's packages."""
    return _PACKAGES if instance["ssh_accounts"] else ()


def files(instance: Mapping[str, Any]) -> list[File]:
    """Return the configuration; sssd's holds the password that the instance asks the directory with."""
    told = instance["ssh_accounts"]
    if not told:
        return []
    values = {"accounts": told, "first": FIRST_NUMBER, "last": LAST_NUMBER}
    return [
        *(
            File(path, render(_TEMPLATES, template, **values), mode=mode)
            for path, (template, mode) in _WRITTEN.items()
        ),
        File(_AUTHORITY, told["authority"]),
        # by number: no group of the instance's own can be meant. There is no password to ask for, as there is
        # none of the image's administrator
        File(_SUDO, f"%#{FIRST_NUMBER} ALL=(ALL:ALL) NOPASSWD: ALL\n", mode="440"),
    ]


def units(instance: Mapping[str, Any]) -> list[Unit]:
    """Return the service, which starts whether the directory answers or not."""
    if not instance["ssh_accounts"]:
        return []
    return [Unit(_SERVICE, (_CONFIGURATION, _AUTHORITY, drop_in(_SERVICE)))]


class AccountDifferences(Differences):
    """What differs of the directory's people in the instance, in words; None where it can't say yet."""

    def command(self, logins: Sequence[str]) -> str:  # type: ignore[override]  # each fact's own arguments
        """Run the script where it is; whoever hangs isn't waited for."""
        return (
            f"if [ -e {_SCRIPT} ] && [ -e /usr/sbin/sssd ]; then"
            f" timeout 60 python3 {_SCRIPT} check {shlex.join(logins)} || echo null; else echo null; fi"
        )


class Remains(Leftovers):
    """Files and packages of SSH accounts that are in the instance."""

    paths = (*_WRITTEN, _AUTHORITY, _SUDO)
    programs = _PURGED


def question(instance: Mapping[str, Any]) -> Question:
    """Return what `accounts` asks, or `withdraw` where there are none."""
    told = instance["ssh_accounts"]
    return (AccountDifferences, {"logins": tuple(told["logins"])}) if told else (Remains, {})


def take_away(instance: Mapping[str, Any]) -> None:
    """Add the operation that ends it all, where there are no SSH accounts (any more)."""
    if not instance["ssh_accounts"]:
        run("SSH accounts that come from no directory any more", withdraw)


def let_in(instance: Mapping[str, Any]) -> None:
    """Add the operation that lets people in, and ends what others have running."""
    if instance["ssh_accounts"]:
        run("SSH accounts", accounts, tuple(instance["ssh_accounts"]["logins"]))


def find_directory(instance: Mapping[str, Any]) -> None:
    """Add the operation that waits for the directory, where the accounts are new."""
    if not instance["ssh_accounts"]:
        return
    logins = tuple(instance["ssh_accounts"]["logins"])
    if ask(AccountDifferences, logins=logins) is None:
        run("SSH accounts: the directory is asked", wait, logins)


@operation()
def accounts(logins: Sequence[str]) -> Generator[StringCommand, None, None]:
    """Let these people of the directory in; end what others of it have running."""
    differences = ask(AccountDifferences, logins=logins)
    if differences == []:
        return
    for line in differences or ["aren't there yet"]:
        note(line)
    yield shell(f"python3 {_SCRIPT} apply {shlex.join(logins)}")


@operation()
def wait(logins: Sequence[str]) -> Generator[StringCommand, None, None]:
    """Let a run end with accounts that let in; without the directory it ends all the same, a minute later."""
    yield shell(f"python3 {_SCRIPT} wait {shlex.join(logins)}")


@operation()
def withdraw() -> Generator[StringCommand, None, None]:
    """Take the directory's accounts away again; homes stay."""
    found = ask(Remains)
    # without our script it was somebody else's sssd; it comes first and goes last
    if _SCRIPT not in found:
        return
    for name in found:
        note(f"{name}: must not be there")
    there = [name for name in found if name.startswith("/")]
    yield shell(f"python3 {_SCRIPT} end && python3 {_SCRIPT} forget")
    installed = [name for name in found if not name.startswith("/")]
    if installed:
        yield shell(f"{{ systemctl stop {_SERVICE} || true; }} && {purge_command(installed)}")
    yield shell(
        f"rm -rf -- /var/lib/sss /etc/sssd {shlex.join(name for name in there if name != _SCRIPT)}"
        f" && rm -f -- {_SCRIPT} && systemctl daemon-reload"
    )
