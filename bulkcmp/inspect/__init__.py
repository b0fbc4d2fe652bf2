"""The second opinion: PKI messages and their parts as readable trees, by the pyasn1-modules
definitions and in BER as well as DER; it shares no line with the run-time codec (`bulkcmp.cmp`).
"""
