"""Nothing of ours can send to the cloud's private addresses from outside of its network name space."""

from __future__ import annotations

import ipaddress
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from medicarche.probe import Capture
from medicarche.spec import load_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from medicarche.testing.sandbox import Sandbox

pytestmark = [pytest.mark.lifecycle, pytest.mark.requirement("CLOUD-3")]


@pytest.fixture(scope="module")
def prefixes(sandbox: Sandbox) -> list[str]:
    """The address ranges of the environment's networks."""
    environment = load_environment(sandbox.project / "environments" / "medicarche.yaml")
    return [subnet.cidr for network in environment.networks for subnet in network.subnets]


@pytest.fixture
def watched(prefixes: list[str]) -> Iterator[Capture]:
    """Watch the host's own interfaces, below every guard: not one packet may go to those ranges."""
    networks = [ipaddress.ip_network(prefix) for prefix in prefixes]
    with Capture(lambda p: any(ipaddress.ip_address(p.destination) in n for n in networks)) as capture:
        yield capture
    assert capture.packets == ()


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("provision", "--yes"), 0),
        (("plan", "--deploy"), 0),
        (("status", "--json"), 0),
        (("ssh", "website", "--", "true"), 0),
        (("console", "website"), 0),
        (("audit", "website"), 0),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_the_commands_send_nothing(sandbox: Sandbox, arguments: Sequence[str], code: int) -> None:
    sandbox.expect(*arguments, code=code)


@pytest.mark.usefixtures("watched")
def test_the_fixtures_send_nothing(sandbox: Sandbox) -> None:
    some = "home_page or loopback or generated_password"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/acceptance/test_website.py", "-k", some],
        env=sandbox.environment,
        cwd=sandbox.project,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout


#: run in an empty network name space: should the guard fail, there is no way out of it either
GUARDED = """
import sys
from pathlib import Path
from medicarche.embedded import namespace
from medicarche.errors import OutsideNamespace
namespace.guard(sys.argv[2:], Path(sys.argv[1]))
import ipaddress, socket
import openstack, paramiko, requests
from medicarche.probe import scan
for prefix in sys.argv[2:]:
    address = str(ipaddress.ip_network(prefix)[10])
    attempts = {
        "socket": lambda: socket.create_connection((address, 80), 1),
        "datagram": lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", (address, 9)),
        "requests": lambda: requests.get(f"http://{address}/", timeout=1),
        "scan": lambda: scan([(address, 22)], timeout=1),
        "paramiko": lambda: paramiko.SSHClient().connect(address, timeout=1),
        "openstack": lambda: openstack.connect(auth_url=f"http://{address}:5000/v3", username="x",
            password="x", project_name="x", user_domain_name="x", project_domain_name="x").authorize(),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
        except OutsideNamespace:
            continue
        except Exception as error:
            sys.exit(f"{name} to {address}: {error!r} instead of a refusal")
        sys.exit(f"{name} to {address}: not refused")
print("refused")
"""


def test_whoever_tries_from_elsewhere_is_refused(sandbox: Sandbox, prefixes: list[str]) -> None:
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", GUARDED, str(sandbox.network), *prefixes],
        env=sandbox.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr
