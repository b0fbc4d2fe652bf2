"""The options of commands that talk CMP; each bears the name that it has in `openssl cmp`."""

from collections.abc import Callable, Collection
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Final

import typer
from cryptography.x509 import ReasonFlags

from bulkcmp.cli.completion import Completion, one_of, profiles, some_of, time_zones
from bulkcmp.cmp import algorithms
from bulkcmp.cmp.general import QUESTIONS
from bulkcmp.cmp.messages import FAIL_INFO
from bulkcmp.engine.migration.rules import Names, Several
from bulkcmp.errors import InputError
from bulkcmp.inputs.extension import KEY_USAGES
from bulkcmp.inputs.range import RANGE
from bulkcmp.inputs.recognition import FORMATS
from bulkcmp.model import (
    KEY_SPECS,
    AcceptProtection,
    Operation,
    PasswordMac,
    Popo,
    RsaPadding,
    SubjectCheck,
)
from bulkcmp.outputs.credentials import OutChain, OutFormat

_POPULATION: Final = "Population"
_SERVER: Final = "Server and messages"
_AUTH: Final = "Authentication"
_RA: Final = "Nested messages: what an RA puts around ours"
_TRUST: Final = "Trust"
_ROWS: Final = "Rows: for cells that are empty or absent; {id}, {ref} ... fill in"
_KEYS: Final = "Keys and output"
_DELIVERY: Final = "Delivery"
_LINT: Final = "Lint"
_PACE: Final = "Pace and limits"
_WAVES: Final = "Waves: when transactions begin"
_CLUSTER: Final = "Cluster"
_MIGRATION: Final = "Migration"
_TLS: Final = "TLS and proxy"
_SHOW: Final = "Display"
REASONS: Final = tuple(reason.value for reason in ReasonFlags)
"""The names of CRLReasons (RFC 5280, 5.3.1)."""
_MIGRATION_REASONS: Final = (
    "superseded", "certificateHold", "cessationOfOperation", "affiliationChanged", "unspecified",
)  # fmt: skip
_SOURCE: Final = "pass:TEXT, env:NAME, file:PATH or stdin"

OF_SOURCES: Final = ("range", "map", "source_format", "encoding", "sheet", "source_pass")
"""Names of what says how a population is read."""

OF_OUTPUT: Final = (
    "out_format", "out_chain", "out_name", "out_pass", "out_pass_length", "passwords_recipient",
    "label", "operator",
)  # fmt: skip
"""How an enrollment writes what each row gets."""


def _option(
    panel: str,
    text: str,
    *names: str,
    metavar: str | None = None,
    completion: Completion | None = None,
) -> typer.models.OptionInfo:
    made: typer.models.OptionInfo = typer.Option(
        *names,
        help=text,
        rich_help_panel=panel,
        metavar=metavar,
        show_default=False,
        autocompletion=completion,
    )
    return made


def with_those_of(
    other: Callable[..., None],
    *,
    but: Collection[str] = (),
    only: Collection[str] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command, which takes them as `**given`, the options of another.

    Args:
        but: names of parameters that it does not get; only: of those that it gets, where that is
            not all.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = signature(command).parameters
        new = [
            one.replace(kind=Parameter.KEYWORD_ONLY)
            for name, one in signature(other).parameters.items()
            if name not in own and name not in but and (only is None or name in only)
        ]
        kept = [one for one in own.values() if one.kind is not Parameter.VAR_KEYWORD]
        merged = Signature([*kept, *new])
        command.__annotations__ = {name: one.annotation for name, one in merged.parameters.items()}
        # what typer, and inspect, take for the parameters
        setattr(command, "__signature__", merged)  # noqa: B010  # functions declare no such attribute
        return command

    return decorate


def _flag(panel: str, text: str, name: str) -> typer.models.OptionInfo:
    return _option(panel, text, name, metavar="")


def _switch(panel: str, text: str, name: str) -> typer.models.OptionInfo:
    """A flag that a profile may have set, and that `--no-...` takes back."""
    return _flag(panel, text, f"{name}/--no-{name.removeprefix('--')}")


SOURCES: Final = (
    "What has the end entities: CSV of bulkcmp or, with --map, of others, LDIF, JSON Lines or Excel"
    " workbook."
)
PopulationFile = Annotated[
    str, typer.Argument(metavar="POPULATION", help=SOURCES, show_default=False)
]
PopulationSource = Annotated[
    str | None, typer.Argument(metavar="[POPULATION]", help=SOURCES, show_default=False)
]
PlanOnly = Annotated[
    bool,
    _flag(
        _MIGRATION,
        "Say what would be done by which rule, with counts and examples; nothing is written or"
        " sent. Exit code 1 where users would be rejected.",
        "--plan",
    ),
]
Several_ = Annotated[
    Several,
    _option(
        _MIGRATION,
        "Of several valid old certificates of a user: all are revoked, or those matching the new"
        " subject, or reject: the user is not migrated. Default: all.",
        "--several",
    ),
]
Names_ = Annotated[
    Names,
    _option(
        _MIGRATION,
        "Where the old certificate has another name than the row: keep the old one, or map: take"
        " the row's. Default: map.",
        "--names",
    ),
]
MigrationReason = Annotated[
    str,
    _option(
        _MIGRATION,
        "Of the revocations: superseded (default), certificateHold, which can be undone,"
        " cessationOfOperation, affiliationChanged or unspecified; a cell revreason goes before.",
        "--reason",
        metavar="REASON",
        completion=one_of(_MIGRATION_REASONS),
    ),
]
Range = Annotated[
    str | None,
    _option(
        _POPULATION,
        "Instead of a file, or besides: ids that follow one another, as a shell expands braces:"
        " 'dev-{000001..250000}'.",
        "--range",
        metavar="IDS",
    ),
]
Map = Annotated[
    str | None,
    _option(
        _POPULATION,
        "Mapping rules: which attributes of the source become which columns (TOML).",
        "--map",
        metavar="FILE",
    ),
]
SourceFormat = Annotated[
    str | None,
    _option(
        _POPULATION,
        f"What the source is, where that is not recognised: {', '.join(FORMATS)}.",
        metavar="FORMAT",
        completion=one_of(FORMATS),
    ),
]
Encoding = Annotated[
    str | None,
    _option(
        _POPULATION,
        "Of a CSV file that is neither UTF-8 nor UTF-16, such as cp1252.",
        metavar="NAME",
    ),
]
Sheet = Annotated[
    str | None,
    _option(_POPULATION, "Of a workbook that has several.", metavar="NAME"),
]
SourcePass = Annotated[
    str | None,
    _option(
        _POPULATION,
        "Where the password of a population's PKCS#12 and key files is: env:NAME, file:PATH, or"
        " list:PATH of a CSV of name and password.",
        metavar="SOURCE",
    ),
]


def population(file: str | None, ids: str | None) -> str:
    """The source of a population: that of the argument, or of `--range`.

    Raises:
        InputError: neither is given, or both are.
    """
    if (file is None) is (ids is None):
        raise InputError(
            "what shall the population be?" if file is None else "a population, and --range too",
            hint="name a file, or give --range IDS",
        )
    return f"{RANGE}{ids}" if file is None else file


RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder of the run.", show_default=False)
]

RunId = Annotated[
    str | None,
    _option(
        _KEYS,
        "With --journal: go on with the run of this id in RUN, which need not be there yet. The id"
        " stands in journal.json of the folder that the run began in.",
        "--run",
        metavar="ID",
    ),
]
MovedMap = Annotated[
    str | None,
    _option(
        _KEYS,
        "Where the mapping rules of the run stand now, if they are not where they were.",
        "--map",
        metavar="FILE",
    ),
]
MovedPopulation = Annotated[
    str | None,
    _option(
        _KEYS,
        "Where the population of the run stands now, if it is not where it was.",
        "--population",
        metavar="FILE",
    ),
]

Config = Annotated[
    list[str] | None,
    _option(
        _SERVER,
        "Connection profile: the name of a shipped one (bulkcmp profiles list), or a TOML file of"
        " settings, named as the options with underscores. May be repeated: later ones win, and"
        " options given here win over all; --no-implicit-confirm and the like take back what one"
        " switches on.",
        metavar="NAME|FILE",
        completion=profiles,
    ),
]
Server = Annotated[
    str | None,
    _option(
        _SERVER, "CMP server: http://HOST:PORT/PATH, https://HOST, or HOST:PORT.", metavar="URL"
    ),
]
Path_ = Annotated[
    str | None,
    _option(
        _SERVER,
        "HTTP path (CMP alias) instead of the one in --server.",
        "--path",
        metavar="PATH",
    ),
]
Recipient = Annotated[
    str | None,
    _option(
        _SERVER,
        "Name of the CA to address. Default: subject of --srvcert, --issuer, or of the only"
        " --trusted certificate.",
        metavar="DN",
    ),
]
ImplicitConfirm = Annotated[
    bool | None,
    _switch(_SERVER, "Ask for implicit confirmation.", "--implicit-confirm"),
]
DisableConfirm = Annotated[
    bool | None,
    _switch(
        _SERVER,
        "Send no certConf, though the CA awaits one: for servers that can't take it.",
        "--disable-confirm",
    ),
]
RrSerialOnly = Annotated[
    bool | None,
    _switch(
        _SERVER,
        "Name the certificate of an rr by issuer and serial number alone, without its subject,"
        " which EJBCA wants and XiPKI refuses.",
        "--rr-serial-only",
    ),
]
AcceptRevoked = Annotated[
    bool | None,
    _switch(_SERVER, "An rr for what is revoked already is done.", "--accept-revoked"),
]
CertsPerMessage = Annotated[
    int | None,
    _option(
        _SERVER,
        "Requests in one message, at most, for rows that share their credential. Default: 1.",
        metavar="N",
    ),
]

Ref = Annotated[
    str | None,
    _option(_AUTH, "Reference value, sent as senderKID. Default: the row's id.", metavar="TEXT"),
]
SecretSource = Annotated[
    str | None,
    _option(_AUTH, f"Shared secret for MAC protection: {_SOURCE}.", "--secret", metavar="SOURCE"),
]
Cert = Annotated[
    str | None,
    _option(_AUTH, "Certificate (and chain) for signature protection.", metavar="FILE"),
]
Key = Annotated[
    str | None,
    _option(
        _AUTH,
        "Its private key: a file, or pkcs11:token=LABEL;object=LABEL (RFC 7512), whose certificate"
        " may be on the token too.",
        metavar="FILE|URI",
    ),
]
Pkcs11Module = Annotated[
    str | None,
    _option(
        _AUTH,
        "PKCS#11 library for URIs that name none. Default: PKCS11_MODULE_PATH, else p11-kit's.",
        "--pkcs11-module",
        metavar="FILE",
    ),
]
Keypass = Annotated[
    str | None,
    _option(_AUTH, f"Passphrase of --key, or PIN of its token: {_SOURCE}.", metavar="SOURCE"),
]
SignRequests = Annotated[
    bool | None,
    _switch(
        _AUTH,
        "Sign with --cert although --secret is given too, which then checks MAC'd answers.",
        "--sign-requests",
    ),
]
UnprotectedRequests = Annotated[
    bool | None,
    _switch(_AUTH, "Send requests without CMP protection.", "--unprotected-requests"),
]
Extracerts = Annotated[
    list[str] | None,
    _option(_AUTH, "More certificates to send in extraCerts; may be repeated.", metavar="FILE"),
]
SendRoot = Annotated[
    bool | None,
    _switch(_AUTH, "Send the root in --cert's file too; else it is left out.", "--send-root"),
]
Digest = Annotated[
    str | None,
    _option(
        _AUTH,
        f"Digest of signatures, and one-way function of the MAC: {', '.join(algorithms.DIGESTS)}."
        " Default: sha256.",
        metavar="NAME",
        completion=one_of(algorithms.DIGESTS),
    ),
]
Mac = Annotated[
    str | None,
    _option(
        _AUTH,
        "MAC of password-based MAC protection (hmac- and a digest). Default: hmac-sha256.",
        metavar="NAME",
        completion=one_of(algorithms.MACS),
    ),
]
PasswordMac_ = Annotated[
    str | None,
    _option(
        _AUTH,
        f"How the MAC's key is derived: {' or '.join(PasswordMac)} (RFC 9481, 6.1)."
        f" Default: {PasswordMac.PBM}.",
        "--password-mac",
        metavar="KIND",
        completion=one_of(PasswordMac),
    ),
]
RsaPadding_ = Annotated[
    str | None,
    _option(
        _AUTH,
        f"RSA signatures of ours: {' or '.join(RsaPadding)}. Default: {RsaPadding.PKCS1}.",
        "--rsa-padding",
        metavar="MODE",
        completion=one_of(RsaPadding),
    ),
]
PbmIterations = Annotated[
    int | None,
    _option(_AUTH, "Iteration count of our MACs. Default: 1024.", metavar="N"),
]
AllowWeak = Annotated[
    bool | None,
    _switch(
        _AUTH,
        "Send and believe what is too weak: SHA-1 in signatures or PBM, under 100 iterations, RSA"
        " under 2048 bits.",
        "--allow-weak",
    ),
]
MaxPbmIterations = Annotated[
    int | None,
    _option(_AUTH, "Refuse a response's MAC above this count. Default: 100000.", metavar="N"),
]

RaRef = Annotated[
    str | None,
    _option(
        _RA, "Reference value of an RA that MACs a nested message around ours.", metavar="TEXT"
    ),
]
RaSecret = Annotated[
    str | None, _option(_RA, f"Its shared secret: {_SOURCE}.", "--ra-secret", metavar="SOURCE")
]
RaCert = Annotated[
    list[str] | None,
    _option(
        _RA,
        "Certificate (and chain) of an RA that signs a nested message around ours; each further"
        " one puts a layer around the one before it.",
        metavar="FILE",
    ),
]
RaKey = Annotated[
    list[str] | None,
    _option(
        _RA,
        "Its private key, one for each --ra-cert: a file, or a PKCS#11 URI as in --key.",
        metavar="FILE|URI",
    ),
]
RaKeypass = Annotated[
    str | None,
    _option(
        _RA,
        f"Passphrase of the --ra-key files, or PIN of their token: {_SOURCE}.",
        metavar="SOURCE",
    ),
]
Batch = Annotated[
    int | None,
    _option(
        _RA,
        "Messages of different transactions in one nested message, at most. Default: 1.",
        metavar="N",
    ),
]
BatchWait = Annotated[
    float | None,
    _option(_RA, "How long a batch waits to be full. Default: 0.1.", metavar="SECONDS"),
]

Trusted = Annotated[
    list[str] | None,
    _option(
        _TRUST,
        "Trust anchors, for answers and for issued certificates; may be repeated.",
        metavar="FILE",
    ),
]
TrustFirstCaCert = Annotated[
    bool | None,
    _switch(
        _TRUST,
        "Trust the root certificate that the first ip brings, for the whole run, instead of"
        " --trusted. Whoever answers first is believed: see docs/3gpp.md.",
        "--trust-first-ca-cert",
    ),
]
Untrusted = Annotated[
    list[str] | None,
    _option(_TRUST, "Intermediate CA certificates; may be repeated.", metavar="FILE"),
]
OutTrusted = Annotated[
    list[str] | None,
    _option(_TRUST, "Trust anchors for issued certificates, instead of --trusted.", metavar="FILE"),
]
CrlCheck = Annotated[
    bool | None,
    _switch(
        _TRUST,
        "Look up in --crls whether the certificate that signs an answer is revoked.",
        "--crl-check",
    ),
]
CrlCheckAll = Annotated[
    bool | None,
    _switch(
        _TRUST,
        "Look up the CAs' certificates too, on its path and on those of issued certificates.",
        "--crl-check-all",
    ),
]
Crls = Annotated[
    list[str] | None,
    _option(_TRUST, "CRLs to look signers up in; may be repeated.", metavar="FILE|URL"),
]
Srvcert = Annotated[
    str | None,
    _option(
        _TRUST,
        "The CA's one certificate: its key alone signs answers; or makes MACs with ours"
        " (DHBasedMac), or of what we encapsulate for it (ML-KEM).",
        metavar="FILE",
    ),
]
ExpectSender = Annotated[
    str | None, _option(_TRUST, "The only name that answers may come from.", metavar="DN")
]
IgnoreKeyusage = Annotated[
    bool | None,
    _switch(_TRUST, "Accept a signer without keyUsage digitalSignature.", "--ignore-keyusage"),
]
AcceptProtection_ = Annotated[
    str | None,
    _option(
        _TRUST,
        f"Protection that answers may have: {AcceptProtection.EITHER} (a MAC by --secret, or a"
        f" signature by --trusted), {AcceptProtection.SAME} (as the request),"
        f" {AcceptProtection.MAC} or {AcceptProtection.SIGNATURE}."
        f" Default: {AcceptProtection.EITHER}.",
        "--accept-protection",
        metavar="KIND",
        completion=one_of(AcceptProtection),
    ),
]
UnprotectedErrors = Annotated[
    bool | None,
    _switch(_TRUST, "Believe refusals that nobody signed.", "--unprotected-errors"),
]
ToleratePkiconf = Annotated[
    bool | None,
    _switch(_TRUST, "Believe a pkiconf without good protection.", "--tolerate-pkiconf"),
]
SubjectCheck_ = Annotated[
    str | None,
    _option(
        _TRUST,
        f"An issued subject other than the requested one: {SubjectCheck.EXACT} refuses the"
        f" certificate, {SubjectCheck.RECORD} records both. Default: {SubjectCheck.EXACT}.",
        "--subject-check",
        metavar="MODE",
        completion=one_of(SubjectCheck),
    ),
]

