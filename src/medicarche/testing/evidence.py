"""What an engineer needs beside a failed test: journals, logs, console, sockets, rules. Bounded."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from medicarche import converge
from medicarche.errors import MedicarcheError, Unreachable
from medicarche.probe.sockets import SS_COMMAND
from medicarche.report.evidence import shorten
from medicarche.testing.machines import ssh_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from medicarche.converge import InstanceState
    from medicarche.testing.built import Built

__all__ = ["gather"]

#: characters of one section of a report
LONGEST = 6_000
_JOURNAL_LINES = 400
_LOG_LINES = 60
#: our own coming and going in the instance, which would drown what its services say
_OURS = re.compile(r"^\S+ \S+ (sudo|sshd|sshd-session|runuser|systemd-logind)\[")
#: colours on a console, and what the node's libvirt and metadata proxy say all the time
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_NOISE = re.compile(r"virDomainGetVcpus|haproxy-metadata-proxy")
#: where services write that don't write into the journal
_LOGS = " ".join(
    f"/var/log/{path}"
    for path in ("nginx/error.log", "apache2/error.log", "odoo/odoo-server.log", "mysql/error.log")
)
_COMMANDS = (
    ("units that failed", "systemctl --no-pager --failed --plain --no-legend"),
    ("journal", f"journalctl --no-pager --lines={_JOURNAL_LINES} --priority=info --output=short-iso"),
    ("services' own logs", f"sh -c 'for f in {_LOGS}; do [ ! -s $f ] || tail -n {_LOG_LINES} -v $f; done'"),
    ("listening sockets", SS_COMMAND),
)

#: seconds for one command: a report must not hang where the instance does
_PATIENCE = 15.0


def gather(built: Built, instances: Iterable[InstanceState]) -> list[tuple[str, str]]:
    """Return the sections (title, text) that belong beside a failed test; never raises. Masks nothing."""
    sections = []
    for instance in instances:
        for title, command in _COMMANDS:
            try:
                lines = _run(built, instance, command).splitlines()
            except Unreachable as error:  # the other commands would wait as long, for nothing
                sections.append((f"{instance.name}: not to be reached", error.message))
                break
            kept = "\n".join(line for line in lines if not _OURS.match(line))
            sections.append((f"{instance.name}: {title}", kept))
        sections.append((f"{instance.name}: console log", _asked(_console, built, instance)))
    sections.append(("security-group rules of the project", _asked(_rules, built)))
    if built.selection.embedded is not None:
        sections.append(("journal of the cloud's node", _asked(_node, built)))
    return [(title, shorten(text, LONGEST)) for title, text in sections]


def _run(built: Built, instance: InstanceState, command: str) -> str:
    try:
        code, output, errors = ssh_to(built.selection, instance.name).run(
            instance, ["sudo", "--non-interactive", *shlex.split(command)], timeout=_PATIENCE
        )
    except Unreachable:
        raise
    except MedicarcheError as error:
        return f"not to be had: {error.message}"
    return output if code == 0 else output + errors


def _asked(ask: Callable[..., str], /, *arguments: object) -> str:
    try:
        return ask(*arguments)
    except Exception as error:  # noqa: BLE001 - a report of a failure must not become one
        return f"not to be had: {error}"


def _console(built: Built, instance: InstanceState) -> str:
    return _COLOUR.sub("", converge.console_log(built.connections, instance.id, _LOG_LINES))


def _node(built: Built) -> str:
    embedded = built.selection.embedded
    lines = embedded.logs(lines=10 * _LOG_LINES).splitlines() if embedded is not None else []
    return "\n".join([line for line in lines if not _NOISE.search(line)][-_LOG_LINES:])


def _rules(built: Built) -> str:
    network = built.connections.member.sdk.network
    names = {group.id: group.name for group in network.security_groups()}
    lines = [
        f"{names.get(r.security_group_id, r.security_group_id)}: {r.direction} {r.ether_type}"
        f" {r.protocol or 'any'} {r.port_range_min or ''}-{r.port_range_max or ''}"
        f" {r.remote_ip_prefix or names.get(r.remote_group_id) or 'anywhere'}"
        for r in network.security_group_rules()
    ]
    return "\n".join(sorted(lines))
