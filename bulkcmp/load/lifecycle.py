"""An end entity's way through its lifecycle: each step begins with what the one before brought."""

from collections.abc import Sequence
from dataclasses import replace

from bulkcmp.model import EndEntity, Operation, RevocationReason, TokenKey


def updating(
    entity: EndEntity, certificate: bytes, chain: Sequence[bytes], key: bytes | TokenKey
) -> EndEntity:
    """An end entity that asks for an update of its certificate (RFC 9483, 4.1.3), and signs by it.

    Args:
        certificate: DER of what it holds; chain: of its issuers; key: its own, PKCS#8 DER or on a
            token.
    """
    return replace(
        entity,
        cmd=Operation.KUR,
        # that of the certificate, which is what the CA knows it by
        subject=None,
        cert=(certificate, *chain),
        key=key,
        old_cert=certificate,
        csr=None,
        # good for one enrollment
        reg_token=None,
    )


def revoking(entity: EndEntity, certificate: bytes, reason: RevocationReason) -> EndEntity:
    """An end entity whose certificate is to be revoked (RFC 9483, 4.2).

    Args:
        entity: its credential protects the request: the secret or the RA's that enrolled it, or the
            certificate that it updated.
        certificate: DER.
    """
    return replace(
        entity, cmd=Operation.RR, old_cert=certificate, serial=None, revocation_reason=reason
    )
