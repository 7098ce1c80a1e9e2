"""The directory's people on the cloud: Keystone's way to the directory, its domain, the groups' roles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.plan.groups import application_group, rule_with
from medicarche.plan.resources import Domain, GroupRole, Kind, Project
from medicarche.spec.cloud_groups import KEYSTONE, serving
from medicarche.spec.directory import base_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medicarche.plan.resources import Resource, SecurityGroupRule
    from medicarche.spec.environment import Environment, KeystoneSite, Site

__all__ = ["cloud_groups_resources", "cloud_groups_rules", "keystone_asks"]

#: seconds that Keystone waits for the directory's connection, and for each answer; it tries to connect twice.
#: A process of Keystone's that waits serves nobody else meanwhile
_PATIENCE = 3
#: seconds that Keystone keeps a connection, the least that it takes. One that the directory has closed since
#: (it was restarted) ends in an error that the pool doesn't expect, and a place in the pool is lost with each
_KEPT = 1


def keystone_asks(environment: Environment, site: Site) -> bool:
    """Tell whether Keystone asks the directory."""
    return site.keystone is not None and serving(environment) is not None


def cloud_groups_rules(environment: Environment, site: Site) -> Iterator[SecurityGroupRule]:
    """Yield the way from Keystone to the directory's port, and to nothing else."""
    directory = serving(environment)
    if directory is None or site.keystone is None:
        return
    group = application_group(directory.name)
    for prefix in site.keystone.prefixes:
        yield rule_with(group, "ingress", "tcp", directory.port, prefix, why="the cloud's Keystone asks")


def cloud_groups_resources(environment: Environment, site: Site) -> Iterator[Resource]:
    """Yield Keystone's domain, which has the environment's name, and each group's role in the project."""
    directory, asked = environment.directory, serving(environment)
    if directory is None or asked is None or site.keystone is None:
        return
    domain = Domain(
        name=environment.name,
        server=f"{Kind.FLOATING_IP}/{asked.instance}",
        port=asked.port,
        options=_options(environment.domain, tuple(directory.cloud_groups), site.keystone),
        handed_over=site.keystone.handed_over,
    )
    yield domain
    for group, role in directory.cloud_groups.items():
        yield GroupRole(
            name=f"{group}-{role}",
            domain=domain.address,
            project=Project(name=environment.name).address,
            group=group,
            role=role,
        )


def _options(
    domain: str, groups: tuple[str, ...], keystone: KeystoneSite
) -> tuple[tuple[str, str | int | float | bool], ...]:
    """Return Keystone's options of the groups ``identity`` and ``ldap``; see its configuration reference."""
    base = base_of(domain)
    named = sorted(groups)
    members = "".join(f"(memberOf=cn={group},ou=groups,{base})" for group in named)
    options: dict[str, str | int | float | bool] = {
        "identity.driver": "ldap",
        "ldap.user": f"cn={KEYSTONE},ou=services,{base}",
        "ldap.suffix": base,
        "ldap.query_scope": "one",
        # who has no role on the cloud doesn't exist there; the directory says the same to Keystone's account
        "ldap.user_tree_dn": f"ou=people,{base}",
        "ldap.user_filter": f"(|{members})",
        "ldap.user_objectclass": "inetOrgPerson",
        # Keystone has one account for a name in a domain, for good: who comes back must be who left
        "ldap.user_id_attribute": "uid",
        "ldap.user_name_attribute": "uid",
        "ldap.user_mail_attribute": "mail",
        "ldap.group_tree_dn": f"ou=groups,{base}",
        "ldap.group_filter": f"(|{''.join(f'(cn={group})' for group in named)})",
        "ldap.group_objectclass": "groupOfNames",
        "ldap.group_id_attribute": "cn",
        "ldap.group_name_attribute": "cn",
        "ldap.group_desc_attribute": "description",
        "ldap.group_member_attribute": "member",
        # TLS from the first byte (`use_tls` is StartTLS), and only with a certificate of our authority's
        "ldap.use_tls": False,
        "ldap.tls_cacertfile": keystone.authority,
        "ldap.tls_req_cert": "demand",
        # only connections of a pool have time limits; one attempt, so that they don't add up
        "ldap.use_pool": True,
        "ldap.pool_size": 4,
        "ldap.pool_retry_max": 1,
        "ldap.pool_connection_timeout": _PATIENCE,
        "ldap.pool_connection_lifetime": _KEPT,
        # as long an old password goes on being right
        "ldap.use_auth_pool": True,
        "ldap.auth_pool_size": 16,
        "ldap.auth_pool_connection_lifetime": _KEPT,
    }
    return tuple(sorted(options.items()))
