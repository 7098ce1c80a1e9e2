"""Connecting to a cloud: who we are there, and whether it can carry an environment at all."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import keystoneauth1.session
import openstack
from keystoneauth1 import exceptions as keystone
from keystoneauth1.identity.base import BaseIdentityPlugin
from openstack import exceptions as sdk
from openstack.config.loader import OpenStackConfig
from requests.utils import get_environ_proxies

from medicarche.background import in_background
from medicarche.cloud.calls import NOT_KEYSTONE, Api, Clock
from medicarche.errors import CloudError, CloudRefused, CloudUnreachable, CloudUnsuitable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import requests
    from keystoneauth1.access import AccessInfo
    from keystoneauth1.access.service_catalog import ServiceCatalog
    from openstack.config.cloud_region import CloudRegion
    from openstack.connection import Connection as SdkConnection

    from medicarche.plan.resources import ApplicationCredential, Domain, User

__all__ = ["Connection", "Connections", "Target", "Traffic", "connect"]

#: seconds to establish a connection, and between two bytes of an answer
CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 90.0
#: seconds between two bytes of the first answers: discovery tries several addresses in turn
DISCOVERY_TIMEOUT = 15.0
#: flavors' extra specs in their list (Nova 18, Rocky, 2018)
COMPUTE_MICROVERSION = (2, 61)
# their warnings repeat what we raise, and would go to standard error where nobody configured logging
for _logger in ("keystoneauth", "openstack"):
    logging.getLogger(_logger).addHandler(logging.NullHandler())
SILENT = "Look at the service itself; `medicarche cloud logs` shows ours."
SERVICES = {"compute": "Nova", "network": "Neutron", "image": "Glance"}


@dataclass(frozen=True, slots=True)
class Target:
    """Which cloud, and as whom.

    Attributes:
        name: the cloud's name, for messages and for keying secrets.
        clouds_yaml: the file that holds the credentials; where None, openstacksdk's usual search
            (``OS_CLIENT_CONFIG_FILE``, ``./clouds.yaml``, ``~/.config/openstack``, ``/etc/openstack``).
        cloud: the entry of the project's member.
        admin_cloud: the entry of an admin, used for what only an admin can do.
        embedded: it is the cloud that Medicarche brought up.
    """

    name: str
    clouds_yaml: Path | None
    cloud: str
    admin_cloud: str | None = None
    embedded: bool = False


class Traffic:
    """Counts the HTTP requests that leave. Safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._methods: Counter[str] = Counter()
        self._writes = 0

    def count(self, method: str, url: str) -> None:
        """Count one request."""
        writes = method not in {"GET", "HEAD"} and not url.rstrip("/").endswith("/auth/tokens")
        with self._lock:
            self._methods[method] += 1
            self._writes += writes

    @property
    def writes(self) -> int:
        """The requests so far that change something; authentication isn't one."""
        with self._lock:
            return self._writes

    @property
    def requests(self) -> int:
        """All requests so far, authentication included."""
        with self._lock:
            return self._methods.total()


@dataclass(frozen=True, slots=True)
class Connection:
    """One user in one project of a cloud.

    Attributes:
        entry: the entry's name in ``clouds.yaml``.
        project_id: the project that the user is in.
        project_name: its name.
        domain_id: the domain that the project is in.
        user_id: who the user is.
        roles: the user's roles there, lower case.
        sdk: openstacksdk's connection, for what isn't done here.
    """

    entry: str
    project_id: str
    project_name: str
    domain_id: str
    user_id: str
    roles: frozenset[str]
    compute: Api
    network: Api
    image: Api
    sdk: SdkConnection

    @property
    def identity(self) -> Api:
        """Keystone; looked for at the first use, as only admins have something to do there.

        Raises:
            CloudUnreachable: it is in the catalogue, and doesn't answer.
        """
        try:
            return self.compute.of(self.sdk.identity)
        except (keystone.ConnectionError, keystone.DiscoveryFailure, sdk.SDKException) as error:
            raise CloudUnreachable(f"Keystone's API doesn't answer: {error}", hint=SILENT) from error


