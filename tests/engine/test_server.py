import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bulkcmp.cmp.dhmac import DhMacParameters
from bulkcmp.cmp.request import (
    Credential,
    DhCredential,
    MacCredential,
    Protector,
    SignatureCredential,
)
from bulkcmp.engine.frame import Setup, TlsFiles
from bulkcmp.engine.server import Server, connect, pacer
from bulkcmp.errors import InputError, LocalCmpError
from bulkcmp.io.pacer import SharedPacer
from bulkcmp.model import Operation, Profile, Secret
from bulkcmp.testca.identity import make_mac_identity

if TYPE_CHECKING:
    from tests.engine.conftest import Scene


def test_the_client_of_a_worker(scene: "Scene", tmp_path: Path) -> None:
    connect(scene.setup())
    for good in ("http://ca_1.test/", "http://[::1]:8080/", "http://käse.test/cmp"):
        connect(scene.setup(url=good))
    for bad in ("ldap://ca.test/", "http://no URL", "http:///cmp", "http://a<b/"):
        with pytest.raises(InputError, match="must start with http"):
            connect(scene.setup(url=bad))
    missing = TlsFiles(trusted=(str(tmp_path / "missing.pem"),))
    with pytest.raises(InputError, match=r"missing\.pem"):
        connect(scene.setup(url="https://ca.test/", tls=missing))


def test_the_pacer_of_a_worker(scene: "Scene", tmp_path: Path) -> None:
    assert pacer(scene.setup()) is None
    file = tmp_path / "pace"
    setup: Setup = scene.setup(rate=5.0, pace_file=str(file))
    assert isinstance(pacer(setup), SharedPacer)
    assert file.exists()


class Place:
    """A CA with keys for MACs, and a server that has its `--srvcert`."""

    def __init__(self, scene: "Scene", kind: str | None, **profile: Any) -> None:
        self._root, self._now = scene.peer.root, dt.datetime.now(dt.UTC)
        self.key = None if kind is None else make_mac_identity(self._root, kind, self._now)
        setup = scene.setup(
            srvcert=None if self.key is None else self.key.der, profile=Profile(**profile)
        )
        self.server = Server(setup, connect(setup), scene.clock, anyio.Event())
        self._row = scene.row(1)

    def credential(self, kind: str, **fields: Any) -> Credential:
        """Of an end entity that has a certificate for a key of that type."""
        own = make_mac_identity(self._root, kind, self._now)
        key = own.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        entity = replace(self._row, cert=(own.der,), key=key, **({"secret": None} | fields))
        return self.server.credential([entity])


AGREEMENT = pytest.mark.parametrize("kind", ["ec:P-256", "ec:P-521", "x25519", "x448"])


@AGREEMENT
def test_a_certificate_for_key_agreement(scene: "Scene", kind: str) -> None:
    place = Place(scene, kind, digest="sha512", mac="hmac-sha384")
    credential = place.credential(kind)
    assert isinstance(credential, DhCredential)
    assert place.key is not None
    assert credential.recipient_kid == place.key.key_identifier
    assert credential.parameters == DhMacParameters.choose("sha512", "hmac-sha384")
    # a secret goes before it, but in a kur, where it checks answers only
    secret = Secret(b"pw")
    assert isinstance(place.credential(kind, secret=secret), MacCredential)
    updating = place.credential(kind, secret=secret, cmd=Operation.KUR)
    assert isinstance(updating, DhCredential)
    assert updating.secret == secret


@AGREEMENT
def test_nothing_to_agree_with(scene: "Scene", kind: str) -> None:
    with pytest.raises(LocalCmpError, match="nothing is known to agree with") as caught:
        Place(scene, None).credential(kind)
    assert "--srvcert" in (caught.value.hint or "")
    with pytest.raises(LocalCmpError, match="two keys of one type"):
        Place(scene, "ml-kem-768").credential(kind)


def test_an_ec_key_can_sign_all_the_same(scene: "Scene") -> None:
    place = Place(scene, None, sign_requests=True)
    assert isinstance(place.credential("ec:P-256"), SignatureCredential)
    credential = place.credential("x25519")
    with pytest.raises(LocalCmpError, match="X25519PrivateKey can't sign"):
        Protector(credential, Profile())
