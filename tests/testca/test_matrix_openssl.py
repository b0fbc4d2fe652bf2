"""The cells of the matrix that OpenSSL can do: its client and the embedded CA, our client and its
mock server."""

import datetime as dt
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bulkcmp.cmp import algorithms, general
from bulkcmp.cmp.algorithms import SigningKey
from bulkcmp.cmp.request import Credential, NoCredential
from bulkcmp.model import OutcomeClass, Popo, Secret
from bulkcmp.testca.aliases import ALIASES, Behaviour, paths
from bulkcmp.testca.server import ServerSettings, serving
from bulkcmp.testca.state import Folder
from bulkcmp.testca.store import CertificateStatus
from tests import openssl
from tests.testca import asking, matrix
from tests.testca.conftest import Ca, converse, shared_key
from tests.testca.matrix import Cell

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(openssl.missing() is not None, reason=str(openssl.missing())),
]

SUBJECT = "/CN=dev1/O=Acme/C=SE"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, Ca]]:
    """CAs in processes of their own, by whether they grant implicit confirmation."""
    with ExitStack() as stack:
        made = {}
        for grants in (True, False):
            folder = tmp_path_factory.mktemp("matrix") / "ca"
            ca = made[grants] = Ca(folder, now=dt.datetime.now(dt.UTC))
            stack.callback(ca.close)
            behaviour = Behaviour(implicit_confirm=grants)
            settings = ServerSettings(folder, port=0, behaviour=behaviour)
            ca.url = stack.enter_context(serving(settings)).url
        yield made


def write_key(path: Path, key: SigningKey) -> str:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path.name


def write_certificate(path: Path, der: bytes) -> str:
    path.write_bytes(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))
    return path.name


@pytest.mark.parametrize("cell", matrix.cells(matrix.OPENSSL_CLIENT), ids=str)
def test_openssl_and_the_embedded_ca_agree(
    served: dict[bool, Ca], tmp_path: Path, cell: Cell
) -> None:
    ca = served[cell.confirm != matrix.NOT_GRANTED]
    ca.now = dt.datetime.now(dt.UTC)
    assert ca.url is not None
    key = shared_key(cell.key)
    words = ["-cmd", cell.operation]
    if cell.protection in matrix.MACS:
        alias = "ra-hmac"
        secret = ca.ra_secret().reveal().decode()
        words += ["-ref", "ra1", "-secret", f"pass:{secret}"]
    else:
        alias = "client-cert"
        holder = ca.client_cert(spec=cell.protection)
        assert holder.key is not None
        assert holder.cert is not None
        words += ["-cert", write_certificate(tmp_path / "own.pem", holder.cert)]
        words += ["-key", write_key(tmp_path / "own.key", holder.key)]
    old = b""
    if cell.operation == "p10cr":
        (tmp_path / "csr.der").write_bytes(asking.csr(key))
        words += ["-csr", "csr.der"]
    elif cell.certifies:
        words += ["-newkey", write_key(tmp_path / "new.key", key), "-subject", SUBJECT]
        words += ["-popo", {"raVerified": "0", "signature": "1", "keyEncipherment": "2"}[cell.popo]]
    elif cell.operation == matrix.QUESTION:
        words += ["-infotype", general.name_of(asking.QUESTION.oid)]
    else:
        old = ca.certify(cell.key)
        words += ["-oldcert", write_certificate(tmp_path / "old.pem", old), "-revreason", "4"]
    if cell.certifies:
        words += ["-certout", "new.pem"]
    if cell.confirm.startswith("implicit"):
        words += ["-implicit_confirm"]
    elif cell.confirm == "disabled":
        words += ["-disable_confirm"]
    known = {one.serial for one in ca.store.certificates()}
    done = subprocess.run(
        [
            "openssl", "cmp", "-config", "", "-batch", "-keep_alive", "0", "-msg_timeout", "60",
            "-server", ca.url.partition("://")[2], "-path", paths(ALIASES[alias])[0],
            "-trusted", str(Folder(ca.folder).ca_certificate), *words,
        ],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    if cell.operation == matrix.QUESTION:
        assert "received GENP" in said
        return
    if not cell.certifies:
        issued = ca.store.certificate(x509.load_der_x509_certificate(old).serial_number)
        assert issued is not None
        assert issued.status is CertificateStatus.REVOKED
        return
    assert ("sending CERTCONF" in said) is cell.confirms
    (issued,) = (one for one in ca.store.certificates() if one.serial not in known)
    pending = cell.confirm == "disabled"
    assert issued.status is (CertificateStatus.PENDING if pending else CertificateStatus.CONFIRMED)
    certificate = x509.load_pem_x509_certificate((tmp_path / "new.pem").read_bytes())
    assert certificate.public_bytes(Encoding.DER) == issued.der
    assert algorithms.public_bytes(certificate.public_key()) == algorithms.public_key_info(key)


@pytest.mark.parametrize("cell", matrix.cells(matrix.OPENSSL_SERVER), ids=str)
def test_our_client_and_openssl_agree(tmp_path: Path, cell: Cell) -> None:
    ca = Ca(tmp_path / "ca", now=dt.datetime.now(dt.UTC))
    credential: Credential
    options: list[object] = []
    own = b""
    if cell.protection == matrix.UNPROTECTED:
        credential = NoCredential(sender=asking.SUBJECT)
        options += ["-accept_unprotected"]
    elif cell.protection in matrix.MACS:
        credential = asking.mac(cell.protection, "ref", Secret(b"pw"))
        options += ["-srv_ref", "ref", "-srv_secret", "pass:pw"]
    else:
        credential = asking.certified(ca, cell.protection)
        own = credential.chain[0]
        options += ["-srv_trusted", Folder(ca.folder).ca_certificate]
    kept = own if cell.operation == "kur" else ca.certify(cell.key)
    if cell.popo == Popo.RA_VERIFIED:
        options += ["-accept_raverified"]
    if cell.confirm == "implicit":
        options += ["-grant_implicitconf"]
    options += ["-srv_cert", Folder(ca.folder).ca_certificate, "-srv_key", Folder(ca.folder).ca_key]
    options += ["-rsp_cert", write_certificate(tmp_path / "kept.pem", kept)]
    transaction = asking.transaction(ca, cell, credential, [shared_key(cell.key)], [kept])
    with openssl.mock_server(tmp_path, *options) as url:
        # a transaction ends with its connection
        server = HTTPConnection(urlsplit(url).netloc, timeout=60)

        def post(message: bytes) -> bytes:
            headers = {"Content-Type": "application/pkixcmp", "Connection": "keep-alive"}
            server.request("POST", "/", message, headers)
            return server.getresponse().read()

        finish = converse(transaction, ca.now, post)
        server.close()
    ca.close()
    (outcome,) = finish.outcomes
    expected = OutcomeClass.ISSUED if cell.certifies else OutcomeClass.REVOKED
    if cell.operation == matrix.QUESTION:
        expected = OutcomeClass.ANSWERED
    assert outcome.outcome is expected, f"{outcome}\n{(tmp_path / 'server.log').read_text()}"
    assert (finish.timings.confirm is not None) is cell.confirms
    assert finish.checkpoint is not None
    (part,) = finish.checkpoint.parts
    assert part.certificate == (kept if cell.certifies else None)
    # the mock server repeats a question, as if there were no answer
    assert part.infos == ((asking.QUESTION,) if cell.operation == matrix.QUESTION else ())
