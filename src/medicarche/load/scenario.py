"""What the load scenarios share: whom they are people of, TLS, and the check of every answer.

Imported by the scenarios in ``tests/load`` and by nothing else: it brings Locust, which patches the standard
library by gevent as soon as it is imported.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import gevent  # type: ignore[import-untyped]  # it has no type hints
from gevent.resolver.thread import Resolver  # type: ignore[import-untyped]  # likewise
from locust import FastHttpUser, between, events
from locust.runners import WorkerRunner

from medicarche.credentials import Credentials
from medicarche.errors import MedicarcheError
from medicarche.load.targets import LoadTarget, read_status, targets
from medicarche.options import Options
from medicarche.target import Selection, select

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.contrib.fasthttp import ResponseContextManager
    from locust.env import Environment

    from medicarche.spec.environment import Application

__all__ = ["Person", "of"]

_log = logging.getLogger(__name__)
_Kind = TypeVar("_Kind", bound=type)

#: what WordPress, PHP, Apache, nginx, Odoo and Python write on a page when they fail
_ERRORS = re.compile(
    r"Fatal error|Parse error|Error establishing a database|Erreur lors de la connexion à la base"
    r"|Erreur critique|critical error|wp-die-message|Service Unavailable|Bad Gateway|Internal Server Error"
    r"|Traceback \(most recent call last\)",
    re.IGNORECASE,
)
_WHOLE = re.compile(r"<html[^>]*>.*</html>\s*$", re.DOTALL | re.IGNORECASE)
_PATIENCE = 30.0


@functools.cache
def _targets() -> dict[str, LoadTarget]:
    """Find the applications once for all scenarios, or end with one message."""
    try:
        found = targets(read_status())
        for target in found:
            target.guard()
    except MedicarcheError as error:
        sys.stderr.write(f"Error: {error}\n" + (f"→ {error.hint}\n" if error.hint else ""))
        sys.exit(error.exit_code)
    return {target.kind: target for target in found}


@functools.cache
def _selection() -> Selection:
    """Return the environment and its cloud: those of the environment variables, as for all commands."""
    file = os.environ.get("MEDICARCHE_ENVIRONMENT")
    return select(Options(environment_file=Path(file)) if file else Options())


def _generated(name: str) -> str:
    """Return a generated password by its name among the environment's."""
    found = Credentials(_selection().folder).get(name)
    if found is None:
        owner, _, purpose = name.partition("/")
        raise MedicarcheError(f"{owner}: no password was generated for {purpose}")
    return found


def of(kind: str) -> Callable[[_Kind], _Kind]:
    """Make a class of people those of the application of a kind; nobody's where it isn't deployed."""

    def mark(people: _Kind) -> _Kind:
        target = _targets().get(kind)
        made: Any = people
        made.abstract = target is None
        _selection()  # now, not when the first of them logs in: it takes a second
        made.target = target
        if target is None:
            _log.warning("%s isn't deployed: its people stay at home", kind)
        else:
            made.host = target.public_url
            _find(target)
            context = ssl.create_default_context(cafile=str(target.authority))
            made.ssl_context_factory = staticmethod(lambda: context)
        return people

    return mark


class _Resolver(Resolver):
    """Finds some names where it was told, and the others as this machine does."""

    known: ClassVar[dict[str, str]] = {}

    def getaddrinfo(self, host: object, *rest: Any, **options: Any) -> Any:  # noqa: ANN401 - as in socket
        """See `socket.getaddrinfo`."""
        return super().getaddrinfo(self.known.get(str(host), host), *rest, **options)


def _find(target: LoadTarget) -> None:
    """Let the name of the operator's certificate lead to the target's address, for this process only."""
    if not target.name_asked:
        return
    _Resolver.known[target.name_asked] = target.address
    hub = gevent.get_hub()
    if not isinstance(hub.resolver, _Resolver):
        hub.resolver = _Resolver(hub)