Cmd = Annotated[
    str | None,
    _option(
        _ROWS,
        f"{', '.join(Operation)}. Default: ir.",
        metavar="OPERATION",
        completion=one_of(Operation),
    ),
]
Subject = Annotated[
    str | None, _option(_ROWS, "As /CN={id}/O=Acme/C=SE, or as in RFC 4514.", metavar="DN")
]
Sans = Annotated[
    str | None,
    _option(
        _ROWS,
        "Subject alternative names: DNS, IP, URI, or with a prefix email: rid: dirName: upn:"
        " otherName: and more; critical among them makes them so.",
        metavar="LIST",
    ),
]
SanNodefault = Annotated[
    bool | None,
    _switch(_ROWS, "Take no subject alternative names from --oldcert.", "--san-nodefault"),
]
Keyusage = Annotated[
    str | None,
    _option(
        _ROWS,
        "keyUsage, as critical,digitalSignature.",
        metavar="LIST",
        completion=some_of(KEY_USAGES),
    ),
]
Extkeyusage = Annotated[
    str | None, _option(_ROWS, "extKeyUsage: names as serverAuth, or OIDs.", metavar="LIST")
]
PolicyOids = Annotated[
    str | None,
    _option(_ROWS, "Certificate policies, as OID or OID=URI-OF-ITS-CPS.", metavar="LIST"),
]
Extensions = Annotated[
    str | None,
    _option(
        _ROWS,
        "Any extensions: OID=VALUE or OID:critical=VALUE; VALUE as DER:HEX or UTF8:TEXT.",
        metavar="LIST",
    ),
]
ExtensionsFrom = Annotated[
    str | None,
    _option(
        _ROWS,
        "CSR or certificate whose extensions to ask for where no option does.",
        metavar="FILE",
    ),
]
Newkey = Annotated[
    str | None,
    _option(
        _ROWS,
        f"Key to make, or the key to certify in a file or on a PKCS#11 token: {KEY_SPECS}; or same,"
        " the key of --cert. Default: ec:P-256.",
        metavar="SPEC|FILE|URI|same",
    ),
]
Newkeypass = Annotated[
    str | None,
    _option(_ROWS, f"Passphrase of a --newkey file, or PIN: {_SOURCE}.", metavar="SOURCE"),
]
Centralkeygen = Annotated[
    bool | None,
    _switch(
        _ROWS,
        "Have the CA make the keys; it sends them encrypted, for the secret or the certificate of"
        " the request. --newkey says of which type, else the CA chooses.",
        "--centralkeygen",
    ),
]
Popo_ = Annotated[
    str | None,
    _option(
        _ROWS,
        f"Proof of possession: {', '.join(Popo)}. Default: {Popo.SIGNATURE}.",
        "--popo",
        metavar="METHOD",
        completion=one_of(Popo),
    ),
]
Issuer = Annotated[
    str | None, _option(_ROWS, "Issuer to name in the certificate template.", metavar="DN")
]
Days = Annotated[int | None, _option(_ROWS, "Requested validity.", metavar="N")]
NotBefore = Annotated[
    str | None,
    _option(_ROWS, "Its beginning, as 2027-01-31T12:00:00Z. Default: now.", metavar="TIME"),
]
NotAfter = Annotated[str | None, _option(_ROWS, "Its end, instead of --days.", metavar="TIME")]
CertProfile = Annotated[
    str | None,
    _option(_ROWS, "certProfile (RFC 9810, 5.1.1.4).", "--profile", metavar="NAME"),
]
Csr = Annotated[str | None, _option(_ROWS, "PKCS#10 request, for p10cr.", metavar="FILE")]
Oldcert = Annotated[
    str | None,
    _option(_ROWS, "Certificate to update or revoke. Default: --cert.", metavar="FILE"),
]
Serial = Annotated[
    str | None,
    _option(
        _ROWS,
        "Certificate to revoke, of --issuer, instead of --oldcert: decimal, or 0x and hex.",
        metavar="NUMBER",
    ),
]
Revreason = Annotated[
    str | None,
    _option(
        _ROWS, "CRLReason, for rr: name or number.", metavar="REASON", completion=one_of(REASONS)
    ),
]
Infotype = Annotated[
    str | None,
    _option(
        _ROWS,
        "What a genm asks for: caCerts, rootCaCert, certReqTemplate, crlStatusList, currentCRL,"
        " signKeyPairTypes ... or an OID, perhaps with =VALUE; several with commas.",
        metavar="NAME",
        completion=some_of(QUESTIONS),
    ),
]
Oldwithold = Annotated[
    str | None,
    _option(_ROWS, "Root certificate whose update rootCaCert asks for.", metavar="FILE"),
]
Crlcert = Annotated[
    str | None,
    _option(_ROWS, "Certificate whose CRL crlStatusList asks for.", metavar="FILE"),
]
Oldcrl = Annotated[
    str | None,
    _option(_ROWS, "CRL than which crlStatusList wants a newer one.", metavar="FILE"),
]

