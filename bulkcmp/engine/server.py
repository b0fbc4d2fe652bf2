"""The CMP server of a run, as a worker has it: how to reach it, what protects messages to it, and
whom to believe."""

import os
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
from cryptography.hazmat.primitives.serialization import load_der_public_key

from bulkcmp.cmp.algorithms import KemPublicKey, OpaqueKey
from bulkcmp.cmp.dhmac import DhMacParameters
from bulkcmp.cmp.events import Checkpoint, Finish, Lost
from bulkcmp.cmp.kemmac import CaSecret, KemMacParameters, ciphertext_info
from bulkcmp.cmp.messages import NULL_DN
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.cmp.request import (
    Applicant,
    Credential,
    DhCredential,
    KemCredential,
    MacCredential,
    NoCredential,
    SignatureCredential,
    is_agreement_certificate,
    is_kem_certificate,
)
from bulkcmp.cmp.transaction import Transaction
from bulkcmp.cmp.trust import Trust, TrustStore, load_certificate
from bulkcmp.engine.deriver import Deriver
from bulkcmp.engine.driver import Observer, Surroundings, drive, unseen
from bulkcmp.engine.frame import Member, Setup
from bulkcmp.engine.gate import Gate
from bulkcmp.engine.nesting import NestingClient
from bulkcmp.errors import LocalCmpError
from bulkcmp.inputs.token import TokenCredential
from bulkcmp.io.clock import Clock
from bulkcmp.io.http import CmpHttpClient
from bulkcmp.io.pacer import Pacer, SharedPacer
from bulkcmp.io.tls import tls_context
from bulkcmp.io.transport import Transport
from bulkcmp.load.pace import Pace
from bulkcmp.model import EndEntity, Operation, TokenKey
from bulkcmp.token.access import open_tokens

if TYPE_CHECKING:
    from bulkcmp.token.tokens import Tokens

_FAREWELL: Final = 1.0
"""Seconds that servers have to agree to the end of their TLS connections."""


def connect(setup: Setup) -> CmpHttpClient:
    """The HTTP client of a worker.

    Raises:
        InputError: the URL, the proxy or a TLS file can't be used.
    """
    tls = None
    if setup.tls is not None:
        files = setup.tls
        tls = tls_context(
            trusted=[Path(path) for path in files.trusted],
            certificate=None if files.certificate is None else Path(files.certificate),
            key=None if files.key is None else Path(files.key),
            key_password=files.key_password,
            insecure=files.insecure,
        )
    transport = Transport(
        setup.limits,
        tls=tls,
        proxy=setup.proxy,
        retry_reused=setup.profile.retry_reused,
    )
    return CmpHttpClient(setup.url, transport)


def pacer(setup: Setup) -> Pacer | None:
    """What holds new transactions to the run's rate, shared with the other workers."""
    return SharedPacer(Pace(setup.rate), Path(setup.pace_file)) if setup.rate else None


@asynccontextmanager
async def pace_file(setup: Setup) -> AsyncIterator[Setup]:
    """The setup, with a file for the workers' common rate where there is a ceiling."""
    if not setup.rate:
        yield setup
        return
    with tempfile.TemporaryDirectory(prefix="bulkcmp-") as folder:
        yield replace(setup, pace_file=str(Path(folder) / "pace"))


@asynccontextmanager
async def opened(client: CmpHttpClient) -> AsyncIterator[CmpHttpClient]:
    """A client while it is used; servers have a second to agree to the end of connections."""
    with anyio.CancelScope() as leaving:
        async with client:
            try:
                yield client
            finally:
                leaving.deadline = anyio.current_time() + _FAREWELL


