"""ANSSI-BP-028, levels minimal and intermediate: what an instance says of itself, judged. Pure.

Source of the rules: "Recommandations de sécurité relatives à un système GNU/Linux", ANSSI-BP-028 v2.0.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from medicarche.testing.baselines.findings import Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

__all__ = ["CHECKS", "in_container", "seen_by"]


# the guide's own values; what a container can't set, because its kernel is the host's, isn't asked of it
_KERNEL: Final = {
    "kernel.dmesg_restrict": "1",
    "kernel.kptr_restrict": "2",
    "kernel.perf_event_paranoid": "2",
    "kernel.randomize_va_space": "2",
    "kernel.sysrq": "0",
    "kernel.unprivileged_bpf_disabled": "1",
    "kernel.panic_on_oops": "1",
}
_FILE_SYSTEMS: Final = {
    "fs.suid_dumpable": "0",
    "fs.protected_fifos": "2",
    "fs.protected_regular": "2",
    "fs.protected_symlinks": "1",
    "fs.protected_hardlinks": "1",
}
_IPV4: Final = {
    "net.ipv4.ip_forward": "0",
    "net.ipv4.conf.all.accept_local": "0",
    "net.ipv4.conf.all.accept_redirects": "0",
    "net.ipv4.conf.default.accept_redirects": "0",
    "net.ipv4.conf.all.secure_redirects": "0",
    "net.ipv4.conf.default.secure_redirects": "0",
    "net.ipv4.conf.all.shared_media": "0",
    "net.ipv4.conf.default.shared_media": "0",
    "net.ipv4.conf.all.accept_source_route": "0",
    "net.ipv4.conf.default.accept_source_route": "0",
    "net.ipv4.conf.all.arp_filter": "1",
    "net.ipv4.conf.all.arp_ignore": "2",
    "net.ipv4.conf.all.route_localnet": "0",
    "net.ipv4.conf.all.drop_gratuitous_arp": "1",
    "net.ipv4.conf.all.rp_filter": "1",
    "net.ipv4.conf.default.rp_filter": "1",
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.default.send_redirects": "0",
    "net.ipv4.icmp_ignore_bogus_error_responses": "1",
    "net.ipv4.tcp_rfc1337": "1",
    "net.ipv4.tcp_syncookies": "1",
}
#: of the guide's options, those that a kernel of today still has
_COMMAND_LINE: Final = ("l1tf=", "page_poison=on", "pti=on", "slab_nomerge", "spectre_v2=on", "mds=", "mce=0")
_SUDO: Final = ("noexec", "requiretty", "use_pty", "umask=0077", "ignore_dot", "env_reset")
#: path → widest mode, and the groups that may own it
_MODES: Final = (
    (r"/etc/g?shadow", 0o640, {"root", "shadow"}),
    (r"/etc/ssh/ssh_host_.*_key|.*/debian\.cnf", 0o600, {"root"}),
    (r"/etc/nginx/.*\.key", 0o640, {"root", "www-data"}),
    (r"/etc/sudoers", 0o440, {"root"}),
    (r"/etc/sudoers\.d/.*", 0o640, {"root"}),
    (r"/etc/sudoers\.d", 0o755, {"root"}),
    (r"/root", 0o700, {"root"}),
    (r"/home/.*", 0o750, None),
    (r".*", 0o755, {"root"}),
)
_NOLOGIN: Final = {"/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false", "/bin/sync", ""}
#: what nobody needs in a server of ours: obsolete, insecure, or for building and probing
_UNWANTED: Final = {
    *("telnet", "telnetd", "rsh-client", "rsh-server", "nis", "talk", "tftpd-hpa", "xinetd", "gcc", "make"),
    *("tcpdump", "nmap", "cups", "avahi-daemon", "rpcbind", "exim4", "postfix", "snmpd", "vsftpd", "lynis"),
}
_UNWANTED_SERVICES: Final = re.compile(
    r"(avahi|cups|rpcbind|telnet|vsftpd|proftpd|tftp|xinetd|nis|snmpd|exim4|postfix|bluetooth|ModemManager)"
)
_WEAK_SCHEMES: Final = {"1", "2", "empty"}
_REMOTE_USERS: Final = re.compile(r"^(?:passwd|group|shadow):.*\b(?:ldap|sss|nis|winbind|hesiod)\b")
_SSS_PIPES: Final = "/var/lib/sss/pipes/"
_SSS_ONLY: Final = re.compile(r"^\w+:(?:\s+(?:files|systemd|sss))+$")
_TIME_OUT: Final = re.compile(r"^(?:readonly |export |declare -rx? )*TMOUT=(\d+)")
_LONGEST_IDLE = 600
_SYSTEM_IDS = 1000
_SHOWN = 6
_LOCKED = "locked"


def in_container(facts: Mapping[str, Any]) -> bool:
    """Tell whether the instance is a container: it has no kernel, firmware and boot loader of its own."""
    return str(facts["container"]) not in {"", "none"}


def seen_by(
    facts: Mapping[str, Any], *, user: str, public: Collection[tuple[str, int]], listening: Collection[Any]
) -> dict[str, Seen]:
    """Return what each automated check saw.

    Args:
        facts: what `collect.py` printed in the instance.
        user: the administrators' account.
        public: protocol and port of the declared public listeners.
        listening: `medicarche.probe.Listening` of the instance.
    """
    found = {name: check(facts) for name, check in CHECKS.items()}
    found["R30"] = _unused(facts, user)
    open_to_all = {
        (s.protocol, s.port) for s in listening if not s.loopback and (s.protocol, s.port) != ("udp", 68)
    }
    found["R80"] = _nothing(f"{p}/{n}" for p, n in sorted(open_to_all - set(public)))
    found["R74"] = found["R75"] = _nothing(sorted(f"{p}/{n}" for p, n in open_to_all if n in {25, 465, 587}))
    return found


def _nothing(deviations: Iterable[str], otherwise: str = "") -> Seen:
    """Met where there is no deviation; else the words name the first ones."""
    named = list(deviations)
    if not named:
        return Seen(met=True, words=otherwise or "-")
    more = f", … ({len(named)})" if len(named) > _SHOWN else ""
    return Seen(met=False, words=", ".join(named[:_SHOWN]) + more)


def _settings(facts: Mapping[str, Any], wanted: Mapping[str, str]) -> Seen:
    """Compare the kernel's settings; one that this kernel doesn't have isn't a deviation."""
    have = facts["sysctls"]
    return _nothing(
        (f"{name} = {have[name]}" for name, value in wanted.items() if name in have and have[name] != value),
        otherwise=f"{len(wanted)} sysctl",
    )


