"""Does KVM really work here? The device being there proves nothing: it is tried, in a process of its own.

A guest of one processor runs a loop of some twenty million steps as a kernel would: in 64-bit mode, at the
A guest of one processor runs a loop of twenty million steps as a kernel would: in 64-bit mode, at the
hardware, that takes some hundredths of a second. Where a host offers ``/dev/kvm`` but emulates what kernels
do, instruction by instruction, it takes minutes; there, kernels as they come don't boot in any useful time.

Sources: Documentation/virt/kvm/api.rst of Linux; Intel SDM volume 3, 4.5 (paging) and 10.8.5 (IA-32e mode).
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

__all__ = ["kvm_works"]

#: seconds of processor time; independent of how busy the machine is
_CPU_SECONDS = 1.0
_STEPS = 20_000_000
_MAGIC = 0x4D45_4449

# ioctls of <linux/kvm.h>
_GET_API_VERSION = 0xAE00
_CREATE_VM = 0xAE01
_GET_VCPU_MMAP_SIZE = 0xAE04
_CREATE_VCPU = 0xAE41
_SET_USER_MEMORY_REGION = 0x4020AE46
_RUN = 0xAE80
_SET_REGS = 0x4090AE82
_GET_SREGS = 0x8138AE83
_SET_SREGS = 0x4138AE84

_API_VERSION = 12
_EXIT_HLT = 5
_EXIT_REASON = 8  # offset in struct kvm_run

_MEMORY = 4 << 20
_TABLES = 0x2000  # PML4; then the page-directory pointers, then the page directory
_CODE = 0x10000
_RESULT = 0x20000
_STACK = 0x80000
_CONTROL_REGISTERS = 224  # offset in struct kvm_sregs: cr0, cr2, cr3, cr4, cr8, efer


def kvm_works(timeout: float = 20.0, *, device: Path = Path("/dev/kvm")) -> bool:
    """Say whether guests run at the hardware's speed.

    Args:
        timeout: seconds after which the answer is no.
        device: KVM's.
    """
    if not os.access(device, os.R_OK | os.W_OK):
        return False
    try:
        done = subprocess.run(
            [sys.executable, "-m", "medicarche.embedded.kvm", str(device)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _try(device: Path) -> bool:
    """Run the guest; ends by SIGPROF where it takes too much processor time."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, _CPU_SECONDS)
    kvm = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    if fcntl.ioctl(kvm, _GET_API_VERSION) != _API_VERSION:
        return False
    machine = fcntl.ioctl(kvm, _CREATE_VM, 0)
    memory = mmap.mmap(-1, _MEMORY)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    fcntl.ioctl(machine, _SET_USER_MEMORY_REGION, struct.pack("<IIQQQ", 0, 0, 0, _MEMORY, address))
    processor = fcntl.ioctl(machine, _CREATE_VCPU, 0)
    state = mmap.mmap(processor, fcntl.ioctl(kvm, _GET_VCPU_MMAP_SIZE))
    _load(memory)
    special = bytearray(312)
    fcntl.ioctl(processor, _GET_SREGS, special)
    fcntl.ioctl(processor, _SET_SREGS, _long_mode(special))
    # rax to r15 in struct kvm_regs' order (rsp is the seventh), then rip and rflags
    fcntl.ioctl(processor, _SET_REGS, struct.pack("<18Q", *[0] * 6, _STACK, *[0] * 9, _CODE, 2))
    fcntl.ioctl(processor, _RUN, 0)
    (reason,) = struct.unpack_from("<I", state, _EXIT_REASON)
    (result,) = struct.unpack_from("<Q", memory, _RESULT)
    return bool(reason == _EXIT_HLT and result == _MAGIC)


def _load(memory: mmap.mmap) -> None:
    """Write the guest's page tables (identity, 2 MiB pages) and its program."""
    present_writable, large = 0x3, 0x80
    struct.pack_into("<Q", memory, _TABLES, _TABLES + 0x1000 | present_writable)
    struct.pack_into("<Q", memory, _TABLES + 0x1000, _TABLES + 0x2000 | present_writable)
    for number in range(_MEMORY >> 21):
        entry = number << 21 | large | present_writable
        struct.pack_into("<Q", memory, _TABLES + 0x2000 + 8 * number, entry)
    program = b"".join(
        (
            b"\x48\xb9" + struct.pack("<Q", _STEPS),  # mov rcx, steps
            b"\x48\xff\xc9",  # dec rcx
            b"\x75\xfb",  # jnz to the line above
            b"\x48\xb8" + struct.pack("<Q", _MAGIC),  # mov rax, magic
            b"\x48\xa3" + struct.pack("<Q", _RESULT),  # mov [result], rax
            b"\xf4",  # hlt
        )
    )
    memory[_CODE : _CODE + len(program)] = program


def _long_mode(special: bytearray) -> bytes:
    """Return the special registers for 64-bit mode at privilege level 0."""

    def segment(selector: int, kind: int, *, code: bool) -> bytes:
        # base, limit, selector; type, present, dpl, db, s, l, g, avl, unusable, padding
        return struct.pack("<QIH10B", 0, 0xFFFFFFFF, selector, kind, 1, 0, not code, 1, code, 1, 0, 0, 0)

    registers = bytearray(special)
    registers[0:24] = segment(0x08, 11, code=True)
    for number in range(1, 6):  # ds, es, fs, gs, ss
        registers[24 * number : 24 * (number + 1)] = segment(0x10, 3, code=False)
    cr0 = 0x8005_0033  # PG, AM, WP, NE, ET, MP, PE
    cr4 = 0x20  # PAE
    efer = 0x500  # LME, LMA
    struct.pack_into("<6Q", registers, _CONTROL_REGISTERS, cr0, 0, _TABLES, cr4, 0, efer)
    return bytes(registers)


if __name__ == "__main__":
    sys.exit(0 if _try(Path(sys.argv[1])) else 1)
