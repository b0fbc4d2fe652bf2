"""A migration: end entities get certificates of a new CA, and those of the old one are revoked."""
