"""bulkcmp for programs: one client, and whole runs and load tests.

Options are those of the command line (`bulkcmp enroll --help`), with `_` for `-`. What is a source
of a secret there is one here: `env:NAME`, `file:PATH`, `pass:TEXT`. Times are seconds, `rate` is
requests/s, paths are relative to the working directory. `insecure` is told by an InsecureWarning.
"""

import os
import warnings
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypedDict, TypeVar, Unpack, get_type_hints

from bulkcmp.engine.client import Answer, Engagement, Keep
from bulkcmp.engine.interruption import Interruption, hears_signals
from bulkcmp.engine.load.session import session as load_session
from bulkcmp.engine.load.start import plan_test, read_test, refuse_present
from bulkcmp.engine.options import INSECURE, Options
from bulkcmp.engine.plan import Plan
from bulkcmp.engine.session import session
from bulkcmp.engine.start import begin, go_on, open_run
from bulkcmp.errors import InputError, InsecureWarning
from bulkcmp.inputs.spelling import nearest
from bulkcmp.io.loop import is_running, run, run_beside
from bulkcmp.journal.journal import Journal
from bulkcmp.load.folder import SUMMARY
from bulkcmp.outputs.files import make_private_folder
from bulkcmp.outputs.report import write_report
from bulkcmp.outputs.summary import RunSummary
from bulkcmp.stats.capacity import Capacity
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.progress import Snapshot
from bulkcmp.stats.report import Report

T = TypeVar("T")

_INTERVALS: Final = 60
"""Intervals of a report that tells how a test stands; the final one has all."""


class OfEndEntity(TypedDict, total=False):
    """Options that may differ from one end entity to the next."""

    ref: str
    secret: str
    cert: str
    key: str
    keypass: str
    cmd: str
    subject: str
    sans: str
    san_nodefault: bool
    issuer: str
    keyusage: str
    extkeyusage: str
    policy_oids: str
    extensions: str
    extensions_from: str
    days: int
    not_before: str
    not_after: str
    profile: str
    newkey: str
    newkeypass: str
    centralkeygen: bool
    csr: str
    oldcert: str
    serial: str
    revreason: str
    infotype: str
    oldwithold: str
    crlcert: str
    oldcrl: str
    regtoken: str
    authenticator: str
    reginfo: str
    popo: str


class Settings(OfEndEntity, total=False):
    """All options."""

    map: str
    source_format: str
    encoding: str
    sheet: str
    source_pass: str
    server: str
    path: str
    proxy: str
    pkcs11_module: str
    sign_requests: bool
    unprotected_requests: bool
    extracerts: Sequence[str]
    send_root: bool
    ra_ref: str
    ra_secret: str
    ra_cert: Sequence[str]
    ra_key: Sequence[str]
    ra_keypass: str
    batch: int
    batch_wait: float
    trusted: Sequence[str]
    untrusted: Sequence[str]
    out_trusted: Sequence[str]
    crl_check: bool
    crl_check_all: bool
    crls: Sequence[str]
    trust_first_ca_cert: bool
    srvcert: str
    expect_sender: str
    ignore_keyusage: bool
    accept_protection: str
    unprotected_errors: bool
    tolerate_pkiconf: bool
    recipient: str
    digest: str
    mac: str
    password_mac: str
    rsa_padding: str
    pbm_iterations: int
    allow_weak: bool
    max_pbm_iterations: int
    certs_per_message: int
    implicit_confirm: bool
    disable_confirm: bool
    rr_serial_only: bool
    accept_revoked: bool
    subject_check: str
    tls_trusted: Sequence[str]
    tls_cert: str
    tls_key: str
    tls_keypass: str
    insecure: bool
    connect_timeout: float
    msg_timeout: float
    total_timeout: float
    max_response: int
    retries: int
    retry_fail_info: Sequence[str]
    retry_reused: bool
    concurrency: int
    rate: float
    workers: int
    canary: str
    canary_failures: str
    window: Sequence[str]
    window_tz: str
    breaker_failures: int
    breaker_pause: float
    breaker_limit: float
    keys: str
    keys_pass: str
    key_pass: str
    plain_keys: bool
    lint: bool
    lint_profile: str
    lint_every: int
    lint_fail: bool
    skip_bad_rows: bool
    journal: str
    journal_lease: float
    out_format: str
    out_chain: str
    out_name: str
    out_pass: str
    out_pass_length: int
    passwords_recipient: Sequence[str]
    label: str
    operator: str
    save_messages: str
    on_issued: str
    on_issued_url: str
    on_issued_bearer: str
    on_issued_env: Sequence[str]
    on_issued_concurrency: int
    on_issued_timeout: float
    on_issued_attempts: int


