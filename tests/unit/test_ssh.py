"""SSH: the key pair, pinned host keys, the ssh program, waiting; against a real SSH server on loopback."""

from __future__ import annotations

import json
import shlex
import socket
import stat
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from medicarche import ssh
from medicarche.errors import MedicarcheError, NotReady, Unreachable
from medicarche.progress import SilentReporter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """What is known of an instance."""

    name: str
    id: str
    private_address: str | None = "192.168.222.5"
    floating_address: str | None = "10.20.20.105"


def _public(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> str:
    encoded = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return encoded.decode()


def _new_key() -> str:
    return _public(ed25519.Ed25519PrivateKey.generate())


def _console(*keys: str) -> str:
    lines = "".join(f"{key} root@website\r\n" for key in keys)
    return (
        "[  OK  ] Reached target multi-user.target\r\n"
        "<14>Nov 23 09:23:19 cloud-init: -----BEGIN SSH HOST KEY FINGERPRINTS-----\r\n"
        "<14>Nov 23 09:23:19 cloud-init: -----END SSH HOST KEY FINGERPRINTS-----\r\n"
        f"-----BEGIN SSH HOST KEY KEYS-----\r\n{lines}-----END SSH HOST KEY KEYS-----\r\n"
        "website login: "
    )


def _log_of(text: str) -> ssh.ConsoleLog:
    return lambda _server_id: text


# the key pair


def test_the_key_pair_is_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "environment"
    pair = ssh.ensure_key_pair(folder, "administration")
    assert stat.S_IMODE(pair.private.stat().st_mode) == 0o400
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    kind, encoded = pair.public.split(" ")
    assert kind == "ssh-ed25519"
    assert encoded.startswith("AAAA")
    assert ssh.ensure_key_pair(folder, "administration") == pair
    assert paramiko.Ed25519Key.from_private_key_file(str(pair.private)).get_base64() == encoded


def test_a_widened_key_is_narrowed(tmp_path: Path) -> None:
    pair = ssh.ensure_key_pair(tmp_path)
    pair.private.chmod(0o644)
    # whoever only looks doesn't hide it
    assert ssh.ensure_key_pair(tmp_path) == pair
    assert stat.S_IMODE(pair.private.stat().st_mode) == 0o644
    assert ssh.protect_key(tmp_path)
    assert stat.S_IMODE(pair.private.stat().st_mode) == 0o400
    assert not ssh.protect_key(tmp_path)


def test_there_may_be_no_key_yet(tmp_path: Path) -> None:
    assert not ssh.protect_key(tmp_path)


def test_a_damaged_key_is_told_and_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "administration").write_text("nonsense")
    with pytest.raises(MedicarcheError, match="not a private key"):
        ssh.ensure_key_pair(tmp_path)
    assert (tmp_path / "administration").read_text() == "nonsense"


# host keys


def test_all_host_keys_of_the_console_log_are_read() -> None:
    one, two = _new_key(), _public(ec.generate_private_key(ec.SECP256R1()))
    assert ssh.host_keys(_console(one, two)) == (one, two)


def test_the_last_boots_keys_count() -> None:
    old, new = _new_key(), _new_key()
    assert ssh.host_keys(_console(old) + _console(new)) == (new,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-----BEGIN SSH HOST KEY KEYS-----\nssh-ed25519 AAAA",
        "-----BEGIN SSH HOST KEY KEYS-----\nssh-ed25519 AAAAnonsense r@x\n-----END SSH HOST KEY KEYS-----\n",
        f"{_new_key()} root@website\n",
    ],
    ids=["empty", "cut short", "nonsense", "outside of the block"],
)
def test_anything_else_is_no_host_key(text: str) -> None:
    assert ssh.host_keys(text) == ()


