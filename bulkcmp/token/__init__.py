"""Private keys on PKCS#11 tokens (HSMs, smart cards): named by a URI, used where they are."""
