"""The matrix: what a transaction can be, and which of it a peer can't do.

`python -m tests.testca.matrix` prints it. A value is added to an axis in AXES; where it does not
go with values of other axes, by a rule in IMPOSSIBLE, and where a peer lacks it, by one in that
peer's rules.
"""

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from bulkcmp.model import KeySpec, PasswordMac, Popo

MACS: Final = tuple(mac.value for mac in PasswordMac)
PSS: Final = "rsa-pss"
UNPROTECTED: Final = "none"
KEYS: Final = (
    "rsa:2048", "ec:P-256", "ec:P-384", "ec:P-521", "ed25519", "ed448", "ml-dsa-44", "ml-dsa-65",
    "ml-dsa-87",
)  # fmt: skip
KEM_KEYS: Final = ("ml-kem-768", "ml-kem-1024")
DH_KEYS: Final = ("dh ec:P-256", "dh ec:P-384", "dh ec:P-521", "dh x25519", "dh x448")
KEM_ANSWERS: Final = "by the CA's ml-kem-768"
CENTRAL: Final = ("central", "central rsa:2048")
"""The CA makes the key, of whatever type it likes, or of that one."""
BY_SERIAL: Final = "rr by serial"
REVOCATIONS: Final = ("rr", BY_SERIAL)
QUESTION: Final = "genm"
NOT_GRANTED: Final = "implicit, not granted"


class Cell(NamedTuple):
    """One kind of transaction.

    Attributes:
        operation: as `--cmd` has it; rr names the certificate by itself, or by its serial number.
        protection: a MAC, a type of key that signs or has a KEM-based MAC, or that agrees with the
            CA's on a DHBasedMac, or none.
        confirm: implicit confirmation may be asked for and not granted.
        key: the type of the key to certify; or the CA makes it.
        requests: in a message.
        layers: what RAs put around the message.
        popo: how possession of the key to certify is proven.
        answers: what protects them: what goes with the request, or what was encapsulated for the
            CA.
    """

    operation: str
    protection: str
    confirm: str
    key: str
    requests: int
    layers: str
    popo: str
    answers: str

    def __str__(self) -> str:
        return "-".join(map(str, self))

    @property
    def certifies(self) -> bool:
        return self.operation not in (*REVOCATIONS, QUESTION)

    @property
    def confirms(self) -> bool:
        """Whether a certConf is sent: always where it is the proof, unless none is to be sent."""
        implicit = self.confirm == "implicit" and not Popo(self.popo).is_indirect
        return self.certifies and not implicit and self.confirm != "disabled"


AXES: Final[Mapping[str, Sequence[object]]] = {
    "operation": ("ir", "cr", "kur", "p10cr", *REVOCATIONS, QUESTION),
    "protection": (*MACS, PSS, *KEYS, *KEM_KEYS, *DH_KEYS, UNPROTECTED),
    "confirm": ("explicit", "implicit", NOT_GRANTED, "disabled"),
    "key": (*KEYS, *KEM_KEYS, *CENTRAL),
    "requests": (1, 3),
    "layers": ("no layer", "a signature", "a MAC", "a MAC and a signature"),
    "popo": tuple(popo.value for popo in Popo if popo is not Popo.NONE),
    "answers": ("as requests", KEM_ANSWERS),
}
"""The values of each field of a cell, in their order."""

Rules = dict[str, Callable[[Cell], bool]]
"""Which cells are left out, by the reason."""

IMPOSSIBLE: Final[Rules] = {
    "a kur is signed with the certificate that it updates": lambda cell: (
        cell.operation == "kur" and cell.protection in (*MACS, UNPROTECTED)
    ),
    "the body of a p10cr is one PKCS#10 request": lambda cell: (
        cell.operation == "p10cr" and cell.requests > 1
    ),
    "where nothing protects requests, a regToken does, which only ir and cr have": lambda cell: (
        cell.protection == UNPROTECTED and cell.operation not in ("ir", "cr")
    ),
    "the genp is one answer for the whole message": lambda cell: (
        cell.operation == QUESTION and cell.requests > 1
    ),
    "a rr or genm certifies, confirms and proves nothing": lambda cell: (
        not cell.certifies
        and (cell.confirm, cell.key, cell.popo) != ("explicit", "ec:P-256", Popo.SIGNATURE)
    ),
    "a PKCS#10 request has a key": lambda cell: cell.operation == "p10cr" and cell.key in CENTRAL,
    "for EdDSA, ML-DSA, X25519, X448 and a regToken nothing can be encrypted": lambda cell: (
        cell.key in CENTRAL and not cell.protection.startswith((*MACS, "rsa", "ec:", "dh ec:"))
    ),
    "the one certificate of the CA is for Diffie-Hellman or for a KEM": lambda cell: (
        cell.protection in DH_KEYS and cell.answers == KEM_ANSWERS
    ),
    "nobody proves to have a key that the CA is to make": lambda cell: (
        cell.key in CENTRAL and cell.popo != Popo.SIGNATURE
    ),
    "the key of a p10cr signs it": lambda cell: (
        cell.operation == "p10cr" and cell.popo != Popo.SIGNATURE
    ),
    "the key has no such proof": lambda cell: (
        cell.key not in CENTRAL and not KeySpec.parse(cell.key).family.proves_by(Popo(cell.popo))
    ),
    "raVerified is for RAs to say, which have a MAC here": lambda cell: (
        cell.popo == Popo.RA_VERIFIED and cell.protection not in MACS
    ),
}

