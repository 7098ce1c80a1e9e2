"""One module per kind of resource: how it is read from lists, made, changed and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.cloud.kinds.application_credential import ApplicationCredentialHandler
from medicarche.cloud.kinds.domain import DomainHandler, GroupRoleHandler
from medicarche.cloud.kinds.flavor import FlavorHandler
from medicarche.cloud.kinds.floating_ip import FloatingIpHandler
from medicarche.cloud.kinds.identity import ProjectHandler, RoleAssignmentHandler, UserHandler
from medicarche.cloud.kinds.image import ImageHandler
from medicarche.cloud.kinds.key_pair import KeyPairHandler
from medicarche.cloud.kinds.network import NetworkHandler
from medicarche.cloud.kinds.port import PortHandler
from medicarche.cloud.kinds.quota import QuotaHandler
from medicarche.cloud.kinds.router import RouterHandler, RouterInterfaceHandler
from medicarche.cloud.kinds.security_group import SecurityGroupHandler, SecurityGroupRuleHandler
from medicarche.cloud.kinds.server import ServerHandler
from medicarche.cloud.kinds.subnet import SubnetHandler

if TYPE_CHECKING:
    from medicarche.cloud.work import Handler
    from medicarche.plan.resources import Kind

__all__ = ["HANDLERS"]

#: in an order in which each kind's references are known before it
HANDLERS: dict[Kind, Handler] = {
    handler.kind: handler
    for handler in (
        ProjectHandler(),
        QuotaHandler(),
        UserHandler(),
        RoleAssignmentHandler(),
        ApplicationCredentialHandler(),
        FlavorHandler(),
        ImageHandler(),
        KeyPairHandler(),
        NetworkHandler(),
        SubnetHandler(),
        RouterHandler(),
        RouterInterfaceHandler(),
        SecurityGroupHandler(),
        SecurityGroupRuleHandler(),
        PortHandler(),
        ServerHandler(),
        FloatingIpHandler(),
        DomainHandler(),
        GroupRoleHandler(),
    )
}
