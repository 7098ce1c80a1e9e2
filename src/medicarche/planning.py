"""What is wanted, what the cloud holds, and the difference; nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from medicarche import cloud_directory, image, people, ssh
from medicarche.background import in_background
from medicarche.cloud.connect import connect
from medicarche.cloud.observe import observe
from medicarche.plan import derive, make_plan
from medicarche.progress import SilentReporter
from medicarche.spec.environment import Site

if TYPE_CHECKING:
    from concurrent.futures import Future

    from medicarche.cloud.connect import Connections
    from medicarche.plan.model import Observed, Plan
    from medicarche.plan.resources import Resource
    from medicarche.progress import Reporter
    from medicarche.target import Selection

__all__ = ["Planned", "plan", "site_of"]


@dataclass(frozen=True, slots=True)
class Planned:
    """What is wanted, what was observed, and the difference."""

    connections: Connections
    site: Site
    wanted: tuple[Resource, ...]
    observed: tuple[Observed, ...]
    plan: Plan


def site_of(selection: Selection) -> Site:
    """Return what the cloud at hand gives; makes the environment's key pair where there is none."""
    environment = selection.environment
    hypervisor, proxy, physical = "kvm", None, None
    api: tuple[tuple[str, int], ...] = ()
    if selection.embedded is not None:
        facts = selection.embedded.site_facts()
        hypervisor, proxy, physical = facts.hypervisor, facts.package_proxy, facts.external_physical_network
        api = facts.api
    key_pair = ssh.ensure_key_pair(selection.folder, environment.key_pair)
    return Site(
        disk_format=image.disk_format(hypervisor),
        hypervisor=hypervisor,
        package_proxy=proxy,
        image_recipes={
            i.name: image.recipe_hash(i, environment.locale, hypervisor) for i in environment.images
        },
        public_key=key_pair.public,
        external_physical_network=physical,
        api=api,
        keystone=cloud_directory.keystone_site(selection),
    )


def plan(
    selection: Selection,
    reporter: Reporter | None = None,
    connecting: Future[Connections] | None = None,
) -> Planned:
    """Observe the cloud and plan; changes nothing. To be called inside the cloud's name space.

    Args:
        selection: the environment and its cloud.
        reporter: told where servers that are under way are waited for.
        connecting: of `medicarche.connecting.begin`, where it was called.

    Raises:
        CloudError: the cloud can't be used as it is.
    """
    # Keystone takes its time; in the meantime what is wanted is worked out
    connecting = connecting or in_background(lambda: connect(selection.target), "connect")
    site = site_of(selection)
    wanted = derive(selection.environment, site)
    connections = people.with_secrets(connecting.result(), selection.folder)
    connections = cloud_directory.with_directory(connections, selection)
    note = (reporter or SilentReporter()).note
    observed = observe(connections, selection.environment.name, wanted, note=note)
    planned = make_plan(selection.environment.name, wanted, observed)
    planned = replace(planned, notes=(*planned.notes, *cloud_directory.note_of(selection)))
    return Planned(connections, site, wanted, observed, planned)
