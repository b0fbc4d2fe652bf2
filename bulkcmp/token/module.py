"""Which PKCS#11 library (module) to load."""

import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bulkcmp.token.uri import Pkcs11Uri

_VARIABLES: Final = ("PKCS11_MODULE_PATH", "PKCS11_PROVIDER_MODULE")
"""Of libp11, and of the PKCS#11 provider of OpenSSL."""

_PROXY: Final = "p11-kit-proxy.so"
"""All modules that p11-kit has registered, in one."""


def module_of(uri: Pkcs11Uri, option: str | None, environ: Mapping[str, str]) -> str:
    """What to load: a path, or a name for the system's loader.

    It is that of the URI, of the option, of the environment, or p11-kit's proxy, in this order.

    Args:
        option: a path that the user gave.
    """
    if uri.module_path is not None:
        return uri.module_path
    if uri.module_name is not None:
        return _by_name(uri.module_name)
    if option is not None:
        return option
    return next((environ[name] for name in _VARIABLES if environ.get(name)), _PROXY)


def _by_name(name: str) -> str:
    """A module by its name without `lib` and suffix (RFC 7512, 2.3)."""
    files = (f"lib{name}.so", f"{name}.so", name)
    for folder in map(Path, _folders()):
        for pattern in ("pkcs11/{}", "{}", "*/{}"):
            for file in files:
                found = sorted(path for path in folder.glob(pattern.format(file)) if path.is_file())
                if found:
                    return str(found[0])
    return files[0]


def _folders() -> tuple[str, ...]:
    multiarch = sysconfig.get_config_var("MULTIARCH")
    common = ("/usr/local/lib", "/usr/lib64", "/usr/lib")
    return (f"/usr/lib/{multiarch}", *common) if multiarch else common
