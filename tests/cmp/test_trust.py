"""Path validation."""

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bulkcmp.cmp import trust
from bulkcmp.cmp.trust import MOST_HELPERS, CrlCheck, TrustStore, load_certificate
from bulkcmp.errors import InputError, RemoteCmpError
from tests.cmp.crls import crl, entry_of, scope

if TYPE_CHECKING:
    from tests.cmp.conftest import Party, Pki

KINDS = ["rsa", "ec", "ed25519", "ed448", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]


@pytest.mark.parametrize("kind", KINDS)
def test_chains_of_every_algorithm(pki: "Pki", kind: str) -> None:
    root = pki.certify("root", pki.keys[kind], ca=True)
    middle = pki.certify("sub CA", pki.keys["ec"], root, ca=True)
    leaf = pki.certify("device", pki.keys[kind], middle)
    store = TrustStore([root.certificate], [middle.certificate])
    path = (middle.certificate, root.certificate)
    assert store.chain(leaf.certificate, (), pki.at()) == path
    assert (
        TrustStore([root.certificate]).chain(
            leaf.certificate, (b"no certificate", middle.certificate), pki.at()
        )
        == path
    )
    with pytest.raises(RemoteCmpError, match=r"^no valid path to a trust anchor: "):
        TrustStore([root.certificate]).chain(leaf.certificate, (), pki.at())


def test_any_certificate_may_be_an_anchor(pki: "Pki") -> None:
    middle = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True)
    leaf = pki.certify("device", pki.keys["rsa"], middle).certificate
    assert TrustStore([middle.certificate]).chain(leaf, (), pki.at()) == (middle.certificate,)
    assert TrustStore([leaf]).chain(leaf, (), pki.at()) == ()


def test_an_issuer_that_is_no_ca_is_refused(pki: "Pki") -> None:
    leaf = pki.certify("device", pki.keys["ec"], pki.device).certificate
    store = TrustStore([pki.root.certificate], [pki.device.certificate])
    with pytest.raises(RemoteCmpError, match=r"^no valid path"):
        store.chain(leaf, (), pki.at())


def usage(*uses: str) -> x509.KeyUsage:
    """A keyUsage with these bits set."""
    bits = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{bit: bit in uses for bit in bits})


NO_CERTIFICATES = usage("digital_signature", "crl_sign")
CERTIFICATES = usage("key_cert_sign", "crl_sign")
HERE = x509.DNSName("here.example")
ELSEWHERE = x509.DNSName("elsewhere.example")
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\x00")


