"""The options of a run: as the user gave them, and turned into a plan.

Secrets stand here as their sources (`env:NAME` …); what a journal keeps of them is where they come
from, never what they are.
"""

import datetime as dt
import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.messages import FAIL_INFO, MAX_NESTED
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.cmp.request import (
    Credential,
    MacCredential,
    Protector,
    SignatureCredential,
    check_kem_usage,
    is_for_macs,
    may_certify,
)
from bulkcmp.cmp.strength import MIN_ITERATIONS
from bulkcmp.cmp.trust import CrlCheck, Trust, TrustStore, load_certificate
from bulkcmp.engine.courier import command_of, environ_of
from bulkcmp.engine.crl import read_crls
from bulkcmp.engine.frame import Setup, TlsFiles
from bulkcmp.engine.log import verbosity
from bulkcmp.engine.plan import Census, DeliveryPlan, LintPlan, OutputPlan, Plan, Rows
from bulkcmp.errors import InputError, InputErrors, LocalCmpError, Where
from bulkcmp.inputs.cell import SameKey
from bulkcmp.inputs.credential import read_certificates, read_credential
from bulkcmp.inputs.field import option_name
from bulkcmp.inputs.generation import Generation, refuse_columns
from bulkcmp.inputs.name import parse_name
from bulkcmp.inputs.password import DEFAULT_LENGTH, MAKE, MAX_LENGTH, MIN_LENGTH
from bulkcmp.inputs.population import Population, single_row
from bulkcmp.inputs.profile import find_profile
from bulkcmp.inputs.range import RANGE
from bulkcmp.inputs.recognition import Reading, open_source
from bulkcmp.inputs.restriction import OPTIONS as RESTRICTED
from bulkcmp.inputs.restriction import refuse_unused
from bulkcmp.inputs.row import Defaults
from bulkcmp.inputs.rules import read_rules
from bulkcmp.inputs.secret import describe_source, describe_url, read_secret
from bulkcmp.inputs.settings import (
    Kind,
    command_in,
    key_in,
    location_in,
    newkey_in,
    read_settings,
    source_in,
)
from bulkcmp.inputs.source import Source
from bulkcmp.inputs.token import TokenCredential, TokenReader
from bulkcmp.io.limits import Limits
from bulkcmp.io.tls import tls_context
from bulkcmp.io.webhook import check_webhook
from bulkcmp.journal.keyfile import take_inventory
from bulkcmp.journal.lease import TERM
from bulkcmp.lint.linter import DEFAULT_PROFILE, check_profile
from bulkcmp.load.scenario import GeneratedPopulation, PopulationFile
from bulkcmp.model import (
    AcceptProtection,
    BadRow,
    EndEntity,
    KeySpec,
    Operation,
    PasswordMac,
    Popo,
    Profile,
    RsaPadding,
    Secret,
    SubjectCheck,
)
from bulkcmp.outputs.credentials import (
    OutChain,
    OutFormat,
    check_formats,
    check_password,
    parse_formats,
)
from bulkcmp.outputs.recipient import (
    Recipients,
    age_recipients,
    cms_recipients,
    is_age,
)
from bulkcmp.token.uri import Pkcs11Uri, describe_uri, is_uri
from bulkcmp.waves.breaker import BreakerRules
from bulkcmp.waves.canary import Amount, Canary
from bulkcmp.waves.window import Window, Windows

DEFAULT_NEWKEY: Final = "ec:P-256"

INSECURE: Final = "the TLS server's certificate is not checked (--insecure)"
"""What every report of a run with --insecure says, and its command on standard error."""

_ROWS_EACH: Final = 256
"""Rows for which another worker is worth its start, half a second of CPU: what 450 transactions
take."""

_LEAST_LEASE: Final = 1.0

_MADE: Final = ("out_pass", MAKE)
"""The one setting of a secret that is no source."""

_LOCAL_ZONE: Final = Path("/etc/localtime")

_SINGLE_ID: Final = "probe"

