"""`bulkcmp enroll`: a population in, certificates out."""

import os
from functools import partial
from pathlib import Path

import typer

from bulkcmp.cli import option
from bulkcmp.cli.log import logged
from bulkcmp.cli.show import run_and_show
from bulkcmp.cluster.address import Address
from bulkcmp.cluster.crew import FOREMAN, joined, look
from bulkcmp.engine.campaign import Machines
from bulkcmp.engine.options import Options
from bulkcmp.engine.start import begin
from bulkcmp.errors import InputError
from bulkcmp.io.loop import run


@logged
def enroll(
    population: option.PopulationSource = None,
    config: option.Config = None,
    range: option.Range = None,  # noqa: A002  # the option's name
    map: option.Map = None,  # noqa: A002  # the option's name
    source_format: option.SourceFormat = None,
    encoding: option.Encoding = None,
    sheet: option.Sheet = None,
    source_pass: option.SourcePass = None,
    server: option.Server = None,
    path: option.Path_ = None,
    recipient: option.Recipient = None,
    certs_per_message: option.CertsPerMessage = None,
    implicit_confirm: option.ImplicitConfirm = None,
    disable_confirm: option.DisableConfirm = None,
    rr_serial_only: option.RrSerialOnly = None,
    accept_revoked: option.AcceptRevoked = None,
    ref: option.Ref = None,
    secret: option.SecretSource = None,
    cert: option.Cert = None,
    key: option.Key = None,
    keypass: option.Keypass = None,
    pkcs11_module: option.Pkcs11Module = None,
    sign_requests: option.SignRequests = None,
    unprotected_requests: option.UnprotectedRequests = None,
    extracerts: option.Extracerts = None,
    send_root: option.SendRoot = None,
    ra_ref: option.RaRef = None,
    ra_secret: option.RaSecret = None,
    ra_cert: option.RaCert = None,
    ra_key: option.RaKey = None,
    ra_keypass: option.RaKeypass = None,
    batch: option.Batch = None,
    batch_wait: option.BatchWait = None,
    digest: option.Digest = None,
    mac: option.Mac = None,
    password_mac: option.PasswordMac_ = None,
    rsa_padding: option.RsaPadding_ = None,
    pbm_iterations: option.PbmIterations = None,
    allow_weak: option.AllowWeak = None,
    max_pbm_iterations: option.MaxPbmIterations = None,
    trusted: option.Trusted = None,
    untrusted: option.Untrusted = None,
    out_trusted: option.OutTrusted = None,
    crl_check: option.CrlCheck = None,
    crl_check_all: option.CrlCheckAll = None,
    crls: option.Crls = None,
    trust_first_ca_cert: option.TrustFirstCaCert = None,
    srvcert: option.Srvcert = None,
    expect_sender: option.ExpectSender = None,
    ignore_keyusage: option.IgnoreKeyusage = None,
    accept_protection: option.AcceptProtection_ = None,
    unprotected_errors: option.UnprotectedErrors = None,
    tolerate_pkiconf: option.ToleratePkiconf = None,
    subject_check: option.SubjectCheck_ = None,
    cmd: option.Cmd = None,
    subject: option.Subject = None,
    sans: option.Sans = None,
    san_nodefault: option.SanNodefault = None,
    keyusage: option.Keyusage = None,
    extkeyusage: option.Extkeyusage = None,
    policy_oids: option.PolicyOids = None,
    extensions: option.Extensions = None,
    extensions_from: option.ExtensionsFrom = None,
    newkey: option.Newkey = None,
    newkeypass: option.Newkeypass = None,
    centralkeygen: option.Centralkeygen = None,
    popo: option.Popo_ = None,
    issuer: option.Issuer = None,
    days: option.Days = None,
    not_before: option.NotBefore = None,
    not_after: option.NotAfter = None,
    profile: option.CertProfile = None,
    csr: option.Csr = None,
    oldcert: option.Oldcert = None,
    serial: option.Serial = None,
    revreason: option.Revreason = None,
    infotype: option.Infotype = None,
    oldwithold: option.Oldwithold = None,
    crlcert: option.Crlcert = None,
    oldcrl: option.Oldcrl = None,
    regtoken: option.Regtoken = None,
    authenticator: option.Authenticator = None,
    reginfo: option.Reginfo = None,
    key_pass: option.KeyPass = None,
    plain_keys: option.PlainKeys = None,
    keys: option.Keys = None,
    keys_pass: option.KeysPass = None,
    journal: option.Journal = None,
    journal_lease: option.JournalLease = None,
    out: option.Out = None,
    out_format: option.OutFormat_ = None,
    out_chain: option.OutChain_ = None,
    out_name: option.OutName = None,
    out_pass: option.OutPass = None,
    out_pass_length: option.OutPassLength = None,
    passwords_recipient: option.PasswordsRecipient = None,
    label: option.Label = None,
    operator: option.Operator = None,
    save_messages: option.SaveMessages = None,
    on_issued: option.OnIssued = None,
    on_issued_url: option.OnIssuedUrl = None,
    on_issued_bearer: option.OnIssuedBearer = None,
    on_issued_env: option.OnIssuedEnv = None,
    on_issued_concurrency: option.OnIssuedConcurrency = None,
    on_issued_timeout: option.OnIssuedTimeout = None,
    on_issued_attempts: option.OnIssuedAttempts = None,
    skip_bad_rows: option.SkipBadRows = None,
    lint: option.Lint = None,
    lint_profile: option.LintProfile = None,
    lint_every: option.LintEvery = None,
    lint_fail: option.LintFail = None,
    concurrency: option.Concurrency = None,
    rate: option.Rate = None,
    workers: option.Workers = None,
    canary: option.Canary = None,
    canary_failures: option.CanaryFailures = None,
    window: option.Window = None,
    window_tz: option.WindowTz = None,
    breaker_failures: option.BreakerFailures = None,
    breaker_pause: option.BreakerPause = None,
    breaker_limit: option.BreakerLimit = None,
    cluster: option.Cluster = None,
    cluster_tls_ca: option.ClusterTlsCa = None,
    cluster_tls_cert: option.ClusterTlsCert = None,
    cluster_tls_key: option.ClusterTlsKey = None,
    connect_timeout: option.ConnectTimeout = None,
    msg_timeout: option.MsgTimeout = None,
    total_timeout: option.TotalTimeout = None,
    max_response: option.MaxResponse = None,
    retries: option.Retries = None,
    retry_fail_info: option.RetryFailInfo = None,
    retry_reused: option.RetryReused = None,
    tls_trusted: option.TlsTrusted = None,
    tls_cert: option.TlsCert = None,
    tls_key: option.TlsKey = None,
    tls_keypass: option.TlsKeypass = None,
    insecure: option.Insecure = None,
    proxy: option.Proxy = None,
    quiet: option.Quiet = False,
    json: option.Json = False,
) -> None:
    """Enroll every row of a population; each comes out with a certificate, or with the reason
    why not.

    Exit codes: 0 all rows done, 1 some failed, 2 bad input or usage, 130 interrupted.

    Example: bulkcmp enroll devices.csv --server http://127.0.0.1:8829/ejbca/publicweb/cmp/ra-hmac
    --ref ra1 --secret env:RA_SECRET --trusted ca/ca.pem --key-pass env:KEY_PASS --out runs/17
    """
    given = {name: value for name, value in locals().items() if name in Options.known()}
    given |= {"out": out, "save_messages": save_messages, "skip_bad_rows": skip_bad_rows}
    options = Options.read(config or (), given)
    address = Address.of(cluster, cluster_tls_ca, cluster_tls_cert, cluster_tls_key)
    machines = None if address is None else _machines(address, options)
    population = option.population(population, range)
    folder = Path(options.run_folder(population))
    plan, record = begin(population, options, folder, os.environ, shared=machines is not None)
    with record:
        code = run_and_show(
            "enroll", plan, record, resumed=False, quiet=quiet, json=json, machines=machines
        )
    raise typer.Exit(code)


def _machines(address: Address, options: Options) -> Machines:
    """The machines of a cluster that are there.

    Raises:
        BulkcmpError: it can't be used.
    """
    if options.journal is None:
        raise InputError(
            "--cluster needs a journal that all machines reach",
            hint="give --journal postgresql://...",
        )
    each, term = options.processes_asked(), options.lease()
    nodes = run(partial(look, address, each))
    join = partial(joined, address, FOREMAN, each)
    return Machines(join, len(nodes), each, options.journal, term)
