"""Reading what Neutron's Linux bridge agent gave iptables."""

from __future__ import annotations

import pytest

from medicarche.probe.firewall import Pass, parse

PORT = "37273249-f4aa-4cde-9d0f-0123456789ab"
#: as a node of Zed printed it, for one port
RULES = """\
*filter
:FORWARD ACCEPT [0:0]
-A FORWARD -j neutron-linuxbri-FORWARD
-A neutron-linuxbri-FORWARD -m physdev --physdev-out tap37273249-f4 --physdev-is-bridged -m comment --comment "Direct traffic from the VM interface to the security group chain." -j neutron-linuxbri-sg-chain
-A neutron-linuxbri-FORWARD -m physdev --physdev-in tap37273249-f4 --physdev-is-bridged -m comment --comment "Direct traffic from the VM interface to the security group chain." -j neutron-linuxbri-sg-chain
-A neutron-linuxbri-i37273249-f -m state --state RELATED,ESTABLISHED -m comment --comment "Direct packets associated with a known session to the RETURN chain." -j RETURN
-A neutron-linuxbri-i37273249-f -d 192.168.222.112/32 -p udp -m udp --sport 67 --dport 68 -j RETURN
-A neutron-linuxbri-i37273249-f -d 255.255.255.255/32 -p udp -m udp --sport 67 --dport 68 -j RETURN
-A neutron-linuxbri-i37273249-f -p tcp -m tcp --dport 80 -j RETURN
-A neutron-linuxbri-i37273249-f -s 10.20.20.0/24 -p tcp -m tcp --dport 22 -j RETURN
-A neutron-linuxbri-i37273249-f -p udp -m udp -m multiport --dports 7000:7010 -m set --match-set NIPv4abc src -j RETURN
-A neutron-linuxbri-i37273249-f -m state --state INVALID -m comment --comment "Drop packets (e.g. TCP ACK/FIN) but do not have an entry in conntrack." -j DROP
-A neutron-linuxbri-i37273249-f -m comment --comment "Send unmatched traffic to the fallback chain." -j neutron-linuxbri-sg-fallback
-A neutron-linuxbri-o37273249-f -s 0.0.0.0/32 -d 255.255.255.255/32 -p udp -m udp --sport 68 --dport 67 -m comment --comment "Allow DHCP client traffic." -j RETURN
-A neutron-linuxbri-o37273249-f -j neutron-linuxbri-s37273249-f
-A neutron-linuxbri-o37273249-f -p udp -m udp --sport 68 --dport 67 -m comment --comment "Allow DHCP client traffic." -j RETURN
-A neutron-linuxbri-o37273249-f -p udp -m udp --sport 67 --dport 68 -m comment --comment "Prevent DHCP Spoofing by VM." -j DROP
-A neutron-linuxbri-o37273249-f -m state --state RELATED,ESTABLISHED -j RETURN
-A neutron-linuxbri-o37273249-f -d 169.254.169.254/32 -p tcp -m tcp --dport 80 -j RETURN
-A neutron-linuxbri-o37273249-f -d 192.168.222.0/24 -p udp -m udp --dport 53 -j RETURN
-A neutron-linuxbri-o37273249-f -m state --state INVALID -j DROP
-A neutron-linuxbri-o37273249-f -m comment --comment "Send unmatched traffic to the fallback chain." -j neutron-linuxbri-sg-fallback
-A neutron-linuxbri-s37273249-f -s 192.168.222.112/32 -m mac --mac-source fa:16:3e:cf:a8:00 -m comment --comment "Allow traffic from defined IP/MAC pairs." -j RETURN
-A neutron-linuxbri-s37273249-f -m comment --comment "Drop traffic without an IP/MAC allow rule." -j DROP
-A neutron-linuxbri-sg-chain -m physdev --physdev-out tap37273249-f4 --physdev-is-bridged -m comment --comment "Jump to the VM specific chain." -j neutron-linuxbri-i37273249-f
-A neutron-linuxbri-sg-chain -m physdev --physdev-in tap37273249-f4 --physdev-is-bridged -m comment --comment "Jump to the VM specific chain." -j neutron-linuxbri-o37273249-f
-A neutron-linuxbri-sg-chain -j ACCEPT
-A neutron-linuxbri-sg-fallback -m comment --comment "Default drop rule for unmatched traffic." -j DROP
COMMIT
"""  # noqa: E501 - as it was printed
#: the same for IPv6, of which the port has no address
IPV6 = """\
*filter
-A FORWARD -j neutron-linuxbri-FORWARD
-A neutron-linuxbri-FORWARD -m physdev --physdev-out tap37273249-f4 --physdev-is-bridged -m comment --comment "Direct traffic from the VM interface to the security group chain." -j neutron-linuxbri-sg-chain
-A neutron-linuxbri-FORWARD -m physdev --physdev-in tap37273249-f4 --physdev-is-bridged -m comment --comment "Direct traffic from the VM interface to the security group chain." -j neutron-linuxbri-sg-chain
-A neutron-linuxbri-INPUT -m physdev --physdev-in tap37273249-f4 --physdev-is-bridged -m comment --comment "Direct incoming traffic from VM to the security group chain." -j neutron-linuxbri-o37273249-f
-A neutron-linuxbri-i37273249-f -p ipv6-icmp -m icmp6 --icmpv6-type 130 -j RETURN
-A neutron-linuxbri-i37273249-f -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j RETURN
-A neutron-linuxbri-i37273249-f -p ipv6-icmp -m icmp6 --icmpv6-type 136 -j RETURN
-A neutron-linuxbri-i37273249-f -m state --state RELATED,ESTABLISHED -m comment --comment "Direct packets associated with a known session to the RETURN chain." -j RETURN
-A neutron-linuxbri-i37273249-f -d fe80::/64 -p udp -m udp --sport 547 --dport 546 -j RETURN
-A neutron-linuxbri-i37273249-f -m state --state INVALID -m comment --comment "Drop packets that appear related to an existing connection (e.g. TCP ACK/FIN) but do not have an entry in conntrack." -j DROP
-A neutron-linuxbri-i37273249-f -m comment --comment "Send unmatched traffic to the fallback chain." -j neutron-linuxbri-sg-fallback
-A neutron-linuxbri-o37273249-f -s ::/128 -d ff02::/16 -p ipv6-icmp -m icmp6 --icmpv6-type 131 -m comment --comment "Allow IPv6 ICMP traffic." -j RETURN
-A neutron-linuxbri-o37273249-f -s ::/128 -d ff02::/16 -p ipv6-icmp -m icmp6 --icmpv6-type 135 -m comment --comment "Allow IPv6 ICMP traffic." -j RETURN
-A neutron-linuxbri-o37273249-f -s ::/128 -d ff02::/16 -p ipv6-icmp -m icmp6 --icmpv6-type 143 -m comment --comment "Allow IPv6 ICMP traffic." -j RETURN
-A neutron-linuxbri-o37273249-f -p ipv6-icmp -m icmp6 --icmpv6-type 134 -m comment --comment "Drop IPv6 Router Advts from VM Instance." -j DROP
-A neutron-linuxbri-o37273249-f -p ipv6-icmp -m comment --comment "Allow IPv6 ICMP traffic." -j RETURN
-A neutron-linuxbri-o37273249-f -p udp -m udp --sport 546 --dport 547 -m comment --comment "Allow DHCP client traffic." -j RETURN
-A neutron-linuxbri-o37273249-f -p udp -m udp --sport 547 --dport 546 -m comment --comment "Prevent DHCP Spoofing by VM." -j DROP
-A neutron-linuxbri-o37273249-f -m state --state RELATED,ESTABLISHED -m comment --comment "Direct packets associated with a known session to the RETURN chain." -j RETURN
-A neutron-linuxbri-o37273249-f -m state --state INVALID -m comment --comment "Drop packets that appear related to an existing connection (e.g. TCP ACK/FIN) but do not have an entry in conntrack." -j DROP
-A neutron-linuxbri-o37273249-f -m comment --comment "Send unmatched traffic to the fallback chain." -j neutron-linuxbri-sg-fallback
-A neutron-linuxbri-sg-chain -m physdev --physdev-out tap37273249-f4 --physdev-is-bridged -m comment --comment "Jump to the VM specific chain." -j neutron-linuxbri-i37273249-f
-A neutron-linuxbri-sg-chain -m physdev --physdev-in tap37273249-f4 --physdev-is-bridged -m comment --comment "Jump to the VM specific chain." -j neutron-linuxbri-o37273249-f
-A neutron-linuxbri-sg-chain -j ACCEPT
-A neutron-linuxbri-sg-fallback -m comment --comment "Default drop rule for unmatched traffic." -j DROP
COMMIT
"""  # noqa: E501 - as it was printed
SETS = """\
create NIPv4abc hash:net family inet hashsize 1024 maxelem 65536
add NIPv4abc 192.168.222.7
add NIPv4abc 192.168.222.9/32
"""
PASSES = frozenset(
    {
        Pass("ingress", "tcp", 80, 80, "0.0.0.0/0"),
        Pass("ingress", "tcp", 22, 22, "10.20.20.0/24"),
        Pass("ingress", "udp", 7000, 7010, "192.168.222.7/32"),
        Pass("ingress", "udp", 7000, 7010, "192.168.222.9/32"),
        Pass("egress", "tcp", 80, 80, "169.254.169.254/32"),
        Pass("egress", "udp", 53, 53, "192.168.222.0/24"),
    }
)