def _unused(facts: Mapping[str, Any], user: str) -> Seen:
    may = [
        a["name"]
        for a in facts["accounts"]
        if a["shell"] not in _NOLOGIN and (a["password"] != _LOCKED or a["keys"])
    ]
    # root's key file, where cloud-init wrote one, lets nobody in (CLOUD-8)
    return _nothing((name for name in may if name not in {user, "root"}), otherwise=", ".join(may))


def _ipv6(facts: Mapping[str, Any]) -> Seen:
    on = facts["sysctls"].get("net.ipv6.conf.all.disable_ipv6") == "0"
    # without any address of its own but loopback's and link-local ones nothing routes
    routed = [word for word in facts["addresses6"][0::6] if not word.startswith(("fe80", "0000"))]
    return _nothing([*(["disable_ipv6 = 0"] if on else []), *routed])


def _partitions(facts: Mapping[str, Any]) -> Seen:
    wanted = {
        "/boot": ("nosuid", "noexec"),
        "/tmp": ("nosuid", "nodev"),  # noqa: S108 - where it is mounted
        "/var": ("nosuid", "nodev"),
        "/var/log": ("nosuid", "nodev", "noexec"),
        "/var/tmp": ("nosuid", "nodev"),  # noqa: S108 - as above
        "/home": ("nosuid", "nodev"),
    }
    mounts = facts["mounts"]
    return _nothing(path for path, options in wanted.items() if not set(options) <= set(mounts.get(path, ())))


