"""Reading the people's file, CSV or YAML: every mistake at once, with its line, its column and what to do.

CSV (RFC 4180; commas or, as French spreadsheets write it, semicolons)::

    login,first_name,last_name,mail,site,groups
    alice.moreau,Alice,Moreau,alice.moreau@example.org,ARCHE,research communication

YAML::

    alice.moreau: {first_name: Alice, last_name: Moreau, mail: ..., site: ARCHE, groups: [research]}

A column or key ``ssh_key`` may be there besides: the person's SSH public key.
"""

from __future__ import annotations

import csv
import io
import re
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from medicarche.errors import SpecificationError
from medicarche.spec.directory import Member
from medicarche.spec.document import Document, Problem, read, read_text
from medicarche.spec.ssh_key import stored, wrong_key
from medicarche.spec.suggest import did_you_mean, one_of
from medicarche.spec.values import Login

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

__all__ = ["COLUMNS", "SSH_KEY", "read_people"]

COLUMNS = ("login", "first_name", "last_name", "mail", "site", "groups")
#: the column that may be left out
SSH_KEY = "ssh_key"
_LOGIN: TypeAdapter[str] = TypeAdapter(Login)
#: of a name: RFC 4519 sets no limit, X.520 has 64 (ub-common-name)
_LONGEST_NAME = 64
#: RFC 5321, section 4.5.3.1; what stands before the @ without quotes (RFC 5322, section 3.2.3)
_LONGEST_MAIL = 254
_MAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@([a-z0-9-]+\.)+[a-z]{2,}"
)
_START = "start from environments/example-people.csv"

#: what a row holds, and what makes a problem of one of its columns
_Row = tuple[dict[str, Any], "Callable[[str, str], Problem]"]


def read_people(
    path: Path,
    *,
    sites: Collection[str],
    groups: Collection[str],
    taken: dict[str, str],
    ssh_groups: Collection[str] = (),
    local: Collection[str] = (),
) -> tuple[tuple[Member, ...], Document, list[Problem]]:
    """Read the people's file and check all of it.

    Args:
        path: ``.yaml`` or ``.yml`` is read as YAML, all else as CSV.
        sites: names of the sites that there are.
        groups: names of the groups that there are.
        taken: login → whose it is already, in words.
        ssh_groups: groups whose people have an account in the instances.
        local: accounts that instances have already.

    Returns:
        The people whose entries are right, sorted by login; the file, and what is wrong in it.

    Raises:
        SpecificationError: it isn't there, or can't be read at all.
    """
    if not path.exists():
        raise SpecificationError(f"{path}: there is no such file of people", hint=_START)
    if path.suffix in {".yaml", ".yml"}:
        document = read(path)
        rows, problems = _yaml_rows(document)
    else:
        document = Document(path)
        rows, problems = _csv_rows(path)
    members: list[Member] = []
    seen: dict[tuple[str, str], int] = {}
    for row, problem in rows:
        wrong = [problem(column, text) for column, text in _wrong(row, sites, groups, taken)]
        if row["login"] in local and set(row["groups"]) & set(ssh_groups):
            wrong.append(
                problem(
                    "login", f"{row['login']!r} is an account of the instances' own; choose another login"
                )
            )
        for column in ("login", "mail"):
            value, line = row[column].lower(), problem(column, "").line
            first = seen.setdefault((column, value), line)
            if value and first != line:
                wrong.append(problem(column, f"{value!r} is there twice (line {first}); remove one"))
        problems += wrong
        if not wrong:
            values = {"groups": tuple(sorted(row["groups"])), SSH_KEY: stored(row.get(SSH_KEY, ""))}
            members.append(Member(**{**row, **values}))
    return tuple(sorted(members, key=lambda member: member.login)), document, problems


