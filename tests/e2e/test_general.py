"""General messages: what the CA tells, asked by `probe` and by rows of `enroll`."""

import json
from typing import TYPE_CHECKING

from cryptography import x509

from bulkcmp.cmp.asn1 import decode, decode_sequence_of
from bulkcmp.cmp.messages import CertTemplate, name_of
from bulkcmp.inputs.name import parse_name
from bulkcmp.testca.aliases import Behaviour

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, MakeCa, RunFolder, WritePopulation


def options(ca: "Ca", alias: str = "ra-hmac") -> tuple[str, ...]:
    return (
        "--server", ca.url(alias), "--ref", "ra1", "--secret", "env:RA_SECRET", "--trusted",
        str(ca.anchor), "--cmd", "genm",
    )  # fmt: skip


def test_one_question(cli: "Cli", ca: "Ca") -> None:
    out = cli.folder / "cas.pem"
    ended = cli("probe", *options(ca), "--infotype", "caCerts", "--cacertsout", out, "--json")
    probed = json.loads(ended.out)
    assert (probed["cmd"], probed["outcome"]) == ("genm", "answered")
    assert probed["detail"] == "caCerts: 1 certificate"
    (info,) = probed["information"]
    assert (info["infoType"], info["oid"]) == ("caCerts", "1.3.6.1.5.5.7.4.17")
    assert probed["notes"] == []
    assert out.read_bytes() == ca.anchor.read_bytes()


def test_a_question_that_the_ca_does_not_know(cli: "Cli", ca: "Ca") -> None:
    ended = cli("probe", *options(ca), "--infotype", "1.2.3", code=1)
    assert "\noutcome: rejected: infoType not supported\n" in ended.out
    assert "  FAIL  infoType supported" in ended.out


def test_a_crl(cli: "Cli", ca: "Ca") -> None:
    out = cli.folder / "crl.pem"
    asked = ("--infotype", "crlStatusList", "--crlcert", ca.anchor, "--crlout", out)
    cli("probe", *options(ca), *asked, "--extracertsout", "extra.pem")
    assert (cli.folder / "extra.pem").read_bytes() == b"", "a MAC needs no certificates"
    crl = x509.load_pem_x509_crl(out.read_bytes())
    root = x509.load_pem_x509_certificate(ca.anchor.read_bytes())
    assert crl.issuer == root.subject
    assert crl.is_signature_valid(root.public_key())  # type: ignore[arg-type]  # an EC key
    # a newer one is not there
    ended = cli("probe", *options(ca), "--infotype", "crlStatusList", "--oldcrl", out)
    assert "  crls: none\n" in ended.out


def test_a_new_root(cli: "Cli", make_ca: "MakeCa") -> None:
    ca = make_ca(Behaviour())
    asked = ("--infotype", "rootCaCert", "--oldwithold", ca.anchor)
    assert "  rootCaKeyUpdate: none\n" in cli("probe", *options(ca), *asked).out
    cli("ca", "root-update", "--state", ca.folder, "--ca-key", "rsa:2048")
    names = ("newwithnew", "newwithold", "oldwithnew")
    files = [word for name in names for word in (f"--{name}", f"{name}.pem")]
    cli("probe", *options(ca), *asked, *files)
    new, link, back = (
        x509.load_pem_x509_certificate((cli.folder / f"{name}.pem").read_bytes()) for name in names
    )
    old = x509.load_pem_x509_certificate(ca.anchor.read_bytes())
    assert new == x509.load_pem_x509_certificate((ca.folder / "next-ca.pem").read_bytes())
    link.verify_directly_issued_by(old)
    back.verify_directly_issued_by(new)
    # what says that another root is to be replaced proves nothing
    other = ("--infotype", "rootCaCert", "--oldwithold", "newwithnew.pem")
    assert "  rootCaKeyUpdate: none\n" in cli("probe", *options(ca), *other).out


