"""The databases' accounts for the supervision: they log in by the unix socket, see figures, read no data.

Imported in the deployment's own process only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation

from medicarche.deploy.asking import ask
from medicarche.deploy.operations import note, shell

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from pyinfra.api.command import StringCommand

__all__ = ["DATABASES", "Accounts", "Procedure", "accounts", "leave"]


@dataclass(frozen=True, slots=True)
class _Account:
    """The account ``prometheus`` of one database.

    Attributes:
        client: runs what it reads on its standard input, as the database's administrator.
        shown: asks for the account; nothing where there is none.
        right: what is shown of one that is right.
        make: makes it.
        drop: takes it away, with all that it was given.
    """

    client: str
    shown: str
    right: str
    make: str
    drop: str


@dataclass(frozen=True, slots=True)
class Procedure:
    """A procedure of MariaDB that counts what its caller must not read.

    It looks with the rights of an account of its own, at which nobody logs in.

    Attributes:
        name: in our database, `_OURS`.
        reads: the database that it may look at.
        body: its statements.
    """

    name: str
    reads: str
    body: str

    @property
    def digest(self) -> str:
        """What tells it from an earlier one; it is the procedure's comment."""
        return hashlib.sha256(self.body.encode()).hexdigest()


#: the database of our procedures, beside those of the applications, and the account that owns them
_OURS = "medicarche"
#: at most so many connections: the exporter holds one, two while it is restarted; a procedure's caller one
_CONNECTIONS = 3
DATABASES: Final[Mapping[str, _Account]] = {
    "mariadb": _Account(
        client="mariadb --batch --skip-column-names",
        shown="SHOW GRANTS FOR prometheus@localhost;"
        " SELECT CONCAT('procedure ', ROUTINE_NAME, ' ', ROUTINE_COMMENT) FROM information_schema.ROUTINES"
        " WHERE ROUTINE_SCHEMA = 'medicarche' ORDER BY ROUTINE_NAME;"
        # where there is none the client ends with this
        " SHOW CREATE USER medicarche@localhost; SHOW GRANTS FOR medicarche@localhost",
        # nothing but to log in, and to call our procedures: who may ask for the status is everybody
        right="GRANT USAGE ON *.* TO `prometheus`@`localhost` IDENTIFIED VIA unix_socket"
        f" WITH MAX_USER_CONNECTIONS {_CONNECTIONS}",
        make="CREATE USER prometheus@localhost IDENTIFIED VIA unix_socket"
        f" WITH MAX_USER_CONNECTIONS {_CONNECTIONS};",
        # the account last: as long as it is there, what is left is seen
        drop=f"DROP DATABASE IF EXISTS {_OURS}; DROP USER IF EXISTS {_OURS}@localhost;"
        " DROP USER IF EXISTS prometheus@localhost;",
    ),
    "postgresql": _Account(
        client="runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -1 -f -",
        shown="SELECT rolsuper, rolcreaterole, rolcreatedb, rolconnlimit, (SELECT string_agg(of.rolname, ',')"
        " FROM pg_auth_members m JOIN pg_roles of ON of.oid = m.roleid WHERE m.member = own.oid)"
        " FROM pg_roles own WHERE rolname = 'prometheus' AND rolcanlogin",
        # https://www.postgresql.org/docs/17/predefined-roles.html
        right=f"f|f|f|{_CONNECTIONS}|pg_monitor",
        make=f"CREATE ROLE prometheus LOGIN CONNECTION LIMIT {_CONNECTIONS} IN ROLE pg_monitor;",
        drop="DROP ROLE IF EXISTS prometheus;",
    ),
}


class Accounts(FactBase[dict[str, str]]):
    """Database → what it shows of the account, in one command; none where it isn't there or has none."""

    default = dict

    def command(self, databases: Sequence[str]) -> str:
        """Ask them all."""
        asked = [
            f'echo "{DATABASES[name].shown}" | {DATABASES[name].client} 2>/dev/null | sed "s/^/{name} /"'
            for name in databases
        ]
        return "; ".join([*asked, "true"])

    def process(self, output: Iterable[str]) -> dict[str, str]:
        """Put the lines of one database together."""
        found: dict[str, list[str]] = {}
        for line in output:
            database, _, shown = line.strip().partition(" ")
            if database:
                found.setdefault(database, []).append(shown)
        return {database: "\n".join(lines) for database, lines in found.items()}


@operation()
def accounts(
    databases: Sequence[str], procedures: Sequence[Procedure] = ()
) -> Generator[StringCommand, None, None]:
    """Give each database its account, with these rights and no others; ``procedures`` are MariaDB's."""
    yield from list(_wanted(ask(Accounts, databases=databases), databases, procedures))


def _wanted(
    found: dict[str, str], databases: Sequence[str], procedures: Sequence[Procedure]
) -> Iterator[StringCommand]:
    for database in databases:
        account = DATABASES[database]
        theirs = sorted(procedures, key=lambda each: each.name) if database == "mariadb" else []
        if found.get(database) != account.right + _right(theirs):
            note(f"{database}: the supervision's account {'differs' if database in found else 'is missing'}")
            yield shell(account.client, f"{account.drop}\n{account.make}\n{_made(theirs)}")


def _right(procedures: Sequence[Procedure]) -> str:
    """Return what is shown, besides the account's own, of procedures that are right."""
    if not procedures:
        return ""
    owner, place = f"`{_OURS}`@`localhost`", f"`{_OURS}`"
    lines = [
        *(
            f"GRANT EXECUTE ON PROCEDURE {place}.`{each.name}` TO `prometheus`@`localhost`"
            for each in procedures
        ),
        *(f"procedure {each.name} {each.digest}" for each in procedures),
        f"CREATE USER {owner} IDENTIFIED VIA unix_socket ACCOUNT LOCK",
        f"GRANT USAGE ON *.* TO {owner} IDENTIFIED VIA unix_socket",
        *(f"GRANT SELECT ON `{each.reads}`.* TO {owner}" for each in procedures),
        *(f"GRANT EXECUTE ON PROCEDURE {place}.`{each.name}` TO {owner}" for each in procedures),
    ]
    return "".join(f"\n{line}" for line in lines)


def _made(procedures: Sequence[Procedure]) -> str:
    """Return the statements that make procedures, for a client that knows delimiters."""
    if not procedures:
        return ""
    owner = f"{_OURS}@localhost"
    return (
        f"CREATE DATABASE {_OURS};\nCREATE USER {owner} IDENTIFIED VIA unix_socket ACCOUNT LOCK;\n"
        + "".join(
            # what it reads need not be there yet
            f"GRANT SELECT ON {each.reads}.* TO {owner};\nDELIMITER //\n"
            f"CREATE DEFINER={owner} PROCEDURE {_OURS}.{each.name}()\n"
            f"READS SQL DATA SQL SECURITY DEFINER COMMENT '{each.digest}'\n{each.body.strip()} //\n"
            f"DELIMITER ;\nGRANT EXECUTE ON PROCEDURE {_OURS}.{each.name} TO {owner}, prometheus@localhost;\n"
            for each in procedures
        )
    )


@operation()
def leave() -> Generator[StringCommand, None, None]:
    """Take the accounts away again where nobody supervises any more."""
    yield from list(_unwanted(ask(Accounts, databases=tuple(DATABASES))))


def _unwanted(found: dict[str, str]) -> Iterator[StringCommand]:
    for database in found:
        note(f"{database}: the supervision's account must not be there")
        yield shell(DATABASES[database].client, f"{DATABASES[database].drop}\n")