_SECRETS: Final = (
    "secret", "keypass", "newkeypass", "regtoken", "authenticator", "key_pass", "keys_pass",
    "tls_keypass", "ra_keypass", "ra_secret", "out_pass", "on_issued_bearer", "source_pass",
)  # fmt: skip
_PATHS: Final = (
    "map", "pkcs11_module", "srvcert", "tls_cert", "tls_key", "keys", "out", "save_messages",
)  # fmt: skip
_PATH_LISTS: Final = (
    "trusted", "untrusted", "out_trusted", "extracerts", "tls_trusted", "ra_cert", "ra_key",
)  # fmt: skip
_ROW_PATHS: Final = (
    "csr", "cert", "oldcert", "extensions_from", "oldwithold", "crlcert", "oldcrl",
)  # fmt: skip
_URLS: Final = ("server", "proxy", "journal", "on_issued_url")
_TOLD: Final = {
    "on_issued": ("on_issued_url", "on_issued_bearer"),
    "on_issued_url": ("on_issued", "on_issued_env"),
}
"""Who may be told of what is issued, and what is for another one alone."""
_OF_ATTEMPTS: Final = {"on_issued_concurrency", "on_issued_timeout", "on_issued_attempts"}
_TLS: Final = ("tls_trusted", "tls_cert", "tls_key", "tls_keypass", "insecure")
_KINDS: Final = {
    str: Kind.TEXT,
    int: Kind.WHOLE,
    float: Kind.NUMBER,
    bool: Kind.FLAG,
    tuple: Kind.TEXTS,
    type(None): Kind.TEXT,
}
"""Of settings that are nothing more special, by the type of what stands where they don't."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line, or a file given with --config, says. Names are those of the options.

    Times are seconds, `rate` is requests/s, paths are relative to the working directory.
    """

    map: str | None = None
    source_format: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    source_pass: str | None = field(default=None, repr=False)
    server: str = ""
    path: str | None = None
    proxy: str | None = None
    ref: str | None = None
    secret: str | None = field(default=None, repr=False)
    cert: str | None = None
    key: str | None = None
    pkcs11_module: str | None = None
    keypass: str | None = field(default=None, repr=False)
    sign_requests: bool = False
    unprotected_requests: bool = False
    extracerts: tuple[str, ...] = ()
    send_root: bool = False
    ra_ref: str | None = None
    ra_secret: str | None = field(default=None, repr=False)
    ra_cert: tuple[str, ...] = ()
    ra_key: tuple[str, ...] = ()
    ra_keypass: str | None = field(default=None, repr=False)
    batch: int = 1
    batch_wait: float = 0.1
    trusted: tuple[str, ...] = ()
    untrusted: tuple[str, ...] = ()
    out_trusted: tuple[str, ...] = ()
    crl_check: bool = False
    crl_check_all: bool = False
    crls: tuple[str, ...] = ()
    trust_first_ca_cert: bool = False
    srvcert: str | None = None
    expect_sender: str | None = None
    ignore_keyusage: bool = False
    accept_protection: str = AcceptProtection.EITHER.value
    unprotected_errors: bool = False
    tolerate_pkiconf: bool = False
    recipient: str | None = None
    digest: str = "sha256"
    mac: str = "hmac-sha256"
    password_mac: str = PasswordMac.PBM.value
    rsa_padding: str = RsaPadding.PKCS1.value
    pbm_iterations: int = 1024
    allow_weak: bool = False
    max_pbm_iterations: int = 100_000
    cmd: str | None = None
    subject: str | None = None
    sans: str | None = None
    san_nodefault: bool = False
    issuer: str | None = None
    keyusage: str | None = None
    extkeyusage: str | None = None
    policy_oids: str | None = None
    extensions: str | None = None
    extensions_from: str | None = None
    days: int | None = None
    not_before: str | None = None
    not_after: str | None = None
    profile: str | None = None
    newkey: str | None = None
    newkeypass: str | None = field(default=None, repr=False)
    centralkeygen: bool = False
    csr: str | None = None
    oldcert: str | None = None
    serial: str | None = None
    revreason: str | None = None
    infotype: str | None = None
    oldwithold: str | None = None
    crlcert: str | None = None
    oldcrl: str | None = None
    regtoken: str | None = field(default=None, repr=False)
    authenticator: str | None = field(default=None, repr=False)
    reginfo: str | None = None
    popo: str = Popo.SIGNATURE.value
    certs_per_message: int = 1
    implicit_confirm: bool = False
    disable_confirm: bool = False
    rr_serial_only: bool = False
    accept_revoked: bool = False
    subject_check: str = SubjectCheck.EXACT.value
    tls_trusted: tuple[str, ...] = ()
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_keypass: str | None = field(default=None, repr=False)
    insecure: bool = False
    connect_timeout: float = 10.0
    msg_timeout: float = 60.0
    total_timeout: float = 600.0
    max_response: int = 1 << 20
    retries: int = 5
    retry_fail_info: tuple[str, ...] = ()
    retry_reused: bool = False
    concurrency: int = 100
    rate: float = 0.0
    workers: int = 0
    canary: str | None = None
    canary_failures: str = "0"
    window: tuple[str, ...] = ()
    window_tz: str | None = None
    breaker_failures: int = 5
    breaker_pause: float = 2.0
    breaker_limit: float = 900.0
    keys: str | None = None
    keys_pass: str | None = field(default=None, repr=False)
    key_pass: str | None = field(default=None, repr=False)
    plain_keys: bool = False
    lint: bool = False
    lint_profile: str = DEFAULT_PROFILE
    lint_every: int = 1
    lint_fail: bool = False
    skip_bad_rows: bool = False
    journal: str | None = None
    journal_lease: float = TERM
    out: str | None = None
    out_format: str = OutFormat.PEM.value
    out_chain: str = OutChain.FULL.value
    out_name: str | None = None
    out_pass: str | None = field(default=None, repr=False)
    out_pass_length: int = DEFAULT_LENGTH
    passwords_recipient: tuple[str, ...] = ()
    label: str | None = None
    operator: str | None = None
    save_messages: str | None = None
    on_issued: str | None = None
    on_issued_url: str | None = None
    on_issued_bearer: str | None = field(default=None, repr=False)
    on_issued_env: tuple[str, ...] = ()
    on_issued_concurrency: int = 4
    on_issued_timeout: float = 60.0
    on_issued_attempts: int = 3
    stated: frozenset[str] = field(default=frozenset(), compare=False)
    """Names of what the command line says: a file's settings are for runs of any kind."""
    foremost: frozenset[str] = field(default=frozenset(), compare=False)
    """Names of what is said of one of several servers alone: it goes before the cells of rows."""
    updates_only: bool = field(default=False, compare=False)
    """What the server is asked is signed with certificates that were issued before."""

    @classmethod
    def known(cls) -> dict[str, Kind]:
        """What each setting may be that a --config file may have."""
        kinds = {
            **dict.fromkeys((*_PATHS, *_ROW_PATHS), Kind.PATH),
            **dict.fromkeys(_PATH_LISTS, Kind.PATHS),
            "crls": Kind.LOCATIONS,
            **dict.fromkeys(_SECRETS, Kind.SOURCE),
            "on_issued": Kind.COMMAND,
            "newkey": Kind.NEWKEY,
            "key": Kind.KEY,
            "days": Kind.WHOLE,
        }
        return {
            one.name: kinds.get(one.name) or _KINDS[type(one.default)]
            for one in fields(cls)
            if one.name
            not in ("out", "save_messages", "skip_bad_rows", "stated", "foremost", "updates_only")
        }

    @classmethod
    def read(
        cls,
        configs: Iterable[str],
        given: Mapping[str, Any],
        behind: Mapping[str, Any] = MappingProxyType({}),
    ) -> Self:
        """Options from the command line, and from connection profiles what is not given there.

        Relative paths in a profile are relative to its folder.

        Args:
            configs: names of shipped profiles, or paths; later ones win.
            behind: settings of a scenario: what is given in neither.

        Raises:
            InputError: a profile can't be read, or something in it is no setting.
        """
        profiles = [read_settings(find_profile(config), cls.known()) for config in configs]
        stated = frozenset(name for name, value in given.items() if _is_given(value))
        return replace(cls.merge(behind, *profiles, given), stated=stated)

    @classmethod
    def merge(cls, *layers: Mapping[str, Any]) -> Self:
        """Options from layers of settings, later ones first in rank; None means not given.

        A server with a path is a place as a whole: no `path` of an earlier layer goes with it. Nor
        does the URL of an earlier layer go with a command that is told of what is issued.
        """
        merged: dict[str, Any] = {}
        for layer in layers:
            if _has_path(layer.get("server") or ""):
                merged.pop("path", None)
            for told, others in _TOLD.items():
                if _is_given(layer.get(told)):
                    for other in others:
                        merged.pop(other, None)
            for name, value in layer.items():
                if not _is_given(value):
                    continue
                merged[name] = (
                    tuple(str(item) for item in value)
                    if isinstance(value, list | tuple)
                    else str(value)
                    if isinstance(value, Path)
                    else value
                )
        return cls(**merged)

    def behind(self, settings: Mapping[str, Any]) -> Self:
        """These options, behind what is said of one of several servers alone."""
        return replace(self.beneath(settings), foremost=frozenset(settings))

    def beneath(self, settings: Mapping[str, Any]) -> Self:
        """These options, where others say nothing else."""
        return self.merge(asdict(self), settings)

    def run_folder(self, population: str) -> str:
        """Where the run's outputs go: --out, or a folder named like the population."""
        if population.startswith(RANGE):
            population = re.sub(r"[^A-Za-z0-9_]+", "-", population.removeprefix(RANGE)).strip("-")
        return self.out or str(Path("runs") / Path(population).stem)

    @property
    def reading(self) -> Reading:
        """How a population is to be read."""
        return Reading(self.source_format, self.map, self.encoding, self.sheet, self.source_pass)

    def of_own_population(self) -> Self:
        """The same for a population that bulkcmp wrote itself, which is read as it is."""
        return replace(
            self, map=None, source_format=None, encoding=None, sheet=None, source_pass=None
        )

    def lease(self) -> float:
        """Seconds for which rows are ours after a sign of life.

        Raises:
            InputError: they are too few for a network to be slow.
        """
        if not _LEAST_LEASE <= self.journal_lease < math.inf:
            raise InputError(
                f"--journal-lease is {self.journal_lease:g}; it must be at least {_LEAST_LEASE:g}"
                " seconds"
            )
        return self.journal_lease

    # --- what the journal keeps -------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """JSON-able, with absolute paths, and with sources in place of secrets."""
        facts = asdict(self)
        del facts["stated"], facts["foremost"], facts["updates_only"]
        here = Path.cwd()
        for name in _SECRETS:
            if facts[name] is not None and (name, facts[name]) != _MADE:
                facts[name] = describe_source(source_in(here, facts[name]))
        for name in _URLS:
            if facts[name] is not None:
                facts[name] = describe_url(facts[name])
        if facts["newkey"] is not None:
            facts["newkey"] = describe_uri(newkey_in(here, facts["newkey"]))
        if facts["key"] is not None:
            facts["key"] = describe_uri(key_in(here, facts["key"]))
        for name in (*_PATHS, *_ROW_PATHS):
            if facts[name] is not None:
                facts[name] = str(here / facts[name])
        facts["passwords_recipient"] = [
            one if is_age(one) else str(here / one) for one in self.passwords_recipient
        ]
        if facts["on_issued"] is not None:
            facts["on_issued"] = command_in(here, facts["on_issued"])
        facts["crls"] = [describe_url(location_in(here, one)) for one in self.crls]
        for name in _PATH_LISTS:
            facts[name] = [describe_uri(key_in(here, path)) for path in facts[name]]
        return facts

    @classmethod
    def resumed(cls, facts: Mapping[str, Any], given: Mapping[str, Any]) -> Self:
        """The options of an earlier session, with what is given now in front of them.

        Raises:
            InputError: a secret was given as text then, and is not given now.
        """
        options = cls.merge(facts, given)
        for name in (*_SECRETS, *_URLS, "key", "newkey", "ra_key", "crls"):
            value = facts.get(name)
            if value is None or given.get(name):
                continue
            kept = value if isinstance(value, list) else [value]
            if not all(map(_can_be_read_again, kept)):
                option = option_name(name)
                raise InputError(
                    f"{option} is needed again: the run folder keeps no secrets",
                    hint=f"give {option} as you did when the run began",
                )
        return options

    # --- the plan ---------------------------------------------------------------------------------

    def defaults(self, environ: Mapping[str, str]) -> Defaults:
        """What stands for the empty cells of a population.

        Raises:
            InputError: a secret or the key file can't be read.
        """
        return Defaults(
            cmd=self.cmd,
            subject=self.subject,
            issuer=self.issuer,
            sans=self.sans,
            san_nodefault=self.san_nodefault,
            keyusage=self.keyusage,
            extkeyusage=self.extkeyusage,
            policy_oids=self.policy_oids,
            extensions=self.extensions,
            extensions_from=self.extensions_from,
            newkey=self.newkey or self._default_newkey(),
            newkeypass=_secret("newkeypass", self.newkeypass, environ),
            newkey_assumed=self.newkey is None,
            centralkeygen="yes" if self.centralkeygen else None,
            popo=self.popo,
            ref=self.ref,
            secret=_secret("secret", self.secret, environ),
            days=None if self.days is None else str(self.days),
            not_before=self.not_before,
            not_after=self.not_after,
            profile=self.profile,
            csr=self.csr,
            cert=self.cert,
            key=self.key,
            pkcs11_module=self.pkcs11_module,
            keypass=_secret("keypass", self.keypass, environ),
            oldcert=self.oldcert,
            serial=self.serial,
            revreason=self.revreason,
            infotype=self.infotype,
            oldwithold=self.oldwithold,
            crlcert=self.crlcert,
            oldcrl=self.oldcrl,
            regtoken=_secret("regtoken", self.regtoken, environ),
            authenticator=_secret("authenticator", self.authenticator, environ),
            reginfo=self.reginfo,
            out_name=self.out_name,
            out_pass=MAKE if self.out_pass == MAKE else self._password(environ),
            out_pass_length=self._password_length(),
            allow_weak=self.allow_weak,
            unprotected=self.unprotected_requests or self.updates_only,
            foremost=self.foremost,
        )

    def _default_newkey(self) -> str:
        if self.keys is None:
            return DEFAULT_NEWKEY
        stocks = take_inventory(Path(self.keys)).stocks
        if len(stocks) == 1:
            return str(next(iter(stocks)))
        have = ", ".join(map(str, stocks)) or "none"
        raise InputError(
            f"which keys shall be taken? It has: {have}",
            where=Where(self.keys),
            hint="say it with --newkey SPEC",
        )

    def plan(
        self,
        population_file: str,
        environ: Mapping[str, str],
        *,
        unlock: Callable[[Secret | None], None] = lambda _: None,
        retry_unknown: bool = False,
        retry_failed: bool = False,
    ) -> Plan:
        """Read and check all that the options name; nothing is written or sent.

        Args:
            unlock: given the passphrase of the keys before the population, which may be large, is
                read; raises InputError if it is wrong.

        Raises:
            InputError: something can't be used.
        """
        self.refuse_two_readers()
        setup = self.setup(environ)
        asked = self.processes_asked()
        key_pass = self.key_passphrase(environ)
        unlock(key_pass)
        key_file_pass = self.key_file_passphrase(environ) or key_pass
        rows = self.rows(population_file, environ)
        population = rows.population
        self.refuse_without_credential(population.columns)
        if self.keys is not None and self.centralkeygen:
            raise InputError(
                "--keys and --centralkeygen exclude each other: both say who makes keys"
            )
        canary = self._canary()
        census = None
        if (
            canary is not None
            or not self.skip_bad_rows
            or population.has_priorities
            or self._is_doubtful(population)
        ):
            census = Census.take(rows)
            if self.skip_bad_rows or not census.bad:
                self.refuse_unused(census.operations)
        may_keep_keys = _may_keep_keys(self, population) if census is None else census.stores_keys
        if may_keep_keys and key_pass is None and not self.plain_keys:
            raise InputError(
                "how shall the private keys be stored?",
                hint="give --key-pass SOURCE to store them encrypted, or --plain-keys to store"
                " them unencrypted",
            )
        if may_keep_keys and self.out_pass != MAKE:
            check_password(rows.output.formats, rows.output.password or key_pass)
        return Plan(
            rows=rows,
            population=population,
            population_file=population_file,
            census=census,
            setup=replace(setup, save_messages=self.save_messages or ""),
            workers=asked or _worthwhile(census),
            output=rows.output,
            key_file=None if self.keys is None else Path(self.keys),
            key_file_pass=key_file_pass,
            key_pass=key_pass,
            plain_keys=self.plain_keys,
            stores_keys=may_keep_keys,
            skip_bad_rows=self.skip_bad_rows,
            retry_unknown=retry_unknown,
            retry_failed=retry_failed,
            lint=self._lint(),
            breaker=self._breaker(),
            delivery=self._delivery(environ),
            canary=canary,
            windows=self._windows(environ),
            notes=self.notes(),
        )

    def _is_doubtful(self, population: Population) -> bool:
        """Whether the rows must be asked if they use all that the user says of them."""
        return population.operation is None and not self.stated.isdisjoint(RESTRICTED)

    def refuse_unused(self, operations: Collection[Operation]) -> None:
        """
        Raises:
            InputError: none of the rows, which are of these operations, uses an option.
        """
        refuse_unused(self.stated, operations)

    def _canary(self) -> Canary | None:
        failures = _amount("--canary-failures", self.canary_failures)
        if self.canary is None and "canary_failures" in self.stated:
            raise InputError("--canary-failures without --canary", hint="give --canary too")
        rows = None if self.canary is None else _amount("--canary", self.canary)
        return Canary(rows, failures) if rows is not None and rows.value else None

    def _windows(self, environ: Mapping[str, str]) -> Windows | None:
        if not self.window:
            if self.window_tz is not None:
                raise InputError("--window-tz without --window", hint="give --window too")
            return None
        try:
            windows = tuple(map(Window.parse, self.window))
        except InputError as error:
            raise InputError(f"--window: {error.what}", hint=error.hint) from None
        return Windows(windows, _zone(self.window_tz, environ))

    def _breaker(self) -> BreakerRules | None:
        failures = _at_least("--breaker-failures", self.breaker_failures, 0)
        pause = _positive("--breaker-pause", self.breaker_pause)
        limit = _number("--breaker-limit", self.breaker_limit, "seconds, 0 for no limit")
        return BreakerRules(failures, pause, limit) if failures else None

    def _lint(self) -> LintPlan | None:
        given = {
            "--lint-profile": self.lint_profile != DEFAULT_PROFILE,
            "--lint-every": self.lint_every != 1,
            "--lint-fail": self.lint_fail,
        }
        if not self.lint:
            for option, is_given in given.items():
                if is_given:
                    raise InputError(f"{option}, but not --lint", hint="give --lint too")
            return None
        every = _at_least("--lint-every", self.lint_every, 1)
        check_profile(self.lint_profile)
        return LintPlan(self.lint_profile, every, self.lint_fail)

    def _delivery(self, environ: Mapping[str, str]) -> DeliveryPlan | None:
        bearer = _secret("on_issued_bearer", self.on_issued_bearer, environ)
        if self.on_issued is None and self.on_issued_url is None:
            unused = [name for name in ("on_issued_bearer", "on_issued_env") if getattr(self, name)]
            # a file's are for runs of any kind
            unused += sorted(self.stated & _OF_ATTEMPTS)
            if unused:
                raise InputError(f"{option_name(unused[0])}, but nothing is told (--on-issued)")
            return None
        if self.on_issued is not None and self.on_issued_url is not None:
            raise InputError(
                "--on-issued and --on-issued-url exclude each other",
                hint="let the command post what it gets, or the server call the command",
            )
        ways = DeliveryPlan(
            self.on_issued or self.on_issued_url or "",
            bearer=bearer,
            concurrency=_at_least("--on-issued-concurrency", self.on_issued_concurrency, 1),
            timeout=_positive("--on-issued-timeout", self.on_issued_timeout),
            attempts=_at_least("--on-issued-attempts", self.on_issued_attempts, 1),
        )
        if self.on_issued is None:
            if self.on_issued_env:
                raise InputError("--on-issued-env is for --on-issued: a URL gets no environment")
            try:
                check_webhook(ways.target, bearer)
            except InputError as error:
                raise InputError(f"--on-issued-url: {error}", hint=error.hint) from None
            return replace(ways, url=ways.target)
        if bearer is not None:
            raise InputError("--on-issued-bearer is for --on-issued-url")
        return replace(
            ways,
            command=command_of(self.on_issued),
            environ=environ_of(self.on_issued_env, environ),
        )

    def key_passphrase(self, environ: Mapping[str, str]) -> Secret | None:
        """What encrypts private keys; None with --plain-keys, or where neither was given.

        Raises:
            InputError: both were, or the passphrase can't be read.
        """
        key_pass = _secret("key_pass", self.key_pass, environ)
        if self.plain_keys and key_pass is not None:
            raise InputError(
                "--key-pass and --plain-keys exclude each other",
                hint="give --key-pass to store the keys encrypted, --plain-keys as they are",
            )
        return key_pass

    def key_file_passphrase(self, environ: Mapping[str, str]) -> Secret | None:
        """What opens the key file, where it has a passphrase of its own.

        Raises:
            InputError: it can't be read.
        """
        return _secret("keys_pass", self.keys_pass, environ)

    def single(
        self, population_file: str | None, row_id: str | None, environ: Mapping[str, str]
    ) -> tuple[Setup, EndEntity]:
        """How to talk to the server, and one end entity to talk for; nothing is written or sent.

        Args:
            population_file: where the end entity stands; None: the options alone make it.
            row_id: which of them, by default the first; without a file, what it is called.

        Raises:
            InputError: something can't be used, or there is no such row.
        """
        self.refuse_two_readers()
        return self.setup(environ), self.entity(population_file, row_id, environ)

    def entity(
        self, population_file: str | None, row_id: str | None, environ: Mapping[str, str]
    ) -> EndEntity:
        """One end entity, as of `single`.

        Raises:
            InputError: something can't be used, or there is no such row.
        """
        if population_file is None:
            self.refuse_without_credential(())
            row = single_row(row_id or _SINGLE_ID, self.defaults(environ), environ)
        else:
            rows = self.rows(population_file, environ)
            self.refuse_without_credential(rows.population.columns)
            wanted = (one for one in rows if row_id in (None, one.id))
            found = next(wanted, None)
            if found is None:
                where = Where(population_file)
                raise InputError(f"has no row with the id {row_id!r}", where=where)
            row = found
        if isinstance(row, BadRow):
            if population_file is not None:
                raise InputErrors("the row can't be used", row.problems)
            problem = row.problems[0]
            raise InputError(problem.what, hint=problem.hint)
        if population_file is None:
            self.refuse_unused((row.cmd,))
        return row

    def source(self, population_file: str) -> Source:
        """What has the records of a population.

        Raises:
            InputError: it can't be used.
        """
        return open_source(population_file, self.reading)

    def rules_digest(self) -> str | None:
        """SHA-256, hex, of the mapping rules that the user gives; None where there are none.

        Raises:
            InputError: they can't be used.
        """
        return None if self.map is None else read_rules(Path(self.map)).digest()

    def refuse_changed(self, population_file: str, facts: Mapping[str, Any]) -> None:
        """Make sure that the rows of a run are those that it began with.

        Args:
            facts: of the run.

        Raises:
            InputError: they come of another population or of other rules, or one can't be read.
        """
        rules = self.rules_digest()
        if self.source(population_file).digest() == facts["sha256"]:
            return
        if self.map is not None and rules != facts["rules_sha256"]:
            raise InputError(
                "the mapping rules have changed since the run began",
                where=Where(self.map),
                hint="restore the file, or begin a new run",
            )
        raise InputError(
            "the population has changed since the run began",
            where=Where(population_file),
            hint="restore the file, or begin a new run",
        )

    def rows(self, population_file: str, environ: Mapping[str, str]) -> Rows:
        """The rows of a population, completed by these options.

        Raises:
            InputError: the file, or an option that stands for cells, can't be used.
        """
        output = self._output(environ)
        population = Population(self.source(population_file), self.defaults(environ), environ)
        if population.operation is not None:
            self.refuse_unused((population.operation,))
        spec = None if self.newkey is None else _key_spec(self.newkey)
        if spec is not None and "newkey" not in population.columns:
            try:
                check_formats(output.formats, spec)
            except InputError as error:
                raise InputError(f"--newkey: {error}", hint=error.hint) from None
        return Rows(population, population_file, output)

    def _output(self, environ: Mapping[str, str]) -> OutputPlan:
        """
        Raises:
            InputError: a format or a kind of chain is not known, or something can't be read.
        """
        try:
            formats = parse_formats(self.out_format)
        except InputError as error:
            raise InputError(f"--out-format: {error.what}", hint=error.hint) from None
        return OutputPlan(
            formats=formats,
            chain=_choice("--out-chain", self.out_chain, OutChain),
            password=self._password(environ),
            recipients=self._recipients(),
            label=_printable("--label", self.label),
            operator=_printable("--operator", self.operator),
        )

    def _password(self, environ: Mapping[str, str]) -> Secret | None:
        """What opens the key files of all rows, where that is not what the journal is sealed with.

        Raises:
            InputError: it can't be read.
        """
        return None if self.out_pass == MAKE else _secret("out_pass", self.out_pass, environ)

    def _password_length(self) -> int:
        length = _at_least("--out-pass-length", self.out_pass_length, MIN_LENGTH)
        if length > MAX_LENGTH:
            raise InputError(f"--out-pass-length is {length}; it must be at most {MAX_LENGTH}")
        return length

    def _recipients(self) -> Recipients | None:
        given = self.passwords_recipient
        if not given:
            return None
        ages = [one for one in given if is_age(one)]
        if ages and len(ages) < len(given):
            raise InputError(
                "--passwords-recipient: age recipients and certificates exclude each other"
            )
        try:
            if ages:
                return age_recipients(ages)
            return cms_recipients(_certificates("--passwords-recipient", given))
        except InputError as error:
            option = "" if error.what.startswith("--") else "--passwords-recipient: "
            raise InputError(f"{option}{error.what}", hint=error.hint) from None

    def population(
        self,
        population: PopulationFile | GeneratedPopulation,
        environ: Mapping[str, str],
        seed: int,
    ) -> Population | Generation:
        """The end entities of a load test, completed by these options.

        Raises:
            InputError: the population, or an option that stands for cells, can't be used.
        """
        if isinstance(population, GeneratedPopulation):
            return Generation(population, self.defaults(environ), environ, seed)
        found = Population(self.source(population.path), self.defaults(environ), environ)
        refuse_columns(found.columns, population.path)
        return found

    def processes(self) -> int:
        """How many workers there may be on this machine.

        Raises:
            InputError: fewer than none are asked for.
        """
        return self.processes_asked() or _cores()

    def processes_asked(self) -> int:
        """How many workers are asked for; 0 where that is not said.

        Raises:
            InputError: fewer than none.
        """
        return _at_least("--workers", self.workers, 0)

    @property
    def read_from_stdin(self) -> list[str]:
        """Names of the secrets that stand in standard input."""
        return [name for name in _SECRETS if getattr(self, name) == "stdin"]

    def refuse_two_readers(self) -> None:
        """Make sure that one secret at most is read from standard input.

        Raises:
            InputError: several are.
        """
        refuse_two_readers(self.read_from_stdin)

    def refuse_without_credential(self, columns: Iterable[str]) -> None:
        """Make sure that messages can be protected, as far as it can be told without the rows.

        Args:
            columns: of the population.

        Raises:
            InputError: there is no credential.
        """
        on_token = self.key is not None and is_uri(self.key)
        own = {"secret", "cert", "key"}.intersection(columns)
        given = self.secret or self.cert or on_token or own
        if given or self.unprotected_requests or self.updates_only:
            return
        raise InputError(
            "no credential: how shall requests be protected?",
            hint="give --ref TEXT and --secret SOURCE, or --cert FILE and --key FILE, or columns"
            " of these names",
        )

    def setup(self, environ: Mapping[str, str]) -> Setup:
        """How to talk to the server; nothing is written or sent.

        Raises:
            InputError: something can't be used.
        """
        if self.trust_first_ca_cert:
            self._refuse_other_trust()
        url = self._url()
        anchors = _certificates("--trusted", self.trusted)
        srvcert = _certificates("--srvcert", (self.srvcert,)) if self.srvcert else ()
        if not anchors and not srvcert and not self.trust_first_ca_cert:
            raise InputError(
                "no trust anchor: whose answers and certificates shall be believed?",
                hint="give the CA's certificate with --trusted FILE",
            )
        for_macs = bool(srvcert) and self._is_for_macs(srvcert[0])
        if for_macs and not anchors and not may_certify(srvcert[0]):
            raise InputError(
                "--srvcert is for a key that signs no certificates: which are to be believed?",
                hint="give the CA's certificate with --trusted FILE too",
            )
        trusted = anchors or srvcert
        untrusted = _certificates("--untrusted", self.untrusted)
        out_trusted = _certificates("--out-trusted", self.out_trusted)
        if self.proxy is not None:
            _split_url("--proxy", self.proxy)
        crl_check = self._read_crl_check(anchors)
        # an unusable anchor is found here, not in a worker
        if trusted:
            TrustStore(trusted, untrusted, crl_check)
            TrustStore(out_trusted or trusted, untrusted, crl_check)
        profile = self._profile(srvcert, anchors)
        pbm_salt = os.urandom(16)
        layers = self._layers(profile, pbm_salt, environ)
        if for_macs and not all(isinstance(layer, MacCredential) for layer in layers):
            raise InputError(
                "answers to what an RA signed are signed, and the key of --srvcert can't sign",
                hint="leave --ra-cert away, or --srvcert",
            )
        return Setup(
            url=url,
            profile=profile,
            limits=self._limits(),
            tls=self._tls(url, environ),
            proxy=self.proxy,
            anchors=trusted,
            untrusted=untrusted,
            out_trusted=out_trusted,
            srvcert=srvcert[0] if srvcert else None,
            pbm_salt=pbm_salt,
            concurrency=self.concurrency,
            crl_check=crl_check,
            certs_per_message=_at_least("--certs-per-message", self.certs_per_message, 1),
            layers=layers,
            batch=self._batch(layers),
            batch_wait=_number("--batch-wait", self.batch_wait, "seconds"),
            rate=_number("--rate", self.rate, "requests/s, 0 for no ceiling"),
            verbosity=verbosity(),
        )

    def _read_crl_check(self, anchors: tuple[bytes, ...]) -> CrlCheck | None:
        """
        Raises:
            InputError: a CRL can't be had, or is of no use; or nothing would be looked up in it.
        """
        if not self.crl_check and not self.crl_check_all:
            if self.crls:
                raise InputError("--crls, but not --crl-check", hint="give --crl-check too")
            return None
        option = "--crl-check-all" if self.crl_check_all else "--crl-check"
        if not self.crls:
            raise InputError(
                f"{option}, but no CRL to look signers up in",
                hint="give the CRLs of the CAs with --crls FILE or URL",
            )
        if not anchors:
            raise InputError(
                f"{option} looks up whom --trusted vouches for; what --srvcert names is trusted as"
                " it is",
                hint="give --trusted in place of --srvcert, or leave the CRLs away",
            )
        tls = tls_context(trusted=list(map(Path, self.tls_trusted))) if self.tls_trusted else None
        now = dt.datetime.now(dt.UTC)
        try:
            crls = read_crls(self.crls, now, allow_weak=self.allow_weak, tls=tls, proxy=self.proxy)
        except InputError as error:
            raise InputError(f"--crls: {error}", hint=error.hint) from None
        return CrlCheck(crls, whole_path=self.crl_check_all)

    def trust(self, pinned: bytes | None = None) -> Trust:
        """Whose certificates and CRLs are believed.

        Args:
            pinned: DER of the root that the run's first ip brought.

        Raises:
            InputError: nobody's, or a certificate can't be used.
        """
        srvcert = (self.srvcert,) if self.srvcert else ()
        anchors = (
            _certificates("--trusted", self.trusted)
            or _certificates("--srvcert", srvcert)
            or (() if pinned is None else (pinned,))
        )
        untrusted = _certificates("--untrusted", self.untrusted)
        issuers = _certificates("--out-trusted", self.out_trusted) or anchors
        return Trust(TrustStore(anchors, untrusted), TrustStore(issuers, untrusted))

    def _layers(
        self, profile: Profile, salt: bytes, environ: Mapping[str, str]
    ) -> tuple[Credential | TokenCredential, ...]:
        """What RAs put around each message, the innermost first."""
        on_tokens = bool(self.ra_key) and all(map(is_uri, self.ra_key))
        # a token may have the certificate too
        bare = on_tokens and not self.ra_cert
        if self.ra_key and len(self.ra_key) != len(self.ra_cert) and not bare:
            raise InputError(
                f"{len(self.ra_cert)} --ra-cert, but {len(self.ra_key)} --ra-key",
                hint="give a --ra-key for each --ra-cert, in their order",
            )
        if (self.ra_ref is None) is not (self.ra_secret is None):
            raise InputError("--ra-ref and --ra-secret go together")
        if self.ra_keypass is not None and not self.ra_cert and not self.ra_key:
            raise InputError("--ra-keypass without --ra-cert")
        layers: list[Credential | TokenCredential] = []
        secret = _secret("ra_secret", self.ra_secret, environ)
        if self.ra_ref is not None and secret is not None:
            layers.append(MacCredential(self.ra_ref, secret, MacParameters.of(profile, salt)))
        password = _secret("ra_keypass", self.ra_keypass, environ)
        tokens = TokenReader(self.pkcs11_module, environ, allow_weak=self.allow_weak)
        for cert, key in zip_longest(self.ra_cert, self.ra_key):
            layer: Credential | TokenCredential
            try:
                # an unusable one is found here, not in a worker
                if key is not None and is_uri(key):
                    path = None if cert is None else Path(cert)
                    layer = tokens.credential(Pkcs11Uri.parse(key), path, password)
                else:
                    ra = read_credential(
                        Path(cert),
                        None if key is None else Path(key),
                        password,
                        allow_weak=self.allow_weak,
                    )
                    layer = SignatureCredential(ra.key, ra.chain)
                    Protector(layer, profile)
            except (InputError, LocalCmpError) as error:
                raise InputError(f"--ra-cert: {error}", hint=error.hint) from None
            layers.append(layer)
        return tuple(layers)

    def _batch(self, layers: Sequence[object]) -> int:
        batch = _at_least("--batch", self.batch, 1)
        if batch > 1 and not layers:
            raise InputError(
                "--batch, but no RA to protect it",
                hint="give --ra-cert and --ra-key, or --ra-ref and --ra-secret",
            )
        if batch > min(MAX_NESTED, self.concurrency):
            raise InputError(
                f"--batch is {batch}; it can be --concurrency ({self.concurrency}) at most, and"
                f" {MAX_NESTED}",
                hint="so many transactions must be in flight for a batch to be full",
            )
        return batch

    def _url(self) -> str:
        server = self.server
        if not server:
            raise InputError("which server?", hint="give --server [http[s]://]HOST[:PORT][/PATH]")
        tls = [option_name(name) for name in _TLS if getattr(self, name)]
        if "://" not in server:
            server = ("https://" if tls else "http://") + server
        parts = _split_url("--server", server)
        for name in ("tls_cert", "tls_key"):
            if is_uri(getattr(self, name) or ""):
                raise InputError(
                    f"{option_name(name)}: Python's TLS takes keys and certificates in files only",
                    hint="give a file, or let a TLS proxy use the token (stunnel, for instance)",
                )
        if parts.scheme == "http" and tls:
            raise InputError(
                f"{tls[0]} is for https, and --server is {parts.scheme}",
                hint=f"give --server https://... or leave {tls[0]} away",
            )
        if self.path is not None:
            server = parts._replace(path="/" + self.path.lstrip("/")).geturl()
        return server

    def _tls(self, url: str, environ: Mapping[str, str]) -> TlsFiles | None:
        if not url.lower().startswith("https:"):
            return None
        if self.insecure and self.tls_trusted:
            raise InputError(
                "--insecure and --tls-trusted exclude each other",
                hint="leave --insecure away: what --tls-trusted names is to be checked",
            )
        return TlsFiles(
            self.tls_trusted,
            self.tls_cert,
            self.tls_key,
            _secret("tls_keypass", self.tls_keypass, environ),
            self.insecure,
        )

    def _limits(self) -> Limits:
        connect = _positive("--connect-timeout", self.connect_timeout)
        read = _positive("--msg-timeout", self.msg_timeout)
        return Limits(
            connect=connect,
            read=read,
            total=connect + read,
            response=_at_least("--max-response", self.max_response, 1),
            connections=_at_least("--concurrency", self.concurrency, 1),
        )

    def _refuse_other_trust(self) -> None:
        """--trust-first-ca-cert needs one signed ip that stands alone, and nothing beside it."""
        others = {
            "--trusted": self.trusted,
            "--srvcert": self.srvcert,
            "--untrusted": self.untrusted,
            "--out-trusted": self.out_trusted,
            "--crl-check": self.crl_check or self.crl_check_all,
            "--secret": self.secret,
            "--unprotected-requests": self.unprotected_requests,
            "--ra-cert": self.ra_cert,
            "--ra-key": self.ra_key,
            "--ra-secret": self.ra_secret,
            "--certs-per-message": self.certs_per_message > 1,
        }
        given = [name for name, value in others.items() if value]
        if given:
            raise InputError(
                f"--trust-first-ca-cert and {given[0]} exclude each other",
                hint="a trust anchor that was given before is the better choice",
            )

    def _is_for_macs(self, srvcert: bytes) -> bool:
        """
        Raises:
            InputError: it can't be used.
        """
        try:
            if not self.ignore_keyusage:
                check_kem_usage(srvcert)
            return is_for_macs(srvcert)
        except LocalCmpError as error:
            raise InputError(f"--srvcert: {error.what}", hint=error.hint) from error

    def _profile(self, srvcert: tuple[bytes, ...], anchors: tuple[bytes, ...]) -> Profile:
        recipient = _name("--recipient", self.recipient)
        if recipient is None and self.issuer is not None and "{" not in self.issuer:
            recipient = _name("--issuer", self.issuer)
        ca = srvcert or (anchors if len(anchors) == 1 else ())
        if recipient is None and ca:
            # EJBCA signs its errors only for a request that names the CA
            recipient = load_certificate(ca[0]).subject.public_bytes()
        expect_sender = _name("--expect-sender", self.expect_sender)
        if expect_sender is None and srvcert and not is_for_macs(srvcert[0]):
            # as in openssl cmp; a MAC would let any name pass. But where the key makes MACs itself,
            # rows and RAs that have a secret are answered by that, under another name of the CA
            expect_sender = load_certificate(srvcert[0]).subject.public_bytes()
        unknown = [name for name in self.retry_fail_info if name not in FAIL_INFO]
        if unknown:
            raise InputError(
                f"--retry-fail-info: {unknown[0]!r} is no failInfo",
                hint=f"one of {', '.join(FAIL_INFO)}",
            )
        if not self.allow_weak:
            self._refuse_weak()
        return Profile(
            recipient=recipient,
            expect_sender=expect_sender,
            digest=_one_of("--digest", self.digest, algorithms.DIGESTS),
            mac=_one_of("--mac", self.mac, algorithms.MACS),
            password_mac=_choice("--password-mac", self.password_mac, PasswordMac),
            rsa_padding=_choice("--rsa-padding", self.rsa_padding, RsaPadding),
            pbm_iterations=_at_least("--pbm-iterations", self.pbm_iterations, 1),
            allow_weak=self.allow_weak,
            max_pbm_iterations=_at_least("--max-pbm-iterations", self.max_pbm_iterations, 1),
            implicit_confirm=self.implicit_confirm,
            disable_confirm=self.disable_confirm,
            rr_serial_only=self.rr_serial_only,
            accept_revoked=self.accept_revoked,
            unprotected_requests=self.unprotected_requests,
            sign_requests=self.sign_requests,
            send_root=self.send_root,
            accept_protection=self._accept_protection(),
            subject_check=_choice("--subject-check", self.subject_check, SubjectCheck),
            ignore_keyusage=self.ignore_keyusage,
            unprotected_errors=self.unprotected_errors,
            tolerate_pkiconf=self.tolerate_pkiconf,
            extra_certs=_certificates("--extracerts", self.extracerts),
            retries=_at_least("--retries", self.retries, 0),
            retry_fail_info=frozenset(self.retry_fail_info),
            retry_reused=self.retry_reused,
            total_timeout=_number("--total-timeout", self.total_timeout, "seconds, 0 for no limit"),
        )

    def _refuse_weak(self) -> None:
        """Our own protection is held to what is asked of answers (`bulkcmp.cmp.strength`)."""
        hint = "--allow-weak takes it all the same, and believes weak answers too"
        if self.digest == "sha1":
            raise InputError("--digest: sha1 is too weak", hint=hint)
        if 0 < self.pbm_iterations < MIN_ITERATIONS:
            raise InputError(
                f"--pbm-iterations is {self.pbm_iterations}, fewer than {MIN_ITERATIONS}: too weak",
                hint=hint,
            )

    def _accept_protection(self) -> AcceptProtection:
        accepted: AcceptProtection = _choice(
            "--accept-protection", self.accept_protection, AcceptProtection
        )
        if self.unprotected_requests:
            if self.sign_requests:
                raise InputError("--unprotected-requests and --sign-requests exclude each other")
            if accepted is AcceptProtection.SAME:
                raise InputError(
                    "--accept-protection same, but requests have none (--unprotected-requests)",
                    hint="say mac, signature or either: answers must be protected",
                )
        return accepted

    def notes(self) -> tuple[str, ...]:
        """What every report shall say of these options: those that weaken something, above all."""
        return tuple(self._notes())

    def _notes(self) -> Iterator[str]:
        if self.insecure:
            yield INSECURE
        layers = max(len(self.ra_cert), len(self.ra_key)) + (self.ra_secret is not None)
        if layers:
            batches = f", {self.batch} messages in one at most" if self.batch > 1 else ""
            noun = "layer" if layers == 1 else "layers"
            yield f"messages went in nested ones, of {layers} {noun}{batches} (--ra-cert ...)"
        if self.allow_weak:
            yield "protection and certificates below the minimum strength are taken (--allow-weak)"
        if self.mac == "hmac-sha1":
            yield "MACs are HMAC-SHA1 (--mac): accepted still, HMAC-SHA256 is better"
        if self.unprotected_requests:
            yield "requests had no CMP protection (--unprotected-requests)"
        if self.plain_keys:
            yield "private keys are stored unencrypted (--plain-keys)"
        if self.unprotected_errors:
            yield "refusals that nobody signed are believed (--unprotected-errors)"
        if self.tolerate_pkiconf:
            yield "a pkiconf without good protection is believed (--tolerate-pkiconf)"
        if self.disable_confirm:
            yield "no certConf was sent (--disable-confirm): a CA may revoke what is not confirmed"
        if self.ignore_keyusage:
            yield "signers may lack keyUsage digitalSignature (--ignore-keyusage)"


