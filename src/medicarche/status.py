"""What is there now: the answer to ``medicarche status``, and the interface for other programs."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from medicarche import converge, deploying, forwards, planning
from medicarche.cloud.connect import connect
from medicarche.deploy import KINDS, authority
from medicarche.errors import MedicarcheError
from medicarche.given_certificate import read_certificate
from medicarche.ssh.tunnel import tunnel

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from medicarche.converge import InstanceState
    from medicarche.spec.environment import Application
    from medicarche.target import Selection

__all__ = ["SCHEMA_VERSION", "ApplicationStatus", "CloudStatus", "InstanceStatus", "Status", "status"]

ApplicationState = Literal["answering", "not answering", "not deployed", "unknown"]
#: changes of the JSON form that break its readers raise this number
SCHEMA_VERSION = 1
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class CloudStatus:
    """The cloud. ``state``: ``up`` or ``down``; ``dashboard``: Horizon's URL on this machine (embedded)."""

    name: str
    kind: Literal["embedded", "configured"]
    state: str
    namespace: str | None
    dashboard: str | None


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """An instance; addresses are None until they are given. ``state`` is Nova's word."""

    name: str
    id: str
    state: str
    private_address: str | None
    floating_address: str | None


@dataclass(frozen=True, slots=True)
class ApplicationStatus:
    """An application.

    Attributes:
        name: as in the environment file.
        kind: the module that deploys it.
        instance: where it runs.
        url: inside the cloud's network; None where people don't reach it.
        local_url: on this machine's loopback address (embedded cloud), or None.
        authority: the file of the certificate authority that its certificate is checked with.
        certificate_name: whom the certificate is for, where it is the operator's own: not for the address;
            None elsewhere.
        state: ``answering``, ``not answering``, ``not deployed``, or ``unknown`` where the cloud is down.
    """

    name: str
    kind: str
    instance: str
    url: str | None
    local_url: str | None
    authority: str
    certificate_name: str | None
    state: ApplicationState


@dataclass(frozen=True, slots=True)
class Status:
    """The whole answer. ``changes`` counts what a run of ``provision`` would do to the cloud."""

    environment: str
    cloud: CloudStatus
    instances: tuple[InstanceStatus, ...]
    applications: tuple[ApplicationStatus, ...]
    drift: bool | None
    changes: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """Return the documented form (docs/status.md)."""
        return {"version": SCHEMA_VERSION, **asdict(self)}


def status(selection: Selection) -> Status:
    """Observe the cloud, the instances and the applications; changes nothing.

    A process that asks for an embedded cloud's status is in its network name space afterwards.
    """
    environment = selection.environment
    embedded = selection.embedded
    up = embedded is None or embedded.netns.exists()
    local = forwards.local(embedded) if embedded is not None and up else {}
    cloud = CloudStatus(
        name=selection.target.name,
        kind="embedded" if embedded is not None else "configured",
        state="up" if up else "down",
        namespace=str(embedded.netns) if embedded is not None else None,
        dashboard=_url("http", local.get(forwards.DASHBOARD)),
    )
    if not up:
        nothing = tuple(
            replace(_application(a, None, {}, selection, ()), state="unknown")
            for a in environment.applications
        )
        return Status(environment.name, cloud, (), nothing, None, {})
    selection.enter()
    planned = planning.plan(selection)
    instances = converge.instances(planned.connections, environment.name)
    endpoints = forwards.endpoints(environment, instances)
    out = deploying.left_out(selection)
    return Status(
        environment=environment.name,
        cloud=cloud,
        instances=tuple(
            InstanceStatus(i.name, i.id, i.status, i.private_address, i.floating_address) for i in instances
        ),
        applications=tuple(
            _application(a, endpoints.get(a.name), local, selection, out)
            if a.traits.serves == "people"
            else _for_applications(a, selection, instances, out)
            for a in environment.applications
        ),
        drift=not planned.plan.empty,
        changes=planned.plan.counts(),
    )


