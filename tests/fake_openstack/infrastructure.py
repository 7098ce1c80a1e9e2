"""What carries the projects: Nova's services and hypervisors, Neutron's agents. Who may look is a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fake_openstack.wire import Answer, Refusal, Request, Router

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Infrastructure"]

Raw = dict[str, Any]


class Infrastructure:
    """One node's services; ``readers`` says whether a reader of a project may see them, or an admin only."""

    def __init__(self, router: Router) -> None:
        self.readers = True
        self.services: list[Raw] = [
            {"binary": "nova-conductor", "host": "node", "state": "up", "status": "enabled"},
            {"binary": "nova-compute", "host": "node", "state": "up", "status": "enabled"},
        ]
        self.hypervisors: list[Raw] = [
            {
                "hypervisor_hostname": "node",
                "state": "up",
                "status": "enabled",
                "running_vms": 3,
                "vcpus": 12,
                "vcpus_used": 6,
                "memory_mb": 10240,
                "memory_mb_used": 3072,
                "local_gb": 100,
                "local_gb_used": 15,
            }
        ]
        self.agents: list[Raw] = [
            {"agent_type": "L3 agent", "host": "node", "alive": True},
            {"agent_type": "DHCP agent", "host": "node", "alive": True},
        ]
        for path, name in (
            ("/compute/v2.1/os-services", "services"),
            ("/compute/v2.1/os-hypervisors/detail", "hypervisors"),
            ("/network/v2.0/agents", "agents"),
        ):
            router.add("GET", path, self._shown(name))

    def _shown(self, name: str) -> Callable[[Request], Answer]:
        def show(request: Request) -> Answer:
            if not (request.who.admin or self.readers):
                message = "Policy doesn't allow this to be performed."
                raise Refusal(403, {"forbidden": {"message": message, "code": 403}})
            return Answer(200, {name: getattr(self, name)})

        return show
