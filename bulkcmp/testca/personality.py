"""The servers that the embedded CA can stand for."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.app import CmpApp, HttpManners
from bulkcmp.testca.authority import Authority
from bulkcmp.testca.ejbca.authority import EjbcaAuthority
from bulkcmp.testca.identity import Identity, MacIdentity
from bulkcmp.testca.store import Store

EJBCA_MANNERS: Final = HttpManners(too_large=(400, "Bad Request"), longest_alias=32)


class Personality(StrEnum):
    """Which server's ways the CA has."""

    BULKCMP = "bulkcmp"
    """Its own: those of RFC 9810 and 9483."""
    EJBCA = "ejbca"


def make_app(
    like: Personality,
    store: Store,
    root: Identity,
    behaviour: Behaviour | None = None,
    exceptions: Mapping[str, Behaviour] | None = None,
    *,
    crl_url: str | None = None,
    vendors: Sequence[bytes] = (),
    mac_identities: Sequence[MacIdentity] = (),
) -> CmpApp:
    """The CA as an ASGI application.

    Args:
        mac_identities: EJBCA has no use for them.

    Raises:
        InputError: a behaviour that this server does not have.
    """
    if like is Personality.EJBCA:
        ejbca = EjbcaAuthority(store, root, behaviour, exceptions, crl_url=crl_url, vendors=vendors)
        return CmpApp(ejbca, manners=EJBCA_MANNERS)
    authority = Authority(
        store,
        root,
        behaviour,
        exceptions,
        crl_url=crl_url,
        vendors=vendors,
        mac_identities=mac_identities,
    )
    return CmpApp(authority)