def _may_keep_keys(options: Options, population: Population) -> bool:
    """Whether keys may have to be stored, as far as it can be told without reading the rows."""
    if options.newkey == SameKey.SAME.value and "newkey" not in population.columns:
        return False
    if options.keys is not None or options.newkey is not None or options.centralkeygen:
        return True
    if not {"newkey", "centralkeygen"}.isdisjoint(population.columns):
        return True
    if "cmd" not in population.columns and options.cmd in ("p10cr", "rr", "genm"):
        return False
    return "csr" not in population.columns and options.csr is None


def refuse_two_readers(secrets: Collection[str]) -> None:
    """Make sure that of the secrets with these names, which stand in standard input, there is one.

    Raises:
        InputError: there are several.
    """
    if len(secrets) > 1:
        raise InputError(
            f"{' and '.join(map(option_name, secrets))} can't both read stdin",
            hint="give one of them as env:NAME or file:PATH",
        )


def _has_path(server: str) -> bool:
    return server.rpartition("://")[2].partition("/")[2] != ""


def _is_given(value: Any) -> bool:
    return value is not None and value not in ((), [])


def _key_spec(text: str) -> KeySpec | None:
    """The key type that a --newkey names; None for a file."""
    try:
        return KeySpec.parse(text)
    except InputError:
        return None