Regtoken = Annotated[
    str | None, _option(_ROWS, f"regToken control (RFC 4211, 6.1): {_SOURCE}.", metavar="SOURCE")
]
Authenticator = Annotated[
    str | None,
    _option(_ROWS, "authenticator control (RFC 4211, 6.2), the same way.", metavar="SOURCE"),
]
Reginfo = Annotated[
    str | None,
    _option(_ROWS, "regInfo utf8Pairs (RFC 4211, 7.1): name?value%name?value.", metavar="PAIRS"),
]

KeyPass = Annotated[
    str | None,
    _option(
        _KEYS,
        f"Passphrase that encrypts the private keys, at rest and in the output: {_SOURCE}.",
        metavar="SOURCE",
    ),
]
PlainKeys = Annotated[
    bool | None, _switch(_KEYS, "Store private keys unencrypted.", "--plain-keys")
]
Keys = Annotated[
    str | None,
    _option(_KEYS, "Take keys from a file of `bulkcmp keys generate`.", metavar="FILE"),
]
KeysPass = Annotated[
    str | None,
    _option(_KEYS, "Passphrase of --keys, if it is not --key-pass.", metavar="SOURCE"),
]
Journal = Annotated[
    str | None,
    _option(
        _KEYS,
        "Keep the run's journal in this PostgreSQL database, not in the run folder (the extra"
        " `postgresql`): postgresql://USER@HOST/DATABASE, with ?sslmode=verify-full for TLS. The"
        " password comes from PGPASSWORD or ~/.pgpass.",
        metavar="URL",
    ),
]
JournalLease = Annotated[
    float | None,
    _option(
        _KEYS,
        "Seconds without a sign of life after which another bulkcmp may go on with a run whose"
        " journal is in a database. Default: 30.",
        metavar="SECONDS",
    ),
]
Out = Annotated[
    str | None,
    _option(_KEYS, "Run folder to make. Default: runs/ and the population's name.", metavar="RUN"),
]
OutFormat_ = Annotated[
    str | None,
    _option(
        _KEYS,
        f"Formats of certificates and keys, with commas: {', '.join(OutFormat)}. Default: pem.",
        "--out-format",
        metavar="FORMATS",
        completion=some_of(OutFormat),
    ),
]
OutChain_ = Annotated[
    str | None,
    _option(
        _KEYS,
        "Certificates beside that of the row: full (to the trust anchor), intermediates (without"
        " it) or none. Default: full.",
        "--out-chain",
        metavar="CHAIN",
        completion=one_of(OutChain),
    ),
]
OutName = Annotated[
    str | None,
    _option(
        _KEYS,
        "Where the files of a row go in certs/, without suffix: '{id}', '{profile}/{id}' ..."
        " Default: the id.",
        metavar="TEMPLATE",
    ),
]
OutPass = Annotated[
    str | None,
    _option(
        _KEYS,
        f"Password of a row's key files, if it is not --key-pass: {_SOURCE}; or make, for one of"
        " its own for each row.",
        metavar="SOURCE",
    ),
]
OutPassLength = Annotated[
    int | None,
    _option(_KEYS, "Characters of passwords that are made. Default: 24.", metavar="N"),
]
PasswordsRecipient = Annotated[
    list[str] | None,
    _option(
        _KEYS,
        "Encrypt passwords.csv to this age recipient (age1..., the extra `age`), or by CMS to the"
        " holder of this certificate of an RSA key; may be repeated.",
        metavar="AGE|FILE",
    ),
]
Label = Annotated[
    str | None,
    _option(_KEYS, "Label of the batch, for manifest.json.", metavar="TEXT"),
]
Operator = Annotated[
    str | None,
    _option(_KEYS, "Who runs this, for manifest.json.", metavar="TEXT"),
]
SaveMessages = Annotated[
    str | None,
    _option(
        _KEYS,
        "Keep every message as DER in this folder, named by row, step and type; bulkcmp inspect DIR"
        " shows them.",
        metavar="DIR",
    ),
]
Lint = Annotated[
    bool | None,
    _switch(_LINT, "Lint issued certificates, by pkilint (the extra `lint`).", "--lint"),
]
LintProfile = Annotated[
    str | None,
    _option(
        _LINT,
        "Rules: rfc5280, cabf-serverauth, cabf-smime or etsi, the latter also with a type of"
        " certificate. Default: rfc5280.",
        metavar="PROFILE",
    ),
]
LintEvery = Annotated[
    int | None, _option(_LINT, "Lint each N-th certificate. Default: 1.", metavar="N")
]
LintFail = Annotated[
    bool | None,
    _switch(_LINT, "A row whose certificate breaks a rule (error, fatal) fails.", "--lint-fail"),
]
SkipBadRows = Annotated[
    bool | None,
    _flag(_KEYS, "Go on without bad rows, and record them.", "--skip-bad-rows"),
]
OF_DELIVERIES: Final = (
    "on_issued", "on_issued_url", "on_issued_bearer", "on_issued_env", "on_issued_concurrency",
    "on_issued_timeout", "on_issued_attempts",
)  # fmt: skip
"""Names of the options that are for those who keep what is issued."""

