"""genm: what the CA tells of itself (RFC 9810, 5.3.19; RFC 9483, 4.3)."""

import datetime as dt
from typing import Final

from cryptography import x509

from bulkcmp.cmp import general
from bulkcmp.cmp.asn1 import (
    TLV,
    ObjectIdentifier,
    any_from,
    content,
    decode,
    decode_sequence_of,
    encode,
    tag,
    wrap,
)
from bulkcmp.cmp.general import decode_infos, encode_infos
from bulkcmp.cmp.messages import BodyType, body, directory_name_of
from bulkcmp.cmp.template import time_of
from bulkcmp.model import Itav
from bulkcmp.testca.crl import current_crl
from bulkcmp.testca.demand import ENC_KEYS, PREFERRED_CIPHER, SIGN_KEYS
from bulkcmp.testca.encapsulation import encapsulate
from bulkcmp.testca.exchange import Exchange
from bulkcmp.testca.identity import Identity
from bulkcmp.testca.refusal import RefusedError
from bulkcmp.testca.response import Answer
from bulkcmp.testca.store import Store

_LANGUAGE: Final = "en"
_UTF8_STRING: Final = 0x0C
_URI: Final = 0x86
_NULL: Final = b"\x05\x00"

_WITHOUT_VALUE: Final = frozenset(
    {
        general.CA_CERTS,
        general.CERT_REQ_TEMPLATE,
        general.CURRENT_CRL,
        general.SIGN_KEY_PAIR_TYPES,
        general.ENC_KEY_PAIR_TYPES,
        general.PREFERRED_SYMM_ALG,
    }
)
"""What is asked for without a value (RFC 9810, 5.3.19; RFC 9483, 4.3)."""


class Information:
    """Answers genms.

    Args:
        crl_url: where the CRL is to be had, as issued certificates name it.
    """

    def __init__(self, store: Store, root: Identity, crl_url: str | None) -> None:
        self._store = store
        self._root = root
        self._crl_url = crl_url

    def answer(self, exchange: Exchange) -> Answer:
        """The genp with an InfoTypeAndValue for each of the genm.

        What is not known here is named in one of type unsupportedOIDs.

        Raises:
            RemoteCmpError: the body can't be decoded.
            RefusedError: a value that its type may not have.
        """
        infos: list[Itav] = []
        unsupported: list[str] = []
        for asked in decode_infos(exchange.message.body):
            told = self._tell(asked, exchange)
            if told is None:
                unsupported.append(asked.oid)
            else:
                infos.append(told)
        if unsupported:
            oids = (encode(ObjectIdentifier(oid)) for oid in unsupported)
            infos.append(Itav(general.UNSUPPORTED_OIDS, wrap(0x30, *oids)))
        return Answer(body(BodyType.GENP, encode_infos(infos)))

    def _tell(self, asked: Itav, exchange: Exchange) -> Itav | None:
        """What answers one; None where its type is not known here."""
        now = exchange.now
        # some write NULL for what is absent
        if asked.oid in _WITHOUT_VALUE and asked.value not in (None, _NULL):
            raise RefusedError("badRequest", f"a value of {general.name_of(asked.oid)}")
        match asked.oid:
            case general.CA_CERTS:
                return Itav(general.CA_CERTS, wrap(0x30, self._root.der))
            case general.ROOT_CA_CERT:
                return self._root_update(asked.value)
            case general.CERT_REQ_TEMPLATE:
                return self._prepared(general.CERT_REQ_TEMPLATE)
            case general.CURRENT_CRL:
                return Itav(general.CURRENT_CRL, current_crl(self._store, self._root, now))
            case general.CRL_STATUS_LIST:
                return self._crls(asked.value, now)
            case general.SIGN_KEY_PAIR_TYPES:
                return Itav(general.SIGN_KEY_PAIR_TYPES, SIGN_KEYS)
            case general.ENC_KEY_PAIR_TYPES:
                return Itav(general.ENC_KEY_PAIR_TYPES, ENC_KEYS)
            case general.PREFERRED_SYMM_ALG:
                return Itav(general.PREFERRED_SYMM_ALG, PREFERRED_CIPHER)
            case general.KEM_CIPHERTEXT_INFO:
                return encapsulate(exchange, self._store)
            case general.SUPP_LANG_TAGS:
                return _language(asked.value)
        return None

    def _prepared(self, info_type: str) -> Itav:
        """What an operator has prepared; without a value where that is nothing (RFC 9483, 4.3)."""
        return Itav(info_type, self._store.information(info_type))

    def _root_update(self, value: bytes | None) -> Itav:
        # a client need not say which root it has (RFC 9810, 5.3.19.15)
        if value is not None and _certificate(value) != self._root.certificate:
            return Itav(general.ROOT_CA_KEY_UPDATE)
        return self._prepared(general.ROOT_CA_KEY_UPDATE)

    def _crls(self, value: bytes | None, now: dt.datetime) -> Itav:
        """The CRL, if one of the sources is ours and it is newer than what the client has."""
        if value is None:
            raise RefusedError("badDataFormat", "a crlStatusList without a value")
        der = current_crl(self._store, self._root, now)
        this_update = x509.load_der_x509_crl(der).last_update_utc
        for status in decode_sequence_of(value):
            elements = decode_sequence_of(status)
            if not 1 <= len(elements) <= 2:
                raise RefusedError("badDataFormat", "a CRLStatus of so many elements")
            has = _time(elements[1]) if len(elements) > 1 else None
            if self._is_ours(elements[0]) and (has is None or has < this_update):
                return Itav(general.CRLS, wrap(0x30, der))
        return Itav(general.CRLS)

    def _is_ours(self, source: TLV) -> bool:
        # the tags are explicit, that of a DistributionPointName's fullName is not
        names = decode(TLV, content(source))
        if tag(source) == 0xA0:
            if tag(names) != 0xA0:
                return False
            names = any_from(wrap(0x30, content(names)))
        url = None if self._crl_url is None else self._crl_url.encode()
        for name in decode_sequence_of(names):
            if directory_name_of(name) == self._root.name:
                return True
            if tag(name) == _URI and content(name) == url:
                return True
        return False


def _language(value: bytes | None) -> Itav:
    """The language of our texts, which must be among those that a client reads."""
    tags = [] if value is None else decode_sequence_of(value)
    if not tags or any(tag(one) != _UTF8_STRING for one in tags):
        raise RefusedError("badDataFormat", "suppLangTags without a language")
    # en-GB is English too (RFC 5646)
    primary = (content(one).decode("utf-8", "replace").lower().split("-")[0] for one in tags)
    if _LANGUAGE not in primary:
        raise RefusedError("badRequest", "texts are in English here")
    return Itav(general.SUPP_LANG_TAGS, wrap(0x30, encode(_LANGUAGE)))


def _certificate(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError as error:
        raise RefusedError("badDataFormat", f"rootCaCert without a certificate: {error}") from error


def _time(element: TLV) -> dt.datetime:
    try:
        return time_of(element)
    except ValueError as error:
        raise RefusedError("badDataFormat", f"thisUpdate: {error}") from error