_OPENSSL: Final[Rules] = {
    "OpenSSL 3.0 has no PBMAC1": lambda cell: cell.protection == PasswordMac.PBMAC1,
    "OpenSSL 3.0 has no ML-DSA": lambda cell: (
        cell.protection.startswith("ml-dsa") or cell.key.startswith("ml-dsa")
    ),
    "OpenSSL 3.0 has no ML-KEM": lambda cell: bool({cell.key, cell.protection} & {*KEM_KEYS}),
    "OpenSSL 3.0 has no DHBasedMac": lambda cell: cell.protection in DH_KEYS,
    "OpenSSL 3.0 has no KEM-based MAC": lambda cell: cell.answers == KEM_ANSWERS,
    "OpenSSL 3.0 has no proof by key agreement": lambda cell: cell.popo == Popo.KEY_AGREEMENT,
    "OpenSSL 3.0 has no central key generation": lambda cell: cell.key in CENTRAL,
    "OpenSSL 3.0 has no nested messages": lambda cell: cell.layers != "no layer",
    "OpenSSL 3.0 has one request in a message": lambda cell: cell.requests > 1,
}

OPENSSL_CLIENT: Final[Rules] = _OPENSSL | {
    "OpenSSL 3.0 signs messages by ECDSA and RSA PKCS#1 only": lambda cell: (
        cell.protection in (PSS, "ed25519", "ed448")
    ),
    "OpenSSL 3.0 sends no regToken": lambda cell: cell.protection == UNPROTECTED,
    "OpenSSL 3.0 names what to revoke by a certificate only": lambda cell: (
        cell.operation == BY_SERIAL
    ),
}
"""What `openssl cmp` can't ask for."""

OPENSSL_SERVER: Final[Rules] = _OPENSSL | {
    "OpenSSL's mock server returns the certificate to update, with its key": lambda cell: (
        cell.operation == "kur" and cell.key != cell.protection
    ),
    "OpenSSL's mock server encrypts no certificate": lambda cell: Popo(cell.popo).is_indirect,
}
"""What OpenSSL's mock server can't answer."""


def product() -> Iterator[Cell]:
    return map(Cell._make, itertools.product(*AXES.values()))


def possible() -> list[Cell]:
    """Every transaction that there is."""
    return [cell for cell in product() if reason(cell, IMPOSSIBLE) is None]


def reason(cell: Cell, rules: Rules) -> str | None:
    """Why a cell is left out; None where it is not."""
    return next((why for why, applies in rules.items() if applies(cell)), None)


def cells(rules: Rules | None = None) -> list[Cell]:
    """The cells to try with a peer, which lacks what the rules say.

    They have every pair of values that can occur; with BULKCMP_SCALE=full, they are `whole`.
    """
    every = [cell for cell in possible() if reason(cell, rules or {}) is None]
    return whole(every) if os.environ.get("BULKCMP_SCALE") == "full" else pairwise(every)


def whole(every: list[Cell]) -> list[Cell]:
    """All of the cells whose answers are protected as requests are, and each pair of the others:
    a MAC with the CA's own key is the same whatever is certified, and doubles the time."""
    others = [cell for cell in every if cell.answers == KEM_ANSWERS]
    return [cell for cell in every if cell.answers != KEM_ANSWERS] + pairwise(others)


def pairwise(every: list[Cell]) -> list[Cell]:
    """Some of the cells, which have every pair of values that all of them have."""
    # allpairspy 2.5 leaves out many pairs, since many whole cells make no sense
    numbers: dict[tuple[tuple[int, object], ...], int] = {}
    pairs = []
    for cell in every:
        bits = 0
        for pair in itertools.combinations(enumerate(cell), 2):
            bits |= 1 << numbers.setdefault(pair, len(numbers))
        pairs.append(bits)
    left = (1 << len(numbers)) - 1
    chosen = []
    while left:
        best = max(range(len(every)), key=lambda place: (pairs[place] & left).bit_count())
        chosen.append(every[best])
        left &= ~pairs[best]
    return chosen


def _print() -> None:
    for axis, values in AXES.items():
        print(f"{axis}: {', '.join(map(str, values))}")
    _print_cells("the embedded CA and bulkcmp's client", product(), IMPOSSIBLE)
    _print_cells("OpenSSL's client", possible(), OPENSSL_CLIENT)
    _print_cells("OpenSSL's mock server", possible(), OPENSSL_SERVER)


def _print_cells(peers: str, every: Iterable[Cell], rules: Rules) -> None:
    left_out: Counter[str] = Counter()
    tried = []
    for cell in every:
        why = reason(cell, rules)
        if why is None:
            tried.append(cell)
        else:
            left_out[why] += 1
    full, small = len(whole(tried)), len(pairwise(tried))
    print(f"\n{peers}: {len(tried)} cells, {full} of them at full size, {small} in CI; left out:")
    for why, count in left_out.most_common():
        print(f"{count:>7}  {why}")


if __name__ == "__main__":
    _print()
