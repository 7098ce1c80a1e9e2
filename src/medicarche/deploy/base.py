"""What every instance has: packages' way in, SSH by key only, nginx with TLS in front of what people use.

Imported in the deployment's own process only.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medicarche.deploy import ssh_accounts, supervised
from medicarche.deploy.applications import KINDS
from medicarche.deploy.asking import ask_together
from medicarche.deploy.database_accounts import DATABASES, Accounts, accounts, leave
from medicarche.deploy.hardening import drop_in, private_tmp
from medicarche.deploy.operations import File, Unit, files, files_question, run, services, services_question
from medicarche.deploy.packages import Packages, packages
from medicarche.deploy.templating import render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from medicarche.deploy.asking import Question

__all__ = ["deploy"]

_TEMPLATES = Path(__file__).parent / "templates"
_SSHD = "/etc/ssh/sshd_config.d/00-medicarche.conf"
_PROXY = "/etc/apt/apt.conf.d/95medicarche-proxy"
_STREAMS = "/etc/nginx/stream.d/"
_SYSCTL = "/etc/sysctl.d/60-medicarche.conf"
_SYSCTL_UNIT = "medicarche-sysctl.service"
_SYSCTL_FILES = (_SYSCTL, f"/etc/systemd/system/{_SYSCTL_UNIT}")


def deploy(instance: Mapping[str, Any]) -> None:
    """Add all operations for the current host.

    Configuration is written before the packages are installed (dpkg keeps what is there), so that a service
    never runs, not even for a moment, with Debian's own defaults: ports open to all, two servers on port 80.

    Args:
        instance: the host's part of the job (`medicarche.deploy.job`).
    """
    applications = instance["applications"]
    parts = [(importlib.import_module(KINDS[a["kind"]].module), a) for a in applications]
    people = [a for a in applications if a["serves"] == "people"]
    wanted = {p for module, a in parts for p in module.packages(a)} | ({"nginx"} if people else set())
    theirs = [file for module, application in parts for file in module.files(application, instance)]
    streams = any(file.path.startswith(_STREAMS) for file in theirs)
    configuration = _configuration(instance, people, streams=streams) + theirs
    wanted |= {*supervised.packages(instance), *ssh_accounts.packages(instance)}
    configuration += supervised.files(instance) + ssh_accounts.files(instance)
    absent = [] if instance["package_proxy"] else [_PROXY]
    units = [
        Unit("ssh.service", (_SSHD,), "reload", check="sshd -t"),
        Unit(_SYSCTL_UNIT, _SYSCTL_FILES),
    ]
    for module, application in parts:
        units += module.units(application, [f.path for f in configuration])
    if people:
        nginx = tuple(f.path for f in configuration if f.path.startswith("/etc/nginx/"))
        # what its unit says holds from a start on, what its configuration says from a reload on
        units.append(Unit("nginx.service", (drop_in("nginx.service"),), check="nginx -t -q"))
        units.append(Unit("nginx.service", nginx, "reload", check="nginx -t -q"))
    units += supervised.units(instance) + ssh_accounts.units(instance)
    told = supervised.databases(instance) if instance["exporters"] else tuple(DATABASES)
    remains: list[Question] = [] if instance["exporters"] else [(supervised.Remains, {})]
    remains.append(ssh_accounts.question(instance))
    abandoned = {k: importlib.import_module(KINDS[k].module) for k in instance["abandoned"]}
    remains += [(module.Remains, {}) for module in abandoned.values()]
    if told:
        remains.append((Accounts, {"databases": told}))
    ask_together([files_question(configuration, absent), (Packages, {}), services_question(units), *remains])
    if not instance["exporters"]:
        run("agents that nobody asks any more", supervised.withdraw)
        run("databases' accounts that nobody uses any more", leave)
    for kind, module in abandoned.items():
        run(f"{kind}, which isn't wanted any more", module.withdraw)
    ssh_accounts.take_away(instance)
    run("configuration files", files, configuration, absent)
    if wanted:
        run("packages", packages, sorted(wanted))
    run("services", services, units)
    ssh_accounts.let_in(instance)
    if instance["exporters"] and told:
        run("databases' accounts for the supervision", accounts, told, supervised.procedures(instance))
    for module, application in parts:
        module.deploy(application, instance)
    # last: one of the applications may be the directory itself
    ssh_accounts.find_directory(instance)


def _configuration(
    instance: Mapping[str, Any], people: Sequence[Mapping[str, Any]], *, streams: bool
) -> list[File]:
    """Return the files of every instance, and nginx's where there are applications for ``people``.

    ``streams``: an application brings servers below HTTP; nginx has one place for those of all.
    """
    found = [
        File(_SSHD, render(_TEMPLATES, "sshd.conf.j2", accounts=instance["ssh_accounts"])),
        File(_SYSCTL, render(_TEMPLATES, "sysctl.conf.j2")),
        File(f"/etc/systemd/system/{_SYSCTL_UNIT}", render(_TEMPLATES, "sysctl.service.j2")),
        # ANSSI-BP-028, R32 and R39
        File("/etc/profile.d/medicarche.sh", "TMOUT=600; readonly TMOUT; export TMOUT\n"),
        File("/etc/sudoers.d/60-medicarche", "Defaults ignore_dot\n", mode="440"),
    ]
    if instance["package_proxy"]:
        found.append(File(_PROXY, f'Acquire::http::Proxy "{instance["package_proxy"]}";\n'))
    if people:
        sites = render(_TEMPLATES, "sites.conf.j2", **{**instance, "applications": people})
        found += [
            File("/etc/nginx/nginx.conf", render(_TEMPLATES, "nginx.conf.j2", streams=streams)),
            File("/etc/nginx/conf.d/medicarche.conf", sites),
            private_tmp("nginx.service"),
            File("/etc/nginx/medicarche.pem", instance["certificate"]),
            File("/etc/nginx/medicarche.key", instance["private_key"], mode="640"),
        ]
    return found