def _passwords(facts: Mapping[str, Any]) -> Seen:
    with_password = [a["name"] for a in facts["accounts"] if a["password"] != _LOCKED]
    return _nothing(with_password, otherwise="no account has a password")


def _idle(facts: Mapping[str, Any]) -> Seen:
    limits = [
        int(m[1])
        for line in facts["profile"]
        for part in line.split(";")
        if (m := _TIME_OUT.match(part.strip()))
    ]
    if limits and 0 < max(limits) <= _LONGEST_IDLE:
        return Seen(met=True, words=f"TMOUT={max(limits)}")
    return Seen(met=False, words=f"TMOUT: {limits or '-'}")


def _accountable(facts: Mapping[str, Any]) -> Seen:
    sshd = facts["sshd"]
    root = next(a for a in facts["accounts"] if a["name"] == "root")
    return _nothing(
        [
            *(["PermitRootLogin"] if sshd.get("permitrootlogin") != "no" else []),
            *(["root has a password"] if root["password"] != _LOCKED else []),
            *([] if "sudo" in facts["packages"] else ["no sudo"]),
        ],
        otherwise="PermitRootLogin no, sudo",
    )


def _service_accounts(facts: Mapping[str, Any]) -> Seen:
    return _nothing(
        a["name"]
        for a in facts["accounts"]
        if 0 < a["uid"] < _SYSTEM_IDS
        and a["shell"] not in _NOLOGIN
        and (a["password"] != _LOCKED or a["keys"])
    )


def _unique(facts: Mapping[str, Any]) -> Seen:
    ids = [a["uid"] for a in facts["accounts"]]
    return _nothing(f"uid {n}" for n in sorted(set(ids)) if ids.count(n) > 1)


def _sudo_defaults(facts: Mapping[str, Any]) -> Seen:
    given = {
        word.strip()
        for line in facts["sudoers"]
        if line.startswith("Defaults")
        for word in line.partition("Defaults")[2].split(",")
    }
    return _nothing(word for word in _SUDO if word not in given)


def _rules(facts: Mapping[str, Any]) -> list[str]:
    return [line for line in facts["sudoers"] if "=" in line and not line.startswith(("Defaults", "@", "%"))]


def _sudo_targets(facts: Mapping[str, Any]) -> Seen:
    every = [line for line in _rules(facts) if not line.startswith("root")]
    return _nothing(line for line in every if re.search(r"=\s*\((ALL|root)\b", line) or "(" not in line)


def _sudo_negations(facts: Mapping[str, Any]) -> Seen:
    return _nothing(line for line in _rules(facts) if "!" in line.partition("=")[2])


def _sudo_arguments(facts: Mapping[str, Any]) -> Seen:
    return _nothing(
        line for line in _rules(facts) if not line.startswith("root") and line.rstrip().endswith("ALL")
    )


def _modes(facts: Mapping[str, Any]) -> Seen:
    wrong = []
    for path, (owner, group, mode) in facts["modes"].items():
        _, widest, groups = next(rule for rule in _MODES if re.fullmatch(rule[0], path))
        if mode & ~widest or (groups is not None and (owner != "root" or group not in groups)):
            wrong.append(f"{path} {owner}:{group} {mode:o}")
    return _nothing(wrong, otherwise=f"{len(facts['modes'])} files")


def _temporary(facts: Mapping[str, Any]) -> Seen:
    # who never writes there needs none of its own: what belongs to systemd itself is built so
    ours = {
        name
        for name in facts["services"]
        if re.match(r"(nginx|apache2|mariadb|postgresql|odoo|syncthing)", name)
    }
    return _nothing(f"{name}: PrivateTmp=no" for name in sorted(ours) if facts["services"][name] != "yes")