def test_a_port_as_the_agent_makes_it() -> None:
    found = parse(RULES, SETS, [PORT])[PORT]
    assert found.passes == PASSES
    assert found.senders == {("192.168.222.112", "fa:16:3e:cf:a8:00")}
    assert found.wrong == ()


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        ("-j neutron-linuxbri-i37273249-f\n", "-j ACCEPT\n", "isn't led into neutron-linuxbri-i37273249-f"),
        ("--physdev-in tap37273249-f4", "--physdev-in tap99999999-99", "tap37273249-f4 isn't led into"),
        ('the fallback chain." -j neutron-linuxbri-sg-fallback', 'x" -j RETURN', "doesn't end by dropping"),
        ('unmatched traffic." -j DROP', 'unmatched traffic." -j ACCEPT', "sg-fallback: doesn't drop"),
        ("--dport 80 -j RETURN", "--dport 80 -j ACCEPT", "not a rule of ours"),
        ("--dport 80 -j RETURN", "! --dport 80 -j RETURN", "not a rule of ours"),
        ("--dport 22 -j RETURN", "--dport 22 -j DROP", "not a rule of ours"),
        ('IP/MAC allow rule." -j DROP', 'IP/MAC allow rule." -j RETURN', "doesn't end by dropping forged"),
        ("-m mac --mac-source fa:16:3e:cf:a8:00 ", "", "s37273249-f: not a rule of ours"),
    ],
)
def test_what_the_agent_never_makes_is_told(line: str, instead: str, said: str) -> None:
    assert line in RULES
    assert any(said in wrong for wrong in parse(RULES.replace(line, instead), SETS, [PORT])[PORT].wrong)


