"""Run in an instance, by its own Python: prints what the checks of BP-028 need, as one JSON object.

Needs nothing but the standard library, writes nothing, and tells no secret: of a password only its scheme.
"""

from __future__ import annotations

import functools
import grp
import json
import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path

SYSCTLS = ("kernel", "net/ipv4", "net/ipv6/conf/all", "net/ipv6/conf/default", "net/core", "fs", "vm")
SENSITIVE = (
    *("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/shells", "/etc/sudoers"),
    *("/etc/sudoers.d", "/etc/sudoers.d/*", "/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/*"),
    *("/etc/ssh/ssh_host_*_key", "/etc/nginx/*.key", "/etc/mysql/debian.cnf", "/etc/crontab"),
    *("/etc/cron.d", "/root", "/home/*"),
)


#: how sssd asks, which isn't secret
SSSD = ("ldap_uri ", "ldap_tls_reqcert ", "auth_provider ")


def run(*command: str) -> str:
    """Return a program's output; empty where it isn't there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def text(path: str) -> str:
    """Return a file's text; empty where it can't be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def matching(pattern: str) -> list[str]:
    """Return the files of a pattern."""
    return sorted(str(path) for path in Path("/").glob(pattern.lstrip("/")))


def settings(pattern: str) -> list[str]:
    """Return the lines of files, without comments and empty ones."""
    lines = [line.strip() for path in matching(pattern) for line in text(path).splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def sysctls() -> dict[str, str]:
    """Return the kernel's settings by name."""
    found = {}
    for root in SYSCTLS:
        for folder, _, names in os.walk(f"/proc/sys/{root}"):
            for name in names:
                path = f"{folder}/{name}"
                if "/neigh/" not in path:
                    found[path[len("/proc/sys/") :].replace("/", ".")] = text(path).strip()
    return found


def accounts() -> list[dict[str, object]]:
    """Return each account: ids, shell, whether it has a password (and its scheme), and keys."""
    schemes = {}
    for line in text("/etc/shadow").splitlines():
        name, password = line.split(":")[:2]
        scheme = password.lstrip("!")
        locked = password.startswith(("!", "*"))
        schemes[name] = "locked" if locked else ("empty" if password == "" else scheme.split("$")[1])
    return [
        {
            "name": a.pw_name,
            "uid": a.pw_uid,
            "shell": a.pw_shell,
            "password": schemes.get(a.pw_name, "locked"),
            "keys": bool(text(f"{a.pw_dir}/.ssh/authorized_keys").strip()),
        }
        for a in pwd.getpwall()
    ]


def tree(root: str) -> dict[str, list[str]]:
    """Look at every file of a file system, once."""
    found: dict[str, list[str]] = {
        name: [] for name in ("orphans", "unsticky", "writable", "setuid", "sockets")
    }
    device = Path(root).lstat().st_dev
    folders = [root]
    while folders:
        try:  # what vanishes meanwhile isn't there
            entries = [(e, e.stat(follow_symlinks=False)) for e in os.scandir(folders.pop())]
        except OSError:
            continue
        for entry, state in entries:
            if state.st_dev != device:
                continue
            # asked one by one: a directory's accounts are in no list
            if not user(state.st_uid) or not group(state.st_gid):
                found["orphans"].append(entry.path)
            if stat.S_ISDIR(state.st_mode):
                folders.append(entry.path)
            kind = remarkable(state.st_mode)
            if kind:
                found[kind].append(entry.path)
    return found


@functools.cache
def user(number: int) -> str:
    """Return the name of an account; empty where there is none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return ""


@functools.cache
def group(number: int) -> str:
    """Return the name of a group; empty where there is none."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return ""


def remarkable(mode: int) -> str:
    """Say what is remarkable about a file: everybody may write it, or it runs with another's rights."""
    if stat.S_ISDIR(mode):
        return "unsticky" if mode & 0o002 and not mode & stat.S_ISVTX else ""
    if stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode):
        return "sockets" if mode & 0o002 else ""
    if stat.S_ISREG(mode) and mode & 0o6000:
        return "setuid"
    return "writable" if stat.S_ISREG(mode) and mode & 0o002 else ""


