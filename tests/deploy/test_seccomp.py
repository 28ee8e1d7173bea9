"""The container's seccomp profile, in force: the relay serves, and io_uring is let through."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.deploy.files import DEPLOY

PROFILE = DEPLOY / "docker/seccomp.json"
_ALLOW = 0x7FFF0000
_ERRNO_EPERM = 0x00050000 | errno.EPERM
_PROBE = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
parameters = ctypes.create_string_buffer(120)
ring = libc.syscall(425, 4, parameters)
print("ring", "open" if ring >= 0 else ctypes.get_errno())
print("swapon", libc.syscall(167, b"/nowhere", 0), ctypes.get_errno())
"""
_SERVE = """
import sys
from relay.cli.supervisor import main
sys.exit(main(sys.argv[1:]))
"""


def confined() -> Callable[[], None]:
    """Puts a child under the profile."""
    found = ctypes.util.find_library("seccomp") or "libseccomp.so.2"
    try:
        library = ctypes.CDLL(found)
    except OSError:
        pytest.skip("libseccomp is not installed (sh tests/system_packages.sh deploy)")
    profile = json.loads(PROFILE.read_text())
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ERRNO_EPERM)))
    for rule in profile["syscalls"]:
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number >= 0:
                library.seccomp_rule_add(context, ctypes.c_uint32(_ALLOW), number, 0)

    def load() -> None:
        assert library.seccomp_load(context) == 0

    return load


@pytest.mark.skipif(sys.platform != "linux", reason="optional: seccomp is Linux's")
class TestProfile:
    def test_refuses_what_is_not_listed_and_lets_io_uring_through(self) -> None:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE],
            preexec_fn=confined(),
            capture_output=True,
            text=True,
            check=True,
        )
        ring, swapon = probe.stdout.splitlines()
        assert swapon == f"swapon -1 {errno.EPERM}"
        if ring == f"ring {errno.EPERM}":
            plain = subprocess.run(
                [sys.executable, "-c", _PROBE], capture_output=True, text=True, check=True
            )
            if ring in plain.stdout:
                pytest.skip("optional: this kernel allows no io_uring to anybody")
        assert ring == "ring open"

    def test_the_relay_starts_and_stops_under_it(self, instance: str) -> None:
        relay = subprocess.Popen(
            [sys.executable, "-c", _SERVE, "--port", "0", "--instance", instance],
            preexec_fn=confined(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert relay.stdout is not None
        with relay.stdout:
            ready = relay.stdout.readline()
            relay.terminate()
            assert relay.wait(60) == 0
        assert " ready on http://" in ready