def test_a_pin_stays_with_the_servers_id(tmp_path: Path) -> None:
    known = ssh.KnownHosts(tmp_path)
    first, other, replaced = _new_key(), _new_key(), _new_key()
    assert known.learn([Machine("website", "1")], _log_of(_console(first))) == ()
    assert known.path.read_text() == f"10.20.20.105,192.168.222.5 {first}\n"
    assert stat.S_IMODE(known.path.stat().st_mode) == 0o600
    # the same server with another key in its log: the first pin stays, the log isn't even asked for
    known.learn([Machine("website", "1")], _log_of(_console(other)))
    assert known.pins()["website"].keys == (first,)
    # another server under this name: its own log counts, and until it has keys there is no pin
    assert known.learn([Machine("website", "2")], _log_of("booting")) == ("website",)
    assert known.path.read_text() == ""
    assert known.learn([Machine("website", "2")], _log_of(_console(replaced))) == ()
    assert known.pins()["website"] == ssh.Pin("2", ("10.20.20.105", "192.168.222.5"), (replaced,))


def test_an_address_goes_to_the_instance_that_has_it_now(tmp_path: Path) -> None:
    known = ssh.KnownHosts(tmp_path)
    keys = {"1": _new_key(), "2": _new_key()}
    known.learn([Machine("a", "1", "192.168.222.5", "10.20.20.105")], lambda i: _console(keys[i]))
    known.learn([Machine("b", "2", "192.168.222.6", "10.20.20.105")], lambda i: _console(keys[i]))
    assert known.path.read_text().splitlines() == [
        f"192.168.222.5 {keys['1']}",
        f"10.20.20.105,192.168.222.6 {keys['2']}",
    ]


def test_a_damaged_pin_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "host-keys.json").write_text('{"website": 1}')
    with pytest.raises(MedicarcheError, match="not a file of pinned host keys"):
        ssh.KnownHosts(tmp_path).pins()


# the ssh program


def test_the_program_gets_the_pins_and_nothing_of_the_users_settings(tmp_path: Path) -> None:
    folder = tmp_path / "a 100% folder"
    arguments = ssh.Ssh(folder, user="debian").command(Machine("website", "1"), ["echo", "a b"])
    assert arguments[:5] == ["ssh", "-F", "none", "-i", str(folder / "administration")]
    options = [b for a, b in pairwise(arguments) if a == "-o"]
    assert "StrictHostKeyChecking=yes" in options
    assert "BatchMode=yes" in options
    assert "IdentityAgent=none" in options
    assert "IdentitiesOnly=yes" in options
    assert f'UserKnownHostsFile="{tmp_path}/a 100%% folder/known_hosts"' in options
    assert arguments[-4:] == ["debian", "--", "10.20.20.105", shlex.join(["echo", "a b"])]


def test_the_private_address_is_used_where_there_is_no_other(tmp_path: Path) -> None:
    reach = ssh.Ssh(tmp_path, user="debian")
    assert reach.command(Machine("w", "1", floating_address=None))[-1] == "192.168.222.5"
    with pytest.raises(Unreachable, match="no address"):
        reach.command(Machine("w", "1", None, None))


# connections, to a server of paramiko's on loopback


class Server(paramiko.ServerInterface):
    """Lets one key in and answers every command with the same text."""

    def __init__(self, public: str, answers: list[tuple[int, str]]) -> None:
        self._public = public
        self._answers = answers
        self.commands: list[str] = []
        self.heard = threading.Event()

    def check_global_request(self, kind: str, msg: paramiko.Message) -> bool:
        """Hear a word that is sent for the connection's own sake."""
        del msg
        if kind.startswith("keepalive"):
            self.heard.set()
        return False

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        """Let the one key in."""
        right = username == "debian" and key.get_base64() == self._public.split()[1]
        return paramiko.common.AUTH_SUCCESSFUL if right else paramiko.common.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        """Allow keys only."""
        del username
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        """Allow all channels."""
        del kind, chanid
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        """Answer a command."""
        self.commands.append(command.decode())
        code, text = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

        def answer() -> None:
            channel.recv(1)  # the client's end-of-file: it has seen that the command was accepted
            channel.sendall(text.encode())
            channel.send_exit_status(code)
            channel.close()

        threading.Thread(target=answer).start()
        return True


