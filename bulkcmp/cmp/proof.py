"""What proves that an answer is the CA's: its MAC, or its signature (RFC 9810, 5.1.3).

Which of them an answer may have, the profile says (`--accept-protection`).
"""

import datetime as dt
from typing import TypeAlias

from bulkcmp.cmp import checks, outcomes, protection, strength
from bulkcmp.cmp.checks import CheckError, Reason, Verdicts
from bulkcmp.cmp.dhmac import DhMacParameters, dh_mac_parameters
from bulkcmp.cmp.kemmac import CaSecret, KemMacParameters, kem_mac_parameters
from bulkcmp.cmp.messages import BodyType, PKIMessage
from bulkcmp.cmp.protection import Derivation, MacParameters
from bulkcmp.cmp.request import (
    Credential,
    DhCredential,
    KemCredential,
    MacCredential,
    may_sign,
)
from bulkcmp.cmp.trust import Trust
from bulkcmp.errors import LocalCmpError, RemoteCmpError
from bulkcmp.model import AcceptProtection, Profile

AnyMac: TypeAlias = MacParameters | KemMacParameters | DhMacParameters
"""Parameters of whatever MAC an answer has."""


class Proof:
    """Proves the answers to one transaction.

    Args:
        credential: of our messages; its secret, if it has one, checks MACs, and so does what it
            agreed on with the CA by Diffie-Hellman.
        ca_secret: what we encapsulated for the CA's KEM key; None where it has none.
        transaction_id: of the transaction.
        trust: stands behind signatures; None where the root that the first ip brings is to be
            believed.
        verdicts: are told of each check.
    """

    def __init__(
        self,
        credential: Credential,
        profile: Profile,
        trust: Trust | None,
        verdicts: Verdicts,
        *,
        transaction_id: bytes,
        ca_secret: CaSecret | None = None,
    ) -> None:
        self._secret = credential.secret
        self._agreed = credential.agreed if isinstance(credential, DhCredential) else None
        self._ca_secret = ca_secret
        self._transaction_id = transaction_id
        self.ca_has_secret = False
        """An answer had a MAC of what we encapsulated for the CA."""
        self._asks_by_mac = isinstance(credential, MacCredential | DhCredential) or (
            isinstance(credential, KemCredential) and ca_secret is not None
        )
        self._profile = profile
        self._trust = trust
        self._takes_anchor = trust is None
        self._verdicts = verdicts

    @property
    def trust(self) -> Trust:
        """What stands behind the answers that were proven."""
        assert self._trust is not None, "an answer was proven"
        return self._trust

    @property
    def new_anchor(self) -> bytes | None:
        """DER of the root that the first ip brought; None where the user gave one."""
        if not self._takes_anchor or self._trust is None:
            return None
        (anchor,) = self._trust.signers.anchors
        return anchor

    def check_possible(self) -> None:
        """Make sure that some answer could be proven, before anything is asked.

        Raises:
            LocalCmpError: none could: what is done at the CA would never be known.
        """
        expects_mac = self._expects_mac
        why = []
        if expects_mac is not False:
            why.append(self._no_mac)
        if expects_mac is not True:
            why.append(self._no_signature)
        if all(why):
            only = f" (--accept-protection {self._profile.accept_protection})"
            raise LocalCmpError(
                f"no answer could be proven: {' and '.join(why)}{only if len(why) == 1 else ''}"
            )

    @property
    def _no_mac(self) -> str:
        """Why no MAC of an answer can be checked; empty where one can."""
        shares = (self._secret, self._agreed, self._ca_secret)
        return "we share no secret with the CA" if all(one is None for one in shares) else ""

    @property
    def _no_signature(self) -> str:
        """Why no signature of an answer can be good; empty where one can."""
        srvcert = None if self._trust is None else self._trust.srvcert
        ignores = self._profile.ignore_keyusage
        if srvcert is None or may_sign(srvcert, ignore_keyusage=ignores):
            return ""
        return "the key of --srvcert can't sign"

    def mac_of(self, message: PKIMessage) -> AnyMac | None:
        """The MAC parameters of a response, or None where it is signed.

        Raises:
            CheckError: it is not protected, or not in a way that is good here.
        """
        if message.protection is None or message.header.protectionAlg is None:
            raise CheckError(Reason.PROTECTION_MISSING, "the response is not protected")
        self._verdicts.passed(Reason.PROTECTION_MISSING)
        try:
            parameters = self._parameters(message)
        except RemoteCmpError as error:
            raise CheckError(Reason.PROTECTION_ALGORITHM, error.what, hint=error.hint) from error
        has_mac = parameters is not None
        if self._expects_mac not in (None, has_mac):
            raise CheckError(
                Reason.PROTECTION_KIND,
                f"the response {'has a MAC' if has_mac else 'is signed'}, and"
                f" --accept-protection is {self._profile.accept_protection}",
                hint="--accept-protection either takes both kinds",
            )
        if parameters is not None:
            self._check_shares(parameters)
        if has_mac and self._trust is None:
            raise CheckError(
                Reason.SIGNER_NOT_TRUSTED,
                "the response has a MAC, which names no root certificate to trust",
                hint="give the CA's certificate with --trusted",
            )
        if parameters is not None:
            if self._verdicts.witness is not None:
                self._verdicts.passed(Reason.PROTECTION_ALGORITHM, str(parameters))
            self._verdicts.judged(
                Reason.PROTECTION_WEAK,
                strength.of_mac(parameters),
                allow_weak=self._profile.allow_weak,
                what=strength.note_of_mac(parameters),
            )
        return parameters

    def _parameters(self, message: PKIMessage) -> AnyMac | None:
        return (
            protection.mac_parameters(message, max_iterations=self._profile.max_pbm_iterations)
            or kem_mac_parameters(message)
            or dh_mac_parameters(message)
        )

    def _check_shares(self, parameters: AnyMac) -> None:
        """
        Raises:
            CheckError: we share nothing with the CA that such a MAC is made of.
        """
        match parameters:
            case MacParameters() if self._secret is None:
                raise CheckError(
                    Reason.NO_SECRET,
                    "the response has a MAC, but we share no secret with the server",
                )
            case KemMacParameters() if self._ca_secret is None:
                raise CheckError(
                    Reason.NO_SECRET,
                    "the response has a KEM-based MAC, but we encapsulated nothing for the server",
                    hint="give the CA's certificate for its KEM key with --srvcert",
                )
            case DhMacParameters() if self._agreed is None:
                raise CheckError(
                    Reason.NO_SECRET,
                    "the response has a DHBasedMac, but the request had none",
                )

    def derivation(self, parameters: MacParameters) -> Derivation:
        """How the key of a response's password-based MAC is derived."""
        assert self._secret is not None, "checked by mac_of"
        return parameters.derivation(self._secret)

    def mac_key(self, parameters: KemMacParameters | DhMacParameters) -> bytes:
        """The key of a response's MAC that is not password-based."""
        if isinstance(parameters, DhMacParameters):
            assert self._agreed is not None, "checked by mac_of"
            return parameters.derive(self._agreed)
        assert self._ca_secret is not None, "checked by mac_of"
        return parameters.derive(self._ca_secret.shared_secret, self._transaction_id)

    @property
    def _expects_mac(self) -> bool | None:
        """Whether an answer must have a MAC; None where it may be signed as well."""
        match self._profile.accept_protection:
            case AcceptProtection.SAME:
                return self._asks_by_mac
            case AcceptProtection.EITHER:
                return None
            case kind:
                return kind is AcceptProtection.MAC

    def check_mac(self, message: PKIMessage, parameters: AnyMac, key: bytes) -> None:
        """
        Raises:
            CheckError: the MAC is wrong.
        """
        try:
            protection.check_mac(message, parameters, key)
        except RemoteCmpError as error:
            raise CheckError(Reason.MAC, error.what) from error
        match parameters:
            case MacParameters():
                what = "by the secret that we share"
            case KemMacParameters():
                self.ca_has_secret = True
                what = "by the secret that was encapsulated for --srvcert"
            case _:
                what = "by what our key and --srvcert agree on"
        self._verdicts.passed(Reason.MAC, what)

    def check_signature(self, message: PKIMessage, at: dt.datetime) -> None:
        """
        Args:
            at: the time of validation, aware.

        Raises:
            CheckError: the signature is wrong, or nobody that we trust stands behind it.
            RemoteCmpError: the body, in which a root was to come, can't be decoded.
        """
        trust = self._trust or self._first_trust(message, at)
        checks.signer(
            message,
            trust,
            at,
            ignore_keyusage=self._profile.ignore_keyusage,
            allow_weak=self._profile.allow_weak,
            witness=self._verdicts.witness,
        )
        self._trust = trust

    def _first_trust(self, message: PKIMessage, at: dt.datetime) -> Trust:
        """Trust in what the first ip brings; a refusal proves nothing and brings none."""
        if message.body_type is not BodyType.IP or outcomes.refusal_in(message) is not None:
            raise CheckError(
                Reason.SIGNER_NOT_TRUSTED,
                "no trust anchor is known yet, and only an ip that is no refusal brings one",
            )
        return checks.first_trust(
            message,
            at,
            ignore_keyusage=self._profile.ignore_keyusage,
            allow_weak=self._profile.allow_weak,
        )
