"""OpenSSL's own CMP client and mock server, as peers."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

_PORTS: Final = 5
"""Ports to try, since a free one may be taken by others before the server has it."""


@cache
def missing() -> str | None:
    """Why there is no `openssl cmp` here, if there is none."""
    if shutil.which("openssl") is None:
        return "there is no openssl on this machine"
    done = subprocess.run(["openssl", "cmp", "-help"], capture_output=True, check=False, timeout=60)
    return None if done.returncode == 0 else "this machine's openssl has no cmp"


@cache
def has(option: str) -> bool:
    """Whether the `openssl cmp` that is here knows an option, as those after 3.0 know more."""
    told = subprocess.run(
        ["openssl", "cmp", "-help"], capture_output=True, check=False, text=True, timeout=60
    )
    return option in (told.stdout + told.stderr).split()


@contextmanager
def mock_server(folder: Path, *options: object) -> Iterator[str]:
    """OpenSSL's mock server, run in a folder; gives its URL.

    It has one transaction at a time, and returns one fixed certificate.
    """
    log = folder / "server.log"
    for _ in range(_PORTS):
        with log.open("w") as out, socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            listener.close()
            process = subprocess.Popen(
                ["openssl", "cmp", "-config", "", "-port", str(port), *map(str, options)],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        try:
            if _listens(process, port):
                yield f"http://127.0.0.1:{port}/pkix/"
                return
        finally:
            process.kill()
            process.wait()
    raise AssertionError(log.read_text())


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the server is there; False where it ended."""
    # a probe of the port would be taken for a client
    places = {f"{host}:{port:04X}" for host in ("0100007F", "00000000", "0" * 32)}
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        if not places.isdisjoint(_listeners()):
            return process.poll() is None
        time.sleep(0.02)
    return False


def _listeners() -> set[str]:
    """Local addresses of listening TCP sockets, as the kernel writes them."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                found.add(fields[1])
    return found