OnIssued = Annotated[
    str | None,
    _option(
        _DELIVERY,
        "Run this for each end entity once it is confirmed and its files are written. It is split"
        " like a shell's words, without a shell; it gets BULKCMP_* variables, and JSON by stdin."
        " An exit code other than 0 is a failure, and tried again.",
        metavar="CMD",
    ),
]
OnIssuedUrl = Annotated[
    str | None,
    _option(
        _DELIVERY,
        "POST the JSON there instead: https, or http to this machine's loopback.",
        metavar="URL",
    ),
]
OnIssuedBearer = Annotated[
    str | None,
    _option(_DELIVERY, f"Its bearer token: {_SOURCE}.", metavar="SOURCE"),
]
OnIssuedEnv = Annotated[
    list[str] | None,
    _option(
        _DELIVERY,
        "Give the command this variable of our environment, of which it gets PATH, HOME and their"
        " like only; may be repeated.",
        metavar="NAME",
    ),
]
OnIssuedConcurrency = Annotated[
    int | None, _option(_DELIVERY, "Deliveries at the same time. Default: 4.", metavar="N")
]
OnIssuedTimeout = Annotated[
    float | None, _option(_DELIVERY, "Limit for one attempt. Default: 60.", metavar="SECONDS")
]
OnIssuedAttempts = Annotated[
    int | None,
    _option(
        _DELIVERY,
        "Attempts for each, 1, 2, 4 ... seconds apart; resume begins anew. Default: 3.",
        metavar="N",
    ),
]
RetryUnknown = Annotated[
    bool,
    _flag(
        _KEYS,
        "Enroll rows of unknown outcome anew: the CA may then have issued twice.",
        "--retry-unknown",
    ),
]
RetryFailed = Annotated[
    bool,
    _flag(
        _KEYS,
        "Enroll rows anew that failed without a certificate. Where the answer was bad, or no"
        " CMP, the CA may then have issued twice.",
        "--retry-failed",
    ),
]