class Person(FastHttpUser):
    """Somebody who uses an application: believes the environment's authority only, checks what comes."""

    abstract = True
    insecure = False
    wait_time = between(1, 3)
    connection_timeout = _PATIENCE
    network_timeout = _PATIENCE
    max_retries = 0
    default_headers: ClassVar[dict[str, str]] = {"Accept-Language": "fr"}
    target: ClassVar[LoadTarget | None] = None

    def login(self) -> tuple[str, str]:
        """Return the local administrator's login and password."""
        return self._application().settings["administrator"], self.secret("administrator")

    def login_in_charge(self) -> tuple[str, str]:
        """Return login and password of somebody who may do everything, as the login page takes them.

        That is somebody of the directory where the application asks it: not each of them knows a password of
        its own beside.
        """
        directory, application = _selection().environment.directory, self._application()
        if directory is None or not application.roles:
            return self.login()
        powers = application.traits.roles
        roles = directory.with_roles(application.roles, powers)
        login = min((login for login, role in roles.items() if role == powers[0]), default=None)
        if login is None:
            raise MedicarcheError(f"{application.name}: nobody of the directory is {powers[0]} there")
        return login, _generated(f"{directory.application}/person/{login}")

    def secret(self, purpose: str) -> str:
        """Return one of the application's generated passwords."""
        return _generated(f"{self._application().name}/{purpose}")

    def _application(self) -> Application:
        assert self.target is not None  # noqa: S101 - people of an application that isn't there don't start
        name = self.target.name
        return next(a for a in _selection().environment.applications if a.name == name)

    def ask(
        self,
        method: str,
        path: str,
        name: str,
        **options: Any,  # noqa: ANN401 - those of Locust's client
    ) -> ResponseContextManager:
        """Ask for something; to be used as a context manager, with one of the checks in it."""
        options.setdefault("allow_redirects", False)
        return self.client.request(method, path, name=name, catch_response=True, **options)

    def check(
        self, answer: ResponseContextManager, *statuses: int, contains: str = "", page: bool = False
    ) -> str:
        """Judge an answer, and return its text; empty where it failed.

        Args:
            answer: it.
            statuses: those that are right.
            contains: what has to be in it.
            page: it has to be a whole HTML page without a word of failure.
        """
        text = str(answer.text or "") if answer.status_code else ""
        wrong = _ERRORS.search(text) if page else None
        if not answer.status_code:
            answer.failure(f"no answer: {_short(answer.error)}")
        elif answer.status_code not in statuses:
            answer.failure(f"status {answer.status_code} instead of {statuses[0]}")
        elif wrong:
            answer.failure(f"an error told with status {answer.status_code}: {wrong.group()}")
        elif page and not _WHOLE.search(text):
            answer.failure("not a whole page")
        elif contains and contains not in text:
            answer.failure("another content than expected")
        else:
            answer.success()
            return text or " "
        return ""

    def check_json(self, answer: ResponseContextManager, *keys: str) -> Any:  # noqa: ANN401 - any JSON
        """Judge an answer that has to be JSON with these keys; None where it failed."""
        text = self.check(answer, 200)
        if not text:
            return None
        try:
            value = json.loads(text)
        except ValueError:
            answer.failure("not JSON")
            return None
        if isinstance(value, dict) and "error" in value and "error" not in keys:
            answer.failure("an error told with status 200")
            return None
        missing = [key for key in keys if not isinstance(value, dict) or key not in value]
        if missing:
            answer.failure(f"without {', '.join(missing)}")
            return None
        return value


def _short(error: object) -> str:
    """Return why there was no answer, without addresses: failures are counted by their words."""
    return (
        type(error).__name__ if not isinstance(error, OSError) else (error.strerror or type(error).__name__)
    )


@events.test_start.add_listener
def _enter(**_details: object) -> None:
    """Enter the cloud's network: by now Locust's own sockets are where a person's browser is, outside."""
    for target in _targets().values():
        target.enter()


@events.quitting.add_listener
def _fail_where_nothing_was_measured(environment: Environment, **_details: object) -> None:
    asked = environment.parsed_options is not None and environment.parsed_options.headless
    if isinstance(environment.runner, WorkerRunner):
        return  # it has handed its figures to the master
    if asked and environment.stats.total.num_requests == 0:
        _log.error("no request was made: nothing was measured")
        environment.process_exit_code = 1