@contextmanager
def _listening(server: Server, host_key: paramiko.PKey, listener: socket.socket) -> Iterator[None]:
    transports: list[paramiko.Transport] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(host_key)
            transports.append(transport)
            try:
                transport.start_server(server=server)
            except (paramiko.SSHException, EOFError, OSError):
                # a client that refuses the host key hangs up, at times with a reset
                transport.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        for transport in transports:
            transport.close()


def _host_key(tmp_path: Path, name: str) -> tuple[paramiko.PKey, str]:
    pair = ssh.ensure_key_pair(tmp_path / "hosts", name)
    return paramiko.Ed25519Key.from_private_key_file(str(pair.private)), pair.public


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def _port(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


LOOPBACK = Machine("website", "1", "192.168.222.5", "127.0.0.1")


def test_a_program_runs_on_the_pinned_host(tmp_path: Path, listener: socket.socket) -> None:
    reach = ssh.Ssh(tmp_path, user="debian", port=_port(listener))
    host_key, public = _host_key(tmp_path, "right")
    server = Server(reach.key.public, [(3, "été")])
    reach.known_hosts.learn([LOOPBACK], _log_of(_console(public)))
    with _listening(server, host_key, listener):
        assert reach.run(LOOPBACK, ["echo", "a b"]) == (3, "été", "")
    assert server.commands == ["echo 'a b'"]


def test_a_connection_that_only_waits_says_a_word_now_and_then(
    tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cloud that forgets the connection lets the instance's own packets out no more (`ssh.keep_alive`)."""
    monkeypatch.setattr("medicarche.ssh.connection.KEEPALIVE", 1)
    reach = ssh.Ssh(tmp_path, user="debian", port=_port(listener))
    host_key, public = _host_key(tmp_path, "right")
    server = Server(reach.key.public, [(0, "")])
    reach.known_hosts.learn([LOOPBACK], _log_of(_console(public)))
    with _listening(server, host_key, listener), reach.connect(LOOPBACK):
        assert server.heard.wait(20)
    words = reach.command(LOOPBACK, ["true"])
    assert "ServerAliveInterval=1" in words


def test_another_host_key_is_refused(tmp_path: Path, listener: socket.socket) -> None:
    reach = ssh.Ssh(tmp_path, user="debian", port=_port(listener))
    _, pinned = _host_key(tmp_path, "right")
    impostor, _ = _host_key(tmp_path, "impostor")
    server = Server(reach.key.public, [(0, "")])
    with _listening(server, impostor, listener):
        with pytest.raises(Unreachable, match="no SSH"):  # nothing pinned at all
            reach.connect(LOOPBACK)
        reach.known_hosts.learn([LOOPBACK], _log_of(_console(pinned)))
        with pytest.raises(Unreachable, match="isn't the one of its console log"):
            reach.connect(LOOPBACK)
        # a pin of a server that is gone isn't used for its successor
        with pytest.raises(Unreachable, match="no SSH"):
            reach.connect(Machine("website", "2", "192.168.222.5", "127.0.0.1"))
    assert server.commands == []


def test_a_refused_key_is_told(tmp_path: Path, listener: socket.socket) -> None:
    reach = ssh.Ssh(tmp_path, user="debian", port=_port(listener))
    host_key, public = _host_key(tmp_path, "right")
    reach.known_hosts.learn([LOOPBACK], _log_of(_console(public)))
    stranger = Server(_new_key(), [(0, "")])
    with (
        _listening(stranger, host_key, listener),
        pytest.raises(Unreachable, match="it refuses debian with the key") as caught,
    ):
        reach.connect(LOOPBACK)
    assert "medicarche console website" in str(caught.value.hint)


class Steps:
    """A clock that each wait moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        """Return the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move the time on."""
        self.now += seconds


class Notes(SilentReporter):
    """Keeps what was noted."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        """Keep the line."""
        self.lines.append(text)


def test_it_waits_for_the_keys_then_for_cloud_init(tmp_path: Path, listener: socket.socket) -> None:
    steps = Steps()
    reach = ssh.Ssh(tmp_path, user="debian", port=_port(listener), clock=steps.clock, sleep=steps.sleep)
    host_key, public = _host_key(tmp_path, "right")
    logs = ["", "booting", _console(public)]
    done = json.dumps({"v1": {"errors": ["no swap"]}})
    server = Server(reach.key.public, [(1, ""), (1, ""), (0, done)])
    notes = Notes()
    with _listening(server, host_key, listener):
        reach.wait_ready([LOOPBACK], console_log=lambda _: logs.pop(0), reporter=notes, timeout=60)
    assert steps.now == pytest.approx(2.0)
    assert notes.lines == ["website: cloud-init says: no swap"]
    assert logs == []


def test_a_rebuilt_instances_keys_are_taken_from_its_console_log_only(
    tmp_path: Path, listener: socket.socket
) -> None:
    reach = ssh.Ssh(tmp_path, user="debian", port=_port(listener))
    _, before = _host_key(tmp_path, "before")
    host_key, after = _host_key(tmp_path, "after")
    reach.known_hosts.learn([LOOPBACK], _log_of(_console(before)))
    server = Server(reach.key.public, [(0, '{"v1": {"errors": []}}')])
    notes = Notes()
    with _listening(server, host_key, listener):
        # the console log still tells the old keys: somebody else answers
        with pytest.raises(Unreachable, match="isn't the one of its console log"):
            reach.wait_ready([LOOPBACK], console_log=_log_of(_console(before)), reporter=notes, timeout=0)
        assert server.commands == []
        assert reach.known_hosts.pins()["website"].keys == (before,)
        reach.wait_ready([LOOPBACK], console_log=_log_of(_console(after)), reporter=notes, timeout=60)
    assert reach.known_hosts.pins()["website"].keys == (after,)


def test_what_was_seen_last_is_told_of_all(tmp_path: Path) -> None:
    steps = Steps()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = _port(closed)
    reach = ssh.Ssh(tmp_path, user="debian", port=port, clock=steps.clock, sleep=steps.sleep)
    machines = [LOOPBACK, Machine("erp", "2", None, "127.0.0.2")]
    booted = "".join(f"line {number}\r\n\r\n" for number in range(20))
    logs = {LOOPBACK.id: "", "2": booted + "[[0;1;31mFAILED[0m\x1b[0m] Failed to start ssh.service."}
    with pytest.raises(NotReady) as caught:
        reach.wait_ready(machines, console_log=logs.get, reporter=SilentReporter(), timeout=5)  # type: ignore[arg-type]  # both are there
    assert caught.value.message.splitlines() == [
        "not ready after 5 s:",
        f"erp: port {port}: Connection refused",
        f"website: port {port}: Connection refused",
        "the end of erp's console log:",
        *(f"  line {number}" for number in range(9, 20)),
        "  [FAILED] Failed to start ssh.service.",
        "the end of website's console log:",
        "  (it is empty)",
    ]
    assert caught.value.names == {"erp", "website"}
    assert "medicarche console erp" in str(caught.value.hint)


def test_what_has_stopped_is_not_waited_for(tmp_path: Path) -> None:
    steps = Steps()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = _port(closed)
    reach = ssh.Ssh(tmp_path, user="debian", port=port, clock=steps.clock, sleep=steps.sleep)
    machines = [LOOPBACK, Machine("erp", "2", None, "127.0.0.2")]
    asked: list[float] = []

    def stopped() -> list[str]:
        asked.append(steps.now)
        return ["erp", "no concern of ours"] if steps.now > 12 else []

    with pytest.raises(Unreachable, match=r"^stopped while they were waited for: erp$") as caught:
        reach.wait_ready(
            machines, console_log=_log_of(""), reporter=SilentReporter(), stopped=stopped, timeout=300
        )
    assert "medicarche provision" in str(caught.value.hint)
    assert asked == [5.0, 10.0, 15.0]  # a look costs a call: not at each turn
