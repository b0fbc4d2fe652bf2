"""`bulkcmp ca`: the embedded CA, its end entities, and what other CAs need to know."""

import base64
import csv
import datetime as dt
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from typer.models import OptionInfo

from bulkcmp.cli.completion import one_of
from bulkcmp.cmp import general
from bulkcmp.cmp.messages import FAIL_INFO
from bulkcmp.errors import InputError
from bulkcmp.inputs.extension import parse_ext_key_usage, parse_extensions, parse_key_usage
from bulkcmp.inputs.name import format_name, parse_name
from bulkcmp.inputs.san import parse_sans
from bulkcmp.inputs.secret import read_secret
from bulkcmp.model import KEY_SPECS, SIGNING_KEY_SPECS, KeySpec
from bulkcmp.outputs.files import make_private_folder, replacing
from bulkcmp.outputs.text import utc, visible
from bulkcmp.testca import demand, registration, state
from bulkcmp.testca import recipes as openssl
from bulkcmp.testca.aliases import (
    ALIASES,
    RA_CERT,
    VENDOR,
    Behaviour,
    Mode,
    PollingNonce,
    paths,
)
from bulkcmp.testca.app import CRL_PATH
from bulkcmp.testca.crl import current_crl
from bulkcmp.testca.identity import MAC_KEYS
from bulkcmp.testca.personality import Personality
from bulkcmp.testca.registration import DEFAULT_EJBCA_CA
from bulkcmp.testca.server import (
    DEFAULT_CONNECTIONS,
    DEFAULT_HOST,
    DEFAULT_PORT,
    DEFAULT_REQUEST_SECONDS,
    ServerSettings,
)
from bulkcmp.testca.server import serve as serve_ca
from bulkcmp.testca.store import IssuedCertificate, Registration, Store

app = typer.Typer(help="Run the embedded CA, and prepare others.", no_args_is_help=True)

_REGISTERING: Final = tuple(one.name for one in ALIASES.values() if one.mode is Mode.CLIENT)
"""Aliases at which end entities are registered."""

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_CERTIFICATE_COLUMNS: Final = (
    "serial", "subject", "alias", "user", "transaction_id", "status", "reason", "issued_at",
    "revoked_at", "not_after", "key_identifier", "certificate",
)  # fmt: skip

_CA: Final = "The CA"
_LISTEN: Final = "Connections and TLS"
_ANSWERS: Final = "Answers"
_POLLING: Final = "Polling"
_REFUSALS: Final = "Refusals"


def _state_option(panel: str | None = None) -> OptionInfo:
    made: OptionInfo = typer.Option(
        "--state", metavar="DIR", help="The CA's state folder.", rich_help_panel=panel
    )
    return made


def _ca_key_option(panel: str | None = None) -> OptionInfo:
    made: OptionInfo = typer.Option(
        "--ca-key",
        metavar="SPEC",
        help=f"The CA's key, when it is made: {SIGNING_KEY_SPECS}.",
        rich_help_panel=panel,
    )
    return made


StateOption = Annotated[Path, _state_option()]
DEFAULT_STATE: Final = Path("ca")


class RegistrationFormat(StrEnum):
    """What an operator registers end entities with."""

    EJBCA_SH = "ejbca-sh"
    CSV = "csv"


@app.command()
def init(
    state_dir: StateOption = DEFAULT_STATE, ca_key: Annotated[str, _ca_key_option()] = "ec:P-256"
) -> None:
    """Make a CA: key, root certificate, books. One that exists is left as it is.

    Example: bulkcmp ca init --state ./ca
    """
    made = state.create(state_dir, KeySpec.parse(ca_key), dt.datetime.now(dt.UTC))
    anchor = state.Folder(state_dir).ca_certificate
    typer.echo(f"{'made' if made else 'there is'} a CA in {state_dir}; trust anchor: {anchor}")


