"""What a CertRepMessage brings (RFC 9810, 5.3.4): certificates, some of them encrypted, and private
keys that the CA made. Each is opened and checked against the request that it answers.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from bulkcmp.cmp import (
    algorithms,
    checks,
    confirmation,
    envelope,
    outcomes,
    package,
    popo,
    protection,
)
from bulkcmp.cmp import request as requests
from bulkcmp.cmp.algorithms import PrivateKey
from bulkcmp.cmp.asn1 import TLV, content, decode, decode_sequence_of, encode, tag
from bulkcmp.cmp.checks import CheckError, Reason, Verdicts
from bulkcmp.cmp.events import Part, Phase
from bulkcmp.cmp.messages import CertResponse, PKIStatus, PKIStatusInfo
from bulkcmp.cmp.protection import Derivation
from bulkcmp.cmp.recipient import PasswordRecipient
from bulkcmp.cmp.request import Asked, Credential
from bulkcmp.cmp.trust import Trust, load_certificate
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import KeySpec, Outcome, OutcomeClass, Profile

_CERTIFICATE: Final = 0xA0
"""Tag of certificate in the CertOrEncCert CHOICE."""

_PRIVATE_KEY: Final = 0xA0
"""Tag of privateKey in a CertifiedKeyPair."""


def refusal_of_all(
    responses: Sequence[CertResponse], expected: Mapping[int, tuple[int, ...]]
) -> PKIStatusInfo | None:
    """The status of a single response that refuses all requests; None where there is none.

    Args:
        expected: as of `matched`.
    """
    only = responses[0] if len(responses) == 1 else None
    if only is None or only.status.status != PKIStatus.REJECTION:
        return None
    # EJBCA answers an unreadable request with a certReqId of its own
    is_of_none = only.certReqId not in chain.from_iterable(expected.values())
    return only.status if len(expected) == 1 or is_of_none else None


def matched(
    responses: Sequence[CertResponse], expected: Mapping[int, tuple[int, ...]]
) -> dict[int, CertResponse]:
    """The response to each request.

    Args:
        expected: the certReqIds that the response to each request may have, by the request's
            place; the first is the one to be told of.

    Raises:
        CheckError: a response answers none of them, or one that is answered already.
    """
    left = dict(expected)
    found: dict[int, CertResponse] = {}
    for response in responses:
        place = next((i for i, ids in left.items() if response.certReqId in ids), None)
        if place is None:
            raise checks.wrong_cert_req_id(
                response.certReqId, [ids[0] for ids in expected.values()]
            )
        del left[place]
        found[place] = response
    return found


class Issuance:
    """The certificates of one CertRepMessage that is proven to be the CA's.

    Args:
        responses: the response to each request that is answered, by the request's place.
        asked: of all requests of the message, by their places.
        helpers: DER certificates that came along, none of them trusted.
        implicit_confirm: no certConf is due.
        credential: for which the CA encrypts private keys.
        verdicts: are told of each check.
    """

    def __init__(
        self,
        responses: Mapping[int, CertResponse],
        asked: Sequence[Asked],
        helpers: tuple[bytes, ...],
        *,
        implicit_confirm: bool,
        credential: Credential,
        profile: Profile,
        trust: Trust,
        verdicts: Verdicts,
    ) -> None:
        self.responses = responses
        self._asked = asked
        self._helpers = helpers
        self._confirm = not implicit_confirm and not profile.disable_confirm
        self._credential = credential
        self._profile = profile
        self._trust = trust
        self._verdicts = verdicts
        self._keys: dict[Derivation, bytes] = {}

    @property
    def underived(self) -> Derivation | None:
        """How the next key is derived, from our secret, that a received private key takes; None
        where none is left to derive."""
        sealed = [
            response
            for place, response in self.responses.items()
            if self._asked[place].central_keygen
        ]
        if not sealed:
            return None
        holder = requests.password_recipient(self._credential, self._profile, protection.derive)
        if holder is None:
            return None
        derivations = (_derivation(holder, response) for response in sealed)
        return next((one for one in derivations if one is not None and one not in self._keys), None)

    def derived(self, key: bytes) -> None:
        """Take the key for `underived`."""
        derivation = self.underived
        assert derivation is not None, "a key was asked for"
        self._keys[derivation] = key

    def taken(self, place: int, part: Part, at: dt.datetime) -> Part:
        """What a part becomes by the response to it, which has another status than waiting.

        Args:
            place: of its request; there is a response to it.
            at: now, aware.
        """
        response, asked = self.responses[place], self._asked[place]
        cert_req_id, status = response.certReqId, response.status
        if status.status == PKIStatus.REJECTION:
            refused = outcomes.refused(status, authenticated=True, details=[])
            return replace(part, cert_req_id=cert_req_id, outcome=refused)
        try:
            if status.status not in outcomes.GRANTED:
                raise CheckError(Reason.STATUS, f"a response with PKIStatus {status.status}")
            self._verdicts.passed(Reason.STATUS)
            certificate = self._certificate_in(response, asked)
        except CheckError as error:
            self._verdicts.failed(error)
            bad = Outcome(OutcomeClass.BAD_RESPONSE, error.reason.value, error.what)
            return replace(part, cert_req_id=cert_req_id, outcome=bad)
        issuers: tuple[bytes, ...] = ()
        public_key, pkcs8 = asked.public_key, None
        try:
            if asked.central_keygen:
                key = self._received_key(response, asked, at)
                public_key, pkcs8 = algorithms.public_key_info(key), package.pkcs8_of(key)
            issuers, changed = checks.issued(
                certificate,
                public_key=public_key,
                subject=asked.subject,
                subject_check=self._profile.subject_check,
                trust=self._trust,
                extra=self._helpers,
                at=at,
                allow_weak=self._profile.allow_weak,
                witness=self._verdicts.witness,
            )
            kind = OutcomeClass.ISSUED_SUBJECT_CHANGED if changed else OutcomeClass.ISSUED
            granted = outcomes.granted(kind, status)
        except CheckError as error:
            self._verdicts.failed(error)
            granted = replace(
                outcomes.granted(OutcomeClass.ISSUED_REFUSED, status),
                reason=error.reason.value,
                detail=error.what,
            )
            if error.reason is Reason.PUBLIC_KEY:
                # a key that is not the certificate's is never kept beside it
                pkcs8 = None
        return replace(
            part,
            cert_req_id=cert_req_id,
            phase=Phase.GRANTED,
            certificate=certificate,
            chain=issuers,
            key=pkcs8,
            granted=granted,
            confirm=self._confirm and confirmation.is_possible(certificate),
        )

    def _certificate_in(self, response: CertResponse, asked: Asked) -> bytes:
        """DER of the certificate in a CertResponse.

        Raises:
            CheckError: there is none, it can't be decrypted, or is encrypted without need.
        """
        pair = response.certifiedKeyPair
        if not pair:
            raise CheckError(Reason.CERTIFICATE_MISSING, "PKIStatus accepted without a certificate")
        if tag(pair[0]) == _CERTIFICATE:
            return content(pair[0])
        if asked.decrypting_key is None:
            raise CheckError(
                Reason.CERTIFICATE_MISSING, "an encrypted certificate was not asked for"
            )
        try:
            encrypted = decode(TLV, content(pair[0]))
            certificate = popo.decrypt(encrypted, asked.decrypting_key)
            # nothing else may be revealed by its hash (RFC 9810, 8.2)
            load_certificate(certificate)
        except RemoteCmpError as error:
            raise CheckError(
                Reason.CERTIFICATE_SEALED, f"the encrypted certificate: {error.what}"
            ) from error
        self._verdicts.passed(Reason.CERTIFICATE_SEALED, "by the key that it is for")
        return certificate

    def _received_key(self, response: CertResponse, asked: Asked, at: dt.datetime) -> PrivateKey:
        """The private key that came with a certificate.

        Raises:
            CheckError: there is none, it can't be decrypted, who made it is not to be trusted, or
                it is another than was asked for.
        """
        sealed = _sealed_key(response)
        self._verdicts.passed(Reason.KEY_MISSING)
        recipient = requests.recipient(
            self._credential, self._profile, self._keys.__getitem__, self._helpers
        )
        assert recipient is not None, "checked before it was asked for"
        try:
            opened = envelope.decrypt(sealed, recipient)
        except RemoteCmpError as error:
            raise CheckError(Reason.KEY_SEALED, error.what, hint=error.hint) from error
        self._verdicts.passed(Reason.KEY_SEALED)
        # OpenSSL 3.5 says id-data of a SignedData, which package.verify finds or not
        if opened.kind not in (envelope.SIGNED_DATA, envelope.DATA):
            raise CheckError(
                Reason.KEY_SIGNATURE,
                f"what was encrypted is no SignedData, but of type {opened.kind.dotted_string}",
            )
        key = package.verify(
            opened.octets,
            self._trust,
            self._helpers,
            at,
            allow_weak=self._profile.allow_weak,
            witness=self._verdicts.witness,
        )
        _check_kind(key, asked.key_spec)
        return key


def _check_kind(key: PrivateKey, spec: KeySpec | None) -> None:
    """
    Raises:
        CheckError: the CA made another private key than was wanted.
    """
    if spec is None:
        return
    identifier = encode(decode_sequence_of(algorithms.public_key_info(key))[0])
    if identifier != algorithms.key_identifier(spec):
        raise CheckError(Reason.PUBLIC_KEY, "the private key is of another type than was asked for")
    # a request can't say how long an RSA key shall be
    if isinstance(key, RSAPrivateKey) and key.key_size < int(spec.parameter):
        raise CheckError(
            Reason.PUBLIC_KEY,
            f"the private key has {key.key_size} bits, and {spec.parameter} are wanted",
        )


def _sealed_key(response: CertResponse) -> bytes:
    """DER of the EnvelopedData with the private key in a CertResponse.

    Raises:
        CheckError: there is none.
    """
    for element in (response.certifiedKeyPair or [])[1:]:
        if tag(element) == _PRIVATE_KEY:
            try:
                return envelope.enveloped_data(decode(TLV, content(element)))
            except RemoteCmpError as error:
                raise CheckError(Reason.KEY_MISSING, error.what) from error
    raise CheckError(
        Reason.KEY_MISSING, "the CA was to make the private key, and sent the certificate alone"
    )


def _derivation(holder: PasswordRecipient, response: CertResponse) -> Derivation | None:
    """How the key is derived that a received private key takes; None where none is."""
    # who opens it finds what is wrong with it
    with suppress(RemoteCmpError):
        for info in envelope.recipient_infos(_sealed_key(response)):
            derivation = holder.derivation(info)
            if derivation is not None:
                return derivation
    return None
