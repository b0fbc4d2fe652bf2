"""When a run may begin new transactions: decided by facts that are passed in, time among them.

Nothing here opens a socket, reads a file or a clock, or waits.
"""
