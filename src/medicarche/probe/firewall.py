"""What a node's packet filters hold for each port: what Neutron's Linux bridge agent gave iptables, read.

There are two of them, for IPv4 and for IPv6, with the same chains in both.

The agent makes two chains for each port, named by the first characters of the port's id: ``i...`` for what
goes into the instance, ``o...`` for what comes out of it (neutron/agent/linux/iptables_firewall.py). Both are
read to their end: what isn't one of the agent's own fixed rules is a rule of a security group.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

__all__ = ["COMMANDS", "Family", "Pass", "PortFilter", "parse"]

Family = Literal["IPv4", "IPv6"]
#: as root in the node: the two filters, and what the sets hold that rules of remote groups name
COMMANDS: Mapping[str, Sequence[str]] = {
    "IPv4": ("iptables-save", "-t", "filter"),
    "IPv6": ("ip6tables-save", "-t", "filter"),
    "sets": ("ipset", "save"),
}

#: how much of a port's id is in the names of its chains and of its interface, which have few characters
_ID_CHARACTERS, _TAP_CHARACTERS = 10, 11
_PREFIX = "neutron-linuxbri"
_ANYWHERE: Mapping[Family, str] = {"IPv4": "0.0.0.0/0", "IPv6": "::/0"}
_HOST: Mapping[Family, str] = {"IPv4": "/32", "IPv6": "/128"}


class Pass(NamedTuple):
    """A rule that lets something pass: as `medicarche.plan.resources.SecurityGroupRule` says it."""

    direction: str
    protocol: str | None
    port_min: int | None
    port_max: int | None
    remote: str


@dataclass(frozen=True, slots=True)
class PortFilter:
    """The filter of one port.

    Attributes:
        passes: what its rules let pass, the agent's own fixed ones (DHCP, established connections, what IPv6
            needs to find neighbours) left out.
        senders: IP and MAC address of those that it believes to be the instance. In IPv6 there is nothing of
            the kind where no address was given, and nothing but the fixed ones passes.
        wrong: what isn't as the agent makes it, in words: rules of neither kind, chains that nothing leads
            into or that don't end by dropping the rest. Empty where all is well.
    """

    passes: frozenset[Pass]
    senders: frozenset[tuple[str, str]]
    wrong: tuple[str, ...]


def parse(
    rules: str, sets: str, port_ids: Iterable[str], *, family: Family = "IPv4"
) -> Mapping[str, PortFilter]:
    """Read the filters of some ports.

    Args:
        rules: the output of ``iptables-save -t filter``, or of ``ip6tables-save``.
        sets: the output of ``ipset save``.
        port_ids: Neutron's ids of the ports.
        family: which of the two it is.
    """
    chains: dict[str, list[list[str]]] = {}
    for line in rules.splitlines():
        if line.startswith("-A "):
            _, chain, *rule = shlex.split(line)
            chains.setdefault(chain, []).append(rule)
    members: dict[str, list[str]] = {}
    for line in sets.splitlines():
        words = line.split()
        if words[:1] == ["add"]:
            members.setdefault(words[1], []).append(words[2])
    return {port_id: _filter(chains, members, port_id, family) for port_id in port_ids}


def _filter(
    chains: Mapping[str, list[list[str]]], members: Mapping[str, list[str]], port_id: str, family: Family
) -> PortFilter:
    short = port_id[:_ID_CHARACTERS]
    passes: set[Pass] = set()
    wrong = [*_hooks(chains, port_id)]
    for direction, letter in (("ingress", "i"), ("egress", "o")):
        chain = f"{_PREFIX}-{letter}{short}"
        rules = [_options(rule) for rule in chains.get(chain, ())]
        if not rules or rules[-1] != {"-j": f"{_PREFIX}-sg-fallback"}:
            wrong.append(f"{chain}: doesn't end by dropping what nothing lets pass")
        else:
            rules.pop()
        for rule in rules:
            if rule in _FIXED[family](letter, short):
                continue
            found = _passes(rule, direction, members, family)
            if found is None:
                if family == "IPv6" or not _is_dhcp_answer(rule, letter):
                    wrong.append(f"{chain}: not a rule of ours: {rule}")
            else:
                passes |= found
    senders = set()
    spoofing = [_options(rule) for rule in chains.get(f"{_PREFIX}-s{short}", ())]
    for rule in spoofing[:-1]:
        if set(rule) == {"-s", "--mac-source", "-j"} and rule["-j"] == "RETURN":
            senders.add((rule["-s"].removesuffix("/32"), rule["--mac-source"].lower()))
        else:
            wrong.append(f"{_PREFIX}-s{short}: not a rule of ours: {rule}")
    if spoofing[-1:] != [{"-j": "DROP"}] and (spoofing or family == "IPv4"):
        wrong.append(f"{_PREFIX}-s{short}: doesn't end by dropping forged senders")
    return PortFilter(frozenset(passes), frozenset(senders), tuple(wrong))


def _hooks(chains: Mapping[str, list[list[str]]], port_id: str) -> Iterator[str]:
    """Say which way from the forwarding chain to a port's own chains is missing."""
    tap = f"tap{port_id[:_TAP_CHARACTERS]}"
    fallback = [_options(rule) for rule in chains.get(f"{_PREFIX}-sg-fallback", ())]
    if fallback != [{"-j": "DROP"}]:
        yield f"{_PREFIX}-sg-fallback: doesn't drop"
    for side, letter in (("out", "i"), ("in", "o")):
        bridged = {f"--physdev-{side}": tap, "--physdev-is-bridged": ""}
        for chain, target in (
            (f"{_PREFIX}-FORWARD", f"{_PREFIX}-sg-chain"),
            (f"{_PREFIX}-sg-chain", f"{_PREFIX}-{letter}{port_id[:_ID_CHARACTERS]}"),
        ):
            if {**bridged, "-j": target} not in [_options(rule) for rule in chains.get(chain, ())]:
                yield f"{chain}: {tap} isn't led into {target}"


