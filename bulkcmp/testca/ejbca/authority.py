"""EJBCA's message dispatcher: a request in, the answer out, and no transaction remembered."""

import datetime as dt
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Final

from bulkcmp.cmp.messages import BodyType, decode_message, decode_nested
from bulkcmp.errors import InputError, RemoteCmpError
from bulkcmp.model import Secret
from bulkcmp.testca.aliases import RA_CERT, Alias, Authentication, Behaviour, Mode
from bulkcmp.testca.answering import Answering
from bulkcmp.testca.ejbca.authentication import Authenticator, mac_parameters
from bulkcmp.testca.ejbca.enrollment import P10CR_ID, Issuance
from bulkcmp.testca.ejbca.exchange import Exchange
from bulkcmp.testca.ejbca.response import Answer, Mac, Responder
from bulkcmp.testca.ejbca.revocation import Revocation
from bulkcmp.testca.enrollment import REQUESTS, requests_in
from bulkcmp.testca.identity import Identity
from bulkcmp.testca.issuer import Issuer
from bulkcmp.testca.refusal import RefusedError
from bulkcmp.testca.store import Store

_KNOBS: Final = frozenset({"delay", "sign_answers"})
"""What of `Behaviour` an EJBCA can be told; the rest it has ways of its own for."""


class EjbcaAuthority(Answering):
    """A CA that answers as EJBCA does.

    Args:
        store: the books.
        root: the CA's key and certificate.
        behaviour: how every alias behaves,
        exceptions: but for these, by name. `sign_answers` is EJBCA's response protection: where it
            is False, client mode still signs, but for a pkiconf.
        ca_secret: the CA's own secret for RAs, beside that of the alias.
        crl_url: where clients find the CRL; issued certificates say so.
        vendors: DER certificates of the CAs whose devices may enroll at the alias 3gpp.
        token_bytes: a source of random octets.

    Raises:
        InputError: a behaviour that an EJBCA does not have.
    """

    def __init__(
        self,
        store: Store,
        root: Identity,
        behaviour: Behaviour | None = None,
        exceptions: Mapping[str, Behaviour] | None = None,
        *,
        ca_secret: Secret | None = None,
        crl_url: str | None = None,
        vendors: Sequence[bytes] = (),
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        super().__init__(store, root, behaviour, exceptions)
        for one in (self._behaviour, *self._exceptions.values()):
            _check_knobs(one)
        self._responder = Responder(root, token_bytes)
        self._authenticator = Authenticator(store, ca_secret, vendors)
        self._issuance = Issuance(
            store, root, self._authenticator, Issuer(root, crl_url), self._responder
        )
        self._revocation = Revocation(store, root, self._authenticator, self._responder)

    def handle(self, alias: Alias, request: bytes, now: dt.datetime) -> bytes:
        try:
            message = decode_message(request)
        except RemoteCmpError:
            return self._responder.not_cmp(now)
        exchange = Exchange(alias, self.behaviour(alias), message, now)
        try:
            exchange = self._opened(exchange)
            with self._store.writing():
                answer = self._answer(exchange)
        except RemoteCmpError:
            refusal = RefusedError("badRequest", "Error during CMP processing. .")
            answer = self._responder.error(exchange.message, refusal)
        except RefusedError as refusal:
            answer = self._refuse(exchange, refusal)
        return self._responder.message(exchange.message, answer, now)

    def _opened(self, exchange: Exchange) -> Exchange:
        """The first message within the RA's layers: the others are dropped in silence."""
        message = exchange.message
        while message.body_type is BodyType.NESTED:
            self._authenticator.signer(RA_CERT, message, exchange.now)
            message = decode_message(decode_nested(message)[0])
        alias = exchange.alias
        if alias.authentication is Authentication.EITHER:
            has_mac = message.protection is not None and mac_parameters(message) is not None
            kind = Authentication.SECRET if has_mac else Authentication.CERTIFICATE
            alias = replace(alias, authentication=kind)
        return replace(exchange, alias=alias, message=message)

    def _answer(self, exchange: Exchange) -> Answer:
        body_type = exchange.message.body_type
        if body_type in REQUESTS:
            return self._issuance.answer(exchange)
        if body_type is BodyType.RR:
            return self._revocation.answer(exchange)
        if body_type is BodyType.CERT_CONF:
            return self._confirm(exchange)
        raise RefusedError("badRequest", f"Can not handle message type '{body_type.value}'.")

    def _confirm(self, exchange: Exchange) -> Answer:
        """A pkiconf; neither the certConf nor its protection is looked at."""
        answer = self._responder.confirmed(exchange.message)
        by_secret = exchange.alias.authentication is Authentication.SECRET
        if not by_secret or exchange.behaviour.signs_answers(exchange.alias):
            return answer
        mac = self._confirmation_mac(exchange)
        return replace(answer, mac=mac, signed=False)

    def _confirmation_mac(self, exchange: Exchange) -> Mac | None:
        """Made with the alias's or CA's secret, whichever the request was made with."""
        parameters = mac_parameters(exchange.message)
        secret = self._authenticator.own_secret(exchange.alias)
        if parameters is None or secret is None or not exchange.names_a_key:
            return None
        return Mac(parameters, secret)

    def _refuse(self, exchange: Exchange, refusal: RefusedError) -> Answer:
        message = exchange.message
        if not refusal.as_response or message.body_type not in REQUESTS:
            return self._responder.error(message, refusal)
        # what RA mode finds wrong in its own configuration, nobody signs
        signed = exchange.alias.mode is Mode.CLIENT
        first = requests_in(message, P10CR_ID)[0]
        return self._responder.rejected(
            message.body_type, first.cert_req_id, refusal, signed=signed
        )


def _check_knobs(behaviour: Behaviour) -> None:
    default = Behaviour()
    for one in fields(behaviour):
        if one.name not in _KNOBS and getattr(behaviour, one.name) != getattr(default, one.name):
            raise InputError(
                f"an EJBCA has its own way: {one.name.replace('_', ' ')} can't be set",
                hint=f"what can: {', '.join(sorted(_KNOBS)).replace('_', ' ')}",
            )