Concurrency = Annotated[
    int | None,
    _option(_PACE, "Transactions in flight at most. Default: 100.", metavar="N"),
]
Rate = Annotated[
    float | None,
    _option(_PACE, "Ceiling on new transactions per second. Default: none.", metavar="R"),
]
Workers = Annotated[
    int | None,
    _option(
        _PACE,
        "Worker processes. Default: 0, one for each core; of a population that was counted before,"
        " one for every 256 rows.",
        metavar="N",
    ),
]
Canary = Annotated[
    str | None,
    _option(
        _WAVES,
        "Rows that go first, alone: those of the lowest priority, or spread over the population. 0"
        " for none.",
        metavar="N|P%",
    ),
]
CanaryFailures = Annotated[
    str | None,
    _option(
        _WAVES,
        "End the run where more of them than these did not reach their end. Default: 0.",
        metavar="N|P%",
    ),
]
Window = Annotated[
    list[str] | None,
    _option(
        _WAVES,
        "Begin transactions at these hours only: 22:00-05:00, or 'Sat,Sun 00:00-24:00'. May be"
        " repeated.",
        metavar="[DAYS ]FROM-TO",
    ),
]
WindowTz = Annotated[
    str | None,
    _option(
        _WAVES,
        "IANA time zone of --window. Default: the machine's.",
        metavar="NAME",
        completion=time_zones,
    ),
]
BreakerFailures = Annotated[
    int | None,
    _option(
        _WAVES,
        "Send nothing more to a CA that failed so often in a row (lost requests, HTTP errors, bad"
        " responses, system failures, a shared credential refused), and find out by one transaction"
        " at a time when it works again. 0 for never. Default: 5.",
        metavar="N",
    ),
]
BreakerPause = Annotated[
    float | None,
    _option(
        _WAVES,
        "Before the first of these transactions; doubled after each that fails, to 60 s at most."
        " Default: 2.",
        metavar="SECONDS",
    ),
]
BreakerLimit = Annotated[
    float | None,
    _option(
        _WAVES,
        "End the run when the CA was away for so long; 0 for no limit. Default: 900.",
        metavar="SECONDS",
    ),
]
OF_WAVES: Final = (
    "canary", "canary_failures", "window", "window_tz", "breaker_failures", "breaker_pause",
    "breaker_limit",
)  # fmt: skip
"""Names of the options that say when the transactions of an enrollment begin."""

Cluster = Annotated[
    str | None,
    _option(
        _CLUSTER,
        "Run on the machines of a Dask cluster, by the address of its scheduler; each of its"
        " workers starts --workers processes, or as many as it has threads. tcp:// is for this"
        " machine's loopback alone (the extra `cluster`).",
        metavar="tls://HOST:PORT",
    ),
]
ClusterTlsCa = Annotated[
    str | None,
    _option(
        _CLUSTER,
        "The CA of the cluster's certificates; whoever has one of it may run code on all machines.",
        metavar="FILE",
    ),
]
ClusterTlsCert = Annotated[
    str | None, _option(_CLUSTER, "Our certificate of that CA.", metavar="FILE")
]
ClusterTlsKey = Annotated[
    str | None, _option(_CLUSTER, "Its key, without a passphrase.", metavar="FILE")
]
ConnectTimeout = Annotated[
    float | None,
    _option(_PACE, "Limit for connecting, TLS included. Default: 10.", metavar="SECONDS"),
]
MsgTimeout = Annotated[
    float | None,
    _option(_PACE, "Limit for the answer to one message. Default: 60.", metavar="SECONDS"),
]
TotalTimeout = Annotated[
    float | None,
    _option(
        _PACE,
        "Limit for one transaction, polling included; 0 for none. Default: 600.",
        metavar="SECONDS",
    ),
]
MaxResponse = Annotated[
    int | None, _option(_PACE, "Largest answer taken. Default: 1048576.", metavar="BYTES")
]
Retries = Annotated[
    int | None,
    _option(
        _PACE,
        "Repetitions of a request that the server did not process. Default: 5.",
        metavar="N",
    ),
]
RetryFailInfo = Annotated[
    list[str] | None,
    _option(
        _PACE,
        f"Try a row again after this failInfo ({FAIL_INFO[24]} …); may be repeated.",
        metavar="NAME",
        completion=one_of(FAIL_INFO),
    ),
]
RetryReused = Annotated[
    bool | None,
    _switch(
        _PACE,
        "Send once more when a reused connection ends without one byte of an answer.",
        "--retry-reused",
    ),
]

TlsTrusted = Annotated[
    list[str] | None,
    _option(_TLS, "Trust anchors for the TLS server. Default: the system's.", metavar="FILE"),
]
TlsCert = Annotated[str | None, _option(_TLS, "TLS client certificate.", metavar="FILE")]
TlsKey = Annotated[str | None, _option(_TLS, "Its private key.", metavar="FILE")]
TlsKeypass = Annotated[str | None, _option(_TLS, f"Its passphrase: {_SOURCE}.", metavar="SOURCE")]
Insecure = Annotated[
    bool | None,
    _switch(
        _TLS,
        "Check neither the TLS server's certificate nor its name; every report says so.",
        "--insecure",
    ),
]
Proxy = Annotated[
    str | None,
    _option(
        _TLS,
        "HTTP proxy; '' for none. Default: HTTP_PROXY, HTTPS_PROXY and NO_PROXY.",
        metavar="URL",
    ),
]

Quiet = Annotated[bool, _flag(_SHOW, "Print errors only.", "--quiet")]
Json = Annotated[bool, _flag(_SHOW, "Print the summary as JSON.", "--json")]