def _wrong(
    row: dict[str, Any], sites: Collection[str], groups: Collection[str], taken: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield column and what is wrong there."""
    try:
        _LOGIN.validate_python(row["login"])
    except ValidationError as error:
        yield "login", str(error.errors()[0]["msg"])
    if row["login"] in taken:
        yield "login", f"{row['login']!r} is {taken[row['login']]}; choose another login"
    yield from _wrong_names(row)
    if not _MAIL.fullmatch(row["mail"]) or len(row["mail"]) > _LONGEST_MAIL:
        yield "mail", f"{row['mail']!r} is no mail address; write one such as alice@example.org"
    if row["site"] not in sites:
        yield "site", f"there is no site {row['site']!r}; {one_of(row['site'], sites)}"
    for number, group in enumerate(row["groups"]):
        if group not in groups:
            yield "groups", f"there is no group {group!r}; {one_of(group, groups)}"
        elif group in row["groups"][:number]:
            yield "groups", f"{group!r} is named twice; remove one"
    if row.get(SSH_KEY) and (wrong := wrong_key(row[SSH_KEY])):
        yield SSH_KEY, wrong


def _wrong_names(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for column in ("first_name", "last_name"):
        if not row[column]:
            yield column, "is empty; write a name"
        elif len(row[column]) > _LONGEST_NAME or not row[column].isprintable():
            yield column, f"is no name; write {_LONGEST_NAME} characters at most, on one line"


def _csv_rows(path: Path) -> tuple[list[_Row], list[Problem]]:
    text = read_text(path, "people's file")
    header = text.partition("\n")[0]
    delimiter = ";" if header.count(";") > header.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    rows: list[_Row] = []
    problems: list[Problem] = []
    line = 1
    try:
        for values in reader:
            stripped = [value.strip() for value in values]
            if line == 1:
                columns = stripped
                problems += _header_problems(columns)
                if problems:
                    return [], problems
            elif any(stripped):
                if len(stripped) != len(columns):
                    found = f"has {len(stripped)} values where the header names {len(columns)} columns"
                    problems.append(Problem(line, "", f"{found}; a value with a {delimiter!r} needs quotes"))
                else:
                    row: dict[str, Any] = dict(zip(columns, stripped, strict=True))
                    rows.append(({**row, "groups": row["groups"].split()}, partial(Problem, line)))
            # a quoted value may have lines of its own
            line = reader.line_num + 1
    except csv.Error as error:
        problems.append(Problem(reader.line_num, "", f"the line is not CSV: {error}; correct its quotes"))
    if not columns:
        problems.append(
            Problem(1, "", f"the file is empty; write {delimiter.join(COLUMNS)} on its first line")
        )
    return rows, problems


def _header_problems(columns: list[str]) -> Iterator[Problem]:
    for column in columns:
        if column not in (*COLUMNS, SSH_KEY):
            columns_known = (*COLUMNS, SSH_KEY)
            known = f"{did_you_mean(column, columns_known)}; known here: {', '.join(columns_known)}"
            yield Problem(1, column, f"unknown column{known}")
        elif columns.count(column) > 1:
            yield Problem(1, column, "the column is there twice; remove one")
    for column in COLUMNS:
        if column not in columns:
            yield Problem(1, column, "the column is missing; add it")


def _yaml_rows(document: Document) -> tuple[list[_Row], list[Problem]]:
    problems = list(document.problems)
    rows: list[_Row] = []
    known = (*COLUMNS[1:], SSH_KEY)
    if not isinstance(document.data, dict):
        return [], [Problem(1, "", "no people are in it; write 'login: {first_name: ..., ...}' lines")]
    for login, entry in document.data.items():
        if not isinstance(entry, dict):
            problems.append(document.problem((login,), f"is no person; write {', '.join(COLUMNS[1:])}"))
            continue
        wrong = [
            document.problem((login, key), f"unknown key{did_you_mean(key, known)}")
            for key in entry
            if key not in known
        ]
        if not isinstance(entry.get(SSH_KEY, ""), str):
            wrong.append(document.problem((login, SSH_KEY), "is not a text; write one"))
        for key in COLUMNS[1:]:
            value = entry.get(key)
            if key not in entry:
                wrong.append(document.problem((login,), f"{key} is missing; add it"))
            elif key == "groups" and not _is_list_of_text(value):
                wrong.append(document.problem((login, key), "is not a list of groups; write [group, group]"))
            elif key != "groups" and not isinstance(value, str):
                wrong.append(document.problem((login, key), "is not a text; write one"))
        problems += wrong
        if not wrong:
            rows.append(({"login": login, **entry}, partial(_at, document, login)))
    return rows, problems


def _at(document: Document, login: str, column: str, text: str) -> Problem:
    return document.problem((login,) if column == "login" else (login, column), text)


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