def _options(rule: list[str]) -> dict[str, str]:
    """Return option → value, without comments and the names of the matches. ``!`` stays with its option."""
    found: dict[str, str] = {}
    words = list(rule)
    while words:
        word = words.pop(0)
        if word == "!":
            word = f"! {words.pop(0)}"
        values = []
        while words and not words[0].startswith("-") and words[0] != "!":
            values.append(words.pop(0))
        if word not in {"-m", "--comment"}:
            found[word] = " ".join(values)
    return found


#: of every port, in both families
_ALWAYS = [
    {"--state": "RELATED,ESTABLISHED", "-j": "RETURN"},
    {"--state": "INVALID", "-j": "DROP"},
]


def _fixed(letter: str, short: str) -> list[dict[str, str]]:
    """Return the rules that the agent gives every port, but for `_is_dhcp_answer`."""
    if letter == "i":
        return _ALWAYS
    client = {"-p": "udp", "--sport": "68", "--dport": "67", "-j": "RETURN"}
    return [
        *_ALWAYS,
        {"-s": "0.0.0.0/32", "-d": "255.255.255.255/32", **client},
        {"-j": f"{_PREFIX}-s{short}"},
        client,
        {"-p": "udp", "--sport": "67", "--dport": "68", "-j": "DROP"},  # against forged DHCP servers
    ]


def _fixed_ipv6(letter: str, short: str) -> list[dict[str, str]]:
    """Return the same for IPv6, which besides DHCP needs to find neighbours (RFC 4861)."""
    icmp = {"-p": "ipv6-icmp"}
    if letter == "i":
        return [
            *_ALWAYS,
            # who listens to which group; where a neighbour is, asked and answered
            *({**icmp, "--icmpv6-type": kind, "-j": "RETURN"} for kind in ("130", "135", "136")),
            {"-d": "fe80::/64", "-p": "udp", "--sport": "547", "--dport": "546", "-j": "RETURN"},
        ]
    nobody = {"-s": "::/128", "-d": "ff02::/16", **icmp}
    return [
        *_ALWAYS,
        *({**nobody, "--icmpv6-type": kind, "-j": "RETURN"} for kind in ("131", "135", "143")),
        {**icmp, "--icmpv6-type": "134", "-j": "DROP"},  # against forged routers
        {"-j": f"{_PREFIX}-s{short}"},
        {**icmp, "-j": "RETURN"},
        {"-p": "udp", "--sport": "546", "--dport": "547", "-j": "RETURN"},
        {"-p": "udp", "--sport": "547", "--dport": "546", "-j": "DROP"},  # against forged DHCP servers
    ]


_FIXED: Mapping[Family, Callable[[str, str], list[dict[str, str]]]] = {"IPv4": _fixed, "IPv6": _fixed_ipv6}


def _is_dhcp_answer(rule: Mapping[str, str], letter: str) -> bool:
    server = {"-p": "udp", "--sport": "67", "--dport": "68", "-j": "RETURN"}
    return letter == "i" and {k: v for k, v in rule.items() if k != "-d"} == server and "-d" in rule


def _passes(
    rule: Mapping[str, str], direction: str, members: Mapping[str, list[str]], family: Family
) -> set[Pass] | None:
    """Return what a security group's rule lets pass, or None where it isn't one."""
    own = "-s" if direction == "ingress" else "-d"
    if rule.get("-j") != "RETURN" or set(rule) - {"-j", "-p", "--dport", "--dports", own, "--match-set"}:
        return None
    first, _, last = rule.get("--dport", rule.get("--dports", "")).partition(":")
    low, high = (int(first), int(last or first)) if first else (None, None)
    remotes = [rule.get(own, _ANYWHERE[family])]
    if "--match-set" in rule:
        remotes = members.get(rule["--match-set"].split()[0], [])
    whole = [remote if "/" in remote else remote + _HOST[family] for remote in remotes]
    return {Pass(direction, rule.get("-p"), low, high, remote) for remote in whole}