def _sub_ca(
    pki: "Pki",
    *critical: x509.ExtensionType,
    constraints: x509.BasicConstraints | None = None,
    usage: x509.KeyUsage = CERTIFICATES,
) -> "Party":
    """A CA under the root, by the builder itself: `pki.certify` makes sound ones only."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(pki.name("sub CA"))
        .issuer_name(pki.name("root"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(pki.at(-10))
        .not_valid_after(pki.at(10))
        .add_extension(constraints or x509.BasicConstraints(True, None), critical=True)
        .add_extension(usage, critical=True)
    )
    for extension in critical:
        builder = builder.add_extension(extension, critical=True)
    root = pki.root.key
    assert isinstance(root, ec.EllipticCurvePrivateKey)
    made = builder.sign(root, hashes.SHA256())
    return replace(pki.root, key=key, certificate=made.public_bytes(serialization.Encoding.DER))


def _validate(pki: "Pki", *path: "Party") -> None:
    """From the first, by the others, to the root."""
    issuers = tuple(one.certificate for one in path[1:])
    chain = TrustStore([pki.root.certificate]).chain(path[0].certificate, issuers, pki.at())
    assert chain == (*issuers, pki.root.certificate)


def _named(pki: "Pki", issuer: "Party", name: x509.GeneralName) -> "Party":
    return pki.certify(
        "device", pki.keys["ec"], issuer, extensions=[x509.SubjectAlternativeName([name])]
    )


@pytest.mark.parametrize(
    ("constraints", "said"),
    [
        (x509.NameConstraints([HERE], None), "permitted subtree violation"),
        (x509.NameConstraints(None, [ELSEWHERE]), "excluded subtree violation"),
    ],
    ids=["permitted", "excluded"],
)
def test_name_constraints(pki: "Pki", constraints: x509.NameConstraints, said: str) -> None:
    middle = _sub_ca(pki, constraints)
    _validate(pki, _named(pki, middle, x509.DNSName("a.here.example")), middle)
    with pytest.raises(RemoteCmpError, match=said):
        _validate(pki, _named(pki, middle, x509.DNSName("a.elsewhere.example")), middle)


def test_a_path_that_is_longer_than_its_ca_allows(pki: "Pki") -> None:
    last = _sub_ca(pki, constraints=x509.BasicConstraints(True, 0))
    _validate(pki, pki.certify("device", pki.keys["ec"], last), last)
    another = pki.certify("another CA", pki.keys["ec"], last, ca=True)
    with pytest.raises(RemoteCmpError, match="path length constraint exceeded"):
        _validate(pki, pki.certify("device", pki.keys["rsa"], another), another, last)


@pytest.mark.parametrize(
    "flawed",
    [
        pytest.param({"usage": NO_CERTIFICATES}, id="keyUsage"),
        pytest.param({"constraints": x509.BasicConstraints(False, None)}, id="basicConstraints"),
    ],
)
def test_an_issuer_that_may_not_certify(pki: "Pki", flawed: dict[str, Any]) -> None:
    middle = _sub_ca(pki, **flawed)
    # a well-made one has a path all the same
    sound = _sub_ca(pki)
    _validate(pki, pki.certify("device", pki.keys["ec"], sound), sound)
    with pytest.raises(RemoteCmpError, match=r"^no valid path to a trust anchor: "):
        _validate(pki, pki.certify("device", pki.keys["ec"], middle), middle)


def test_a_critical_extension_that_nobody_knows(pki: "Pki") -> None:
    middle = _sub_ca(pki, UNKNOWN)
    with pytest.raises(RemoteCmpError, match="unhandled critical extension"):
        _validate(pki, pki.certify("device", pki.keys["ec"], middle), middle)
    # one that is not critical does no harm
    _validate(pki, pki.certify("device", pki.keys["ec"], pki.root, extensions=[UNKNOWN]))


@pytest.mark.parametrize(("age", "said"), [(-1, "not yet valid"), (30, "expired")])
def test_an_issuer_out_of_its_validity(pki: "Pki", age: float, said: str) -> None:
    middle = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True, age=age, days=20)
    with pytest.raises(RemoteCmpError, match=said):
        _validate(pki, pki.certify("device", pki.keys["rsa"], middle), middle)


@pytest.mark.parametrize("whose", ["device", "sub CA"])
def test_a_broken_signature(pki: "Pki", whose: str) -> None:
    middle = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True)
    path = {"device": pki.certify("device", pki.keys["rsa"], middle), "sub CA": middle}
    _validate(pki, *path.values())
    whole = path[whose].certificate
    # the last octet of the BIT STRING is the last of ECDSA's s
    broken = whole[:-1] + bytes((whole[-1] ^ 1,))
    path[whose] = replace(path[whose], certificate=broken)
    with pytest.raises(RemoteCmpError, match="signature failure"):
        _validate(pki, *path.values())


def test_the_time_of_each_validation_counts(pki: "Pki") -> None:
    store = TrustStore([pki.root.certificate])
    for days, problem in ((-11, "not yet valid"), (0, ""), (4000, "expired"), (1, "")):
        if not problem:
            store.chain(pki.device.certificate, (), pki.at(days))
            continue
        with pytest.raises(RemoteCmpError, match=problem):
            store.chain(pki.device.certificate, (), pki.at(days))


def test_a_certificate_is_good_to_its_very_last_second(pki: "Pki") -> None:
    store = TrustStore([pki.root.certificate])
    certificate = pki.device.certificate
    end = load_certificate(certificate).not_valid_after_utc
    for late in (0.0, 0.9, 0.0):
        store.chain(certificate, (), end + dt.timedelta(seconds=late))
    with pytest.raises(RemoteCmpError, match="expired"):
        store.chain(certificate, (), end + dt.timedelta(seconds=1))
    store.chain(certificate, (), end)


def test_few_of_the_certificates_of_a_message_help(pki: "Pki") -> None:
    middle = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True)
    leaf = pki.certify("device", pki.keys["rsa"], middle).certificate
    others = [pki.device.certificate] * (MOST_HELPERS - 1)
    store = TrustStore([pki.root.certificate])
    path = (middle.certificate, pki.root.certificate)
    assert store.chain(leaf, (*others, middle.certificate), pki.at()) == path
    with pytest.raises(RemoteCmpError, match="unable to get local issuer"):
        store.chain(leaf, (b"", *others, middle.certificate), pki.at())


def test_a_cached_path_is_forgotten_when_a_member_expires(pki: "Pki") -> None:
    brief = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True, days=20)
    leaf = pki.certify("device", pki.keys["rsa"], brief).certificate
    store = TrustStore([pki.root.certificate])
    path = (brief.certificate, pki.root.certificate)
    assert store.cached_chain(leaf, (brief.certificate,), pki.at()) == path
    assert store.cached_chain(leaf, (), pki.at(9)) == path, "no helper is needed any more"
    for days in (11, -20):
        with pytest.raises(RemoteCmpError):
            store.cached_chain(leaf, (brief.certificate,), pki.at(days))
    assert store.cached_chain(leaf, (), pki.at()) == path


def test_the_cache_does_not_grow_without_end(pki: "Pki", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "_CACHE_SIZE", 1)
    middle = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True)
    leaf = pki.certify("device", pki.keys["rsa"], middle).certificate
    store = TrustStore([pki.root.certificate])
    store.cached_chain(leaf, (middle.certificate,), pki.at())
    store.cached_chain(pki.device.certificate, (), pki.at())
    with pytest.raises(RemoteCmpError):
        store.cached_chain(leaf, (), pki.at())


def test_a_store_without_a_usable_anchor(pki: "Pki") -> None:
    with pytest.raises(InputError, match=r"^no trust anchor$") as caught:
        TrustStore([])
    assert caught.value.hint is not None
    for anchors, untrusted in (([b"x"], []), ([pki.root.certificate], [b"x"])):
        with pytest.raises(InputError, match=r"^a trusted or untrusted certificate is unusable: "):
            TrustStore(anchors, untrusted)


VERSION_3 = b"\xa0\x03\x02\x01\x02"


@pytest.mark.parametrize("version", [1, 3])
def test_a_certificate_of_an_unknown_version_is_none(pki: "Pki", version: int) -> None:
    odd = pki.root.certificate.replace(VERSION_3, VERSION_3[:-1] + bytes((version,)), 1)
    with pytest.raises(RemoteCmpError, match=r"^not a certificate: "):
        load_certificate(odd)


def test_a_certificate_that_openssl_can_not_read_has_no_path(pki: "Pki") -> None:
    # the CN an INTEGER, which cryptography does not look at before it is asked for the name
    odd = pki.device.certificate.replace(b"\x0c\x06device", b"\x02\x06device")
    assert load_certificate(odd)
    store = TrustStore([pki.root.certificate])
    with pytest.raises(RemoteCmpError, match=r"^not a certificate that OpenSSL can read$"):
        store.chain(odd, (), pki.at())
    assert store.chain(pki.device.certificate, (odd,), pki.at()) == (pki.root.certificate,)


# --- revocation -----------------------------------------------------------------------------------


def _store(pki: "Pki", *crls: bytes, whole_path: bool = False) -> TrustStore:
    return TrustStore([pki.root.certificate], (), CrlCheck(crls, whole_path))


def _flaw(store: TrustStore, party: "Party", at: dt.datetime, *helpers: "Party") -> str:
    """Why a signer is refused; empty where it is not."""
    try:
        store.cached_chain(party.certificate, [one.certificate for one in helpers], at)
    except RemoteCmpError as error:
        return f"{error.what}; {error.hint}"
    return ""


@pytest.mark.parametrize(
    ("reason", "is_refused"),
    [
        (None, True),
        (x509.ReasonFlags.key_compromise, True),
        (x509.ReasonFlags.certificate_hold, True),
        # which only a delta CRL has
        (x509.ReasonFlags.remove_from_crl, False),
    ],
)
def test_a_revoked_signer_has_no_path(
    pki: "Pki", reason: x509.ReasonFlags | None, is_refused: bool
) -> None:
    at = pki.at()
    store = _store(pki, crl(pki.root, at, entries=[entry_of(pki.signer.certificate, at, reason)]))
    flaw = _flaw(store, pki.signer, at)
    assert flaw.startswith("the CRL check: certificate revoked; whoever has") is is_refused
    assert bool(flaw) is is_refused
    assert not _flaw(store, pki.device, at)
    # what is issued is not looked up, and where nothing is, nobody is
    assert store.chain(pki.signer.certificate, (), at)
    assert not _flaw(TrustStore([pki.root.certificate]), pki.signer, at)


def test_without_a_crl_that_holds_nobody_is_believed(pki: "Pki") -> None:
    at, day = pki.at(), dt.timedelta(days=1)
    signing = pki.certify("root", pki.root.key, ca=True, sign=None)
    without = TrustStore([signing.certificate], (), CrlCheck((crl(pki.root, at),)))
    assert not _flaw(without, pki.signer, at), "no keyUsage forbids nothing"
    none = "unable to get certificate CRL; give the CRL of its issuer with --crls"
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00")
    middle = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True)
    for given, flaw in (
        ([], none),
        ([crl(middle, at)], none),
        ([crl(pki.root, at - 2 * day)], "CRL has expired; give a newer CRL of its issuer"),
        ([crl(pki.root, at + day)], "CRL is not yet valid; None"),
        ([crl(pki.root, at, key=pki.device.key)], "CRL signature failure; None"),
        ([crl(pki.root, at, (x509.DeltaCRLIndicator(1), True))], none),
        ([crl(pki.root, at, (scope(indirect=True), True))], none),
        ([crl(pki.root, at, (scope(reasons=True), True))], none),
        ([crl(pki.root, at, (scope(authorities=True), True))], "different CRL scope; None"),
        ([crl(pki.root, at, (scope(points=True), True))], "different CRL scope; None"),
        ([crl(pki.root, at, (unknown, True))], "unhandled critical CRL extension; None"),
    ):
        found = _flaw(_store(pki, *given), pki.signer, at)
        assert found.startswith(f"the CRL check: {flaw}"), given
    users = [crl(pki.root, at, (scope(**{what: True}), True)) for what in ("authorities", "users")]
    assert not _flaw(_store(pki, *users), pki.signer, at)


def test_an_issuer_that_may_not_sign_crls(pki: "Pki") -> None:
    at = pki.at()
    issuer = pki.certify(
        "CA", pki.keys["ec"], ca=True, sign=None, extensions=[usage("key_cert_sign")]
    )
    signer = pki.certify("signer", pki.signer.key, issuer)
    store = TrustStore([issuer.certificate], (), CrlCheck((crl(issuer, at),)))
    assert "key usage does not include CRL signing" in _flaw(store, signer, at)


def test_the_newest_crl_counts(pki: "Pki") -> None:
    at, hour = pki.at(), dt.timedelta(hours=1)
    revoked = [entry_of(pki.signer.certificate, at)]
    for older, newer in ((None, revoked), (revoked, None)):
        crls = [crl(pki.root, at - hour, entries=older), crl(pki.root, at, entries=newer)]
        for given in (crls, crls[::-1]):
            assert bool(_flaw(_store(pki, *given), pki.signer, at)) is (newer is revoked)


def test_the_whole_path_is_looked_up_where_that_is_wished(pki: "Pki") -> None:
    at = pki.at()
    middle = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True)
    signer = pki.certify("signer", pki.signer.key, middle)
    good = crl(pki.root, at)
    bad = crl(pki.root, at, entries=[entry_of(middle.certificate, at)])
    own = crl(middle, at)
    revoked = "the CRL check: certificate revoked (of an issuer on its path); "
    missing = "the CRL check: unable to get certificate CRL"
    for crls, whole_path, flaw in (
        ((own,), False, ""),
        ((own, bad), False, ""),
        ((good,), False, missing),
        ((own, good), True, ""),
        ((own, bad), True, revoked),
        ((own,), True, f"{missing} (of an issuer on its path); "),
        ((good,), True, missing),
    ):
        store = _store(pki, *crls, whole_path=whole_path)
        found = _flaw(store, signer, at, middle)
        assert found.startswith(flaw)
        assert bool(found) is bool(flaw)
        # the same of what is issued, but for itself
        chain = (middle.certificate, pki.root.certificate)
        if whole_path and bad in crls:
            with pytest.raises(RemoteCmpError, match="certificate revoked"):
                store.check_issuers(chain, at)
        elif not whole_path or good in crls:
            store.check_issuers(chain, at)


def test_an_anchor_is_trusted_whatever_crls_say(pki: "Pki") -> None:
    at = pki.at()
    middle = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True)
    signer = pki.certify("signer", pki.signer.key, middle)
    bad = crl(pki.root, at, entries=[entry_of(middle.certificate, at)])
    check = CrlCheck((crl(middle, at), bad), whole_path=True)
    store = TrustStore([middle.certificate, pki.device.certificate], (), check)
    assert not _flaw(store, signer, at)
    assert not _flaw(store, pki.device, at)
    store.check_issuers((middle.certificate,), at)
    store.check_issuers((), at)


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[dt.datetime]:
    """When a certificate was looked up."""
    times: list[dt.datetime] = []
    look = TrustStore._looked_up

    def noted(store: TrustStore, path: tuple[bytes, ...], at: dt.datetime) -> Any:
        times.append(at)
        return look(store, path, at)

    monkeypatch.setattr(TrustStore, "_looked_up", noted)
    return times


def test_what_crls_say_is_remembered_until_they_say_something_else(
    pki: "Pki", looked_up: list[dt.datetime]
) -> None:
    at, hour = pki.at(), dt.timedelta(hours=1)
    revoked = crl(pki.root, at + 6 * hour, entries=[entry_of(pki.signer.certificate, at)])
    store = _store(pki, crl(pki.root, at), revoked)
    for hours, is_refused, count in (
        (0.5, False, 1),
        (5.9, False, 1),
        # an answer that came before, and was taken up after
        (0.4, False, 2),
        (5.9, False, 2),
        # the next CRL comes into force
        (6, True, 3),
        (7, True, 4),
        (20, True, 4),
        # all are out of date
        (30.1, True, 5),
        (40, True, 5),
    ):
        assert bool(_flaw(store, pki.signer, at + hours * hour)) is is_refused, hours
        assert len(looked_up) == count, hours
    assert _flaw(store, pki.signer, at + 30 * hour).startswith("the CRL check: certificate revoked")
    assert "expired" in _flaw(store, pki.signer, at + 31 * hour)


def test_a_crl_holds_to_its_very_last_second(pki: "Pki") -> None:
    at = pki.at()
    store = _store(pki, crl(pki.root, at))
    end = at + dt.timedelta(days=1)
    for late in (-1.0, 0.0, 0.9, 0.0):
        assert not _flaw(store, pki.signer, end + dt.timedelta(seconds=late))
    assert "CRL has expired" in _flaw(store, pki.signer, end + dt.timedelta(seconds=1))


def test_what_crls_say_is_not_remembered_without_end(
    pki: "Pki", monkeypatch: pytest.MonkeyPatch, looked_up: list[dt.datetime]
) -> None:
    monkeypatch.setattr(trust, "_CACHE_SIZE", 1)
    at = pki.at() + dt.timedelta(hours=1)
    store = _store(pki, crl(pki.root, pki.at()))
    for party in (pki.signer, pki.signer, pki.device, pki.signer):
        assert not _flaw(store, party, at)
    assert len(looked_up) == 3


def test_a_crl_that_is_none(pki: "Pki") -> None:
    with pytest.raises(InputError, match="not a usable CRL"):
        _store(pki, b"nothing")
