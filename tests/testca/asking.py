"""What bulkcmp's client asks for in a cell of the matrix."""

import itertools
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bulkcmp.cmp.algorithms import KemPublicKey, PrivateKey, SigningKey
from bulkcmp.cmp.general import SIGN_KEY_PAIR_TYPES
from bulkcmp.cmp.kemmac import CaSecret, KemMacParameters, ciphertext_info
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.cmp.request import (
    Applicant,
    Credential,
    DhCredential,
    KemCredential,
    MacCredential,
    SignatureCredential,
)
from bulkcmp.cmp.transaction import Transaction
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.inputs.name import parse_name
from bulkcmp.model import (
    EndEntity,
    Itav,
    KeySpec,
    Operation,
    PasswordMac,
    Popo,
    Profile,
    RsaPadding,
    Secret,
)
from bulkcmp.testca.identity import MacIdentity
from tests.testca.conftest import USER_SECRET, shared_new_key
from tests.testca.matrix import (
    BY_SERIAL,
    DH_KEYS,
    KEM_ANSWERS,
    KEM_KEYS,
    PSS,
    UNPROTECTED,
    Cell,
)

if TYPE_CHECKING:
    from tests.testca.conftest import Ca

SUBJECT: Final = parse_name("/CN=dev1/O=Acme/C=SE")
QUESTION: Final = Itav(SIGN_KEY_PAIR_TYPES)
"""What a genm asks for; `openssl cmp` 3.0 can ask it too."""


def pkcs8(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def csr(key: PrivateKey) -> bytes:
    """DER of a PKCS#10 request."""
    assert isinstance(key, SigningKey), "it is signed by its own key"
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name.from_bytes(SUBJECT))
    hashed = isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    return builder.sign(key, hashes.SHA256() if hashed else None).public_bytes(Encoding.DER)


def mac(kind: str, ref: str, secret: Secret) -> MacCredential:
    salt = secrets.token_bytes(16)
    return MacCredential(
        ref, secret, MacParameters.choose(salt, kind=PasswordMac(kind), iterations=100)
    )


def certified(ca: "Ca", protection: str) -> SignatureCredential | KemCredential | DhCredential:
    """The key of an end entity that the CA has certified."""
    if protection in DH_KEYS:
        return ca.agreement_credential(protection.removeprefix("dh "))
    if protection in KEM_KEYS:
        issued = ca.ra_hmac().enroll(spec=protection, implicit=True, prove=Popo.RA_VERIFIED)
        key = pkcs8(shared_new_key(protection))
        return KemCredential(key, (issued.der,), KemMacParameters.choose())
    holder = ca.client_cert(spec="rsa:2048" if protection == PSS else protection)
    assert holder.key is not None
    assert holder.cert is not None
    return SignatureCredential(pkcs8(holder.key), (holder.cert,))


def transaction(
    ca: "Ca",
    cell: Cell,
    credential: Credential,
    keys: Sequence[PrivateKey | None],
    old: Sequence[bytes] = (),
) -> Transaction:
    """A transaction of a cell, one request for each key.

    Args:
        keys: None where the CA makes it.
        old: the certificates to revoke.
    """
    by_serial = cell.operation == BY_SERIAL
    operation = Operation("rr" if by_serial else cell.operation)
    wanted = cell.key.removeprefix("central").strip()
    spec = KeySpec.parse(wanted) if wanted else None
    applicants = []
    for number, key in enumerate(keys):
        revoked = old[number] if operation is Operation.RR else None
        entity = EndEntity(
            number,
            number + 1,
            str(number),
            operation,
            subject=SUBJECT,
            cert=credential.chain
            if isinstance(credential, SignatureCredential | KemCredential | DhCredential)
            else (),
            new_key_spec=spec if key is None else None,
            central_keygen=key is None,
            csr=csr(key) if operation is Operation.P10CR and key is not None else None,
            popo=Popo(cell.popo),
            old_cert=None if by_serial else revoked,
            issuer=ca.root.name if by_serial else None,
            serial=x509.load_der_x509_certificate(revoked).serial_number
            if by_serial and revoked is not None
            else None,
            infos=(QUESTION,) if operation is Operation.GENM else (),
            reg_token=USER_SECRET if cell.protection == UNPROTECTED else None,
        )
        asks = operation.certifies and operation is not Operation.P10CR
        applicants.append(Applicant(entity, pkcs8(key) if asks and key is not None else None))
    profile = Profile(
        rsa_padding=RsaPadding.PSS if cell.protection == PSS else RsaPadding.PKCS1,
        implicit_confirm=cell.confirm.startswith("implicit"),
        disable_confirm=cell.confirm == "disabled",
        unprotected_requests=cell.protection == UNPROTECTED,
    )
    store = TrustStore([ca.root.der])
    identity = own_identity(ca, cell)
    return Transaction(
        applicants,
        credential,
        profile,
        Trust(store, store, None if identity is None else identity.der),
        transaction_id=secrets.token_bytes(16),
        nonces=iter(lambda: secrets.token_bytes(16), None),
        jitter=itertools.repeat(0.0),
        ca_secret=None if cell.answers != KEM_ANSWERS or identity is None else conveyed(identity),
    )


def own_identity(ca: "Ca", cell: Cell) -> MacIdentity | None:
    """The CA's key that `--srvcert` would name."""
    if cell.protection in DH_KEYS:
        return ca.mac_identity(cell.protection.removeprefix("dh "))
    return ca.mac_identity("ml-kem-768") if cell.answers == KEM_ANSWERS else None


def conveyed(identity: MacIdentity) -> CaSecret:
    """A new secret for the CA's KEM key."""
    public_key = identity.certificate.public_key()
    assert isinstance(public_key, KemPublicKey)
    shared_secret, ciphertext = public_key.encapsulate()
    return CaSecret(ciphertext_info(public_key, ciphertext), shared_secret)