def instances_of(selection: Selection) -> Sequence[InstanceState]:
    """Return the environment's instances. To be called inside the cloud's name space."""
    return converge.instances(connect(selection.target), selection.environment.name)


def asked(url: str, kind: str) -> str:
    """Return the page that an application is asked for: its answer needs more than nginx in front of it."""
    declaration = KINDS.get(kind)
    return url.rstrip("/") + (declaration.health if declaration is not None else "/")


def _url(scheme: str, endpoint: tuple[str, int] | None) -> str | None:
    return f"{scheme}://{endpoint[0]}:{endpoint[1]}/" if endpoint else None


def _application(
    application: Application,
    endpoint: tuple[str, int] | None,
    local: Mapping[tuple[str, int], tuple[str, int]],
    selection: Selection,
    left_out: Collection[str],
) -> ApplicationStatus:
    own = selection.environment.instance(application.instance).certificate
    certificate = authority(selection.environment, selection.folder).ca_certificate
    name = None
    if own is not None:
        certificate = own.authority or Path(DEFAULT_CA_BUNDLE_PATH)
        names = read_certificate(own).names
        name = names[0].replace("*", application.instance) if names else None
    url = _url("https", endpoint)
    state: ApplicationState = "not deployed"
    if url is not None and certificate.exists() and application.name not in left_out:
        state = "answering" if _answers(asked(url, application.kind), certificate, name) else "not answering"
    return ApplicationStatus(
        name=application.name,
        kind=application.kind,
        instance=application.instance,
        url=url,
        local_url=_url("https", local.get(endpoint)) if endpoint else None,
        authority=str(certificate),
        certificate_name=name,
        state=state,
    )


def _for_applications(
    application: Application,
    selection: Selection,
    instances: Sequence[InstanceState],
    left_out: Collection[str],
) -> ApplicationStatus:
    """Look at an application that others of the environment reach and this machine doesn't: from inside."""
    certificate = authority(selection.environment, selection.folder).ca_certificate
    instance = next((i for i in instances if i.name == application.instance), None)
    state: ApplicationState = "not deployed"
    if instance is not None and certificate.exists() and application.name not in left_out:
        answered = _answers_inside(selection, instance, application.port, certificate)
        state = "answering" if answered else "not answering"
    return ApplicationStatus(
        name=application.name,
        kind=application.kind,
        instance=application.instance,
        url=None,
        local_url=None,
        authority=str(certificate),
        certificate_name=None,
        state=state,
    )


def _answers_inside(selection: Selection, instance: InstanceState, port: int, certificate: Path) -> bool:
    """Shake hands over TLS with a port of the instance's own, through SSH."""
    context = ssl.create_default_context(cafile=certificate)
    try:
        with (
            closing(selection.ssh(selection.user_of(instance.name)).connect(instance)) as client,
            tunnel(client, _LOOPBACK, port) as here,
            socket.create_connection(here, timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=_LOOPBACK),
        ):
            return True
    except (OSError, MedicarcheError):
        return False


def _answers(url: str, authority: Path, name: str | None) -> bool:
    """Ask once, over TLS checked with an authority; a server error is no answer.

    ``name``: whom the certificate is for, where that isn't the address.
    """
    headers = {"Host": f"{name}:{urlsplit(url).port}"} if name is not None else {}
    with requests.Session() as session:
        if name is not None:
            session.mount("https://", _Named(name))
        try:
            answer = session.get(
                url, verify=str(authority), timeout=5, allow_redirects=False, headers=headers
            )
        except requests.RequestException:
            return False
    return answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR


class _Named(HTTPAdapter):
    """Asks an address for a host's name, and verifies that name."""

    def __init__(self, name: str) -> None:
        self._name = name
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - as in requests
        super().init_poolmanager(
            *arguments, **options, server_hostname=self._name, assert_hostname=self._name
        )