@app.command()
def serve(
    state_dir: Annotated[Path, _state_option(_CA)] = DEFAULT_STATE,
    host: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="Address to listen on.", rich_help_panel=_LISTEN),
    ] = DEFAULT_HOST,
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            help="Port to listen on; 0 for any that is free.",
            rich_help_panel=_LISTEN,
        ),
    ] = DEFAULT_PORT,
    ca_key: Annotated[str, _ca_key_option(_CA)] = "ec:P-256",
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Serve HTTPS with this certificate (PEM, with chain).",
            rich_help_panel=_LISTEN,
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its key (PEM, not encrypted).", rich_help_panel=_LISTEN),
    ] = None,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Take TLS clients with a certificate of these CAs only.",
            rich_help_panel=_LISTEN,
        ),
    ] = None,
    max_connections: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Connections at a time; what is more is closed unread.",
            rich_help_panel=_LISTEN,
        ),
    ] = DEFAULT_CONNECTIONS,
    request_timeout: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="Limit for the head of a connection's next request, and again for its body.",
            rich_help_panel=_LISTEN,
        ),
    ] = DEFAULT_REQUEST_SECONDS,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where clients reach this server; issued certificates name the CRL there.",
            rich_help_panel=_CA,
        ),
    ] = None,
    like: Annotated[
        Personality,
        typer.Option(help="The server whose ways it has.", rich_help_panel=_CA),
    ] = Personality.BULKCMP,
    one_shot: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ALIAS",
            autocompletion=one_of(ALIASES),
            help="An end entity enrolls once at this alias (repeatable).",
            rich_help_panel=_REFUSALS,
        ),
    ] = None,
    delay: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="Wait before each answer.", rich_help_panel=_ANSWERS
        ),
    ] = 0.0,
    poll_count: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Deliver certificates on the N-th pollReq.",
            rich_help_panel=_POLLING,
        ),
    ] = 0,
    poll_every: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Let each N-th request of a message wait only.",
            rich_help_panel=_POLLING,
        ),
    ] = 1,
    poll_whole: Annotated[
        bool,
        typer.Option(
            "--poll-whole",
            help="Let the whole answer wait, whatever is asked for: an error with status waiting.",
            rich_help_panel=_POLLING,
        ),
    ] = False,
    check_after: Annotated[
        int,
        typer.Option(
            min=0, metavar="SECONDS", help="What a pollRep asks to wait.", rich_help_panel=_POLLING
        ),
    ] = 1,
    nonce_after_polling: Annotated[
        PollingNonce,
        typer.Option(
            help="recipNonce of what is delivered after polling: that of the last pollReq (OpenSSL"
            " takes no other) or of the original request.",
            rich_help_panel=_POLLING,
        ),
    ] = PollingNonce.POLL,
    reject: Annotated[
        str | None,
        typer.Option(
            metavar="FAILINFO",
            autocompletion=one_of(FAIL_INFO),
            help="Reject requests with this failInfo.",
            rich_help_panel=_REFUSALS,
        ),
    ] = None,
    reject_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Reject each N-th request only (badRequest by default).",
            rich_help_panel=_REFUSALS,
        ),
    ] = None,
    no_implicit_confirm: Annotated[
        bool,
        typer.Option(
            "--no-implicit-confirm",
            help="Never grant implicit confirmation.",
            rich_help_panel=_ANSWERS,
        ),
    ] = False,
    unprotected_errors: Annotated[
        bool,
        typer.Option(
            "--unprotected-errors",
            help="Send errors and rejections unprotected.",
            rich_help_panel=_ANSWERS,
        ),
    ] = False,
    sign_answers: Annotated[
        bool | None,
        typer.Option(
            "--sign-answers/--mac-answers",
            help="How MAC-protected requests are answered; by default client mode signs, as"
            " EJBCA's does, and RA mode answers by MAC.",
            rich_help_panel=_ANSWERS,
        ),
    ] = None,
    p10cr_id: Annotated[
        int,
        typer.Option(
            min=-1, max=0, help="certReqId that answers a p10cr: -1 or 0.", rich_help_panel=_ANSWERS
        ),
    ] = -1,
    mac_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC",
            autocompletion=one_of(MAC_KEYS),
            help=f"Have a key for MACs with requesters' keys, made at first ({', '.join(MAC_KEYS)};"
            " repeatable): DHBasedMac, or for ml-kem answers with a KEM-based MAC.",
            rich_help_panel=_CA,
        ),
    ] = None,
    unique_keys: Annotated[
        bool,
        typer.Option(
            "--unique-keys",
            help="Certify no public key of another end entity.",
            rich_help_panel=_REFUSALS,
        ),
    ] = False,
    pwri_kek: Annotated[
        bool,
        typer.Option(
            "--pwri-kek",
            help="Wrap the keys that are made here by PWRI-KEK (RFC 3211) for a secret, as clients"
            " on OpenSSL and BouncyCastle want it, not by AES key wrap (RFC 9481).",
            rich_help_panel=_ANSWERS,
        ),
    ] = False,
    bare_keys: Annotated[
        bool,
        typer.Option(
            "--bare-keys",
            help="Send the keys that are made here as PKCS#8 alone, as clients on OpenSSL want it,"
            " not in an AsymmetricKeyPackage (RFC 9483, 4.1.6).",
            rich_help_panel=_ANSWERS,
        ),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Refuse what RFC 9483 forbids, though RFC 9810 allows it: several requests in a"
            " message, a rr by MAC, no messageTime …",
            rich_help_panel=_REFUSALS,
        ),
    ] = False,
    time_tolerance: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="How far off a messageTime may be.",
            rich_help_panel=_REFUSALS,
        ),
    ] = 300.0,
) -> None:
    """Serve the CA until interrupted; the first start makes it.

    Example: bulkcmp ca serve --port 8829 --state ./ca
    """
    behaviour = Behaviour(
        delay=delay,
        poll_count=poll_count,
        poll_every=poll_every,
        poll_whole=poll_whole,
        check_after=check_after,
        polling_nonce=nonce_after_polling,
        reject=reject or ("badRequest" if reject_every is not None else None),
        reject_every=reject_every or 1,
        implicit_confirm=not no_implicit_confirm,
        unprotected_errors=unprotected_errors,
        sign_answers=sign_answers,
        p10cr_cert_req_id=p10cr_id,
        time_tolerance=time_tolerance,
        unique_keys=unique_keys,
        pwri_kek=pwri_kek,
        bare_keys=bare_keys,
        strict=strict,
    )
    exceptions = behaviour.one_shot_at(one_shot or ())
    if host not in _LOOPBACK:
        typer.echo(
            f"warning: {host} may be reached from other machines; this CA is for tests, its keys"
            " are not encrypted",
            err=True,
        )
    if mac_key and like is Personality.EJBCA:
        raise InputError("EJBCA knows neither DHBasedMac nor KEM-based MAC")
    now = dt.datetime.now(dt.UTC)
    state.create(state_dir, KeySpec.parse(ca_key), now)
    for kind in mac_key or ():
        state.make_mac_key(state_dir, kind, now)

    def announce(at: str) -> None:
        for alias in ALIASES.values():
            typer.echo(f"{alias.name:<16} {at}{paths(alias)[0]}")
        typer.echo(f"{'trust anchor':<16} {state.Folder(state_dir).ca_certificate}")
        for kind in mac_key or ():
            typer.echo(f"{kind:<16} {state.Folder(state_dir).mac_certificate(kind)}")
        typer.echo(f"{'CRL':<16} {at}{CRL_PATH}")
        typer.echo(f"serving at {at}, Ctrl-C ends it")
        sys.stdout.flush()

    serve_ca(
        ServerSettings(
            state_dir,
            host,
            port,
            like,
            behaviour,
            exceptions,
            url=url,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls_client_ca=tls_client_ca,
            max_connections=max_connections,
            request_seconds=request_timeout,
        ),
        announce,
    )


