"""CMP sans I/O: messages, protection, proof of possession, checks, and the transaction.

Nothing here opens a socket, reads a file or a clock, or makes a random number: time, nonces and
keys are passed in (RFC 4210, 9480, 9810; profile RFC 9483; algorithms RFC 9481).
"""
