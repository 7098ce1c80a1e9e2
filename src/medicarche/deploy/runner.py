"""The deployment's own process: ``python -m medicarche.deploy.runner``, a job on standard input.

pyinfra lives here and nowhere else: gevent patches the standard library of the whole process.
"""

from __future__ import annotations

from gevent import monkey  # type: ignore[import-untyped]  # it has no type hints

monkey.patch_all()  # before anything else opens a socket or makes a lock

import ctypes  # noqa: E402 - after the patching
import json  # noqa: E402 - after the patching
import logging  # noqa: E402 - after the patching
import os  # noqa: E402 - after the patching
import signal  # noqa: E402 - after the patching
import sys  # noqa: E402 - after the patching
import time  # noqa: E402 - after the patching
from typing import TYPE_CHECKING, Any, TextIO, cast  # noqa: E402 - after the patching

import gevent  # noqa: E402 - after the patching
from pyinfra import context  # noqa: E402 - after the patching
from pyinfra.api.config import Config  # noqa: E402 - after the patching
from pyinfra.api.connect import connect_all, disconnect_all  # noqa: E402 - after the patching
from pyinfra.api.exceptions import PyinfraError  # noqa: E402 - after the patching
from pyinfra.api.inventory import Inventory  # noqa: E402 - after the patching
from pyinfra.api.operations import run_ops  # noqa: E402 - after the patching
from pyinfra.api.state import BaseStateCallback, State, StateStage  # noqa: E402 - after the patching

from medicarche.deploy import base, operations  # noqa: E402 - after the patching
from medicarche.ssh import keep_alive  # noqa: E402 - after the patching

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyinfra.api.host import Host

_PR_SET_PDEATHSIG = 1
_SECRET_SHORTEST = 8
#: seconds in which an instance answers what it is asked before anything is changed, however busy it is
_ANSWERED = 300.0


def _secrets(job: dict[str, Any]) -> Iterator[str]:
    for instance in job["instances"]:
        yield from instance["private_key"].splitlines()[1:-1]
        if accounts := instance["ssh_accounts"]:
            yield accounts["password"]
        for application in instance["applications"]:
            yield from application["secrets"].values()
        if cloud := instance.get("watched", {}).get("cloud"):
            yield cloud["entry"]["auth"]["application_credential_secret"]


class _Masked:
    """A text stream that never passes a secret on."""

    def __init__(self, stream: TextIO, secrets: list[str]) -> None:
        self._stream = stream
        self._secrets = [s for s in secrets if len(s) >= _SECRET_SHORTEST]

    def write(self, text: str) -> int:
        for secret in self._secrets:
            text = text.replace(secret, "********")
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return False


class _Said:
    """Standard output: one JSON object a line."""

    def __init__(self, stream: _Masked) -> None:
        self._stream = stream

    def __call__(self, event: str, **values: object) -> None:
        self._stream.write(json.dumps({"event": event, **values}, ensure_ascii=False) + "\n")
        self._stream.flush()


class _InOrder(Inventory):
    """Begins with the hosts in the order in which they were given: pyinfra keeps them in a set."""

    def get_active_hosts(self) -> list[Host]:
        return [host for host in self if host in self.state.active_hosts]


class _Callbacks(BaseStateCallback):
    """Tells each operation's begin, and each failure with what the instance said."""

    def __init__(self, say: _Said) -> None:
        self._say = say

    def host_connect_error(  # type: ignore[override]  # theirs are static; handlers are objects
        self, state: State, host: Host, error: object
    ) -> None:
        del state
        self._say("failed", host=host.name, operation="connect", lines=[str(error)])

    def operation_host_start(  # type: ignore[override]  # as above
        self, state: State, host: Host, op_hash: str
    ) -> None:
        if op_hash in state.ops[host]:
            self._say("started", host=host.name, operation=_name(state, host, op_hash))


def _name(state: State, host: Host, op_hash: str) -> str:
    known = operations.NAMES.get((host.name, op_hash))
    return known if known is not None else ", ".join(sorted(state.get_op_meta(op_hash).names))