@app.command()
def add_end_entity(
    alias: Annotated[
        str,
        typer.Option(
            metavar="ALIAS",
            autocompletion=one_of(_REGISTERING),
            help="client-hmac, client-regtoken; without secret client-cert, 3gpp.",
        ),
    ] = "client-hmac",
    state_dir: StateOption = DEFAULT_STATE,
    user: Annotated[
        str | None, typer.Option(help="User name: reference value and CN of the subject.")
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Its secret: pass:TEXT, env:NAME or file:PATH."),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(metavar="DN", help="Subject of its certificates; a template with --csv."),
    ] = None,
    csv_file: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="A population: id, ref, secret, subject."),
    ] = None,
    ref: Annotated[
        str | None, typer.Option(metavar="TEMPLATE", help="User names of rows without `ref`.")
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Known ones get new secret and subject, and status NEW."),
    ] = False,
) -> None:
    """Register end entities in client mode, also while the CA runs: all of them or none.

    Example: bulkcmp ca add-end-entity --state ./ca --csv devices.csv --subject "/CN={id}"
    """
    at = registration.client_alias(alias)
    shared = None if secret is None else read_secret(secret, os.environ)
    entries: Iterable[Registration]
    if csv_file is not None:
        if user is not None:
            raise InputError("--user and --csv exclude each other")
        candidates = registration.read_candidates(
            csv_file, os.environ, subject=subject, ref=ref, secret=shared
        )
        entries = registration.registrations(candidates, at, csv_file)
    elif user is None or subject is None:
        raise InputError("who?", hint="give --user and --subject, or --csv FILE")
    else:
        entries = [registration.register_one(user, parse_name(subject), shared, at)]
    with closing(state.open_books(state_dir)) as store:
        count = store.register(entries, replace=replace)
    typer.echo(f"registered {count} end {'entity' if count == 1 else 'entities'} for {alias}")


