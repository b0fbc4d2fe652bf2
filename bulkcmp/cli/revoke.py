"""`bulkcmp revoke`: revoke what a load test had issued."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import typer

from bulkcmp.cli import option
from bulkcmp.cli.show import Errors
from bulkcmp.engine.load.cleanup import (
    Cleanup,
    clean_up,
    cleanup,
    cleanups,
    kept_settings,
    remnants,
)
from bulkcmp.engine.options import Options
from bulkcmp.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_SOME_FAILED, Interrupted
from bulkcmp.io.loop import run as run_loop
from bulkcmp.load.certified import Certified
from bulkcmp.load.folder import CERTIFICATES
from bulkcmp.ui.progress import show_progress

_MOST_FAILURES: Final = 10


def revoke(
    run: option.RunFolder,
    server: option.Server = None,
    path: option.Path_ = None,
    proxy: option.Proxy = None,
    ref: option.Ref = None,
    secret: option.SecretSource = None,
    cert: option.Cert = None,
    key: option.Key = None,
    keypass: option.Keypass = None,
    pkcs11_module: option.Pkcs11Module = None,
    sign_requests: option.SignRequests = None,
    ra_secret: option.RaSecret = None,
    ra_key: option.RaKey = None,
    ra_keypass: option.RaKeypass = None,
    trusted: option.Trusted = None,
    untrusted: option.Untrusted = None,
    tls_keypass: option.TlsKeypass = None,
    revreason: option.Revreason = None,
    concurrency: option.Concurrency = None,
    rate: option.Rate = None,
    quiet: option.Quiet = False,
) -> None:
    """Revoke the certificates that a load test had issued and that are not revoked yet.

    Options are those of the test, but for those given here, which are for each of its servers. Of a
    secret the run folder knows only where it came from: what was given as pass: or by stdin is to
    be given again. --rate is 50 where it is not given. What became of each certificate is added to
    the run's certificates.csv: the same command again tries what is left.

    Exit codes: 0 all are revoked, 1 some are not, 2 bad input or usage, 130 interrupted.
    """
    given = {name: value for name, value in locals().items() if name in Options.known()}
    kept, left = kept_settings(run), remnants(run)
    how = cleanups(
        kept.servers,
        {one.server for one in left},
        kept.revoke_at,
        lambda facts: cleanup(Options.resumed(facts, given), os.environ),
    )
    raise typer.Exit(clean_up_and_show(how, run, left, quiet=quiet))


def clean_up_and_show(
    how: Mapping[str, Cleanup], folder: Path, left: Sequence[Certified], *, quiet: bool
) -> int:
    """Revoke what a load test left, say what came of it, and return the exit code.

    Args:
        how, folder, left: as of `clean_up`, but that nothing may be left.

    Raises:
        Interrupted: by a signal that came too early or too late to be heeded in good order.
        BulkcmpError: something of this machine failed, or the server was never reached.
    """
    errors = Errors()

    def notice(what: str) -> None:
        if not quiet:
            errors.say(what)

    if not left:
        notice("nothing is left to revoke")
        return EXIT_OK
    try:
        with show_progress(
            "revoking certificates", "certificates", len(left), quiet=quiet
        ) as progress:

            def tell(done: int) -> None:
                errors.survive(lambda: progress(done))

            cleaned = run_loop(
                partial(clean_up, how, folder, left, on_progress=tell, on_notice=notice)
            )
    except KeyboardInterrupt:
        raise Interrupted(hint=f"bulkcmp revoke {folder} goes on") from None
    for one, ending in cleaned.failures[:_MOST_FAILURES]:
        why = ": ".join(part for part in (ending.reason, ending.detail) if part)
        errors.say(f"not revoked: {one.serial:X} of {one.id}: {ending.outcome.value}: {why}")
    if len(cleaned.failures) > _MOST_FAILURES:
        more = len(cleaned.failures) - _MOST_FAILURES
        errors.say(f"and {more:,} more, see {folder / CERTIFICATES}")
    notice(f"{cleaned.revoked:,} of {cleaned.count:,} certificates were revoked")
    if cleaned.revoked < cleaned.count:
        errors.say(
            f"{cleaned.count - cleaned.revoked:,} are not: bulkcmp revoke {folder} tries again"
        )
    if cleaned.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_OK if cleaned.revoked == cleaned.count else EXIT_SOME_FAILED
