"""Path validation."""

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from bulkcmp.cmp import trust
from bulkcmp.cmp.trust import TrustStore, load_certificate
from bulkcmp.errors import InputError, RemoteCmpError

if TYPE_CHECKING:
    from tests.cmp.conftest import Pki

KINDS = ["rsa", "ec", "ed25519", "ed448", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]


def _at(pki: "Pki", days: float = 0) -> dt.datetime:
    return dt.datetime.fromtimestamp(pki.now, dt.UTC) + dt.timedelta(days=days)


@pytest.mark.parametrize("kind", KINDS)
def test_chains_of_every_algorithm(pki: "Pki", kind: str) -> None:
    root = pki.certify("root", pki.keys[kind], ca=True)
    middle = pki.certify("sub CA", pki.keys["ec"], root, ca=True)
    leaf = pki.certify("device", pki.keys[kind], middle)
    store = TrustStore([root.certificate], [middle.certificate])
    path = (middle.certificate, root.certificate)
    assert store.chain(leaf.certificate, (), _at(pki)) == path
    assert (
        TrustStore([root.certificate]).chain(
            leaf.certificate, (b"no certificate", middle.certificate), _at(pki)
        )
        == path
    )
    with pytest.raises(RemoteCmpError, match=r"^no valid path to a trust anchor: "):
        TrustStore([root.certificate]).chain(leaf.certificate, (), _at(pki))


def test_any_certificate_may_be_an_anchor(pki: "Pki") -> None:
    middle = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True)
    leaf = pki.certify("device", pki.keys["rsa"], middle).certificate
    assert TrustStore([middle.certificate]).chain(leaf, (), _at(pki)) == (middle.certificate,)
    assert TrustStore([leaf]).chain(leaf, (), _at(pki)) == ()


def test_an_issuer_that_is_no_ca_is_refused(pki: "Pki") -> None:
    leaf = pki.certify("device", pki.keys["ec"], pki.device).certificate
    store = TrustStore([pki.root.certificate], [pki.device.certificate])
    with pytest.raises(RemoteCmpError, match=r"^no valid path"):
        store.chain(leaf, (), _at(pki))


def test_the_time_of_each_validation_counts(pki: "Pki") -> None:
    store = TrustStore([pki.root.certificate])
    for days, problem in ((-11, "not yet valid"), (0, ""), (4000, "expired"), (1, "")):
        if not problem:
            store.chain(pki.device.certificate, (), _at(pki, days))
            continue
        with pytest.raises(RemoteCmpError, match=problem):
            store.chain(pki.device.certificate, (), _at(pki, days))


def test_a_certificate_is_good_to_its_very_last_second(pki: "Pki") -> None:
    store = TrustStore([pki.root.certificate])
    certificate = pki.device.certificate
    end = load_certificate(certificate).not_valid_after_utc
    for late in (0.0, 0.9, 0.0):
        store.chain(certificate, (), end + dt.timedelta(seconds=late))
    with pytest.raises(RemoteCmpError, match="expired"):
        store.chain(certificate, (), end + dt.timedelta(seconds=1))
    store.chain(certificate, (), end)


def test_a_cached_path_is_forgotten_when_a_member_expires(pki: "Pki") -> None:
    brief = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True, days=20)
    leaf = pki.certify("device", pki.keys["rsa"], brief).certificate
    store = TrustStore([pki.root.certificate])
    path = (brief.certificate, pki.root.certificate)
    assert store.cached_chain(leaf, (brief.certificate,), _at(pki)) == path
    assert store.cached_chain(leaf, (), _at(pki, 9)) == path, "no helper is needed any more"
    for days in (11, -20):
        with pytest.raises(RemoteCmpError):
            store.cached_chain(leaf, (brief.certificate,), _at(pki, days))
    assert store.cached_chain(leaf, (), _at(pki)) == path


def test_the_cache_does_not_grow_without_end(pki: "Pki", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "_CACHE_SIZE", 1)
    middle = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True)
    leaf = pki.certify("device", pki.keys["rsa"], middle).certificate
    store = TrustStore([pki.root.certificate])
    store.cached_chain(leaf, (middle.certificate,), _at(pki))
    store.cached_chain(pki.device.certificate, (), _at(pki))
    with pytest.raises(RemoteCmpError):
        store.cached_chain(leaf, (), _at(pki))


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
        store.chain(odd, (), _at(pki))
    assert store.chain(pki.device.certificate, (odd,), _at(pki)) == (pki.root.certificate,)
