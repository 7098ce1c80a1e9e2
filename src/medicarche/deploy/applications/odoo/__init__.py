"""Odoo 19 on a local PostgreSQL reached by its socket, behind nginx (APP-1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from medicarche.deploy.applications.settings import administrator, unknown
from medicarche.deploy.declaration import Declaration
from medicarche.spec.environment import Listener, Size, Traits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from medicarche.spec.environment import Application

__all__ = ["DECLARATION", "MODULES", "ROLES"]

#: what the company works with: contacts, customer relations, sales, invoicing, stock, employees
MODULES = ("contacts", "crm", "sale_management", "account", "stock", "hr")
#: role → Odoo's groups, by their external ids; the most powerful role first. Who has several roles has the
#: groups of all. An administrator has all that the local one has besides, whom each module makes its manager
ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "administrator": ("base.group_system",),
    # all of the work but the employees' files, which hold what is private
    "user": (
        "base.group_partner_manager",
        "account.group_account_invoice",
        "sales_team.group_sale_salesman_all_leads",
        "stock.group_stock_user",
    ),
    "accounting": ("base.group_partner_manager", "account.group_account_user"),
    "sales": ("base.group_partner_manager", "sales_team.group_sale_salesman_all_leads"),
    "stock": ("stock.group_stock_user",),
    "hr": ("hr.group_hr_user",),
    "employee": ("base.group_user",),
}
_SETTINGS = {"administrator", "country", "modules"}


def _check_settings(application: Application) -> Iterable[str]:
    settings = application.settings
    yield from unknown(settings, _SETTINGS)
    yield from administrator(settings)
    # ISO 3166-1 alpha-2: decides the chart of accounts and the taxes
    if not re.fullmatch(r"[A-Z]{2}", settings.get("country", "")):
        yield "country: the company's country in two capital letters, as FR: chart of accounts, taxes"
    for module in settings.get("modules", "").split():
        if not re.fullmatch(r"[a-z][a-z0-9_]*", module):
            yield f"modules: {module!r} isn't a module's technical name (several are parted by spaces)"


DECLARATION = Declaration(
    kind="odoo",
    minimum=Size(
        ram_mib=768,
        disk_gib=4,
        source="Odoo's documentation, 'Deploying Odoo', 'Memory size calculation': 0.8 * 150 MB + 0.2 * 1024"
        " MB for each of 2 workers; PostgreSQL's shared_buffers of 128 MB. It names no disk: that is our"
        " estimate",
    ),
    listeners=(
        # opened by systemd, which keeps those who come while Odoo starts
        Listener("127.0.0.1", 8069, "tcp", "odoo", "root", public=False, why="Odoo, behind nginx"),
        # a process of its own, which Odoo starts anew by its interpreter's name
        Listener(
            "127.0.0.1", 8072, "tcp", "python3", "odoo", public=False, why="Odoo's websocket, behind nginx"
        ),
        # PostgreSQL listens on its unix socket only
    ),
    egress=frozenset({"dns", "packages"}),
    secrets={
        "administrator": "password of the administrator",
        "master": "password of the database manager, which is closed all the same",
    },
    host_names=(),
    check_settings=_check_settings,
    module="medicarche.deploy.applications.odoo.operations",
    traits=Traits(roles=tuple(ROLES), services=("postgresql",)),
    service_account=True,
    health="/web/login",
)