def test_a_template(cli: "Cli", make_ca: "MakeCa") -> None:
    ca = make_ca(Behaviour())
    demanded = ("--subject", "/O=Acme", "--newkey", "rsa:3072", "--newkey", "ec:P-256")
    cli("ca", "cert-req-template", "--state", ca.folder, *demanded)
    files = ("--template", "template.der", "--keyspec", "keyspec.der")
    ended = cli("probe", *options(ca), "--infotype", "certReqTemplate", *files)
    assert "a template for rsa:3072 or 1.2.840.10045.2.1 keys" in ended.out
    template = decode(CertTemplate, (cli.folder / "template.der").read_bytes())
    assert name_of(template.subject or []) == parse_name("/O=Acme")
    assert len(decode_sequence_of((cli.folder / "keyspec.der").read_bytes())) == 2


def test_questions_of_a_population(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    population = write_population(
        lines=[
            "id,cmd,infotype,subject",
            "a,genm,caCerts,",
            'b,genm,"signKeyPairTypes,suppLangTags=de/en,currentCRL",',
            "c,genm,1.2.3,",
            "d,ir,,/CN=general-d",
        ]
    )
    cli("enroll", population, *ca.options(), "--out", run.path, code=1)
    rows = {row["id"]: row for row in run.results()}
    assert {name: (row["outcome"], row["reason"]) for name, row in rows.items()} == {
        "a": ("answered", ""),
        "b": ("answered", ""),
        "c": ("rejected", "infoType not supported"),
        "d": ("issued", ""),
    }
    assert rows["a"]["info_files"] == "info/a.caCerts.pem|info/a.txt"
    assert (run.path / "info" / "a.caCerts.pem").read_bytes() == ca.anchor.read_bytes()
    files = [(run.path / name) for name in rows["b"]["info_files"].split("|")]
    assert sorted(one.name for one in files) == [
        "b.currentCRL.pem",
        "b.signKeyPairTypes.der",
        "b.suppLangTags.der",
        "b.txt",
    ]
    assert "suppLangTags: en" in (run.path / "info" / "b.txt").read_text()
    assert rows["c"]["info_files"] == ""
    assert run.summary()["information_folder"] == str(run.path / "info")
    # a run without certificates needs no passphrase, and resume has nothing to do
    again = type(run)(cli.folder / "again")
    population = write_population(lines=["id", "a", "b"], name="ask.csv")
    ra = ("--ra-cert", ca.folder / "ra.pem", "--ra-key", ca.folder / "ra.key")
    cli("enroll", population, *options(ca), *ra, "--infotype", "caCerts", "--out", again.path)
    cli("resume", again.path)
    assert again.outcomes() == {("answered", "")}


def test_what_makes_no_sense(cli: "Cli", ca: "Ca", write_population: "WritePopulation") -> None:
    for given, what in (
        (("--infotype", "caCerts", "--crlout", "x"), "--crlout is for a genm with --infotype"),
        (("--infotype", "currentCRL", "--cacertsout", "x"), "--cacertsout is for a genm with"),
        (("--infotype", "caCerts", "--certout", "x"), "--certout, but genm brings no certificate"),
        (("--infotype", "caCerts", "--newkeyout", "x", "--plain-keys"), "no key is made for genm"),
        (("--infotype", "caCerts", "--crlcert", ca.anchor), "--crlcert is for --infotype crlStat"),
        (("--infotype", "caCert"), "'caCert' is no infoType"),
        ((), "genm needs infotype"),
    ):
        assert what in cli("probe", *options(ca), *given, code=2).err
    population = write_population(lines=["id", "a"])
    asked = ("--infotype", "caCerts", "--certs-per-message", "2", "--out", "run")
    ended = cli("enroll", population, *options(ca), *asked, code=2)
    assert "--certs-per-message is for ir, cr, kur and rr, and the rows are genm" in ended.err