class Server:
    """Carries out transactions with the server of a run.

    Args:
        client: open.
        clock: of all times.
        stopping: set when the run stops.
        pacer: holds new transactions back; None where there is no ceiling.
        gate: closed while none may begin; None where there is none.
    """

    def __init__(
        self,
        setup: Setup,
        client: CmpHttpClient,
        clock: Clock,
        stopping: anyio.Event,
        pacer: Pacer | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._setup = setup
        self._trust = trust_of(setup)
        self._clock = clock
        self._kem_key = _kem_key(setup.srvcert)
        self._mac_parameters = MacParameters.of(setup.profile, setup.pbm_salt)
        self._tokens: Tokens | None = None
        # a token lets one thread in
        self._token_thread = anyio.CapacityLimiter(1)
        derive = Deriver()
        self._around = Surroundings(
            self._nesting(client, derive) if setup.layers else client,
            clock,
            pacer,
            derive,
            stopping,
            gate or Gate(),
        )

    def _nesting(self, client: CmpHttpClient, derive: Deriver) -> NestingClient:
        setup = self._setup
        assert self._trust is not None, "nested messages go with anchors that are given"
        on_token = any(isinstance(layer, TokenCredential) for layer in setup.layers)
        return NestingClient(
            client,
            [self._opened(layer) for layer in setup.layers],
            setup.profile,
            self._trust,
            self._clock,
            derive,
            nonces(),
            # more are never in flight
            size=min(setup.batch, setup.concurrency),
            wait=setup.batch_wait,
            aside=self._token_thread if on_token else None,
        )

    def _opened(self, layer: Credential | TokenCredential) -> Credential:
        if not isinstance(layer, TokenCredential):
            return layer
        return SignatureCredential(self._on_token(layer.key, layer.chain[0]), layer.chain)

    def believe(self, anchor: bytes) -> None:
        """Trust a root certificate (DER), and nothing else, from now on."""
        self._setup = replace(self._setup, anchors=(anchor,))
        self._trust = trust_of(self._setup)

    async def transact(
        self,
        applicants: Sequence[Applicant],
        credential: Credential,
        store: Callable[[Checkpoint], Awaitable[None]],
        *,
        transaction_id: bytes,
        checkpoint: Checkpoint | None = None,
        first: bool = False,
        probe: bool = False,
        observer: Observer | None = None,
        on_setback: Callable[[Lost], None] = unseen,
    ) -> Finish:
        """Carry out one transaction.

        Args:
            applicants: of the rows (see `applicants`); with a checkpoint, those of its parts.
            credential: of all of them (see `credential`).
            store, first, probe, on_setback: as of `drive`.
            transaction_id: 16 octets; that of the checkpoint where there is one.
            observer: looks on.

        Raises:
            StoppedError, UnreachableError: as `drive`.
        """
        transaction = Transaction(
            applicants,
            credential,
            self._setup.profile,
            self._trust,
            transaction_id=transaction_id,
            nonces=nonces(),
            jitter=jitter(),
            checkpoint=checkpoint,
            witness=None if observer is None else observer.judged,
            ca_secret=self._ca_secret(),
        )
        return await drive(
            transaction,
            store,
            self._around,
            observer=observer,
            on_setback=on_setback,
            first=first,
            probe=probe,
            aside=self._aside(credential, applicants),
        )

    def _ca_secret(self) -> CaSecret | None:
        """A new secret for the CA's KEM key; None where it has none."""
        if self._kem_key is None:
            return None
        shared_secret, ciphertext = self._kem_key.encapsulate()
        return CaSecret(ciphertext_info(self._kem_key, ciphertext), shared_secret)

    def credential(self, entities: Sequence[EndEntity]) -> Credential:
        """What protects the messages of end entities, all of which have the same.

        It is the secret, else the certificate, as `openssl cmp` prefers; kur wants the certificate.
        What the certificate's key can do decides what protects by it.

        Raises:
            LocalCmpError: they have neither, or the CA's certificate is missing for a DHBasedMac,
                or can't be used for it.
        """
        entity, profile = entities[0], self._setup.profile
        if profile.unprotected_requests:
            # as openssl cmp: the subject of our certificate, else the one that is asked for
            subjects = {one.subject for one in entities}
            sender = entity.subject if len(subjects) == 1 else None
            certificate = entity.cert[0] if entity.cert else None
            return NoCredential(certificate, sender or NULL_DN, entity.ref, entity.secret)
        certified = entity.key is not None and bool(entity.cert)
        signs = certified and (entity.cmd is Operation.KUR or profile.sign_requests)
        if entity.secret is not None and not signs:
            # a server that knows the end entity finds it by the reference
            return MacCredential(entity.ref or entity.id, entity.secret, self._mac_parameters)
        key = entity.key
        if key is None or not entity.cert:
            raise LocalCmpError("no credential: neither a secret nor a certificate with its key")
        if isinstance(key, TokenKey):
            signer = self._on_token(key, entity.cert[0])
            return SignatureCredential(signer, entity.cert, entity.secret)
        if is_kem_certificate(entity.cert[0]):
            parameters = KemMacParameters.choose(profile.mac)
            return KemCredential(key, entity.cert, parameters, entity.secret)
        if is_agreement_certificate(entity.cert[0]) and not profile.sign_requests:
            return self._agreed(key, entity)
        return SignatureCredential(key, entity.cert, entity.secret)

    def _agreed(self, key: bytes, entity: EndEntity) -> DhCredential:
        ca, profile = self._setup.srvcert, self._setup.profile
        if ca is None:
            raise LocalCmpError(
                "the certificate is for key agreement, and nothing is known to agree with",
                hint="give the CA's certificate for key agreement with --srvcert",
            )
        return DhCredential.with_ca(
            key,
            entity.cert,
            ca,
            DhMacParameters.choose(profile.digest, profile.mac),
            entity.secret,
            ignore_keyusage=profile.ignore_keyusage,
        )

    def applicants(self, members: Sequence[Member]) -> list[Applicant]:
        """Rows with their keys to certify, as the core wants them.

        Raises:
            LocalCmpError: a key is on a token that can't be used.
        """
        return [
            Applicant(member.entity, self._certifiable(member.key), member.repeats)
            for member in members
        ]

    def _certifiable(self, key: bytes | TokenKey | None) -> bytes | OpaqueKey | None:
        if not isinstance(key, TokenKey):
            return key
        return self._opened_tokens().signer(key, load_der_public_key(key.public_key))

    def _aside(
        self, credential: Credential, applicants: Sequence[Applicant]
    ) -> anyio.CapacityLimiter | None:
        keys = [applicant.key for applicant in applicants]
        if isinstance(credential, SignatureCredential):
            keys.append(credential.key)
        return self._token_thread if any(isinstance(key, OpaqueKey) for key in keys) else None

    def _on_token(self, key: TokenKey, certificate: bytes) -> OpaqueKey:
        """A key on a token; the session is opened when it first signs."""
        return self._opened_tokens().signer(key, load_certificate(certificate).public_key())

    def _opened_tokens(self) -> "Tokens":
        if self._tokens is None:
            self._tokens = open_tokens()
        return self._tokens


def _kem_key(srvcert: bytes | None) -> KemPublicKey | None:
    """The CA's KEM key, if its certificate is for one."""
    key = None if srvcert is None else load_certificate(srvcert).public_key()
    return key if isinstance(key, KemPublicKey) else None


def nonces() -> Iterator[bytes]:
    return iter(lambda: os.urandom(16), None)


def jitter() -> Iterator[float]:
    return iter(random.random, None)


def trust_of(setup: Setup) -> Trust | None:
    """Whom a run believes; None where that is only known once the first ip is there."""
    if not setup.anchors:
        return None
    signers = issuers = TrustStore(setup.anchors, setup.untrusted, setup.crl_check)
    if setup.out_trusted:
        issuers = TrustStore(setup.out_trusted, setup.untrusted, setup.crl_check)
    return Trust(signers, issuers, setup.srvcert)
