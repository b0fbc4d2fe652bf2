"""Every operation, at each of the CA's aliases, as sites use them."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs12
from cryptography.x509.oid import NameOID

from bulkcmp.testca import state
from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.store import CertificateStatus
from tests.e2e.conftest import PASSPHRASE, RA_SECRET

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, MakeCa, RunFolder, Tools, WritePopulation


def alias(ca: "Ca", name: str) -> tuple[str, ...]:
    """How to reach an alias; the credentials are the rows' own."""
    return ("--server", ca.url(name), "--trusted", str(ca.anchor), "--key-pass", "env:KEY_PASS")


def certificate_of(run: "RunFolder", row: dict[str, str]) -> x509.Certificate:
    return x509.load_pem_x509_certificate((run.path / row["cert_file"]).read_bytes())


def holders(held: "RunFolder", cmd: str) -> list[str]:
    """A population of those who got a certificate in a run."""
    folder = held.path.name
    rows = [
        f"{row['id']},{cmd},{folder}/{row['cert_file']},{folder}/{row['key_file']},env:KEY_PASS"
        for row in held.results()
    ]
    return ["id,cmd,cert,key,keypass", *rows]


def test_rows_that_bring_a_csr(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder", tmp_path: Path
) -> None:
    keys = {}
    (tmp_path / "csr").mkdir()
    for name in ("one", "two"):
        keys[name] = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        csr = x509.CertificateSigningRequestBuilder().subject_name(subject)
        content = csr.sign(keys[name], SHA256()).public_bytes(Encoding.PEM)
        (tmp_path / "csr" / f"{name}.pem").write_bytes(content)
    population = write_population(lines=["id,csr", "one,csr/one.pem", "two,csr/two.pem"])
    # a run that makes no keys needs no passphrase
    cli("enroll", population, *ca.options(has_pass=False), "--out", run.path)
    assert run.outcomes() == {("issued", "")}
    for row in run.results():
        assert (row["cmd"], row["subject"], row["key_file"]) == ("p10cr", f"CN={row['id']}", "")
        assert certificate_of(run, row).public_key() == keys[row["id"]].public_key()
    # nor does its resume
    cli("resume", run.path)


def test_preregistered_clients(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder", tools: "Tools"
) -> None:
    """Recipes 1 and 2: with a secret of its own; then with the certificate that it got."""
    registered = write_population(
        lines=[
            "id,ref,secret,subject",
            "c1,c1,pass:pw one,/CN=c1/O=Registered/C=SE",
            "c2,c2,pass:pw two,/CN=c2/O=Registered/C=SE",
        ],
        name="registered.csv",
    )
    add = ("ca", "add-end-entity", "--alias", "client-hmac", "--state", ca.folder)
    cli(*add, "--csv", registered)
    population = write_population(
        lines=[
            "id,ref,secret,subject",
            "c1,c1,pass:pw one,/CN=c1/O=Asked",
            "c2,c2,pass:pw two,/CN=c2/O=Registered/C=SE",
        ]
    )
    options = (*alias(ca, "client-hmac"), "--subject-check", "record", "--out", run.path)
    cli("enroll", population, *options)
    first = {row["id"]: row for row in run.results()}
    assert first["c1"]["outcome"] == "issued, subject changed"
    assert first["c1"]["requested_subject"] == "O=Asked,CN=c1"
    assert first["c1"]["subject"] == "C=SE,O=Registered,CN=c1"
    assert first["c2"]["outcome"] == "issued"
    assert b"pw one" not in run.all_bytes()

    lines = [
        f"{name}|run/{row['cert_file']}|run/{row['key_file']}|env:KEY_PASS|{row['subject']}"
        for name, row in first.items()
    ]
    again = type(run)(cli.folder / "again")
    population = write_population(lines=["id|cert|key|keypass|subject", *lines], name="second.csv")
    cli("enroll", population, *alias(ca, "client-cert"), "--out", again.path)
    assert again.outcomes() == {("issued", "")}
    for row in again.results():
        assert row["serial"] != first[row["id"]]["serial"]
    tools.verify(ca.anchor, [again.path / row["cert_file"] for row in again.results()])


