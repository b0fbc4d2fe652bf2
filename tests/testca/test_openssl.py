"""OpenSSL's own CMP client against the CA, served over HTTP: each recipe, as users type it."""

import datetime as dt
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from bulkcmp.inputs.name import parse_name
from bulkcmp.model import KeySpec, RevocationReason, Secret
from bulkcmp.testca import state
from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.recipes import recipes
from bulkcmp.testca.server import ServerSettings, serving
from bulkcmp.testca.store import CertificateStatus, IssuedCertificate, Registration, Store
from tests import openssl

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(openssl.missing() is not None, reason=str(openssl.missing())),
]

NAME = "/CN=dev1/O=My Organization/C=SE"
REGISTERED = "/CN=dev1/O=Acme/C=SE"


class Client:
    """`openssl cmp` in a folder of its own, and the CA that it talks to."""

    def __init__(self, folder: Path, ca: Path, url: str, store: Store) -> None:
        self.folder = folder
        self.ca = ca
        self.url = url
        self.store = store
        self.secret = store.alias_secret("ra-hmac")

    def cmp(
        self, cmd: str, alias: str, *options: str, ok: bool = True, anchor: str = "-srvcert"
    ) -> str:
        """What it says; `ok`: whether it must succeed."""
        trust = [anchor, str(self.ca / "ca.pem")] if anchor else []
        done = subprocess.run(
            [
                "openssl", "cmp", "-config", "", "-batch", "-keep_alive", "0", "-msg_timeout", "20",
                "-cmd", cmd, "-server", self.url.partition("://")[2],
                "-path", f"ejbca/publicweb/cmp/{alias}", *trust, *options,
            ],
            cwd=self.folder, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert (done.returncode == 0) is ok, said
        return said

    def ra(self) -> list[str]:
        assert self.secret is not None
        return ["-ref", "ra1", "-secret", f"pass:{self.secret.reveal().decode()}"]

    def key(self, name: str, *kind: str) -> str:
        options = kind or ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
        self.openssl("genpkey", *options, "-out", name)
        return name

    def openssl(self, *words: str) -> str:
        done = subprocess.run(
            ["openssl", *words], cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def check(self, name: str, key: str, subject: str) -> IssuedCertificate:
        """Verify an issued certificate against the root, its key and the CA's books."""
        self.openssl("verify", "-CAfile", str(self.ca / "ca.pem"), name)
        certified = self.openssl("x509", "-in", name, "-noout", "-pubkey")
        assert certified == self.openssl("pkey", "-in", key, "-pubout")
        serial = self.openssl("x509", "-in", name, "-noout", "-serial").strip().partition("=")[2]
        issued = self.store.certificate(int(serial, 16))
        assert issued is not None
        assert issued.subject == parse_name(subject)
        return issued


Start = Callable[..., Client]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts CAs in processes of their own."""
    with ExitStack() as stack:

        def start(
            behaviour: Behaviour | None = None,
            exceptions: dict[str, Behaviour] | None = None,
            spec: str = "ec:P-256",
        ) -> Client:
            folder = tmp_path / "client"
            folder.mkdir()
            ca = tmp_path / "ca"
            state.create(ca, KeySpec.parse(spec), dt.datetime.now(dt.UTC))
            settings = ServerSettings(
                ca,
                port=0,
                behaviour=behaviour or Behaviour(),
                exceptions=exceptions or {},
                url="http://ca.test",
            )
            process = stack.enter_context(serving(settings))
            store = state.open_books(ca)
            stack.callback(store.close)
            return Client(folder, ca, process.url, store)

        yield start


def register(client: Client, *users: str) -> None:
    client.store.register(
        Registration(user, "client-hmac", parse_name(f"/CN={user}/O=Acme/C=SE"), Secret(b"pw1"))
        for user in users
    )


def test_recipes_1_and_2(start: Start) -> None:
    client = start()
    # while the CA runs
    register(client, "dev1")
    key = client.key("k1.pem")
    by_secret = ["-ref", "dev1", "-secret", "pass:pw1", "-newkey", key, "-subject", NAME]
    said = client.cmp("ir", "client-hmac", *by_secret, "-certout", "c1.pem")
    assert "sending CERTCONF" in said
    # the registered subject, not the one asked for
    issued = client.check("c1.pem", key, REGISTERED)
    assert (issued.status, issued.user) == (CertificateStatus.CONFIRMED, "dev1")
    own = ["-cert", "c1.pem", "-key", key]
    client.cmp("ir", "client-cert", *own, "-newkey", key, "-certout", "c2.pem")
    assert client.check("c2.pem", key, REGISTERED).alias == "client-cert"
    other = client.key("k2.pem")
    client.cmp("cr", "client-cert", *own, "-newkey", other, "-certout", "c3.pem")
    client.check("c3.pem", other, REGISTERED)


@pytest.mark.parametrize(
    "kind",
    [
        ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
        ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
        ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
        ("-algorithm", "ED25519"),
    ],
    ids=["P-256", "P-384", "RSA", "Ed25519"],
)
def test_recipe_3_with_keys_of_each_type(start: Start, kind: tuple[str, ...]) -> None:
    client = start()
    key = client.key("k1.pem", *kind)
    # no trust anchor: the secret alone must do
    client.cmp(
        "ir", "ra-hmac", *client.ra(), "-newkey", key, "-subject", NAME, "-certout", "c1.pem",
        "-days", "30", "-sans", "dev1.example 10.0.0.1", anchor="",
    )  # fmt: skip
    assert client.check("c1.pem", key, NAME).status is CertificateStatus.CONFIRMED
    assert "DNS:dev1.example" in client.openssl("x509", "-in", "c1.pem", "-noout", "-text")
    registration = client.store.registration("dev1")
    assert registration is not None
    if "ED25519" in kind:
        return  # OpenSSL 3.0 certifies such keys, but can't protect messages with them
    # and with that certificate as a client
    client.cmp(
        "kur", "client-cert", "-cert", "c1.pem", "-key", key, "-newkey", client.key("k2.pem"),
        "-certout", "c2.pem", anchor="-trusted",
    )  # fmt: skip
    client.check("c2.pem", "k2.pem", NAME)


@pytest.mark.parametrize("spec", ["rsa:2048", "ec:P-384", "ed25519"])
def test_cas_with_keys_of_each_type(start: Start, spec: str) -> None:
    client = start(spec=spec)
    register(client, "dev1")
    key = client.key("k1.pem")
    by_secret = ["-ref", "dev1", "-secret", "pass:pw1", "-newkey", key, "-subject", NAME]
    client.cmp("ir", "client-hmac", *by_secret, "-certout", "c1.pem", anchor="-trusted")
    assert client.check("c1.pem", key, REGISTERED).status is CertificateStatus.CONFIRMED


def test_the_recipes_that_the_ca_prints(start: Start) -> None:
    client = start()
    ran = enrolled = 0
    for line in recipes(client.ca, client.store, client.url):
        words = shlex.split(line, comments=True)
        if words[:2] == ["bulkcmp", "ca"]:
            if words[2] == "add-end-entity":
                register(client, "dev1")
            else:
                assert words[2] == "vendor-cert"
                subject, certificate, key = words[words.index("--subject") + 1 :: 2]
                state.write_device(
                    client.ca,
                    parse_name(subject),
                    client.folder / certificate,
                    client.folder / key,
                    dt.datetime.now(dt.UTC),
                )
        elif words[:2] == ["bulkcmp", "enroll"]:
            subprocess.run(
                [sys.executable, "-m", "bulkcmp", *words[1:]],
                cwd=client.folder, capture_output=True, check=True, timeout=60,
            )  # fmt: skip
            enrolled += 1
        elif words[:1] == ["printf"]:
            subprocess.run(line, shell=True, cwd=client.folder, check=True)
        elif words:
            if words[1] == "cmp":
                words[2:2] = ["-config", "", "-batch", "-keep_alive", "0"]
            client.openssl(*words[1:])
            ran += words[1] == "cmp"
    assert (ran, enrolled) == (7, 2)
    counts = client.store.certificate_counts()
    assert (counts["confirmed"], counts["revoked"]) == (7, 1)


def test_an_ra_with_its_certificate_and_all_commands(start: Start) -> None:
    client = start()
    key = client.key("k1.pem")
    ra = ["-cert", str(client.ca / "ra.pem"), "-key", str(client.ca / "ra.key")]
    client.cmp(
        "cr", "ra-cert", *ra, "-newkey", key, "-subject", NAME, "-popo", "0", "-certout", "c1.pem"
    )
    assert client.check("c1.pem", key, NAME).alias == "ra-cert"
    csr_key = client.key("k2.pem")
    client.openssl(
        "req", "-new", "-key", csr_key, "-subj", NAME, "-out", "csr.pem", "-addext",
        "subjectAltName=DNS:dev1.example",
    )  # fmt: skip
    client.cmp("p10cr", "ra-cert", *ra, "-csr", "csr.pem", "-certout", "c2.pem")
    client.check("c2.pem", csr_key, NAME)
    assert "DNS:dev1.example" in client.openssl("x509", "-in", "c2.pem", "-noout", "-text")
    client.cmp("rr", "ra-cert", *ra, "-oldcert", "c1.pem", "-revreason", "1")
    revoked = client.check("c1.pem", key, NAME)
    assert revoked.status is CertificateStatus.REVOKED
    assert revoked.reason is RevocationReason.KEY_COMPROMISE
    said = client.cmp("rr", "ra-cert", *ra, "-oldcert", "c1.pem", ok=False)
    assert "certRevoked" in said


def test_possession_proven_by_decrypting_the_certificate(start: Start) -> None:
    """OpenSSL 3.0 speaks cmp2000, which has an EncryptedValue for it."""
    client = start()
    key = client.key("k1.pem", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    client.cmp(
        "ir", "ra-hmac", *client.ra(), "-newkey", key, "-subject", NAME, "-popo", "2",
        "-implicit_confirm", "-certout", "c1.pem",
    )  # fmt: skip
    assert client.check("c1.pem", key, NAME).status is CertificateStatus.CONFIRMED


def test_p10cr_answered_with_id_0(start: Start) -> None:
    client = start(Behaviour(p10cr_cert_req_id=0))
    key = client.key("k1.pem")
    client.openssl("req", "-new", "-key", key, "-subj", NAME, "-out", "csr.pem")
    client.cmp("p10cr", "ra-hmac", *client.ra(), "-csr", "csr.pem", "-certout", "c1.pem")
    assert client.check("c1.pem", key, NAME).status is CertificateStatus.CONFIRMED


def test_revocation_by_the_client_itself(start: Start) -> None:
    client = start()
    key = client.key("k1.pem")
    new = ["-newkey", key, "-subject", NAME]
    client.cmp("ir", "ra-hmac", *client.ra(), *new, "-certout", "c1.pem")
    own = ["-cert", "c1.pem", "-key", key]
    client.cmp("rr", "client-cert", *own, "-oldcert", "c1.pem")
    # and is no client any more
    said = client.cmp("ir", "client-cert", *own, "-newkey", key, "-certout", "c2.pem", ok=False)
    assert "certRevoked" in said


def test_implicit_confirmation(start: Start) -> None:
    client = start(exceptions={"ra-cert": Behaviour(implicit_confirm=False)})
    key = client.key("k1.pem")
    new = ["-newkey", key, "-subject", NAME, "-implicit_confirm"]
    said = client.cmp("ir", "ra-hmac", *client.ra(), *new, "-certout", "c1.pem")
    assert "CERTCONF" not in said
    assert client.check("c1.pem", key, NAME).status is CertificateStatus.CONFIRMED
    ra = ["-cert", str(client.ca / "ra.pem"), "-key", str(client.ca / "ra.key")]
    said = client.cmp("ir", "ra-cert", *ra, *new, "-certout", "c2.pem")
    assert "sending CERTCONF" in said


def test_a_client_that_never_confirms(start: Start) -> None:
    client = start()
    key = client.key("k1.pem")
    new = ["-newkey", key, "-subject", NAME, "-disable_confirm"]
    client.cmp("ir", "ra-hmac", *client.ra(), *new, "-certout", "c1.pem")
    assert client.check("c1.pem", key, NAME).status is CertificateStatus.PENDING


def test_polling(start: Start) -> None:
    client = start(Behaviour(poll_count=2, check_after=0))
    key = client.key("k1.pem")
    new = ["-newkey", key, "-subject", NAME]
    said = client.cmp("ir", "ra-hmac", *client.ra(), *new, "-certout", "c1.pem")
    assert said.count("sending POLLREQ") == 2
    assert said.count("received POLLREP") == 1
    assert client.check("c1.pem", key, NAME).status is CertificateStatus.CONFIRMED


def test_wrong_secrets(start: Start) -> None:
    client = start()
    register(client, "dev1")
    new = ["-newkey", client.key("k1.pem"), "-subject", NAME, "-certout", "c1.pem"]
    for alias, ref in (("client-hmac", "dev1"), ("ra-hmac", "ra1")):
        wrong = ["-ref", ref, "-secret", "pass:wrong"]
        said = client.cmp("ir", alias, *wrong, *new, ok=False)
        assert "badMessageCheck" in said
    unknown = ["-ref", "nobody", "-secret", "pass:pw1"]
    said = client.cmp("ir", "client-hmac", *unknown, *new, ok=False)
    assert "incorrectData" in said
    assert "Wrong username or password" in said
    assert client.store.certificate_counts()["pending confirmation"] == 0


def test_the_second_enrollment_of_a_one_shot_client(start: Start) -> None:
    client = start(exceptions={"client-hmac": Behaviour(one_shot=True)})
    register(client, "dev10")
    options = ["-ref", "dev10", "-secret", "pass:pw1", "-newkey", client.key("k1.pem")]
    options += ["-subject", "/CN=dev10", "-certout", "c1.pem"]
    client.cmp("ir", "client-hmac", *options)
    said = client.cmp("ir", "client-hmac", *options, ok=False)
    assert "Got request with status GENERATED (40)." in said
    assert "Status NEW, FAILED or INPROCESS required: dev10." in said


def test_errors_that_nobody_protects(start: Start) -> None:
    client = start(Behaviour(unprotected_errors=True, reject="systemUnavail"))
    new = ["-newkey", client.key("k1.pem"), "-subject", NAME, "-certout", "c1.pem"]
    said = client.cmp("ir", "ra-hmac", *client.ra(), *new, ok=False, anchor="")
    assert "missing protection" in said
    said = client.cmp(
        "ir", "ra-hmac", *client.ra(), *new, "-unprotected_errors", ok=False, anchor=""
    )
    assert "systemUnavail" in said


def test_a_certificate_that_the_client_rejects(start: Start, tmp_path: Path) -> None:
    client = start()
    foreign = tmp_path / "foreign"
    state.create(foreign, state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    new = ["-newkey", client.key("k1.pem"), "-subject", NAME, "-certout", "c1.pem"]
    client.cmp(
        "ir", "ra-hmac", *client.ra(), *new, "-out_trusted", str(foreign / "ca.pem"), ok=False
    )
    assert client.store.certificate_counts()["rejected"] == 1
    rejected: Iterable[IssuedCertificate] = (
        one for one in client.store.certificates() if not one.is_ra
    )
    assert [one.status for one in rejected] == [CertificateStatus.REJECTED]


def test_the_crl_tells_what_was_revoked(start: Start) -> None:
    client = start()
    client.key("k.pem")
    new = ["-newkey", "k.pem", "-subject", NAME]
    client.cmp("ir", "ra-hmac", *client.ra(), *new, "-certout", "good.pem")
    client.cmp("ir", "ra-hmac", *client.ra(), *new, "-certout", "bad.pem")
    client.cmp("rr", "ra-hmac", *client.ra(), "-oldcert", "bad.pem", "-revreason", "1")
    (client.folder / "ca.crl").write_bytes(httpx.get(f"{client.url}/ca.crl").content)
    client.openssl("crl", "-inform", "DER", "-in", "ca.crl", "-out", "crl.pem")
    anchor = str(client.ca / "ca.pem")
    client.openssl("crl", "-in", "crl.pem", "-CAfile", anchor, "-noout")
    check = ["openssl", "verify", "-crl_check", "-CAfile", anchor, "-CRLfile", "crl.pem"]
    for name, revoked in (("good.pem", False), ("bad.pem", True)):
        done = subprocess.run(
            [*check, name], cwd=client.folder, capture_output=True, text=True, check=False
        )
        assert ("certificate revoked" in done.stdout + done.stderr) is revoked
        assert (done.returncode == 0) is not revoked
        assert "http://ca.test/ca.crl" in client.openssl("x509", "-in", name, "-noout", "-text")


def test_openssl_keeps_to_the_lightweight_profile(start: Start) -> None:
    client = start(Behaviour(strict=True))
    client.key("k.pem")
    new = ["-newkey", "k.pem", "-subject", "/CN=ra1"]
    client.cmp("ir", "ra-hmac", *client.ra(), *new, "-certout", "c.pem")
    own = ["-cert", "c.pem", "-key", "k.pem"]
    client.key("k2.pem")
    client.cmp("kur", "client-cert", *own, "-newkey", "k2.pem", "-certout", "c2.pem")
    renewed = ["-cert", "c2.pem", "-key", "k2.pem"]
    client.cmp("rr", "client-cert", *renewed, "-oldcert", "c.pem", "-revreason", "4")


def test_openssl_asks_for_information(start: Start) -> None:
    client = start()
    for info_type in ("signKeyPairTypes", "caKeyUpdateInfo"):
        said = client.cmp("genm", "ra-hmac", *client.ra(), "-infotype", info_type)
        assert "genp" in said


since_3_5 = pytest.mark.skipif(
    openssl.missing() is None and not openssl.has("-centralkeygen"),
    reason="for OpenSSL 3.5: see .ci/openssl",
)


@since_3_5
def test_keys_that_the_ca_makes(start: Start) -> None:
    client = start(Behaviour(bare_keys=True, pwri_kek=True))

    def make(cmd: str, alias: str, credential: list[str], name: str) -> None:
        made = ["-newkeyout", f"{name}.key", "-certout", f"{name}.pem"]
        asked = [*credential, "-centralkeygen", "-subject", NAME, *made]
        client.cmp(cmd, alias, *asked, anchor="-trusted")
        client.check(f"{name}.pem", f"{name}.key", NAME)

    make("ir", "ra-hmac", client.ra(), "1")
    ra = ["-cert", str(client.ca / "ra.pem"), "-key", str(client.ca / "ra.key")]
    make("cr", "ra-cert", ra, "2")
    key = client.key("3.key", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    new = ["-newkey", key, "-subject", NAME, "-certout", "3.pem"]
    client.cmp("ir", "ra-hmac", *client.ra(), *new)
    make("cr", "client-cert", ["-cert", "3.pem", "-key", key], "4")


@since_3_5
def test_what_a_ca_is_asked_for(start: Start) -> None:
    client = start()
    key = client.key("k1.pem", "-algorithm", "ML-DSA-44")
    new = ["-newkey", key, "-subject", NAME, "-certout", "c1.pem"]
    client.cmp("ir", "ra-hmac", *client.ra(), *new)
    client.check("c1.pem", key, NAME)
    for words in (
        ["root-update"],
        ["cert-req-template", "--subject", "/CN=x", "--newkey", "ec:P-256"],
    ):
        subprocess.run(
            [sys.executable, "-m", "bulkcmp", "ca", *words, "--state", str(client.ca)],
            capture_output=True, check=True, timeout=60,
        )  # fmt: skip
    asked = {
        "caCerts": ["-cacertsout", "ca.pem"],
        "certReqTemplate": ["-template", "template.der", "-keyspec", "spec.der"],
        "rootCaCert": [
            "-oldwithold", str(client.ca / "ca.pem"), "-newwithnew", "new.pem",
            "-newwithold", "with-old.pem", "-oldwithnew", "old.pem",
        ],
        "crlStatusList": ["-crlcert", "c1.pem", "-crlout", "crl.pem"],
    }  # fmt: skip
    for kind, options in asked.items():
        client.cmp("genm", "ra-hmac", *client.ra(), "-infotype", kind, *options)
    root = (client.ca / "ca.pem").read_text()
    assert (client.folder / "ca.pem").read_text() == root
    assert (client.folder / "template.der").stat().st_size
    client.openssl("verify", "-CAfile", "new.pem", "old.pem")
    client.openssl("verify", "-CAfile", str(client.ca / "ca.pem"), "-partial_chain", "with-old.pem")
    said = client.openssl("crl", "-in", "crl.pem", "-CAfile", str(client.ca / "ca.pem"), "-noout")
    assert not said


@since_3_5
def test_answers_that_wait_as_a_whole(start: Start) -> None:
    client = start(Behaviour(poll_count=2, poll_whole=True, check_after=0))
    key = client.key("k1.pem")
    said = client.cmp(
        "ir", "ra-hmac", *client.ra(), "-newkey", key, "-subject", NAME, "-certout", "c1.pem"
    )
    assert said.count("sending POLLREQ") == 2
    client.check("c1.pem", key, NAME)
    client.cmp("rr", "ra-hmac", *client.ra(), "-oldcert", "c1.pem", "-revreason", "4")
    assert client.check("c1.pem", key, NAME).status is CertificateStatus.REVOKED