@dataclass(frozen=True, slots=True)
class Connections:
    """A cloud as a member of a project, and as an admin where there is one; a context manager.

    Attributes:
        admin: None where the target names no admin and the member isn't one.
        traffic: counts all requests of both.
        password_of: makes the password of a user that is about to be made, and has handed it over to its
            owner before it returns it: a run may be killed right after.
        secret_of: the same for an application credential's secret; given its name in the cloud too.
        asks_with: gives the password that Keystone asks a domain's directory with, after having seen to it
            that Keystone knows the authority of that directory's certificate.
    """

    target: Target
    member: Connection
    admin: Connection | None
    clock: Clock = field(default_factory=Clock)
    traffic: Traffic = field(default_factory=Traffic)
    password_of: Callable[[User], str] | None = None
    secret_of: Callable[[ApplicationCredential, str], str] | None = None
    asks_with: Callable[[Domain], str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept alive; they open again when used."""
        for connection in (self.member, self.admin):
            if connection is not None:
                connection.sdk.session.session.close()


def connect(target: Target, *, clock: Clock | None = None, read_timeout: float = READ_TIMEOUT) -> Connections:
    """Connect, authenticate and find the services.

    Args:
        target: which cloud, and as whom.
        clock: time.
        read_timeout: seconds between two bytes of an answer.

    Raises:
        CloudUnreachable: no answer, or TLS fails.
        CloudRefused: the credentials, or the entry of ``clouds.yaml``, are no good.
        CloudUnsuitable: a service is missing, or too old.
    """
    clock = clock or Clock()
    traffic = Traffic()
    adapter = _HttpAdapter(traffic, min(DISCOVERY_TIMEOUT, read_timeout))
    # each waits for Keystone, which takes its time over a password: both at once
    entries = list(dict.fromkeys(entry for entry in (target.cloud, target.admin_cloud) if entry is not None))
    others = [
        in_background(partial(_connect, target, entry, clock, adapter), "connect") for entry in entries[1:]
    ]
    member = _connect(target, entries[0], clock, adapter)
    admin = others[0].result() if others else member if "admin" in member.roles else None
    adapter.read_timeout = read_timeout
    return Connections(target=target, member=member, admin=admin, clock=clock, traffic=traffic)


class _HttpAdapter(keystoneauth1.session.TCPKeepAliveAdapter):
    """Counts requests; gives connecting less time than answering (keystoneauth knows one time-out).

    It asks the process's environment for proxies and authorities once a host, for sessions that don't:
    requests goes through all variables at each request, which is a quarter of the work of one.
    """

    def __init__(self, traffic: Traffic, read_timeout: float) -> None:
        self._traffic = traffic
        self.read_timeout = read_timeout
        self._authorities = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        self._proxies: dict[str, dict[str, str]] = {}
        super().__init__(pool_connections=8, pool_maxsize=32)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]  # noqa: ANN401 - requests' own options
        """Send one request; see `requests.adapters.HTTPAdapter`."""
        url = request.url or ""
        self._traffic.count(request.method or "", url)
        host = urlsplit(url).netloc
        if host not in self._proxies:
            self._proxies[host] = get_environ_proxies(url)
        options["proxies"] = self._proxies[host]
        if options.get("verify") is True:
            options["verify"] = self._authorities
        options["timeout"] = (CONNECT_TIMEOUT, self.read_timeout)
        return super().send(request, **options)


def _connect(target: Target, entry: str, clock: Clock, adapter: _HttpAdapter) -> Connection:
    region = _region(target, entry)
    session = region.get_session().session
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    session.trust_env = False  # the adapter asks it
    where = f"cloud {entry!r} at {region.config.get('auth', {}).get('auth_url', 'no auth_url')}"
    access = _access(region, entry, where)
    _check_catalogue(where, region, access.service_catalog)
    connection = openstack.connection.Connection(config=region)
    try:
        apis = {service: Api(getattr(connection, service), clock) for service in SERVICES}
        versions = connection.compute.get_endpoint_data()
    except (keystone.ConnectionError, keystone.DiscoveryFailure, sdk.SDKException, *NOT_KEYSTONE) as error:
        raise CloudUnreachable(
            f"{where}: a service in the catalogue doesn't answer: {error}", hint=SILENT
        ) from error
    newest = versions.max_microversion if versions is not None else None
    if newest is None:
        # keystoneauth swallows a failed discovery, and goes on without versions
        raise CloudUnreachable(f"{where}: Nova is in the catalogue, and doesn't answer", hint=SILENT)
    if newest < COMPUTE_MICROVERSION:
        raise CloudUnsuitable(
            f"{where}: Nova's API is {'.'.join(map(str, newest))}; "
            f"{'.'.join(map(str, COMPUTE_MICROVERSION))} is needed (OpenStack Rocky, 2018, or newer)"
        )
    return Connection(
        entry=entry,
        project_id=access.project_id or "",
        project_name=access.project_name or "",
        domain_id=access.project_domain_id or "default",
        user_id=access.user_id or "",
        roles=frozenset(role.lower() for role in access.role_names or ()),
        compute=apis["compute"],
        network=apis["network"],
        image=apis["image"],
        sdk=connection,
    )


def _region(target: Target, entry: str) -> CloudRegion:
    try:
        if target.clouds_yaml is None:
            configuration = OpenStackConfig(app_name="medicarche")
        else:
            # the environment's OS_* variables would mix with the entry that is asked for
            configuration = OpenStackConfig(
                config_files=[str(target.clouds_yaml)],
                secure_files=[],
                load_envvars=False,
                app_name="medicarche",
            )
        known = sorted(configuration.get_cloud_names())
        if entry not in known:
            where = target.clouds_yaml or "clouds.yaml"
            raise CloudRefused(
                f"no cloud {entry!r} in {where}; it knows: {', '.join(known) or 'none'}",
                hint="Name one of them with --cloud, or add the entry.",
            )
        return configuration.get_one(cloud=entry)
    except CloudError:
        raise
    except (sdk.ConfigException, keystone.ClientException, OSError) as error:
        raise CloudRefused(f"cloud {entry!r}: its entry in clouds.yaml is wrong: {error}") from error


def _is_tls(error: BaseException | None) -> bool:
    """Say whether TLS is behind an error: keystoneauth's discovery wraps what it met."""
    while error is not None:
        if isinstance(error, keystone.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _access(region: CloudRegion, entry: str, where: str) -> AccessInfo:
    session = region.get_session()
    if not isinstance(session.auth, BaseIdentityPlugin):
        raise CloudRefused("an entry without Keystone", hint="`auth_type:` must be of Keystone.")
    try:
        return session.auth.get_access(session)
    except (keystone.ConnectionError, keystone.DiscoveryFailure) as error:
        if _is_tls(error):
            raise CloudUnreachable(
                f"{where}: TLS failed: {error}",
                hint="Name the cloud's certificate authority as `cacert:` in clouds.yaml.",
            ) from error
        raise CloudUnreachable(
            f"{where} doesn't answer: {error}",
            hint="Is the address right, and the cloud up? `medicarche cloud status` tells about ours.",
        ) from error
    except keystone.HttpError as error:
        if error.http_status >= 500:  # noqa: PLR2004 - HTTP's own number
            raise CloudUnreachable(f"{where} fails: {error}") from error
        raise CloudRefused(
            f"{where} refuses the credentials: {error}",
            hint=f"Check user, password (or application credential) and project of {entry!r} in clouds.yaml.",
        ) from error
    except keystone.ClientException as error:
        raise CloudRefused(f"{where}: {error}", hint="Check the entry in clouds.yaml.") from error
    except NOT_KEYSTONE as error:
        raise CloudUnreachable(f"{where} doesn't answer as Keystone does: {error!r}") from error
    except OSError as error:
        raise CloudRefused(
            f"{where}: {error}",
            hint="Check `cacert:` and `cert:` in clouds.yaml, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE.",
        ) from error


def _check_catalogue(where: str, region: CloudRegion, catalogue: ServiceCatalog) -> None:
    regions = sorted(
        {
            point["region_name"]
            for service in catalogue.normalize_catalog()
            for point in service["endpoints"]
            if point.get("region_name")
        }
    )
    wanted = region.get_region_name()
    if wanted and wanted not in regions:
        raise CloudUnsuitable(
            f"{where} has no region {wanted!r}; it has: {', '.join(regions) or 'none'}",
            hint="Correct `region_name:` in clouds.yaml.",
        )
    missing = [
        f"{name} ({service})"
        for service, name in SERVICES.items()
        if not region.get_endpoint(service)
        and not catalogue.get_endpoint_data_list(
            service_type=service, interface=region.get_interface(service), region_name=wanted
        )
    ]
    if missing:
        raise CloudUnsuitable(
            f"{where} lacks {', '.join(missing)} in its catalogue",
            hint="An environment needs Nova, Neutron and Glance.",
        )
