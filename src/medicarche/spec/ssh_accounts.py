"""SSH accounts from the directory, as far as the environment file says it: which instances have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from medicarche.spec.environment import Application, Environment

__all__ = ["FIRST_NUMBER", "LAST_NUMBER", "LOCAL_ACCOUNTS", "SSH_ACCOUNTS", "asking", "serving"]

#: the security group of every instance that asks the directory for its accounts
SSH_ACCOUNTS: Final = "ssh-accounts"

#: the directory's numbers of accounts (Debian Policy, section 9.2.2, leaves them to the administrator; those
#: of adduser begin at 1000, a container's end at 65535): the first one is the people's group's
FIRST_NUMBER: Final = 20000
LAST_NUMBER: Final = 59999

#: Debian's own accounts (base-passwd), and those that the packages of all our applications bring: somebody of
#: the directory with such a name would be taken for that account
LOCAL_ACCOUNTS: Final = frozenset(
    {
        *("root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy"),
        *("www-data", "backup", "list", "irc", "gnats", "nobody", "_apt", "messagebus", "polkitd", "uuidd"),
        *("systemd-network", "systemd-resolve", "systemd-timesync", "systemd-coredump", "sshd", "sssd"),
        *("nginx", "mysql", "postgres", "openldap", "odoo", "syncthing", "nextcloud", "redis"),
        *("prometheus", "alertmanager", "grafana", "_chrony"),
    }
)


def serving(environment: Environment) -> Application | None:
    """Return the directory that instances ask for accounts, or None where they ask none.

    One that isn't deployed for a while too: what instances know goes on.
    """
    directory = environment.directory
    if directory is None or not directory.ssh_groups:
        return None
    return directory.served_by(environment.applications)


def asking(environment: Environment) -> tuple[str, ...]:
    """Return the names of the instances that reach the directory's over the network, sorted.

    All but the directory's own, which asks itself.
    """
    directory = serving(environment)
    if directory is None:
        return ()
    return tuple(sorted(i.name for i in environment.instances if i.name != directory.instance))