def _can_be_read_again(value: str) -> bool:
    """Whether what was kept of a secret, or of a URL or URI with one, is all there was."""
    lost = ("***", "pass:***", "stdin")
    return value not in lost and ":***@" not in value and "pin-value=***" not in value


def _split_url(option: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        # a property that judges when it is read
        _ = parts.port
    except ValueError as error:
        raise InputError(f"{option}: {error}") from None
    return parts


def _secret(name: str, source: str | None, environ: Mapping[str, str]) -> Secret | None:
    if source is None:
        return None
    try:
        return read_secret(source, environ)
    except InputError as error:
        raise InputError(f"{option_name(name)}: {error}", hint=error.hint) from None


def _amount(option: str, text: str) -> Amount:
    try:
        return Amount.parse(text)
    except InputError as error:
        raise InputError(f"{option}: {error.what}", hint=error.hint) from None


def _zone(name: str | None, environ: Mapping[str, str]) -> ZoneInfo:
    """A time zone by its IANA name, or that of the machine."""
    hint = "give --window-tz with a name of the IANA time zones: Europe/Stockholm, for instance"
    name = name or environ.get("TZ", "").removeprefix(":")
    if name:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise InputError(f"--window-tz: {name!r} is no time zone", hint=hint) from None
    try:
        with _LOCAL_ZONE.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        raise InputError("--window: the machine has no time zone", hint=hint) from None


def _certificates(option: str, paths: Iterable[str]) -> tuple[bytes, ...]:
    found: list[bytes] = []
    for path in paths:
        try:
            found.extend(read_certificates(Path(path)))
        except InputError as error:
            raise InputError(f"{option}: {error}", hint=error.hint) from None
    return tuple(found)


def _printable(option: str, text: str | None) -> str | None:
    if text is not None and not text.isprintable():
        raise InputError(f"{option} has a control or another unprintable character")
    return text


def _name(option: str, text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return parse_name(text)
    except InputError as error:
        raise InputError(f"{option}: {error.what}", hint=error.hint) from None


def _one_of(option: str, value: str, allowed: Iterable[str]) -> str:
    names = tuple(allowed)
    if value in names:
        return value
    raise InputError(f"{option}: {value!r} is not known", hint=f"one of {', '.join(names)}")


def _choice(option: str, value: str, kind: Any) -> Any:
    _one_of(option, value, [member.value for member in kind])
    return kind(value)


def _cores() -> int:
    return os.cpu_count() or 1


def _worthwhile(census: Census | None) -> int:
    """How many workers a run has where that is not said: as many as there are cores, but none for
    fewer rows than it starts in the time of."""
    if census is None:
        return _cores()
    return max(1, min(_cores(), math.ceil(census.rows / _ROWS_EACH)))


def _at_least(option: str, value: int, least: int) -> int:
    if value < least:
        raise InputError(f"{option} is {value}; it must be at least {least}")
    return value


def _positive(option: str, value: float) -> float:
    # a NaN is neither above nor below anything
    if not 0.0 < value < math.inf:
        raise InputError(f"{option} is {value:g}; it must be a number of seconds above 0")
    return value


def _number(option: str, value: float, meaning: str) -> float:
    if not 0.0 <= value < math.inf:
        raise InputError(f"{option} is {value:g}; it must be a number of {meaning}")
    return value