def modes() -> dict[str, list[object]]:
    """Return owner, group and mode of sensitive files."""
    found: dict[str, list[object]] = {}
    for pattern in SENSITIVE:
        for path in matching(pattern):
            state = Path(path).stat()
            found[path] = [
                user(state.st_uid) or str(state.st_uid),
                group(state.st_gid) or str(state.st_gid),
                stat.S_IMODE(state.st_mode),
            ]
    return found


def unpackaged(paths: list[str]) -> list[str]:
    """Return those of some files that no package brought."""
    known = run("dpkg-query", "--search", *paths) if paths else ""
    owned = {line.partition(": ")[2] for line in known.splitlines()}
    merged = owned | {f"/usr{path}" for path in owned}
    return [path for path in paths if path not in merged]


def services() -> dict[str, str]:
    """Return running services, and which of them have a temporary folder of their own."""
    listed = run("systemctl", "list-units", "--type=service", "--state=running", "--plain", "--no-legend")
    names = [line.split()[0] for line in listed.splitlines() if line.strip()]
    shown = run("systemctl", "show", "--property=Id,PrivateTmp,User", *names) if names else ""
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in shown.split("\n\n")]
    return {block["Id"]: block.get("PrivateTmp", "") for block in blocks if "Id" in block}


def main() -> None:
    """Print it all."""
    files = tree(sys.argv[1] if len(sys.argv) > 1 else "/")
    mounts = [line.split() for line in text("/proc/self/mounts").splitlines()]
    print(  # noqa: T201 - this is its answer
        json.dumps(
            {
                "container": run("systemd-detect-virt", "--container").strip(),
                "command_line": text("/proc/cmdline").strip(),
                "sysctls": sysctls(),
                "mounts": {m[1]: m[3].split(",") for m in mounts},
                "accounts": accounts(),
                "sshd": dict(
                    line.split(maxsplit=1) for line in run("sshd", "-T").splitlines() if " " in line
                ),
                "sudoers": settings("/etc/sudoers") + settings("/etc/sudoers.d/*"),
                "login_defs": dict(
                    line.split(maxsplit=1)
                    for line in settings("/etc/login.defs")
                    if " " in line or "\t" in line
                ),
                "pam": settings("/etc/pam.d/common-*"),
                "profile": settings("/etc/profile.d/*.sh") + settings("/etc/profile"),
                "nsswitch": settings("/etc/nsswitch.conf"),
                # the file holds a password
                "sssd": [line for line in settings("/etc/sssd/sssd.conf") if line.startswith(SSSD)],
                "grub": "password_pbkdf2" in text("/boot/grub/grub.cfg"),
                "modes": modes(),
                "files": files,
                "unpackaged": unpackaged(files["setuid"]),
                "packages": run("dpkg-query", "--show", "--showformat=${Package}\n").split(),
                "recommends": run("apt-config", "dump", "APT::Install-Recommends"),
                "insecure": run("apt-config", "dump", "APT::Get::AllowUnauthenticated")
                + run("apt-config", "dump", "Acquire::AllowInsecureRepositories"),
                "origins": [line for line in run("apt-cache", "policy").splitlines() if "release " in line],
                "sources": settings("/etc/apt/sources.list") + settings("/etc/apt/sources.list.d/*"),
                "updates": [
                    line
                    for line in run(
                        "apt-get", "--simulate", "-o", "Debug::NoLocking=1", "dist-upgrade"
                    ).splitlines()
                    if line.startswith("Inst ") and "-Security" in line
                ],
                "services": services(),
                "addresses6": text("/proc/net/if_inet6").split(),
            }
        )
    )


if __name__ == "__main__":
    main()
