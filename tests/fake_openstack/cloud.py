"""The whole cloud: four services behind one port."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self

from fake_openstack.faults import Fault, Faults
from fake_openstack.glance import Glance
from fake_openstack.infrastructure import Infrastructure
from fake_openstack.keystone import Keystone
from fake_openstack.neutron import Neutron
from fake_openstack.nova import Nova
from fake_openstack.people import People
from fake_openstack.wire import HttpServer, Router

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fake_openstack.wire import Caller

__all__ = ["FakeOpenStack"]


class FakeOpenStack:
    """A cloud on a free port of 127.0.0.1; a context manager.

    Args:
        server: another one's, which answers for this cloud from now on, and isn't closed with it.
        tokens: that are valid from the beginning: another one's `Keystone.tokens`.
    """

    def __init__(self, server: HttpServer | None = None, tokens: Mapping[str, Caller] | None = None) -> None:
        router = Router()
        self.faults = Faults()
        self.keystone = Keystone(router, lambda: self.url, tokens or {})
        self.neutron = Neutron(router)
        self.glance = Glance(router)
        self.nova = Nova(router, self.neutron, self.glance)
        self.people = People(router, self.nova, self.neutron)
        self.infrastructure = Infrastructure(router)
        self._own = server is None
        self.server = server or HttpServer()
        self.server.answer_for(router, self.faults, self.keystone.caller)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        if self._own:
            self.server.close()
        self.server.raise_mistakes()

    @property
    def url(self) -> str:
        """The base URL of all services."""
        return self.server.url

    def order(self, fault: Fault) -> None:
        """Let a fault strike the next calls that match."""
        self.faults.order(fault)

    def page(self, longest: int | None) -> None:
        """Let lists come in pages of so many objects at most; None: in one."""
        self.server.longest_page = longest

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """Return a copy of all that the services hold, tokens included."""
        services = {
            "keystone": self.keystone,
            "neutron": self.neutron,
            "glance": self.glance,
            "nova": self.nova,
        }
        return {
            name: {
                key: copy.deepcopy(v) for key, v in vars(service).items() if isinstance(v, dict | set | list)
            }
            for name, service in services.items()
        }

    def restore(self, snapshot: dict[str, dict[str, Any]]) -> None:
        """Bring the services back to what they held; faults and the calls noted are forgotten."""
        for name, held in copy.deepcopy(snapshot).items():
            service = getattr(self, name)
            for key, value in held.items():
                store = getattr(service, key)
                store.clear()
                store.extend(value) if isinstance(store, list) else store.update(value)
        self.page(None)
        self.faults.revive()
        self.faults.calls.clear()

    def clear(self) -> None:
        """Empty the cloud; users and tokens stay."""
        neutron, nova = self.neutron, self.nova
        for store in (
            neutron.networks, neutron.subnets, neutron.routers, neutron.ports, neutron.security_groups,
            neutron.security_group_rules, neutron.floatingips, nova.flavors, nova.key_pairs, nova.servers,
            self.glance.images,
        ):  # fmt: skip
            store.clear()
        self.people.clear()
        self.keystone.clear()
        nova.access.clear()
        nova.faults.clear()
        self.faults.revive()
        self.faults.calls.clear()

    def census(self) -> dict[str, int]:
        """Count what there is, kind by kind, but for the ports and rules that Neutron makes by itself."""
        neutron, nova = self.neutron, self.nova
        counts = {
            "users": len(self.people.users),
            "role_assignments": len(self.people.grants),
            "application_credentials": len(self.keystone.application_credentials) - 1,
            "flavors": len(nova.flavors),
            "key_pairs": len(nova.key_pairs),
            "servers": len(nova.servers),
            "images": len(self.glance.images),
            "networks": len(neutron.networks),
            "subnets": len(neutron.subnets),
            "routers": len(neutron.routers),
            "interfaces": sum(
                p["device_owner"] == "network:router_interface" for p in neutron.ports.values()
            ),
            "ports": sum(not p["device_owner"].startswith("network:") for p in neutron.ports.values()),
            "security_groups": len(neutron.security_groups),
            "security_group_rules": len(neutron.security_group_rules),
            "floatingips": len(neutron.floatingips),
        }
        return {kind: count for kind, count in counts.items() if count}

    def write_clouds_yaml(self, path: Path, *, password: str = "secret", region: str = "RegionOne") -> Path:  # noqa: S107 - the fake's own
        """Write a clouds.yaml with the entries ``demo``, ``demo-credential`` and ``admin``."""
        lines = ["clouds:"]
        for name in ("demo", "admin"):
            lines += [
                f"  {name}:",
                f"    region_name: {region}",
                "    auth:",
                f"      auth_url: {self.url}/identity/v3",
                f"      username: {name}",
                f"      password: {password}",
                f"      project_name: project-{name}",
                "      user_domain_name: Default",
                "      project_domain_name: Default",
            ]
        lines += [
            "  demo-credential:",
            "    auth_type: v3applicationcredential",
            "    auth:",
            f"      auth_url: {self.url}/identity/v3",
            "      application_credential_id: credential-demo",
            "      application_credential_secret: credential-secret",
        ]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path
