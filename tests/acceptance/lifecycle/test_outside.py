"""Nothing of ours can send to the cloud's private addresses from outside of its network name space.

That nothing was sent is watched during all tests of this folder (conftest.py), below every guard.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from medicarche.testing.sandbox import Sandbox

pytestmark = [pytest.mark.lifecycle, pytest.mark.requirement("CLOUD-3")]


@pytest.mark.parametrize(
    "arguments",
    [
        ("provision", "--yes"),
        ("plan", "--deploy"),
        ("status", "--json"),
        ("ssh", "website", "--", "true"),
        ("console", "website"),
        ("audit", "website"),
    ],
    ids=lambda value: value[0],
)
def test_the_commands_do_their_work_from_inside(built: Sandbox, arguments: Sequence[str]) -> None:
    built.expect(*arguments)


def test_the_fixtures_do_their_work_from_inside(built: Sandbox, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
         # this checkout's own report is of the whole run
         f"--acceptance-report={tmp_path}",
         "tests/acceptance/applications/test_website.py", "-k", "home_page"],
        env=built.environment,
        cwd=built.project,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert (tmp_path / "report.json").is_file()


#: Run in a network name space of the test's own, where those addresses lead to a cable that ends: a packet
#: that the guard lets through is really sent, is seen, and gets nowhere.
GUARDED = """
import ipaddress, json, socket, sys
from pathlib import Path
import openstack, paramiko, requests
from medicarche.embedded import namespace
from medicarche.errors import OutsideNamespace
from medicarche.probe import Capture, scan

netns, *prefixes = sys.argv[1:]
networks = [ipaddress.ip_network(prefix) for prefix in prefixes]
addresses = [str(network[10]) for network in networks]

def attempts(address):
    yield "socket", lambda: socket.create_connection((address, 80), 1)
    yield "datagram", lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", (address, 9))
    yield "requests", lambda: requests.get(f"http://{address}/", timeout=1)
    yield "scan", lambda: scan([(address, 22)], timeout=1)
    yield "paramiko", lambda: paramiko.SSHClient().connect(address, timeout=1)
    yield "openstack", lambda: openstack.connect(
        auth_url=f"http://{address}:5000/v3", username="x", password="x", project_name="x",
        user_domain_name="x", project_domain_name="x").authorize()

with Capture(lambda p: any(ipaddress.ip_address(p.destination) in n for n in networks)) as unguarded:
    for address in addresses:
        socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", (address, 9))
    unguarded.wait(10)
seen = sorted({packet.destination for packet in unguarded.packets})

namespace.guard(prefixes, Path(netns))
told = {}
with Capture(lambda p: any(ipaddress.ip_address(p.destination) in n for n in networks)) as guarded:
    for address in addresses:
        for name, attempt in attempts(address):
            try:
                attempt()
                told[f"{name} {address}"] = "not refused"
            except OutsideNamespace:
                told[f"{name} {address}"] = "refused"
            except Exception as error:
                told[f"{name} {address}"] = repr(error)
print(json.dumps({"addresses": addresses, "unguarded": seen, "told": told,
                  "guarded": [packet.destination for packet in guarded.packets]}))
"""
_SINK = """
set -e
ip link set lo up
ip link add sink type veth peer name drain
ip link set drain up
ip link set sink arp off up
for prefix in $3 $4; do ip route add "$prefix" dev sink; done
ip address add 198.51.100.1/32 dev sink
exec "$0" -c "$1" "$2" "$3" "$4"
"""


@pytest.mark.parametrize("there", [True, False], ids=["the cloud is up", "the cloud is gone"])
def test_whoever_tries_from_elsewhere_is_refused(
    request: pytest.FixtureRequest, sandbox: Sandbox, prefixes: list[str], *, there: bool
) -> None:
    assert len(prefixes) == 2
    network = sandbox.network.with_name("no-such-cloud")
    if there:
        request.getfixturevalue("built")
        network = sandbox.network
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", _SINK, sys.executable, GUARDED, str(network), *prefixes],
        env=sandbox.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["unguarded"] == sorted(found["addresses"]), "the watch sees nothing, and proves nothing"
    assert set(found["told"].values()) == {"refused"}, found["told"]
    assert found["guarded"] == []


def test_the_ssh_program_is_started_inside(built: Sandbox) -> None:
    """It isn't guarded by us; so it is in the name space before it begins: the node's address says so."""
    where = built.expect("ssh", "website", "--", "printenv", "SSH_CONNECTION").split()
    assert where[0] == "10.20.20.1", where