@app.command()
def vendor_cert(
    state_dir: StateOption = DEFAULT_STATE,
    subject: Annotated[
        str | None,
        typer.Option(
            metavar="DN", help="Subject of the vendor's certificate; a template with --csv."
        ),
    ] = None,
    certout: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the certificate and chain here.")
    ] = None,
    keyout: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write its key here (0600).")
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="A population: one for each row.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="With --csv: certificates, keys and devices.csv for enroll."
        ),
    ] = None,
) -> None:
    """Make devices as a vendor does: keys, and certificates that the alias 3gpp takes.

    Example: bulkcmp ca vendor-cert --state ./ca --subject /CN=unit-1
    --certout unit.pem --keyout unit.key
    """
    now = dt.datetime.now(dt.UTC)
    if csv_file is None:
        if subject is None or certout is None or keyout is None:
            raise InputError("whose?", hint="give --subject, --certout and --keyout, or --csv FILE")
        state.write_device(state_dir, parse_name(subject), certout, keyout, now)
        typer.echo(f"wrote {certout} and {keyout}")
        return
    if out is None or certout is not None or keyout is not None:
        raise InputError("--csv goes with --out FOLDER, and not with --certout, --keyout")
    found = list(registration.read_candidates(csv_file, os.environ, subject=subject))
    make_private_folder(out)
    with _output(out / "devices.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "subject", "cert", "key"])
        for one in found:
            certificate, key = f"{one.id}.pem", f"{one.id}.key"
            state.write_device(state_dir, one.subject, out / certificate, out / key, now)
            writer.writerow([one.id, format_name(one.subject), certificate, key])
    typer.echo(f"made {len(found)} {'device' if len(found) == 1 else 'devices'} in {out}")


@app.command()
def show(
    state_dir: StateOption = DEFAULT_STATE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show URL paths, trust anchor, the secrets that the CA made, and counts.

    Example: bulkcmp ca show --state ./ca --json
    """
    with closing(state.open_books(state_dir)) as store:
        facts = _facts(state_dir, store)
    if as_json:
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    typer.echo(f"trust anchor: {facts['trust_anchor']}")
    for name, alias in facts["aliases"].items():
        typer.echo(f"{name}: {alias['mode']} mode, {alias['authentication']}")
        for path in alias["paths"]:
            typer.echo(f"  {path}")
        for key in ("ref", "secret", "cert", "key", "vendor"):
            if key in alias:
                typer.echo(f"  {key}: {alias[key]}")
    for what in ("certificates", "end_entities"):
        counts = ", ".join(f"{count} {status}" for status, count in facts[what].items())
        typer.echo(f"{what.replace('_', ' ')}: {counts or 'none'}")
    typer.echo(f"open transactions: {facts['open_transactions']}")


@app.command()
def issued(
    state_dir: StateOption = DEFAULT_STATE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV (the default).")] = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Write here (0600), not to stdout."),
    ] = None,
) -> None:
    """List every certificate that the CA issued: CSV, or JSON. bulkcmp reconcile reads the CSV.

    Example: bulkcmp ca issued --state ./ca --csv -o issued.csv
    """
    if as_json and as_csv:
        raise InputError("--json and --csv exclude each other")
    with closing(state.open_books(state_dir)) as store, _output(out) as file:
        rows = (_certificate_facts(certificate) for certificate in store.certificates())
        if as_json:
            file.write(json.dumps(list(rows), indent=2, ensure_ascii=False) + "\n")
            return
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_CERTIFICATE_COLUMNS)
        for row in rows:
            writer.writerow([row[column] or "" for column in _CERTIFICATE_COLUMNS])


@app.command()
def crl(
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FILE", help="Write it here: PEM, or --der.")
    ],
    state_dir: StateOption = DEFAULT_STATE,
    der: Annotated[bool, typer.Option("--der", help="Write DER.")] = False,
) -> None:
    """Write the CRL that is good now, also while the CA runs.

    Example: bulkcmp ca crl --state ./ca -o crl.pem
    """
    root = state.load_identity(state_dir)
    with closing(state.open_books(state_dir)) as store, store.writing():
        data = current_crl(store, root, dt.datetime.now(dt.UTC))
    revoked = x509.load_der_x509_crl(data)
    with replacing(out, 0o644, durable=False) as file:
        file.write(data if der else revoked.public_bytes(Encoding.PEM))
    count = len(revoked)
    typer.echo(f"{count} revoked certificate{'' if count == 1 else 's'} in the CRL in {out}")


@app.command()
def root_update(
    state_dir: StateOption = DEFAULT_STATE,
    key: Annotated[
        str,
        typer.Option("--ca-key", metavar="SPEC", help=f"The new root's key: {SIGNING_KEY_SPECS}."),
    ] = "ec:P-256",
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Tell from now on that there is none.")
    ] = False,
) -> None:
    """Announce a new root to who asks for one (genm rootCaCert), also while the CA runs.

    It is next-ca.pem in the state folder, linked with the present root both ways; the CA goes on
    with the present one.

    Example: bulkcmp ca root-update --state ./ca
    """
    if withdraw:
        _withdraw(state_dir, general.ROOT_CA_KEY_UPDATE)
        return
    state.announce_root(state_dir, KeySpec.parse(key), dt.datetime.now(dt.UTC))
    typer.echo(f"announced the root {state.Folder(state_dir).next_certificate}")


@app.command()
def cert_req_template(
    state_dir: StateOption = DEFAULT_STATE,
    subject: Annotated[
        str | None, typer.Option(metavar="DN", help="Subject that is filled in already.")
    ] = None,
    sans: Annotated[
        str | None, typer.Option(metavar="LIST", help="subjectAltName, as of enroll.")
    ] = None,
    keyusage: Annotated[
        str | None, typer.Option(metavar="LIST", help="keyUsage, as of enroll.")
    ] = None,
    extkeyusage: Annotated[
        str | None, typer.Option(metavar="LIST", help="extKeyUsage, as of enroll.")
    ] = None,
    extensions: Annotated[
        str | None, typer.Option(metavar="LIST", help="Any other extensions, as of enroll.")
    ] = None,
    newkey: Annotated[
        list[str] | None,
        typer.Option(metavar="SPEC", help=f"Key to demand; may be repeated: {KEY_SPECS}."),
    ] = None,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Tell from now on that there is none.")
    ] = False,
) -> None:
    """Tell a template to who asks what requests must look like (genm certReqTemplate), also while
    the CA runs.

    It binds nobody: the CA refuses no request for it.

    Example: bulkcmp ca cert-req-template --state ./ca --newkey ec:P-256
    """
    if withdraw:
        if subject or sans or keyusage or extkeyusage or extensions or newkey:
            raise InputError("--withdraw goes without what a template holds")
        _withdraw(state_dir, general.CERT_REQ_TEMPLATE)
        return
    asked = [
        read(text)
        for text, read in (
            (sans, parse_sans),
            (keyusage, parse_key_usage),
            (extkeyusage, parse_ext_key_usage),
        )
        if text is not None
    ]
    template = demand.cert_req_template(
        None if subject is None else parse_name(subject),
        (*asked, *(() if extensions is None else parse_extensions(extensions))),
        [KeySpec.parse(spec) for spec in newkey or ()],
    )
    with closing(state.open_books(state_dir)) as store, store.writing():
        store.set_information(general.CERT_REQ_TEMPLATE, template)
    typer.echo("the template is told from now on")


def _withdraw(state_dir: Path, info_type: str) -> None:
    with closing(state.open_books(state_dir)) as store, store.writing():
        store.set_information(info_type, None)
    typer.echo(f"no {general.name_of(info_type)} is told any more")


@app.command()
def export_preregistration(
    devices: Annotated[Path, typer.Argument(metavar="FILE", help="A population, as for enroll.")],
    form: Annotated[
        RegistrationFormat,
        typer.Option(
            "--format",
            help="ejbca-sh: shell lines for an EJBCA's operator; csv: id, ref, secret, subject.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Write here (0600), not to stdout."),
    ] = None,
    secrets_out: Annotated[
        Path | None,
        typer.Option(
            "--secrets",
            metavar="FILE",
            help="Write id, ref, secret and subject here (0600), for enroll; needed where rows"
            " have no secret.",
        ),
    ] = None,
    subject: Annotated[
        str | None, typer.Option(metavar="TEMPLATE", help="Subject of rows without one.")
    ] = None,
    ref: Annotated[
        str | None, typer.Option(metavar="TEMPLATE", help="User names of rows without `ref`.")
    ] = None,
    caname: Annotated[
        str, typer.Option(metavar="NAME", help="ejbca-sh: the CA's name in EJBCA.")
    ] = DEFAULT_EJBCA_CA,
    eeprofile: Annotated[
        str | None, typer.Option(metavar="NAME", help="ejbca-sh: end entity profile.")
    ] = None,
    certprofile: Annotated[
        str | None, typer.Option(metavar="NAME", help="ejbca-sh: certificate profile.")
    ] = None,
) -> None:
    """Write what the operator of a real CA needs to register client-mode users.

    Rows without a secret get a random one.

    Example: bulkcmp ca export-preregistration devices.csv --format ejbca-sh -o register.sh
    --secrets secrets.csv
    """
    found = list(registration.read_candidates(devices, os.environ, subject=subject, ref=ref))
    if form is RegistrationFormat.EJBCA_SH and secrets_out is None:
        registration.require_secrets(found, devices)
    complete = list(registration.with_secrets(found))
    if secrets_out is not None:
        with _output(secrets_out) as file:
            registration.write_csv(complete, file)
    with _output(out) as file:
        if form is RegistrationFormat.CSV:
            registration.write_csv(complete, file)
            return
        for line in registration.ejbca_commands(complete, caname, eeprofile, certprofile):
            file.write(line + "\n")


@app.command()
def recipes(
    state_dir: StateOption = DEFAULT_STATE,
    url: Annotated[str, typer.Option(metavar="URL", help="Where the CA serves.")] = (
        f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"
    ),
) -> None:
    """Print command lines for each alias: of `openssl cmp`, or of bulkcmp where that can't.

    Example: bulkcmp ca recipes --state ./ca
    """
    with closing(state.open_books(state_dir)) as store:
        for line in openssl.recipes(state_dir, store, url):
            typer.echo(line)


def _facts(state_dir: Path, store: Store) -> dict[str, Any]:
    folder = state.Folder(state_dir.resolve())
    aliases: dict[str, dict[str, Any]] = {}
    for alias in ALIASES.values():
        facts: dict[str, Any] = {
            "mode": alias.mode.value,
            "authentication": alias.authentication.value,
            "paths": list(paths(alias)),
        }
        secret = store.alias_secret(alias.name)
        if secret is not None:
            facts["secret"] = secret.reveal().decode()
            # any reference is taken here; this one is for copying
            facts["ref"] = "ra1"
        if alias is VENDOR:
            facts["vendor"] = str(folder.vendor_root)
        if alias is RA_CERT:
            facts["cert"] = str(folder.ra_certificate)
            facts["key"] = str(folder.ra_key)
        aliases[alias.name] = facts
    return {
        "state": str(folder.path),
        "trust_anchor": str(folder.ca_certificate),
        "aliases": aliases,
        "certificates": store.certificate_counts(),
        "end_entities": store.end_entity_counts(),
        "open_transactions": store.open_transactions(),
    }


def _certificate_facts(certificate: IssuedCertificate) -> dict[str, str | None]:
    digits = f"{certificate.serial:X}"
    revoked_at = certificate.revoked_at
    transaction_id = certificate.transaction_id
    not_after = x509.load_der_x509_certificate(certificate.der).not_valid_after_utc
    return {
        # as `openssl x509 -serial` and results.csv write it
        "serial": digits.zfill(len(digits) + len(digits) % 2),
        "subject": visible(format_name(certificate.subject)),
        "alias": certificate.alias,
        "user": None if certificate.user is None else visible(certificate.user),
        "transaction_id": None if transaction_id is None else transaction_id.hex(),
        "status": certificate.status.value,
        "reason": None if certificate.reason is None else certificate.reason.name.lower(),
        "issued_at": utc(certificate.issued_at, "milliseconds"),
        "revoked_at": None if revoked_at is None else utc(revoked_at, "milliseconds"),
        "not_after": utc(not_after, "seconds"),
        "key_identifier": certificate.key_identifier.hex(),
        "certificate": base64.b64encode(certificate.der).decode(),
    }


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    """A text file that is its owner's alone, or stdout."""
    if path is None:
        yield sys.stdout
        return
    with replacing(path, 0o600, durable=True) as raw:
        file = io.TextIOWrapper(raw, encoding="utf-8", newline="\n", write_through=True)
        yield file
        file.detach()
