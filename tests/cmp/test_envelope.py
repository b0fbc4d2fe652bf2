"""EnvelopedData, with a recipient that has the key at hand."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.cmp import envelope
from bulkcmp.cmp.algorithms import AlgorithmError
from bulkcmp.cmp.asn1 import (
    TLV,
    ObjectIdentifier,
    any_from,
    content,
    decode_sequence_of,
    encode,
    wrap,
)
from bulkcmp.cmp.envelope import Content, UndecryptableError, decrypt, encrypt
from bulkcmp.errors import RemoteCmpError

KEY = bytes(range(16))
IV = bytes(range(16, 32))
INFO = wrap(0x30, encode(0))


class Holder:
    """Has the content-encryption key of every RecipientInfo that is INFO."""

    def __init__(self, key: bytes = KEY) -> None:
        self.key = key
        self.certificates: Sequence[bytes] = ()

    def content_key(self, info: TLV, certificates: Sequence[bytes]) -> bytes | None:
        self.certificates = certificates
        return self.key if encode(info) == INFO else None


def sealed(
    *,
    infos: bytes = wrap(0x31, INFO),
    algorithm: bytes = wrap(0x30, encode(envelope.CONTENT_CIPHERS[16]), encode(IV)),
    encrypted: bytes = wrap(0x80, bytes(16)),
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    info = wrap(0x30, encode(envelope.SIGNED_DATA), algorithm, encrypted)
    return wrap(0x30, encode(2), before, infos, info, after)


@given(octets=st.binary(max_size=100), length=st.sampled_from([16, 24, 32]))
def test_what_is_encrypted_is_decrypted(octets: bytes, length: int) -> None:
    key = bytes(range(length))
    der = encrypt(octets, envelope.SIGNED_DATA, [INFO], key=key, iv=IV)
    assert decrypt(der, Holder(key)) == Content(envelope.SIGNED_DATA, octets)


@pytest.mark.parametrize(
    ("info", "version"),
    [
        (INFO, 0),
        (wrap(0x30, encode(2)), 2),
        (wrap(envelope.KARI), 2),
        (wrap(envelope.PWRI), 3),
        (wrap(envelope.ORI), 3),
    ],
)
def test_the_version_follows_the_recipients(info: bytes, version: int) -> None:
    der = encrypt(b"", envelope.SIGNED_DATA, [INFO, info], key=KEY, iv=IV)
    assert encode(decode_sequence_of(der)[0]) == encode(version)


def test_recipients_are_in_the_order_of_der() -> None:
    infos = [wrap(0xA4, encode(2)), wrap(0xA4, encode(1)), INFO]
    der = encrypt(b"", envelope.SIGNED_DATA, infos, key=KEY, iv=IV)
    assert [encode(info) for info in envelope.recipient_infos(der)] == sorted(infos)


def test_recipients_may_be_in_any_order() -> None:
    der = sealed(infos=wrap(0x31, wrap(0xA4), INFO), encrypted=wrap(0x80, b"x" * 16))
    with pytest.raises(UndecryptableError):
        # found, and the padding is wrong
        decrypt(der, Holder())


@pytest.mark.parametrize(
    ("der", "said"),
    [
        (b"", "not a DER _EnvelopedData"),
        (sealed() + b"\0", "not a DER _EnvelopedData"),
        (sealed(infos=wrap(0x31)), "for 0 recipients, accepted are 1 to 16"),
        (sealed(infos=wrap(0x31, INFO * 17)), "for 17 recipients, accepted are 1 to 16"),
        (sealed(infos=wrap(0x31, b"\x30\x05")), "not a DER"),
        (sealed(encrypted=b""), "without content"),
        (
            sealed(
                algorithm=wrap(0x30, encode(envelope.CONTENT_CIPHERS[16]), encode(b"short")),
            ),
            "with a malformed IV",
        ),
        (sealed(algorithm=wrap(0x30)), "something other than AES-CBC"),
        (
            sealed(algorithm=wrap(0x30, encode(envelope.CONTENT_CIPHERS[16]))),
            "something other than AES-CBC",
        ),
        (
            sealed(algorithm=wrap(0x30, encode(ObjectIdentifier("1.2.3")), encode(IV))),
            "something other than AES-CBC",
        ),
    ],
)
def test_what_is_refused(der: bytes, said: str) -> None:
    with pytest.raises(RemoteCmpError, match=said):
        decrypt(der, Holder())


def test_an_unknown_cipher_is_an_unknown_algorithm() -> None:
    with pytest.raises(AlgorithmError):
        decrypt(sealed(algorithm=wrap(0x30)), Holder())


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 32])
def test_what_does_not_decrypt_is_told_in_one_text(size: int) -> None:
    with pytest.raises(UndecryptableError, match="it can't be decrypted"):
        decrypt(sealed(encrypted=wrap(0x80, bytes(size))), Holder())


@pytest.mark.parametrize("size", [0, 15, 17, 24, 32])
def test_a_key_of_another_length_does_not_decrypt(size: int) -> None:
    with pytest.raises(UndecryptableError):
        decrypt(sealed(), Holder(bytes(size)))


def test_no_recipient_info_is_ours() -> None:
    with pytest.raises(UndecryptableError):
        decrypt(sealed(infos=wrap(0x31, wrap(0xA2))), Holder())


def test_certificates_of_the_originator_are_shown_to_the_recipient() -> None:
    one, other = wrap(0x30, encode(1)), wrap(0x30, encode(2))
    carried = wrap(0xA0, wrap(0xA0, other, one), wrap(0xA1, wrap(0x30)))
    der = sealed(before=carried, after=wrap(0xA1, wrap(0x30)))
    holder = Holder()
    with pytest.raises(UndecryptableError):
        decrypt(der, holder)
    assert holder.certificates == [other, one]


def test_an_encrypted_key_holds_an_enveloped_data() -> None:
    der = encrypt(b"key", envelope.SIGNED_DATA, [INFO], key=KEY, iv=IV)
    key = any_from(envelope.encrypted_key(der))
    assert key.tag_bytes == b"\xa0"
    assert content(key) == content(any_from(der))
    assert envelope.enveloped_data(key) == der
    with pytest.raises(RemoteCmpError, match="an EncryptedKey that is no EnvelopedData"):
        envelope.enveloped_data(any_from(wrap(0x30)))
