"""Why a connection failed, in words for a human."""

import os
import re
import socket
import ssl

from bulkcmp.io.tls import tls_reason


def cause(error: BaseException | None) -> str:
    """What the operating system or OpenSSL says; None is the peer's orderly close."""
    if error is None:
        return "closed by the peer"
    if isinstance(error, ssl.SSLError):
        return f"OpenSSL says: {tls_reason(error)}"
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    if isinstance(error, OSError):
        # the event loops put a text of their own in strerror, and join those of several addresses
        numbers = [error.errno] if error.errno else re.findall(r"\[Errno (\d+)\]", str(error))
        if numbers:
            return " / ".join(dict.fromkeys(os.strerror(int(one)) for one in numbers))
    if isinstance(error, ConnectionError) and not str(error):
        # asyncio's for an end in the TLS handshake
        return "closed by the peer"
    return str(error) or type(error).__name__
