"""Ports of the CAs in what the documentation has to run."""

import socket

_PORTS = ("8829", "8830")


def at_free_ports(text: str) -> str:
    """The same with ports that nobody uses: where tests run, many have CAs."""
    for port in _PORTS:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            text = text.replace(port, str(found.getsockname()[1]))
    return text
