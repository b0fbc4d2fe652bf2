"""The machine and the programs that figures were taken with."""

import os
import platform
import ssl
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

import cryptography.hazmat.backends.openssl
import psutil

_PACKAGES: Final = (
    "anyio", "cryptography", "httptools", "httpx", "msgspec", "pyasn1", "pyasn1-modules", "uvloop",
    "uvicorn",
)  # fmt: skip


def machine() -> dict[str, str]:
    """Facts of this machine."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """What ran."""
    backend = cryptography.hazmat.backends.openssl.backend
    return {
        "python": platform.python_version(),
        "bulkcmp": version("bulkcmp"),
        **{package: version(package) for package in _PACKAGES},
        "OpenSSL of cryptography": backend.openssl_version_text(),
        "OpenSSL of Python": ssl.OPENSSL_VERSION,
        "openssl": _said("openssl", "version") or "none",
    }


def commit() -> str:
    """The commit that was measured, with `+` where files were changed since; empty outside git."""
    here = str(Path(__file__).parent)
    found = _said("git", "-C", here, "rev-parse", "--short=12", "HEAD")
    changed = _said("git", "-C", here, "status", "--porcelain", "--", "../bulkcmp")
    return f"{found}+" if found and changed else found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
