"""Whether the cloud really works: each service is asked for something that it can only answer if it does.

It runs inside of the cloud's network name space, as a program of its own (`main`), and writes a line of JSON,
the services that aren't ready yet and why, whenever that changes; the last line is ``{}`` when all are. The
exit code is 0 then, else 1.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import http.client
import json
import socket
import sys
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from medicarche.embedded.cloud_secrets import Secrets, load
from medicarche.embedded.configure import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["LOGS", "PROBES", "Context", "NotReady", "main"]

_TIMEOUT: Final = 10.0
_PAUSE: Final = 0.4
_OK: Final = 200
_MULTIPLE: Final = 300
_NOT_FOUND: Final = 404

#: probe → the service whose log says why it fails
LOGS: Final = {
    "identity": "keystone",
    "member": "medicarche-identity",
    "image": "glance-api",
    "placement": "nova-compute",
    "compute": "nova-compute",
    "hypervisor": "nova-compute",
    "network": "neutron-rpc-server",
    "metadata": "nova-api-metadata",
    "metadata proxy": "neutron-metadata-agent",
    "dashboard": "horizon",
}
_CATALOG: Final = frozenset({"identity", "image", "placement", "compute", "network"})
_NOVA: Final = frozenset({"nova-compute", "nova-conductor", "nova-scheduler"})
_NEUTRON: Final = frozenset(
    {"neutron-linuxbridge-agent", "neutron-l3-agent", "neutron-dhcp-agent", "neutron-metadata-agent"}
)


class NotReady(Exception):
    """A service doesn't do its work yet; the message says what it answered."""


