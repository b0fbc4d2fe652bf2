"""What a user and password in a URL become in a header field (RFC 7617)."""

import base64

import httpx


def basic_authorization(url: httpx.URL) -> bytes | None:
    """The value of Authorization, or of Proxy-Authorization, by the URL's userinfo (RFC 7617, 2);
    None where it has none."""
    if not (url.username or url.password):
        return None
    credentials = f"{url.username}:{url.password}".encode()
    return b"Basic " + base64.b64encode(credentials)