def main() -> int:
    """Run the job; 0 when all was done, 1 when something failed (which was said)."""
    # our starter may be killed: then nobody reads what we say, and another run may begin
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    parent = os.getppid()
    job = json.load(sys.stdin)
    if os.getppid() != parent:
        return 1
    secrets = list(_secrets(job))
    say = _Said(_Masked(sys.stdout, secrets))
    masked = _Masked(sys.stderr, secrets)
    # what pyinfra prints belongs in the log
    sys.stdout = sys.stderr = cast("TextIO", masked)
    logging.basicConfig(stream=masked, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("paramiko").setLevel(logging.WARNING)
    logging.getLogger("pyinfra").info("deployment begins, dry run: %s", job["dry_run"])
    started = time.monotonic()
    state = _state(job)
    state.print_output = True  # into the log
    state.add_callback_handler(_Callbacks(say))  # type: ignore[no-untyped-call]
    done = _deploy(state, job, say)
    logging.getLogger("pyinfra").info("deployment ends after %.1f s", time.monotonic() - started)
    return 0 if done else 1


def _state(job: dict[str, Any]) -> State:
    hosts = [
        (
            instance["name"],
            {
                "ssh_hostname": instance["address"],
                "ssh_user": instance["user"],
                "ssh_key": instance["key"],
                "ssh_known_hosts_file": instance["known_hosts"],
                "ssh_strict_host_key_checking": "yes",
                "ssh_config_file": os.devnull,
                "ssh_allow_agent": False,
                "ssh_look_for_keys": False,
                "ssh_forward_agent": False,
            },
        )
        for instance in job["instances"]
    ]
    # pyinfra's constructors have no type hints; 0: it takes as many hosts at once as there are
    config = Config(SUDO=True, CONNECT_TIMEOUT=20, PARALLEL=job["at_once"] or 0)  # type: ignore[no-untyped-call]
    return State(_InOrder((hosts, {})), config)  # type: ignore[no-untyped-call]


def _deploy(state: State, job: dict[str, Any], say: _Said) -> bool:
    parts = {instance["name"]: instance for instance in job["instances"]}
    context.ctx_state.set(state)  # type: ignore[no-untyped-call]
    context.ctx_inventory.set(state.inventory)  # type: ignore[no-untyped-call]
    context.ctx_config.set(state.config)  # type: ignore[no-untyped-call]
    try:
        state.set_stage(StateStage.Connect)
        connect_all(state)
        for host in state.active_hosts:
            keep_alive(cast("Any", host.connector).client)
        state.set_stage(StateStage.Prepare)
        _prepare(state, parts, say)
        changes = {host: state.get_meta_for_host(host).ops_change for host in state.active_hosts}
        if not job["dry_run"] and any(changes.values()):
            state.set_stage(StateStage.Execute)
            run_ops(state, no_wait=True)
    except PyinfraError as error:
        logging.getLogger("pyinfra").exception("stopped")
        if not state.failed_hosts:
            say("failed", host="", operation="prepare", lines=[str(error)])
    executed = state.current_stage is StateStage.Execute
    complete = len(state.active_hosts) == len(parts)
    for host in state.active_hosts:
        complete &= _tell(state, host, say, executed=executed)
    disconnect_all(state)
    return complete


def _prepare(state: State, parts: dict[str, Any], say: _Said) -> None:
    """Ask each host what differs, all hosts at once; who doesn't answer has failed."""

    def prepare(host: Host) -> None:
        with context.ctx_host.use(host):
            base.deploy(parts[host.name])

    asked = {host: gevent.spawn(prepare, host) for host in state.active_hosts}
    gevent.joinall(list(asked.values()), timeout=_ANSWERED)
    silent = {host for host, greenlet in asked.items() if not greenlet.ready()}
    for host in silent:
        asked.pop(host).kill(block=False)
        say("failed", host=host.name, operation="compare", lines=[f"no answer for {_ANSWERED:.0f} s"])
    for greenlet in asked.values():
        greenlet.get()
    if silent:
        state.fail_hosts(silent)  # type: ignore[no-untyped-call]


def _tell(state: State, host: Host, say: _Said, *, executed: bool) -> bool:
    """Say what was done to a host; False where an operation failed or wasn't reached."""
    changed: dict[str, list[str]] = {}
    for op_hash in host.op_hash_order:
        meta = state.ops[host][op_hash].operation_meta
        name = _name(state, host, op_hash)
        details = operations.DETAILS.get((host.name, op_hash), [])
        if not executed:
            if meta.will_change:
                changed[name] = details
        elif not meta.is_complete() or not meta.did_succeed():
            lines = [*details, *meta.stdout_lines, *meta.stderr_lines] if meta.is_complete() else []
            say("failed", host=host.name, operation=name, lines=lines[-15:])
            return False
        elif meta.did_change():
            changed[name] = details
    say("done", host=host.name, operations=len(host.op_hash_order), changed=changed)
    return True


if __name__ == "__main__":
    sys.exit(main())
