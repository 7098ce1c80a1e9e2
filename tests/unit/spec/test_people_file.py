"""The people's file, CSV or YAML: what is right in it is read, and every mistake is told at its place."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from medicarche import deploy
from medicarche.errors import SpecificationError
from medicarche.spec import Environment, Member, load_environment
from medicarche.testing import company

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
HEADER = "login,first_name,last_name,mail,site,groups\n"
ALICE = "alice.moreau,Alice,Moreau,alice.moreau@example.org,ARCHE,research it\n"
BOB = "bob,Bob,d'Aubépin,bob@example.org,ARCADE,research\n"
ROOT = Path(__file__).parents[3]
BASE: dict[str, Any] = YAML(typ="safe").load(Path(__file__).with_name("base.yaml"))
KEYSTONE = {"prefixes": ["192.0.2.10/32"], "authority": "/etc/keystone/authority.pem"}
#: the directory, its application, and what its groups are in the site
DIRECTORY: dict[str, Any] = {
    "application": "directory",
    "people": "people.csv",
    "sites": {"ARCHE": "La Défense", "ARCADE": "Paris 8e"},
    "groups": {"research": "Research", "it": "IT"},
}


def _load(folder: Path, people: str, name: str = "people.csv", **changes: Any) -> Environment:  # noqa: ANN401 - of YAML
    data = copy.deepcopy(BASE)
    data["directory"] = DIRECTORY | {"people": name} | changes.pop("directory", {})
    data["instances"]["directory"] = dict(data["instances"]["website"])
    entry = {"kind": "directory", "instance": "directory", "port": 636, "title": "Directory"}
    data["applications"]["directory"] = entry
    data["applications"]["website"] |= {"settings": {"tagline": "x", "administrator": "keeper"}}
    data["applications"]["website"] |= {"roles": {"it": "administrator"}} | changes.pop("website", {})
    data |= changes
    (folder / name).write_text(people, encoding="utf-8")
    with (folder / "environment.yaml").open("w", encoding="utf-8") as stream:
        YAML(typ="safe").dump(data, stream)
    return load_environment(
        folder / "environment.yaml",
        check_settings=deploy.check_settings,
        minimum_size=deploy.minimum_size,
        traits=deploy.traits,
    )


def _told(folder: Path, people: str, name: str = "people.csv", **changes: Any) -> list[str]:  # noqa: ANN401 - of YAML
    with pytest.raises(SpecificationError) as caught:
        _load(folder, people, name, **changes)
    assert caught.value.hint
    return [line.removeprefix(f"{folder}/people.") for line in caught.value.message.splitlines()]


def test_people_are_read_from_csv(tmp_path: Path) -> None:
    directory = _load(tmp_path, HEADER + BOB + ALICE).directory
    assert directory is not None
    assert directory.members == (
        Member("alice.moreau", "Alice", "Moreau", "alice.moreau@example.org", "ARCHE", ("it", "research")),
        Member("bob", "Bob", "d'Aubépin", "bob@example.org", "ARCADE", ("research",)),
    )
    assert directory.people_file == tmp_path / "people.csv"


def test_a_french_spreadsheets_csv_is_read_too(tmp_path: Path) -> None:
    text = "\ufeff" + (HEADER + ALICE).replace(",", ";").replace("\n", "\r\n")
    directory = _load(tmp_path, text).directory
    assert directory is not None
    assert [member.name for member in directory.members] == ["Alice Moreau"]


def test_yaml_says_the_same(tmp_path: Path) -> None:
    text = (
        "bob:\n  {first_name: Bob, last_name: d'Aubépin, mail: bob@example.org, site: ARCADE,"
        " groups: [research]}\n"
    )
    written = _load(tmp_path, text, "people.yaml").directory
    table = _load(tmp_path, HEADER + BOB).directory
    assert written is not None
    assert table is not None
    assert written.members == table.members


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "csv:1: the file is empty; write login,"),
        ("login,first_name\n", "csv:1: last_name: the column is missing; add it"),
        (HEADER.replace("mail", "mial") + ALICE, "csv:1: mial: unknown column (did you mean 'mail'?)"),
        (HEADER + ALICE + "x,y\n", "csv:3: has 2 values where the header names 6 columns"),
        (HEADER + 'a,"b"c,d,e,f,g\n', "csv:2: the line is not CSV: "),
        (HEADER + ALICE.replace("alice.moreau,", "Alice Moreau,"), "csv:2: login: 'Alice Moreau' can't be"),
        (HEADER + ALICE.replace("Alice,", ","), "csv:2: first_name: is empty; write a name"),
        (HEADER + ALICE.replace("Moreau,", f"{'x' * 65},"), "csv:2: last_name: is no name; write 64"),
        (HEADER + ALICE.replace("@", " at "), "csv:2: mail: 'alice.moreau at example.org' is no mail"),
        (HEADER + BOB + ALICE.replace("ARCHE", "ARCHES"), "csv:3: site: there is no site 'ARCHES'; write"),
        (HEADER + ALICE.replace(" it", " itt"), "csv:2: groups: there is no group 'itt'; write one that"),
        (HEADER + ALICE.replace(" it", " research"), "csv:2: groups: 'research' is named twice; remove"),
        (HEADER + BOB + BOB.replace("bob@", "b@"), "csv:3: login: 'bob' is there twice (line 2); remove"),
        (HEADER + ALICE + BOB.replace("bob@", "Alice.Moreau@"), "csv:3: mail: 'alice.moreau@example.org' is"),
        (HEADER + ALICE.replace("alice.moreau,", "keeper,"), "csv:2: login: 'keeper' is the local admin"),
    ],
)  # fmt: skip
def test_a_mistake_in_csv_is_told_at_its_line_and_column(tmp_path: Path, text: str, told: str) -> None:
    assert any(line.startswith(told) and "; " in line for line in _told(tmp_path, text)), told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- alice\n", "yaml:1: no people are in it; write"),
        ("alice: x\n", "yaml:1: alice: is no person; write first_name"),
        ("alice: {first_name: A}\n", "yaml:1: alice: last_name is missing; add it"),
        (
            "\nalice: {fist_name: A}\n",
            "yaml:2: alice.fist_name: unknown key (did you mean 'first_name'?)",
        ),
        (
            "alice:\n  groups: it\n",
            "yaml:2: alice.groups: is not a list of groups; write [group, group]",
        ),
        ("alice:\n  mail: 3\n", "yaml:2: alice.mail: is not a text; write one"),
        ("alice: {}\nalice: {}\n", "yaml:2: alice: the key is there twice (line 1); remove one"),
        (
            "bob:\n  {first_name: B, last_name: C, mail: b@c.fr, groups: [],\n  site: X}\n",
            "yaml:3: bob.site: there is no site 'X'; write one of: ARCADE, ARCHE",
        ),
    ],
)
def test_a_mistake_in_yaml_is_told_at_its_line_and_key(tmp_path: Path, text: str, told: str) -> None:
    assert any(line.startswith(told) for line in _told(tmp_path, text, "people.yaml")), told


def test_mistakes_of_both_files_are_told_at_once(tmp_path: Path) -> None:
    found = _told(tmp_path, HEADER + ALICE.replace("ARCHE", "X") + "a,b\n", domain="UPPER CASE")
    assert [Path(line.partition(":")[0]).name for line in found] == ["environment.yaml", "csv", "csv"]


def test_a_file_that_isnt_there_is_told(tmp_path: Path) -> None:
    _load(tmp_path, HEADER)
    (tmp_path / "people.csv").unlink()
    with pytest.raises(SpecificationError, match=r"people\.csv: there is no such file of people"):
        load_environment(tmp_path / "environment.yaml")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"directory": {"application": "dir"}}, "directory.application: there is no application 'dir'; "),
        ({"directory": {"application": "website"}}, "directory.application: 'website' is of kind 'word"),
        ({"directory": {"application": "website"}}, "applications.directory.kind: is a directory, and the"),
        ({"website": {"roles": {"its": "editor"}}}, "applications.website.roles.its: the directory has no"),
        ({"website": {"roles": {"it": "editr"}}}, "applications.website.roles.it: there is no role 'editr'"),
        (
            {"directory": {"cloud_groups": {"its": "member"}}},
            "directory.cloud_groups.its: the directory has no",
        ),
        ({"directory": {"cloud_groups": {"it": "root"}}}, "directory.cloud_groups.it: 'root' can't be used"),
        ({"directory": {"keystone": KEYSTONE}}, "directory.keystone: says how Keystone asks, and no group"),
        ({"directory": {"keystone": {}}}, "directory.keystone.prefixes: is missing"),
    ],
)
def test_what_doesnt_fit_together_is_told(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    assert any(f": {told}" in line for line in _told(tmp_path, HEADER + ALICE, **changes)), told


def test_groups_on_the_cloud_and_how_another_cloud_asks(tmp_path: Path) -> None:
    roles = {"it": "member"}
    directory = _load(
        tmp_path, HEADER + ALICE, directory={"cloud_groups": roles, "keystone": KEYSTONE}
    ).directory
    assert directory is not None
    assert dict(directory.cloud_groups) == roles
    assert directory.keystone is not None
    assert directory.keystone.prefixes == ("192.0.2.10/32",)
    assert _load(tmp_path, HEADER + ALICE).directory != directory


def test_keystone_asks_by_a_floating_address(tmp_path: Path) -> None:
    _load(tmp_path, HEADER, directory={"cloud_groups": {"it": "member"}})
    path, yaml = tmp_path / "environment.yaml", YAML(typ="safe")
    data = yaml.load(path)
    data["instances"]["directory"]["floating_ip"] = False
    with path.open("w", encoding="utf-8") as stream:
        yaml.dump(data, stream)
    with pytest.raises(SpecificationError, match="cloud_groups: Keystone asks the directory by its floating"):
        load_environment(path)


def test_roles_without_a_directory_are_told(tmp_path: Path) -> None:
    _load(tmp_path, HEADER)
    path, yaml = tmp_path / "environment.yaml", YAML(typ="safe")
    data = yaml.load(path)
    del data["directory"]
    with path.open("w", encoding="utf-8") as stream:
        yaml.dump(data, stream)
    with pytest.raises(SpecificationError, match="there is no directory whose groups could have roles"):
        load_environment(path, traits=deploy.traits)


def test_an_ssh_key_may_be_there(tmp_path: Path) -> None:
    directory = {"ssh_groups": ["it"]}
    text = (
        HEADER.replace("\n", ",ssh_key\n")
        + ALICE.replace("\n", f",{KEY} alice's\n")
        + "\n".join([BOB.replace("\n", ","), "carl,Carl,Roy,carl@example.org,ARCHE,it,", ""])
    )
    loaded = _load(tmp_path, text, directory=directory).directory
    assert loaded is not None
    assert {m.login: m.ssh_key for m in loaded.members} == {"alice.moreau": KEY, "bob": "", "carl": ""}
    assert loaded.ssh_groups == ("it",)
    # with a key or without one
    assert [m.login for m in loaded.ssh_members] == ["alice.moreau", "carl"]
    yaml = (
        "bob: {first_name: B, last_name: C, mail: b@c.fr, groups: [it], site: ARCHE,\n"
        f"  ssh_key: {KEY} at home}}\n"
    )
    written = _load(tmp_path, yaml, "people.yaml", directory=directory).directory
    assert written is not None
    assert [m.ssh_key for m in written.ssh_members] == [KEY]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("people.csv", f"{ALICE[:-1]},ssh-dss AAAA\n", "csv:2: ssh_key: doesn't begin with a kind of key"),
        ("people.csv", f"{ALICE[:-1]},{KEY[:-2]}\n", "csv:2: ssh_key: isn't a whole key of the kind"),
        ("people.csv", f'{ALICE[:-1]},"{KEY}\n{KEY}"\n', "csv:2: ssh_key: has several lines; "),
        (
            "people.csv",
            f"{ALICE[:-1]},-----BEGIN OPENSSH PRIVATE KEY----- c2VjcmV0\n",
            "csv:2: ssh_key: holds a private key",
        ),
        ("people.csv", f"{ALICE.replace('alice.moreau,', 'debian,')[:-1]},\n", "csv:2: login: 'debian' is"),
        ("people.csv", f"{ALICE.replace('alice.moreau,', 'postgres,')[:-1]},\n", "csv:2: login: 'postgres'"),
        ("people.yaml", "bob:\n  ssh_key: 3\n", "yaml:2: bob.ssh_key: is not a text; write one"),
        ("people.yaml", "bob:\n  ssh_kee: 3\n", "yaml:2: bob.ssh_kee: unknown key (did you mean 'ssh_key'?)"),
    ],
)  # fmt: skip
def test_a_mistake_about_ssh_is_told_at_its_line(tmp_path: Path, name: str, text: str, told: str) -> None:
    header = HEADER.replace("\n", ",ssh_key\n") if name.endswith(".csv") else ""
    found = _told(tmp_path, header + text, name, directory={"ssh_groups": ["it"]})
    assert any(line.startswith(told) for line in found), found
    assert not [line for line in found if "c2VjcmV0" in line]


def test_a_login_is_only_taken_from_who_has_an_account(tmp_path: Path) -> None:
    text = HEADER + ALICE.replace("alice.moreau,", "debian,")
    assert _load(tmp_path, text).directory is not None
    assert _load(tmp_path, HEADER + BOB.replace("bob,", "debian,"), directory={"ssh_groups": ["it"]})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"directory": {"ssh_groups": ["its"]}},
            "directory.ssh_groups[0]: the directory has no group 'its'; write one that exists",
        ),
        ({"directory": {"ssh_groups": ["it", "it"]}}, "directory.ssh_groups[1]: 'it' is named twice;"),
        ({"directory": {"ssh_groups": "it"}}, "directory.ssh_groups: "),
        (
            {"directory": {"ssh_groups": ["it"]}, "security_groups": {"ssh-accounts": {"ingress": []}}},
            "security_groups.ssh-accounts: is the name of the group that 'directory.ssh_groups' gives",
        ),
    ],
)  # fmt: skip
def test_what_doesnt_fit_the_ssh_groups_is_told(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    found = _told(tmp_path, HEADER + ALICE, **changes)
    assert any(f": {told}" in line for line in found), found
    assert any("environment.yaml:" in line for line in found)


def test_a_person_of_several_groups_has_the_most_powerful_role(tmp_path: Path) -> None:
    environment = _load(tmp_path, HEADER + ALICE + BOB)
    directory = environment.directory
    assert directory is not None
    powers = ("administrator", "editor")
    roles = {"research": "editor", "it": "administrator"}
    assert directory.with_roles(roles, powers) == {"alice.moreau": "administrator", "bob": "editor"}
    assert directory.with_roles({"it": "editor"}, powers) == {"alice.moreau": "editor"}
    assert [a.name for a in environment.users_of("directory")] == ["website"]


def test_the_example_company_is_the_generators_and_has_100_people_on_two_sites() -> None:
    path = ROOT / "environments/example-people.csv"
    assert path.read_text(encoding="utf-8") == company.as_csv(company.members()), (
        "write it again: see medicarche.testing.company"
    )
    environment = load_environment(
        ROOT / "environments/example-directory.yaml",
        check_settings=deploy.check_settings,
        minimum_size=deploy.minimum_size,
        traits=deploy.traits,
    )
    assert environment.directory is not None
    members = environment.directory.members
    assert len(members) == 100
    assert {member.site for member in members} == {"ARCHE", "ARCADE"}
    assert {group for member in members for group in member.groups} == set(environment.directory.groups)