def test_ra_certificate(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder", tools: "Tools"
) -> None:
    ra = ("--cert", ca.folder / "ra.pem", "--key", ca.folder / "ra.key")
    population = write_population(3, stem="byra")
    cli("enroll", population, *alias(ca, "ra-cert"), *ra, "--out", run.path)
    assert run.outcomes() == {("issued", "")}
    tools.verify(ca.anchor, [run.path / row["cert_file"] for row in run.results()])


def test_keys_that_prove_themselves_by_opening_their_certificate(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    methods = {
        "ml-kem-768": "keyEncipherment",
        "ml-kem-1024": "keyEncipherment",
        "rsa:2048": "keyEncipherment",
        "ec:P-256": "keyAgreement",
        "ed25519": "",
    }
    rows = [f"open{n},{spec},{popo}" for n, (spec, popo) in enumerate(methods.items())]
    population = write_population(lines=["id,newkey,popo", *rows])
    options = (*ca.options(), "--subject", "/CN={id}", "--certs-per-message", "2")
    cli("check", population, "--subject", "/CN={id}")
    cli("enroll", population, *options, "--implicit-confirm", "--out", run.path)
    assert run.outcomes() == {("issued", "")}
    for row in run.results():
        key = load_pem_private_key((run.path / row["key_file"]).read_bytes(), PASSPHRASE.encode())
        assert certificate_of(run, row).public_key() == key.public_key()

    # a key that can't, is told before anything is sent
    population = write_population(lines=["id,newkey,popo", "a,ed25519,keyEncipherment"])
    refused = type(run)(cli.folder / "refused")
    told = cli("enroll", population, *options, "--out", refused.path, code=2)
    assert "column newkey: ed25519 keys can't prove possession by keyEncipherment" in told.err
    assert not refused.path.exists()


@pytest.mark.parametrize(
    ("place", "credential"),
    [("ra-hmac", "secret"), ("ra-cert", "certificate")],
)
@pytest.mark.parametrize("out_format", ["pem", "p12"])
def test_keys_that_the_ca_makes(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
    place: str,
    credential: str,
    out_format: str,
) -> None:
    ra = ("--cert", str(ca.folder / "ra.pem"), "--key", str(ca.folder / "ra.key"))
    given = ca.options() if credential == "secret" else (*alias(ca, place), *ra)
    population = write_population(
        lines=[
            "id,subject,newkey,centralkeygen",
            f"{place}-{out_format}-1,/CN={place}-1,,yes",
            f"{place}-{out_format}-2,/CN={place}-2,rsa:2048,yes",
            f"{place}-{out_format}-3,/CN={place}-3,,no",
        ]
    )
    options = (*given, "--newkey", "ec:P-384", "--certs-per-message", "2", "--workers", "2")
    cli("enroll", population, *options, "--out-format", out_format, "--out", run.path)
    assert run.outcomes() == {("issued", "")}
    keys: list[object] = []
    for row in run.results():
        content = (run.path / row["key_file"]).read_bytes()
        if out_format == "p12":
            key, certificate, _ = pkcs12.load_key_and_certificates(
                content, tools.passphrase.encode()
            )
            assert certificate is not None
        else:
            assert b"ENCRYPTED PRIVATE KEY" in content
            key = load_pem_private_key(content, tools.passphrase.encode())
            certificate = certificate_of(run, row)
        assert key is not None
        assert key.public_key() == certificate.public_key()
        keys.append(key)
    assert isinstance(keys[0], ec.EllipticCurvePrivateKey)
    assert keys[0].curve.name == "secp384r1"
    assert isinstance(keys[1], rsa.RSAPrivateKey)
    # nothing is left to do, and nothing is done again
    cli("resume", run.path)
    assert run.outcomes() == {("issued", "")}


def test_the_life_of_an_ml_kem_key(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    """Certified without a signature, renewed and revoked by a KEM-based MAC."""
    population = write_population(lines=["id,subject", "k1,/CN=k1", "k2,/CN=k2"])
    kem = ("--newkey", "ml-kem-768", "--popo", "keyEncipherment")
    cli("enroll", population, *ca.options(), *kem, "--out", run.path)
    assert run.outcomes() == {("issued", "")}

    def write(held: "RunFolder", cmd: str) -> Path:
        return write_population(lines=holders(held, cmd), name=f"{cmd}.csv")

    renewed = type(run)(cli.folder / "renewed")
    options = alias(ca, "client-cert")
    cli("enroll", write(run, "kur"), *options, *kem, "--out", renewed.path)
    assert renewed.outcomes() == {("issued", "")}
    before = {row["id"]: row["serial"] for row in run.results()}
    for row in renewed.results():
        assert row["serial"] != before[row["id"]]
        public_key = certificate_of(renewed, row).public_key()
        assert isinstance(public_key, mlkem.MLKEM768PublicKey)
    revoked = type(run)(cli.folder / "revoked")
    cli("enroll", write(renewed, "rr"), *options, "--out", revoked.path)
    assert revoked.outcomes() == {("revoked", "")}
    # a revoked one gets no ciphertext any more
    again = type(run)(cli.folder / "again")
    cli("enroll", write(renewed, "kur"), *options, *kem, "--out", again.path, code=1)
    assert {reason for _, reason in again.outcomes()} == {"certRevoked"}
    # an RA's layer must be signed
    ra = ("--ra-cert", run.path / "certs/k1.pem", "--ra-key", run.path / "certs/k1.key.pem")
    told = cli(
        "enroll", population, *ca.options(), *ra, "--ra-keypass", "env:KEY_PASS", "--out",
        cli.folder / "never", code=2,
    )  # fmt: skip
    assert "--ra-cert: MLKEM768PrivateKey can't sign" in told.err


@pytest.fixture
def mac_keys(tmp_path: Path, make_ca: "MakeCa") -> "Ca":
    """A CA with keys for MACs."""
    folder, now = tmp_path / "ca", dt.datetime.now(dt.UTC)
    state.create(folder, state.DEFAULT_CA_KEY, now)
    for kind in ("ec:P-256", "ml-kem-768"):
        state.make_mac_key(folder, kind, now)
    return make_ca(Behaviour())


def test_the_life_of_a_key_for_agreement(
    cli: "Cli", mac_keys: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    """Renewed and revoked by DHBasedMac."""
    population = write_population(lines=["id,subject", "a1,/CN=a1", "a2,/CN=a2"])
    agreement = ("--newkey", "ec:P-256", "--keyusage", "keyAgreement")
    cli("enroll", population, *mac_keys.options(), *agreement, "--out", run.path)
    assert run.outcomes() == {("issued", "")}
    options = (*alias(mac_keys, "client-cert"), "--workers", "1")
    srvcert = ("--srvcert", mac_keys.folder / "mac-ec-P-256.pem")

    def write(held: "RunFolder", cmd: str) -> Path:
        return write_population(lines=holders(held, cmd), name=f"{cmd}.csv")

    # without the CA's certificate nothing can be sent
    alone = type(run)(cli.folder / "alone")
    cli("enroll", write(run, "kur"), *options, *agreement, "--out", alone.path, code=1)
    assert alone.outcomes() == {("local error", "")}
    renewed = type(run)(cli.folder / "renewed")
    cli("enroll", write(run, "kur"), *options, *srvcert, *agreement, "--out", renewed.path)
    assert renewed.outcomes() == {("issued", "")}
    told = cli("probe", write(renewed, "rr"), *alias(mac_keys, "client-cert"), *srvcert)
    assert told.out.count("DHBasedMac:") == 2
    assert "by what our key and --srvcert agree on" in " ".join(told.out.split())
    assert "outcome: revoked" in told.out


def test_a_ca_that_proves_itself_by_its_kem_key(
    cli: "Cli", mac_keys: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    """To who has a secret, a certificate, or an ML-KEM key itself."""
    population = write_population(lines=["id,subject", "k1,/CN=k1", "k2,/CN=k2"])
    srvcert = ("--srvcert", mac_keys.folder / "mac-ml-kem-768.pem")
    cli("enroll", population, *mac_keys.options(), *srvcert, "--out", run.path)
    assert run.outcomes() == {("issued", "")}
    options = (*alias(mac_keys, "client-cert"), *srvcert)
    kem = ("--newkey", "ml-kem-768", "--popo", "keyEncipherment")
    held = run
    for name in ("first", "second"):
        population = write_population(lines=holders(held, "kur"), name=f"{name}.csv")
        renewed = type(run)(cli.folder / name)
        cli("enroll", population, *options, *kem, "--workers", "1", "--out", renewed.path)
        assert renewed.outcomes() == {("issued", "")}
        held = renewed
    population = write_population(lines=holders(held, "rr"), name="rr.csv")
    told = cli("probe", population, *options)
    # both ways, and the genp
    assert told.out.count("protectionAlg: KemBasedMac:") == 3
    assert "outcome: revoked" in told.out
    # that CA alone is believed: whose answers can't be good is asked for nothing
    other = ("--srvcert", mac_keys.folder / "mac-ec-P-256.pem")
    refused = type(run)(cli.folder / "refused")
    population = write_population(1)
    options = (*mac_keys.options(), *other, "--accept-protection", "signature", "--out")
    cli("enroll", population, *options, refused.path, code=1)
    assert {outcome for outcome, _ in refused.outcomes()} == {"local error"}


def test_a_ca_proves_itself_by_its_kem_key_within_the_layer_of_an_ra(
    cli: "Cli", mac_keys: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    """The answer to the RA is under the CA's other name."""
    lines = ["id,ref,secret,subject", "n1,n1,pass:pw1,/CN=n1"]
    population = write_population(lines=lines)
    add = ("ca", "add-end-entity", "--alias", "nested", "--state", mac_keys.folder)
    cli(*add, "--csv", population, "--replace")
    options = (
        *alias(mac_keys, "nested"), "--srvcert", mac_keys.folder / "mac-ml-kem-768.pem",
        "--ra-ref", "ra1", "--ra-secret", f"env:{RA_SECRET}", "--workers", "1", "--out", run.path,
    )  # fmt: skip
    cli("enroll", population, *options)
    assert run.outcomes() == {("issued", "")}


@pytest.mark.parametrize("batch", [(), ("--batch", "4", "--concurrency", "8")])
def test_nested(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
    batch: tuple[str, ...],
) -> None:
    """Recipe 5: end entities with secrets of their own, and an RA's signature around them."""
    rows = [f"n{n},n{n},pass:pw{n},/CN=n{n}/O=Nested/C=SE" for n in range(9)]
    population = write_population(lines=["id,ref,secret,subject", *rows])
    add = ("ca", "add-end-entity", "--alias", "nested", "--state", ca.folder)
    cli(*add, "--csv", population, "--replace")
    ra = ("--ra-cert", ca.folder / "ra.pem", "--ra-key", ca.folder / "ra.key", *batch)
    cli("enroll", population, *alias(ca, "nested"), *ra, "--workers", "1", "--out", run.path)
    assert run.outcomes() == {("issued", "")}
    tools.verify(ca.anchor, [run.path / row["cert_file"] for row in run.results()])
    # without the RA, the alias takes nothing
    refused = type(run)(cli.folder / "refused")
    cli("enroll", population, *alias(ca, "nested"), "--out", refused.path, code=1)
    assert refused.outcomes() == {("rejected", "notAuthorized")}


def test_update_then_revocation(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    cli("enroll", write_population(2, stem="upd"), *ca.options(), "--out", run.path)
    old = {row["id"]: row for row in run.results()}
    lines = [
        f"{name},kur,run/{row['cert_file']},run/{row['key_file']},env:KEY_PASS"
        for name, row in old.items()
    ]
    population = write_population(lines=["id,cmd,cert,key,keypass", *lines], name="update.csv")
    updated = type(run)(cli.folder / "updated")
    cli("enroll", population, *alias(ca, "client-cert"), "--out", updated.path)
    assert updated.outcomes() == {("issued", "")}
    new = {row["id"]: row for row in updated.results()}
    for name, row in new.items():
        assert row["subject"] == old[name]["subject"]
        key = certificate_of(updated, row).public_key()
        assert key != certificate_of(run, old[name]).public_key()

    lines = [f"{name},rr,updated/{row['cert_file']},keyCompromise" for name, row in new.items()]
    population = write_population(lines=["id,cmd,oldcert,revreason", *lines], name="revoke.csv")
    revoked = type(run)(cli.folder / "revoked")
    cli("enroll", population, *ca.options(), "--out", revoked.path)
    assert revoked.outcomes() == {("revoked", "")}
    status = {f"{one.serial:X}".zfill(len(f"{one.serial:X}") + len(f"{one.serial:X}") % 2): one
              for one in ca.issued()}  # fmt: skip
    for name, row in new.items():
        assert status[row["serial"]].status is CertificateStatus.REVOKED
        assert status[old[name]["serial"]].status is not CertificateStatus.REVOKED


@pytest.mark.parametrize("implicit", [False, True])
def test_polling(
    cli: "Cli",
    make_ca: "MakeCa",
    write_population: "WritePopulation",
    run: "RunFolder",
    implicit: bool,
) -> None:
    ca = make_ca(Behaviour(poll_count=2, check_after=1))
    options = (*ca.options(), *(("--implicit-confirm",) if implicit else ()))
    cli("enroll", write_population(3), *options, "--out", run.path)
    assert run.outcomes() == {("issued", "")}
    for row in run.results():
        assert float(row["polling_s"]) >= 1
        assert (row["confirm_s"] == "") is implicit
    assert {one.status for one in ca.issued()} == {CertificateStatus.CONFIRMED}


def test_settings_file(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder", tmp_path: Path
) -> None:
    """Paths in a settings file are relative to it; `resume` needs it no more."""
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "ca.pem").write_bytes(ca.anchor.read_bytes())
    (folder / "secret").write_text(ca.secret + "\n")
    (folder / "server.toml").write_text(
        f"""
        server = "{ca.url()}"
        ref = "ra1"
        secret = "file:secret"
        trusted = ["ca.pem"]
        subject = "/CN={{id}}/O=Acme"
        key_pass = "env:KEY_PASS"
        rate = 1
        """
    )
    population = write_population(lines=["id", "set1", "set2"])
    settings = ("--config", "profiles/server.toml")
    cli("check", population, *settings)
    cli("enroll", population, *settings, "--rate", "100", "--out", run.path)
    assert [row["subject"] for row in run.results()] == ["O=Acme,CN=set1", "O=Acme,CN=set2"]
    (folder / "server.toml").unlink()
    cli("resume", run.path)


def test_unprotected_requests_with_a_reg_token(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    """EJBCA's RegTokenPwd: the token is a secret, and nothing but the answers is protected."""
    lines = [f"{name},{name},pass:t0ken-{name},/CN={name}/O=Acme" for name in ("t1", "t2")]
    registered = write_population(lines=["id,ref,secret,subject", *lines], name="registered.csv")
    add = ("ca", "add-end-entity", "--alias", "client-regtoken", "--state", ca.folder)
    cli(*add, "--csv", registered)
    population = write_population(
        lines=[
            "id,regtoken,subject",
            "t1,pass:t0ken-t1,/CN=t1/O=Acme",
            "t2,pass:wrong,/CN=t2/O=Acme",
        ]
    )
    options = (*alias(ca, "client-regtoken"), "--unprotected-requests", "--out", run.path)
    cli("enroll", population, *options, code=1)
    by_id = {row["id"]: row for row in run.results()}
    assert by_id["t1"]["outcome"] == "issued"
    assert (by_id["t2"]["outcome"], by_id["t2"]["fail_info"]) == (
        "credentials refused",
        "notAuthorized",
    )
    assert b"t0ken" not in run.all_bytes()


def test_a_template_with_all_in_it(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    end = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    end += dt.timedelta(days=30)
    population = write_population(
        lines=[
            "id,sans,keyusage,extensions,not_after,reginfo",
            '1,"critical,a.example,otherName:1.2.3.4;UTF8:x","critical,digitalSignature",'
            f",{end:%Y-%m-%d},version?1",
            "2,,,1.2.3.4=UTF8:x,,",
            "3,,,1.2.3.4:critical=UTF8:x,,",
            "4,,keyCertSign,,,",
        ]
    )
    options = (
        "--extkeyusage", "clientAuth", "--policy-oids", "1.2.3=https://acme.example/cps",
        "--authenticator", "pass:Smith", "--subject", "/CN=full{id}",
    )  # fmt: skip
    cli("enroll", population, *ca.options(), *options, "--out", run.path, code=1)
    rows = {row["id"]: row for row in run.results()}
    certificate = certificate_of(run, rows["1"])
    found = {one.oid.dotted_string: one for one in certificate.extensions}
    assert certificate.not_valid_after_utc == end
    san = found["2.5.29.17"]
    assert san.critical
    assert isinstance(san.value, x509.SubjectAlternativeName)
    other = x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x0c\x01x")
    assert list(san.value) == [x509.DNSName("a.example"), other]
    assert found["2.5.29.15"].critical
    assert "2.5.29.37" in found
    assert "2.5.29.32" in found
    assert (rows["1"]["outcome"], rows["1"]["pki_status"]) == ("issued", "accepted")
    # what this CA leaves out it says so, and what is critical it refuses
    assert (rows["2"]["outcome"], rows["2"]["pki_status"]) == ("issued", "grantedWithMods")
    assert "1.2.3.4" not in {e.oid.dotted_string for e in certificate_of(run, rows["2"]).extensions}
    for number in ("3", "4"):
        assert rows[number]["outcome"] == "rejected"
        assert rows[number]["fail_info"] == "unacceptedExtension"
    assert b"Smith" not in run.all_bytes()


def test_base_stations(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder", tmp_path: Path
) -> None:
    """Recipe 7: with the vendor's certificates; then renewed with the operator's."""
    stations = write_population(
        lines=["id,subject", *(f"lte{n},/CN=lte{n}/O=Operator" for n in range(1, 4))]
    )
    devices = tmp_path / "devices"
    cli("ca", "vendor-cert", "--state", ca.folder, "--csv", stations, "--out", devices)
    options = ("--server", ca.url("3gpp"), "--key-pass", "env:KEY_PASS", "--out", run.path)
    # the operator's root is not known: whoever answers first is believed, and that is said
    cli("enroll", devices / "devices.csv", "--trust-first-ca-cert", *options)
    assert run.outcomes() == {("issued", "")}
    root = x509.load_pem_x509_certificate(ca.anchor.read_bytes())
    (note,) = [one for one in run.summary()["notes"] if "--trust-first-ca-cert" in one]
    assert root.fingerprint(SHA256()).hex() in note
    for row in run.results():
        certificate_of(run, row).verify_directly_issued_by(root)
    cli("resume", run.path)
