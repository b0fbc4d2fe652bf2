"""Which HTTP proxy a URL is reached through: `--proxy`, or the environment's usual variables."""

import ipaddress
import re
from collections.abc import Mapping

import httpx

from bulkcmp.errors import InputError

_DEFAULT_PORTS = {"http": 80, "https": 443}


def proxy_for(url: httpx.URL, environ: Mapping[str, str], explicit: str | None) -> httpx.URL | None:
    """The proxy for `url`, or None for a direct connection.

    An explicit proxy is used for every URL, whatever the environment says; the empty text means
    no proxy at all. Otherwise `<scheme>_proxy` and then `all_proxy` count, lower case before upper
    case (an empty lower-case variable unsets the upper-case one), unless `no_proxy` names the
    host. `no_proxy` is a list separated by commas or blanks, of `*` (every host), domains
    (`example.com`, `.example.com` and `*.example.com` all mean the domain and all below it), IP
    addresses and networks (`10.0.0.0/8`, for URLs that name an address), each optionally with
    `:port`.

    In a CGI program (REQUEST_METHOD is set) HTTP_PROXY is ignored, since a client's `Proxy:`
    header may have set it (CVE-2016-5385).

    Args:
        url: the server, http or https.
        environ: the environment's variables.
        explicit: the value of `--proxy`, if it was given.

    Raises:
        InputError: the proxy's URL can't be read, or is not of an HTTP proxy.
    """
    if explicit is not None:
        return _proxy_url(explicit, "--proxy") if explicit else None
    for name in (f"{url.scheme}_proxy", "all_proxy"):
        origin, value = _variable(environ, name)
        if value:
            if _bypasses(_variable(environ, "no_proxy")[1], url):
                return None
            return _proxy_url(value, origin)
    return None


def _variable(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """The variable's name as it is spelt in the environment, and its value."""
    if name in environ:
        return name, environ[name].strip()
    upper = name.upper()
    if upper == "HTTP_PROXY" and "REQUEST_METHOD" in environ:
        return upper, ""
    return upper, environ.get(upper, "").strip()


def _proxy_url(text: str, origin: str) -> httpx.URL:
    # the text is never shown: it may hold the proxy's password
    try:
        proxy = httpx.URL(text if "://" in text else f"http://{text}")
    except httpx.InvalidURL:
        raise InputError(
            f"the proxy in {origin} is not a URL", hint="write it as http://HOST:PORT"
        ) from None
    if proxy.scheme != "http" or not proxy.host:
        raise InputError(
            f"the proxy in {origin} is not an HTTP proxy",
            hint="write it as http://HOST:PORT; SOCKS and TLS to the proxy are not supported",
        )
    return proxy


def _bypasses(no_proxy: str, url: httpx.URL) -> bool:
    host = url.host.lower().rstrip(".")
    port = url.port or _DEFAULT_PORTS[url.scheme]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    for entry in re.split(r"[,\s]+", no_proxy.lower()):
        if entry == "*":
            return True
        name, entry_port = _split_port(entry)
        if not name or entry_port not in (None, port):
            continue
        if address is not None:
            try:
                if address in ipaddress.ip_network(name, strict=False):
                    return True
            except ValueError:
                continue
        else:
            domain = name.removeprefix("*").strip(".")
            if domain and (host == domain or host.endswith(f".{domain}")):
                return True
    return False


def _split_port(entry: str) -> tuple[str, int | None]:
    """Part `host:port`, `[v6]:port`, `[v6]`; a bare IPv6 address has no port."""
    match = re.fullmatch(r"\[([^\]]*)\](?::(\d+))?|([^:]*):(\d+)", entry)
    if match is None:
        return entry, None
    host = match[1] if match[1] is not None else match[3]
    port = match[2] or match[4]
    return host, int(port) if port else None
