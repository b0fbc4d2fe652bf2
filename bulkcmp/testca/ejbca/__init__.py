"""A CA that answers as EJBCA does on the wire, where that is not what RFC 9810 and 9483 say.

Seen of EJBCA CE 8.2 over CMP; a client that copes with this one copes with that. Books, root,
aliases and issuing are the embedded CA's own.
"""
