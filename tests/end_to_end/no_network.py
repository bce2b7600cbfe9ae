"""A command in, run in a network namespace that has nothing but its own loopback; out, what it tried to send beyond.

``python no_network.py REPORT COMMAND...`` is what runs inside: it brings the loopback up, shows that nothing else is
reached, tries whether the counters notice an attempt, runs the command, and writes REPORT (JSON). ``shut_off`` starts
it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path

SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1  # <linux/sockios.h>, <linux/if.h>
ELSEWHERE = "192.0.2.1"  # TEST-NET-1 (RFC 5737): nobody's address
NAMESPACES = (("--map-root-user", "--net"), ("--net",))  # the second where root may, but user namespaces are off
COUNTED = ("IpOutNoRoutes", "UdpNoPorts", "Ip6OutNoRoutes", "Udp6NoPorts")
"""Packets that had nowhere to go, and datagrams to a port of the loopback where nobody listens: a look-up of a name
goes to a resolver that is either elsewhere or, on some machines, on the loopback."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How the command ended, what it printed, and how often it tried to leave, by counter of the kernel.

    ``attempts`` is empty where the kernel does not count: some sandboxes only show zeros.
    """

    status: int
    output: str
    attempts: dict[str, int]


def why_not() -> str | None:
    """Why no network namespace can be made here; None when it can."""
    if not shutil.which("unshare"):
        return "no unshare on this machine; on Debian and Ubuntu: apt-get install util-linux"
    said = [_refusal(options) for options in NAMESPACES]
    return None if None in said else f"this machine does not let us make a network namespace: {said[0]}"


def shut_off(
    command: Sequence[str], *, folder: Path, environ: Mapping[str, str], report: Path, timeout_s: float
) -> Ran:
    """Run ``command`` in ``folder`` with nothing but ``environ``, in a namespace of its own; its children end too."""
    options = next(options for options in NAMESPACES if _refusal(options) is None)
    whole = ["unshare", *options, sys.executable, __file__, str(report), *command]
    output = report.with_suffix(".log")
    with output.open("w") as log:
        process = subprocess.Popen(
            whole, cwd=folder, env=environ, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            status = process.wait(timeout_s)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    said = output.read_text(errors="replace")
    return Ran(status, said, json.loads(report.read_text()) if report.exists() else {})


def _refusal(options: Sequence[str]) -> str | None:
    run = subprocess.run(["unshare", *options, "true"], capture_output=True, text=True, timeout=60)
    return run.stderr.strip() if run.returncode else None


def _inside(report: Path, command: Sequence[str]) -> int:
    _raise_loopback()
    untouched = _counters()
    _try_to_leave()
    before = _counters()
    status = subprocess.call(command)
    after = _counters()
    counted = before if before != untouched else {}
    report.write_text(json.dumps({name: after[name] - before[name] for name in counted}))
    return status


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))


def _try_to_leave() -> None:
    try:
        socket.create_connection((ELSEWHERE, 443), timeout=5)
    except OSError:
        return
    sys.exit(f"{ELSEWHERE} was reached: this is no namespace without network")


def _counters() -> dict[str, int]:
    """Those of COUNTED that this kernel has, of this namespace alone."""
    four = Path("/proc/net/snmp")
    lines = [line.split() for line in four.read_text().splitlines()] if four.exists() else []
    found = {
        f"{names[0].rstrip(':')}{name}": int(value)
        for names, values in zip(lines[::2], lines[1::2], strict=True)
        for name, value in zip(names[1:], values[1:], strict=True)
    }
    six = Path("/proc/net/snmp6")  # absent where the kernel has no IPv6
    found |= {name: int(value) for name, value in map(str.split, six.read_text().splitlines())} if six.exists() else {}
    return {name: found[name] for name in COUNTED if name in found}


if __name__ == "__main__":
    sys.exit(_inside(Path(sys.argv[1]), sys.argv[2:]))
