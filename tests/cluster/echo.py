"""A worker that says what it is told."""

import socket
import sys

if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as end:
        while octets := end.recv(65536):
            end.sendall(octets)