class Client:
    """Talks to one CMP server for one end entity after the other, or for many at a time.

    An async context manager, on asyncio. Each method carries out one transaction, and returns what
    it came to: look at its `is_done`. Nothing is written to the disk: `keep` is how private keys
    outlive the program.

    A transaction goes on when who waits for it is cancelled, by a time limit of its own say, and
    the client ends when all are over. What ends it before (an exception in its block or in `keep`)
    ends those that are under way: who waits for one in another task gets a BulkcmpError.

    Args:
        config: connection profiles, as of `--config`; later ones win.
        keep: is handed each private key before its request leaves, and again with the certificate
            before that is confirmed; it makes them durable, then returns. It is called from a
            thread; what it raises ends the client.
        environ: where `env:NAME` is looked up; by default that of the process.
        settings: how to talk to the server, and what all end entities have in common.

    Raises:
        InputError: an option is none, or can't be used; when the client is entered, too.
        BulkcmpError: when the client is entered, and is open already or not on asyncio.
    """

    def __init__(
        self,
        *,
        config: Sequence[str] = (),
        keep: Keep | None = None,
        environ: Mapping[str, str] | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        options = _options(config, settings)
        _warn(options.notes(), depth=2)
        self._engagement = Engagement(options, os.environ if environ is None else environ, keep)
        self._opened: AbstractAsyncContextManager[None] | None = None

    async def __aenter__(self) -> Self:
        opened = self._engagement.open()
        await opened.__aenter__()
        self._opened = opened
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        assert self._opened is not None, "it was entered"
        return await self._opened.__aexit__(kind, error, trace)

    async def enroll(self, name: str, **given: Unpack[OfEndEntity]) -> Answer:
        """Ask for a certificate, by ir unless `cmd` says cr, p10cr or kur.

        Args:
            name: of the end entity: fills in `{id}`, and is the answer's `id`.
            given: what is otherwise than in the client's settings.

        Raises:
            InputError: an option can't be used; nothing was sent.
            BulkcmpError: the client is not open, or ended before the transaction did.
        """
        return await self._transact(name, given)

    async def renew(self, name: str, **given: Unpack[OfEndEntity]) -> Answer:
        """Ask for a new certificate by kur, signed by `cert` and `key`.

        Raises:
            InputError: an option can't be used; nothing was sent.
            BulkcmpError: the client is not open, or ended before the transaction did.
        """
        return await self._transact(name, {**given, "cmd": "kur"})

    async def revoke(self, name: str, **given: Unpack[OfEndEntity]) -> Answer:
        """Have a certificate revoked by rr: `oldcert`, or `serial` and `issuer`.

        Raises:
            InputError: an option can't be used; nothing was sent.
            BulkcmpError: the client is not open, or ended before the transaction did.
        """
        return await self._transact(name, {**given, "cmd": "rr"})

    async def ask(self, name: str, **given: Unpack[OfEndEntity]) -> Answer:
        """Ask the CA by genm for what `infotype` says, such as `caCerts` or `certReqTemplate`: the
        answer's `information` has what it told.

        Raises:
            InputError: an option can't be used; nothing was sent.
            BulkcmpError: the client is not open, or ended before the transaction did.
        """
        return await self._transact(name, {**given, "cmd": "genm"})

    async def _transact(self, name: str, given: Mapping[str, Any]) -> Answer:
        return await self._engagement.transact(name, _checked(given))


def enroll(
    population: str | Path,
    *,
    out: str | Path,
    config: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    on_progress: Callable[[Snapshot], object] | None = None,
    on_notice: Callable[[str], object] | None = None,
    **settings: Unpack[Settings],
) -> RunSummary:
    """Enroll every row of a population, as `bulkcmp enroll` does, and return when all are over.

    Ctrl-C (KeyboardInterrupt) begins nothing more and ends what is under way, once more leaves at
    once; the summary then says `interrupted`, and `resume` goes on.

    Args:
        population: whatever `bulkcmp enroll` takes: a CSV file, LDIF, a folder …; `range:` and a
            range.
        out: the run folder, which has no run yet.
        environ: where `env:NAME` is looked up; by default that of the process.
        on_progress: told how the run stands, several times a second; on_notice: told in plain
            English what else there is to say. Neither may block.

    Raises:
        InputError: something can't be used; then there is no run folder, and nothing was sent.
        BulkcmpError: something of this machine failed; what was durable stays.
    """
    options = _options(config, {**settings, "out": str(out)})
    secrets = os.environ if environ is None else environ
    made, journal = begin(str(population), options, Path(out), secrets)
    return _work("enroll", made, journal, on_progress, on_notice, resumed=False)


def resume(
    run_folder: str | Path,
    *,
    retry_unknown: bool = False,
    retry_failed: bool = False,
    environ: Mapping[str, str] | None = None,
    on_progress: Callable[[Snapshot], object] | None = None,
    on_notice: Callable[[str], object] | None = None,
    **settings: Unpack[Settings],
) -> RunSummary:
    """Go on with a run where it stopped, as `bulkcmp resume` does.

    Args:
        run_folder: that the run began in.
        retry_unknown: ask anew for rows whose outcome is not known; retry_failed: for those that
            failed.
        settings: what is otherwise than when the run began.

    Raises:
        InputError: something can't be used; nothing was sent.
        BulkcmpError: something of this machine failed; what was durable stays.
    """
    made, journal = go_on(
        open_run(Path(run_folder), settings.get("journal"), None),
        _checked(settings),
        os.environ if environ is None else environ,
        retry_unknown=retry_unknown,
        retry_failed=retry_failed,
        on_notice=_heard(on_notice),
    )
    return _work("resume", made, journal, on_progress, on_notice, resumed=True)


def load_test(
    scenario: str | Path,
    *,
    out: str | Path,
    config: Sequence[str] = (),
    changes: Iterable[str] = (),
    thresholds: Iterable[str] = (),
    find_capacity: bool = False,
    yes_load: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    on_progress: Callable[[Report], object] | None = None,
    on_notice: Callable[[str], object] | None = None,
    **settings: Unpack[Settings],
) -> Report:
    """Put a CMP server under load, as `bulkcmp load` does, and return all figures.

    The run folder has the records and summary.json, for `bulkcmp report` and `bulkcmp revoke`. Of
    the scenario, `[outputs]` and `revoke_after` are left to these.

    Args:
        scenario: a TOML file, or the name of one that comes with bulkcmp.
        out: the run folder, which has no load test yet.
        changes: KEY=VALUE, as of `--set`.
        thresholds: besides those of the scenario; `yes_load`: hosts that may be put under load.
        find_capacity: look for the highest rate at which the thresholds hold.

    Raises:
        InputError: something can't be used; nothing was sent.
        BulkcmpError: the test could not go on, after what was measured was kept.
    """
    _refuse_text(config=config, changes=changes, thresholds=thresholds, yes_load=yes_load)
    folder = Path(out)
    meant, options = read_test(str(scenario), tuple(changes), config, _checked(settings))
    made = plan_test(
        meant,
        options,
        os.environ if environ is None else environ,
        thresholds=tuple(thresholds),
        yes_load=yes_load,
        find_capacity=find_capacity,
    )
    _warn(made.run.notes, depth=2)
    refuse_present(folder)
    make_private_folder(folder)

    def report_of(figures: Figures, capacity: Capacity | None, newest: int | None = None) -> Report:
        return Report.of([made.run], figures, made.thresholds, newest=newest, capacity=capacity)

    def show(figures: Figures, capacity: Capacity | None) -> None:
        if on_progress is not None:
            on_progress(report_of(figures, capacity, _INTERVALS))

    interruption = Interruption(_heard(on_notice), "what was measured until now is kept")
    work = partial(
        load_session,
        made,
        folder,
        on_figures=show,
        on_notice=_heard(on_notice),
        interruption=interruption,
    )
    ended = _run(work, interruption)
    report = Report.of([ended.run], ended.figures, made.thresholds, capacity=ended.capacity)
    write_report(report, folder / SUMMARY)
    if ended.failure is not None:
        raise ended.failure
    return report


def _work(
    command: str,
    made: Plan,
    journal: Journal,
    on_progress: Callable[[Snapshot], object] | None,
    on_notice: Callable[[str], object] | None,
    *,
    resumed: bool,
) -> RunSummary:
    def show(snapshot: Snapshot) -> None:
        if on_progress is not None:
            on_progress(snapshot)

    notice = _heard(on_notice)
    interruption = Interruption(notice, "bulkcmp resume goes on")
    work = partial(
        session,
        command,
        made,
        journal,
        resumed=resumed,
        on_snapshot=show,
        on_notice=notice,
        interruption=interruption,
    )
    with journal:
        _warn(made.notes, depth=3)
        return _run(work, interruption)


def _warn(notes: Iterable[str], *, depth: int) -> None:
    """Say of options what must not be overlooked, in the name of who called `depth` calls ago."""
    if INSECURE in notes:
        warnings.warn(INSECURE, InsecureWarning, stacklevel=depth + 1)


def _run(work: Callable[[], Awaitable[T]], interruption: Interruption) -> T:
    if is_running() or not hears_signals():
        return run_beside(work, interruption.ask)
    return run(work)


def _heard(on_notice: Callable[[str], object] | None) -> Callable[[str], None]:
    def notice(what: str) -> None:
        if on_notice is not None:
            on_notice(what)

    return notice


def _options(config: Sequence[str], given: Mapping[str, Any]) -> Options:
    """
    Raises:
        InputError: a setting is none, or a profile can't be used.
    """
    _refuse_text(config=config)
    return Options.read(config, _checked(given))


def _checked(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Options as they were given.

    Raises:
        InputError: one is none, or has a value of another type; the value is not told, since it may
            be a secret.
    """
    kinds = get_type_hints(Settings) | {"out": str}
    for name, value in given.items():
        if name not in kinds:
            raise InputError(
                f"unknown option {name!r}", hint=nearest(name, Settings.__annotations__)
            )
        if value is not None and not _is_a(kinds[name], value):
            wanted = "list of str" if kinds[name] == Sequence[str] else kinds[name].__name__
            raise InputError(f"{name} must be {wanted}, not {type(value).__name__}")
    return given


def _is_a(kind: Any, value: object) -> bool:
    if kind == Sequence[str]:
        return isinstance(value, list | tuple) and all(_is_a(str, one) for one in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, {str: (str, Path), float: (int, float)}.get(kind, kind))


def _refuse_text(**lists: Iterable[str]) -> None:
    """A text would be taken for a list of its letters."""
    for name, value in lists.items():
        if isinstance(value, str):
            raise InputError(f"{name} must be list of str, not str")