def test_a_port_without_ipv6_lets_nothing_of_it_pass() -> None:
    found = parse(IPV6, SETS, [PORT], family="IPv6")[PORT]
    assert found.passes == frozenset()
    assert found.wrong == ()


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        ("--icmpv6-type 130 -j", "--icmpv6-type 128 -j", "not a rule of ours"),
        ('VM Instance." -j DROP', 'VM Instance." -j RETURN', "not a rule of ours"),
        ('Spoofing by VM." -j DROP', 'Spoofing by VM." -j RETURN', "not a rule of ours"),
        ("-d fe80::/64 -p udp", "-p udp", "not a rule of ours"),
        ('unmatched traffic." -j DROP', 'unmatched traffic." -j ACCEPT', "sg-fallback: doesn't drop"),
        ("--physdev-in tap37273249-f4", "--physdev-in tap99999999-99", "tap37273249-f4 isn't led into"),
    ],
)
def test_in_ipv6_too_what_the_agent_never_makes_is_told(line: str, instead: str, said: str) -> None:
    assert line in IPV6
    found = parse(IPV6.replace(line, instead), SETS, [PORT], family="IPv6")[PORT]
    assert any(said in wrong for wrong in found.wrong)


def test_a_rule_that_lets_ipv6_in_is_seen() -> None:
    more = "-A neutron-linuxbri-i37273249-f -p tcp -m tcp --dport 22 -j RETURN\n"
    found = parse(more + IPV6, SETS, [PORT], family="IPv6")[PORT]
    assert found.passes == {Pass("ingress", "tcp", 22, 22, "::/0")}


def test_another_rule_is_seen() -> None:
    more = "-A neutron-linuxbri-i37273249-f -p tcp -m tcp --dport 3306 -j RETURN\n"
    before = RULES.index("-A neutron-linuxbri-i37273249-f -p tcp")
    found = parse(RULES[:before] + more + RULES[before:], SETS, [PORT])[PORT]
    assert found.passes - PASSES == {Pass("ingress", "tcp", 3306, 3306, "0.0.0.0/0")}


def test_a_port_that_the_node_knows_nothing_of() -> None:
    found = parse(RULES, SETS, ["00000000-0000-0000-0000-000000000000"])
    (nothing,) = found.values()
    assert nothing.passes == frozenset()
    assert len(nothing.wrong) == 7
