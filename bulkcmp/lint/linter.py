"""Certificates against RFC 5280 and the rules of a profile, by pkilint.

pkilint is an extra and takes a third of a second to load, so nothing of it is imported before it is
asked for.
"""

import difflib
import importlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from bulkcmp.errors import InputError

DEFAULT_PROFILE: Final = "rfc5280"

UNREADABLE: Final = "bulkcmp.unreadable_certificate"
"""The rule of a certificate that pkilint can't decode."""

_SERVERAUTH: Final = "cabf-serverauth"
_SMIME: Final = "cabf-smime"
_ETSI: Final = "etsi"
_FAMILIES: Final = (DEFAULT_PROFILE, _SERVERAUTH, _SMIME, _ETSI)


class Severity(StrEnum):
    """As pkilint has them; what it only informs of is no finding here."""

    FATAL = "fatal"
    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"

    @property
    def breaks(self) -> bool:
        """Whether it is a violation: of a MUST, say."""
        return self in (Severity.FATAL, Severity.ERROR)


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A rule that a certificate does not keep; `rule` is pkilint's code of it."""

    rule: str
    severity: Severity


def check_profile(profile: str) -> None:
    """Make sure that certificates can be linted by a profile.

    Raises:
        InputError: pkilint is not installed, or has no such profile.
    """
    try:
        importlib.import_module("pkilint")
    except ImportError:
        raise InputError(
            "--lint needs pkilint, which is not installed",
            hint="pip install 'bulkcmp[lint]'",
        ) from None
    known = _profiles()
    if profile not in known:
        near = difflib.get_close_matches(profile, known, n=3)
        raise InputError(
            f"--lint-profile: {profile!r} is not known",
            hint=f"did you mean {' or '.join(near)}?"
            if near
            else f"{', '.join(_FAMILIES)}; or one of the last three with a type of certificate,"
            f" as {_SERVERAUTH}-dv-final-certificate",
        )


def lint(profile: str, certificates: Sequence[bytes]) -> list[tuple[Finding, ...]]:
    """Lint certificates (DER); the findings of each, one for each rule.

    Args:
        profile: that `check_profile` takes.
    """
    # what pkilint makes of a hostile certificate is a finding, not a trace on standard error
    logging.getLogger("pkilint").propagate = False
    examine = _profiles()[profile]
    return [tuple(sorted(set(_findings(examine, der)))) for der in certificates]


_Examine = Callable[[Any], Iterable[Any]]
"""Gives pkilint's results for a document of its."""


def _findings(examine: _Examine, der: bytes) -> Iterable[Finding]:
    from pkilint import loader

    try:
        document = loader.RFC5280CertificateDocumentLoader().load_der_document(der)
        results = list(examine(document))
    except Exception:
        # a hostile certificate may make it raise anything
        yield Finding(UNREADABLE, Severity.FATAL)
        return
    for result in results:
        for description in result.finding_descriptions:
            name = description.finding.severity.name.lower()
            if name in set(Severity):
                yield Finding(description.finding.code, Severity(name))


@lru_cache(maxsize=1)
def _profiles() -> Mapping[str, _Examine]:
    """How to examine a document, by the profile's name; one without a type finds it out."""
    from pkilint import etsi
    from pkilint.cabf import serverauth, smime
    from pkilint.cabf.serverauth import serverauth_constants
    from pkilint.cabf.smime import smime_constants
    from pkilint.etsi import etsi_constants

    profiles: dict[str, _Examine] = {
        DEFAULT_PROFILE: lambda document: _rfc5280().validate(document.root),
        _SERVERAUTH: lambda document: _serverauth(
            document, serverauth.determine_certificate_type(document)
        ),
        _SMIME: lambda document: _smime(
            document, *smime.guess_validation_level_and_generation(document, None)
        ),
        _ETSI: lambda document: _etsi(document, etsi.determine_certificate_type(document)),
    }
    for kind in serverauth_constants.CertificateType:
        profiles[_named(_SERVERAUTH, kind)] = _bound(_serverauth, kind)
    for level in smime_constants.ValidationLevel:
        for generation in smime_constants.Generation:
            profiles[_named(_SMIME, level, generation)] = _bound(_smime, level, generation)
    for kind in etsi_constants.CertificateType:
        profiles[_named(_ETSI, kind)] = _bound(_etsi, kind)
    return profiles


def _named(family: str, *kinds: Any) -> str:
    return "-".join((family, *(kind.name.lower().replace("_", "-") for kind in kinds)))


def _bound(examine: Callable[..., Iterable[Any]], *kinds: Any) -> _Examine:
    return lambda document: examine(document, *kinds)


@lru_cache(maxsize=1)
def _rfc5280() -> Any:
    from pkilint.pkix import certificate, extension, name

    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(
            name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS
        ),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


def _serverauth(document: Any, kind: Any) -> Iterable[Any]:
    from pkilint import finding_filter
    from pkilint.cabf import serverauth

    results = _serverauth_rules(kind).validate(document.root)
    # where the Baseline Requirements want something else than RFC 5280, they count
    kept, _ = finding_filter.filter_results(
        serverauth.create_serverauth_finding_filters(kind), results
    )
    return list(kept)


@lru_cache
def _serverauth_rules(kind: Any) -> Any:
    from pkilint.cabf import serverauth
    from pkilint.pkix import certificate

    return certificate.create_pkix_certificate_validator_container(
        serverauth.create_decoding_validators(), serverauth.create_validators(kind)
    )


def _smime(document: Any, level: Any, generation: Any) -> Iterable[Any]:
    return list(_smime_rules(level, generation).validate(document.root))


@lru_cache
def _smime_rules(level: Any, generation: Any) -> Any:
    from pkilint.cabf import smime
    from pkilint.pkix import certificate

    return certificate.create_pkix_certificate_validator_container(
        smime.create_decoding_validators(), smime.create_subscriber_validators(level, generation)
    )


def _etsi(document: Any, kind: Any) -> Iterable[Any]:
    from pkilint import etsi, finding_filter

    results = _etsi_rules(kind).validate(document.root)
    kept, _ = finding_filter.filter_results(etsi.create_etsi_finding_filters(kind), results)
    return list(kept)


@lru_cache
def _etsi_rules(kind: Any) -> Any:
    from pkilint import etsi
    from pkilint.pkix import certificate

    return certificate.create_pkix_certificate_validator_container(
        etsi.create_decoding_validators(kind), etsi.create_validators(kind)
    )
