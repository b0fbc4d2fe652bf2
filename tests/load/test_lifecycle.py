from bulkcmp.load.lifecycle import revoking, updating
from bulkcmp.model import EndEntity, Operation, RevocationReason, Secret

FIRST = EndEntity(
    7, 8, "dev7", Operation.IR, b"subject", ref="ra", secret=Secret(b"s"), reg_token=Secret(b"t")
)


def test_an_update_is_signed_by_the_certificate_that_it_updates() -> None:
    entity = updating(FIRST, b"cert", (b"sub CA", b"root"), b"key")
    assert (entity.cmd, entity.cert, entity.key) == (
        Operation.KUR,
        (b"cert", b"sub CA", b"root"),
        b"key",
    )
    assert entity.old_cert == b"cert"
    assert entity.subject is None, "the certificate's own"
    assert entity.reg_token is None, "it was good for one enrollment"
    assert (entity.number, entity.id, entity.secret) == (7, "dev7", FIRST.secret)


def test_a_second_update_is_about_the_newest_certificate() -> None:
    first = updating(FIRST, b"one", (b"root",), b"key 1")
    second = updating(first, b"two", (b"root",), b"key 2")
    assert (second.cert, second.key, second.old_cert) == ((b"two", b"root"), b"key 2", b"two")


def test_a_revocation_keeps_the_credential() -> None:
    entity = revoking(FIRST, b"cert", RevocationReason.SUPERSEDED)
    assert (entity.cmd, entity.old_cert, entity.serial) == (Operation.RR, b"cert", None)
    assert entity.revocation_reason is RevocationReason.SUPERSEDED
    assert (entity.ref, entity.secret, entity.cert) == ("ra", FIRST.secret, ())