def _repositories(facts: Mapping[str, Any]) -> Seen:
    origins = {m[1] for line in facts["origins"] if (m := re.search(r"\bo=([^,]*)", line))}
    foreign = sorted(origin for origin in origins if origin not in {"Debian", "now"})
    trusted = [line for line in facts["sources"] if re.search(r"trusted\s*[=:]\s*yes", line, re.IGNORECASE)]
    unauthenticated = [line for line in facts["insecure"].splitlines() if re.search(r'"(true|1|yes)"', line)]
    return _nothing([*foreign, *trusted, *unauthenticated], otherwise=", ".join(sorted(origins)))


def _packages(facts: Mapping[str, Any]) -> Seen:
    unwanted = sorted(_UNWANTED & set(facts["packages"]))
    lax = [] if re.search(r'"(false|0|no)"', facts["recommends"]) else ["APT::Install-Recommends"]
    return _nothing([*unwanted, *lax], otherwise=f"{len(facts['packages'])} packages")


def _stored(facts: Mapping[str, Any]) -> Seen:
    weak = [a["name"] for a in facts["accounts"] if a["password"] in _WEAK_SCHEMES]
    method = facts["login_defs"].get("ENCRYPT_METHOD", "")
    return _nothing(
        [*weak, *([] if method.upper() in {"YESCRYPT", "SHA512"} else [f"ENCRYPT_METHOD {method}"])], method
    )


def _remote(facts: Mapping[str, Any]) -> Seen:
    remote = [line for line in facts["nsswitch"] if _REMOTE_USERS.match(line)]
    asked = dict(re.split(r"\s*=\s*", line, maxsplit=1) for line in facts["sssd"])
    verified = asked.get("ldap_uri", "").startswith("ldaps://") and asked.get("ldap_tls_reqcert") == "demand"
    if remote and verified and asked.get("auth_provider") == "none":
        return Seen(
            met=not [line for line in remote if not _SSS_ONLY.match(line)], words="sssd: LDAPS, no passwords"
        )
    return _nothing(remote, "local accounts only")


def _command_line(facts: Mapping[str, Any]) -> Seen:
    return _nothing(option for option in _COMMAND_LINE if option not in facts["command_line"])


#: check → what it sees in the facts; those that need more than the facts are in `seen_by`
CHECKS: Final[dict[str, Callable[[Mapping[str, Any]], Seen]]] = {
    "R5": lambda facts: Seen(met=facts["grub"], words="GRUB"),
    "R8": _command_line,
    "R9": lambda facts: _settings(facts, _KERNEL),
    "R11": lambda facts: _nothing(
        [] if facts["sysctls"].get("kernel.yama.ptrace_scope") in {"1", "2", "3"} else ["ptrace_scope"]
    ),
    "R12": lambda facts: _settings(facts, _IPV4),
    "R13": _ipv6,
    "R14": lambda facts: _settings(facts, _FILE_SYSTEMS),
    "R28": _partitions,
    "R31": _passwords,
    "R32": _idle,
    "R33": _accountable,
    "R34": _service_accounts,
    "R35": _unique,
    "R39": _sudo_defaults,
    "R40": _sudo_targets,
    "R42": _sudo_negations,
    "R43": _sudo_arguments,
    "R50": _modes,
    # whom an account belongs to is asked by every program: sssd tells by itself who may know what
    "R52": lambda facts: _nothing(s for s in facts["files"]["sockets"] if not s.startswith(_SSS_PIPES)),
    "R53": lambda facts: _nothing(facts["files"]["orphans"]),
    "R54": lambda facts: _nothing([*facts["files"]["unsticky"], *facts["files"]["writable"]]),
    "R55": _temporary,
    "R56": lambda facts: _nothing(
        facts["unpackaged"], otherwise=f"{len(facts['files']['setuid'])} files, all of Debian's packages"
    ),
    "R58": _packages,
    "R59": _repositories,
    "R61": lambda facts: _nothing((line.split()[1] for line in facts["updates"]), "no security update waits"),
    "R62": lambda facts: _nothing(
        (name for name in sorted(facts["services"]) if _UNWANTED_SERVICES.match(name)),
        otherwise=f"{len(facts['services'])} services",
    ),
    "R67": _remote,
    "R68": _stored,
    "R69": _remote,
}
