"""CPU of one transaction, client and embedded CA, over what its cryptography alone costs.

    python benchmarks/transaction.py [--count 2000] [--iterations 500]

No network and no journal: the client's state machine talks to the embedded CA's authority in one
process, and CPU time is taken for each side. The floor does the same cryptography through the same
libraries in a bare loop: loading and using the key for the POPO, the MACs of two requests with one
derived key, the derivation and MAC of two responses with a fresh salt each, parsing the
certificate, comparing its key, checking its signature. Figures are microseconds of CPU; on a
shared machine only the ratios mean anything.
"""

import argparse
import datetime as dt
import hmac
import json
import os
import random
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from bulkcmp.cmp import algorithms, protection
from bulkcmp.cmp.events import (
    DeriveKey,
    Event,
    Finish,
    KeyDerived,
    Received,
    Send,
    Start,
    Store,
    Stored,
)
from bulkcmp.cmp.protection import Derivation, MacParameters
from bulkcmp.cmp.request import Applicant, MacCredential
from bulkcmp.cmp.transaction import Transaction
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.inputs.name import parse_name
from bulkcmp.io.keyworker import make_keys
from bulkcmp.model import EndEntity, KeyFamily, KeySpec, Operation, OutcomeClass, Profile, Secret
from bulkcmp.testca import state
from bulkcmp.testca.aliases import RA_HMAC
from bulkcmp.testca.authority import Authority

_cpu = time.process_time


@dataclass(frozen=True)
class Result:
    """CPU in microseconds per ir + certConf; ratios to the floor."""

    count: int
    iterations: int
    client_us: float
    ca_us: float
    floor_us: float
    client_to_floor: float
    ca_to_floor: float


class _Client:
    """Drives transactions against an authority, and keeps the CA's CPU apart from its own."""

    def __init__(self, authority: Authority, anchor: bytes, secret: Secret, iterations: int):
        store = TrustStore([anchor])
        self._trust = Trust(store, store)
        self._authority = authority
        parameters = MacParameters.choose(os.urandom(16), iterations=iterations)
        self._credential = MacCredential("ra1", secret, parameters)
        self._keys = {self._credential.derivation: protection.derive(self._credential.derivation)}
        self._profile = Profile()
        self.ca_cpu = 0.0

    def enroll(self, number: int, key: bytes) -> bytes:
        entity = EndEntity(
            number, number, str(number), Operation.IR, parse_name(f"/CN=dev{number}/O=Acme/C=SE")
        )
        transaction = Transaction(
            [Applicant(entity, key)],
            self._credential,
            self._profile,
            self._trust,
            transaction_id=os.urandom(16),
            nonces=iter(lambda: os.urandom(16), None),
            jitter=iter(random.random, None),
        )
        event: Event = Start(time.time())
        while True:
            (instruction,) = transaction.handle(event)
            match instruction:
                case DeriveKey(derivation):
                    derived = self._keys.get(derivation) or protection.derive(derivation)
                    event = KeyDerived(time.time(), derived)
                case Store():
                    event = Stored(time.time())
                case Send(message):
                    began = _cpu()
                    answer = self._authority.handle(RA_HMAC, message, dt.datetime.now(dt.UTC))
                    self.ca_cpu += _cpu() - began
                    event = Received(time.time(), answer, time.time())
                case Finish((outcome,), checkpoint):
                    if outcome.outcome is not OutcomeClass.ISSUED or checkpoint is None:
                        raise SystemExit(f"a transaction failed: {outcome}")
                    (part,) = checkpoint.parts
                    assert part.certificate is not None
                    return part.certificate
                case _:
                    raise SystemExit(f"unexpected {instruction}")


def _floor(keys: list[bytes], certificate: bytes, anchor: bytes, secret: Secret, n: int) -> float:
    """CPU seconds of the bare cryptography of all transactions."""
    issuer = x509.load_der_x509_certificate(anchor)
    own = os.urandom(32)
    body = os.urandom(700)
    began = _cpu()
    for pkcs8 in keys:
        key = algorithms.load_signing_key(pkcs8)
        algorithms.public_key_info(key)
        algorithms.sign(key, "sha256", body)
        for _ in range(2):
            hmac.digest(own, body, "sha256")
        for _ in range(2):
            derived = protection.derive(Derivation(secret, os.urandom(16), "sha256", n))
            hmac.digest(derived, body, "sha256")
        issued = x509.load_der_x509_certificate(certificate)
        algorithms.public_bytes(issued.public_key())
        issued.verify_directly_issued_by(issuer)
    return _cpu() - began


def measure(count: int, iterations: int) -> Result:
    """Run `count` transactions and their floor."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ca"
        state.create(path, state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
        with closing(state.open_books(path)) as books:
            root = state.load_identity(path)
            secret = books.alias_secret(RA_HMAC.name)
            assert secret is not None
            client = _Client(Authority(books, root), root.der, secret, iterations)
            keys = make_keys(KeySpec(KeyFamily.EC, "P-256"), count)
            began = _cpu()
            for number, key in enumerate(keys):
                certificate = client.enroll(number, key)
            total = _cpu() - began
            floor = _floor(keys, certificate, root.der, secret, iterations)
    own = total - client.ca_cpu
    each = 1e6 / count
    return Result(
        count,
        iterations,
        round(own * each, 1),
        round(client.ca_cpu * each, 1),
        round(floor * each, 1),
        round(own / floor, 2),
        round(client.ca_cpu / floor, 2),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--iterations", type=int, default=500, help="of the password-based MAC")
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.count, arguments.iterations).__dict__, indent=2))


if __name__ == "__main__":
    main()