@dataclass
class Context:
    """What the probes share.

    Attributes:
        secrets: the cloud's.
        since: the node's start, in seconds since 1970: what services said before it doesn't count.
        metadata_socket: of Neutron's metadata agent, seen from here.
        token: the admin's; set by the first probe.
    """

    secrets: Secrets
    since: float
    metadata_socket: Path
    token: str = field(default="")

    def get(self, port: int, path: str, headers: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - JSON is of any type
        """GET as the admin, and return the JSON that was answered.

        Raises:
            NotReady: there was no answer, or it wasn't a success.
        """
        status, body, _ = ask(port, "GET", path, {"X-Auth-Token": self.token, **(headers or {})})
        if status not in {_OK, _MULTIPLE}:
            raise NotReady(f"{path}: status {status}")
        return json.loads(body)

    def fresh(self, when: str) -> bool:
        """Say whether a service's time stamp (UTC, whole seconds) is from this start."""
        stamp = datetime.fromisoformat(when).replace(tzinfo=UTC)
        return stamp.timestamp() >= int(self.since)


def ask(
    port: int, method: str, path: str, headers: Mapping[str, str], body: str | None = None
) -> tuple[int, bytes, Mapping[str, str]]:
    """Ask a service on the loopback; return status, body and headers.

    Raises:
        NotReady: it can't be reached.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
    try:
        connection.request(method, path, body=body, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    except (OSError, http.client.HTTPException) as error:
        raise NotReady(f"port {port}: {error}") from error
    finally:
        connection.close()


def _identity(context: Context) -> None:
    password = {"user": {"name": "admin", "domain": {"id": "default"}, "password": context.secrets.admin}}
    context.token = _token(
        {
            "identity": {"methods": ["password"], "password": password},
            "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
        }
    )


def _member(context: Context) -> None:
    secrets = context.secrets
    credential = {"id": secrets.application_credential_id, "secret": secrets.application_credential_secret}
    _token({"identity": {"methods": ["application_credential"], "application_credential": credential}})


def _token(auth: dict[str, Any]) -> str:
    headers = {"Content-Type": "application/json"}
    status, body, got = ask(5000, "POST", "/v3/auth/tokens", headers, json.dumps({"auth": auth}))
    token = {name.lower(): value for name, value in got.items()}.get("x-subject-token")
    if token is None:
        raise NotReady(f"no token: status {status}")
    catalog = {service["type"] for service in json.loads(body)["token"]["catalog"]}
    if missing := _CATALOG - catalog:
        raise NotReady(f"the catalog lacks {', '.join(sorted(missing))}")
    return token


def _image(context: Context) -> None:
    context.get(9292, "/v2/images?limit=1")


def _compute(context: Context) -> None:
    services = context.get(8774, "/v2.1/os-services")["services"]
    # a service that is new has no updated_at until its second report
    up = {
        s["binary"]
        for s in services
        if s["state"] == "up" and (s["updated_at"] is None or context.fresh(s["updated_at"]))
    }
    if missing := _NOVA - up:
        raise NotReady(f"not up since the start: {', '.join(sorted(missing))}")


def _hypervisor(context: Context) -> None:
    # only hosts that are mapped to a cell are listed: on others nothing can be placed
    hypervisors = context.get(8774, "/v2.1/os-hypervisors/detail")["hypervisors"]
    if not any(h["service"]["host"] == HOST and h["state"] == "up" for h in hypervisors):
        raise NotReady("the node isn't listed as a hypervisor that is up")


def _placement(context: Context) -> None:
    providers = context.get(8778, f"/resource_providers?name={HOST}")["resource_providers"]
    if not providers:
        raise NotReady("the node isn't a resource provider")
    inventories = context.get(8778, f"/resource_providers/{providers[0]['uuid']}/inventories")["inventories"]
    if missing := {"VCPU", "MEMORY_MB", "DISK_GB"} - inventories.keys():
        raise NotReady(f"no inventory of {', '.join(sorted(missing))}")


def _network(context: Context) -> None:
    agents = context.get(9696, "/v2.0/agents")["agents"]
    alive = {a["binary"] for a in agents if a["alive"] and context.fresh(a["heartbeat_timestamp"])}
    if missing := _NEUTRON - alive:
        raise NotReady(f"no heartbeat since the start: {', '.join(sorted(missing))}")


def _metadata(context: Context) -> None:
    if ask(8775, "GET", "/", {})[0] != _OK:
        raise NotReady("the list of versions isn't served")
    # signed as Neutron's agent signs; an instance that isn't there: 404, where a bad signature gets 403
    instance = str(uuid.uuid4())
    signature = hmac.new(context.secrets.metadata.encode(), instance.encode(), hashlib.sha256).hexdigest()
    headers = {
        "X-Instance-ID": instance,
        "X-Instance-ID-Signature": signature,
        "X-Tenant-ID": uuid.uuid4().hex,
        "X-Forwarded-For": "127.0.0.1",
    }
    status, _, _ = ask(8775, "GET", "/openstack/latest/meta_data.json", headers)
    if status != _NOT_FOUND:
        raise NotReady(f"a signed request got status {status}")


def _metadata_proxy(context: Context) -> None:
    # it asks neutron-rpc-server whose port this is; nobody's: 404
    request = (
        "GET / HTTP/1.0\r\nHost: 169.254.169.254\r\nX-Forwarded-For: 127.0.0.1\r\n"
        f"X-Neutron-Network-ID: {uuid.uuid4()}\r\n\r\n"
    )
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT)
            connection.connect(str(context.metadata_socket))
            connection.sendall(request.encode())
            answer = connection.recv(64)
    except OSError as error:
        raise NotReady(f"{error}") from error
    if b" 404 " not in answer:
        raise NotReady(f"answered {answer[:40]!r}")


def _dashboard(_context: Context) -> None:
    status, body, _headers = ask(80, "GET", "/auth/login/", {"Host": "127.0.0.1"})
    if status != _OK or b"csrfmiddlewaretoken" not in body:
        raise NotReady(f"the login page has status {status}")


#: in the order in which services come up; the first gives the token that others need
PROBES: Final[dict[str, Callable[[Context], None]]] = {
    "identity": _identity,
    "member": _member,
    "image": _image,
    "dashboard": _dashboard,
    "metadata": _metadata,
    "network": _network,
    "metadata proxy": _metadata_proxy,
    "compute": _compute,
    "hypervisor": _hypervisor,
    "placement": _placement,
}


def rounds(context: Context) -> Iterator[dict[str, str]]:
    """Ask all services that aren't ready yet, again and again; give who isn't, and why, after each round."""
    waiting = dict.fromkeys(PROBES, "")
    while True:
        for name in list(waiting):
            if name != "identity" and "identity" in waiting:
                waiting[name] = "waits for identity"
                continue
            try:
                PROBES[name](context)
                del waiting[name]
            except NotReady as error:
                waiting[name] = str(error)
            except (ValueError, KeyError, TypeError) as error:
                waiting[name] = f"an answer that isn't understood: {error!r}"
        yield dict(waiting)


def main(arguments: list[str] | None = None) -> int:
    """Wait until the cloud is ready; see the module's description."""
    parser = argparse.ArgumentParser(description="Wait until the embedded cloud is ready.")
    parser.add_argument("--secrets", type=Path, required=True)
    parser.add_argument("--since", type=float, required=True)
    parser.add_argument("--metadata-socket", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=0.0)
    options = parser.parse_args(arguments)
    context = Context(load(options.secrets), options.since, options.metadata_socket)
    deadline = time.monotonic() + options.seconds
    said = None
    for waiting in rounds(context):
        if waiting != said:
            sys.stdout.write(json.dumps(waiting) + "\n")
            sys.stdout.flush()
            said = waiting
        if not waiting:
            return 0
        if time.monotonic() > deadline:
            return 1
        time.sleep(_PAUSE)
    return 1


if __name__ == "__main__":
    sys.exit(main())
