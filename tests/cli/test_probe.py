"""The options of `bulkcmp probe` are those of enroll, by construction."""

from inspect import signature

from bulkcmp.cli import option
from bulkcmp.cli.enroll import enroll
from bulkcmp.cli.probe import probe
from bulkcmp.engine.options import Options


def test_it_has_the_options_of_enroll_but_those_of_runs() -> None:
    own, theirs = signature(probe).parameters, signature(enroll).parameters
    left_out = {name for name in theirs if name not in own}
    assert left_out == {
        "journal",
        "journal_lease",
        "range",
        "out",
        *option.OF_OUTPUT,
        *option.OF_DELIVERIES,
        "keys",
        "keys_pass",
        "skip_bad_rows",
        "concurrency",
        "rate",
        "workers",
        "canary",
        "canary_failures",
        "window",
        "window_tz",
        "breaker_failures",
        "breaker_pause",
        "breaker_limit",
        "cluster",
        "cluster_tls_ca",
        "cluster_tls_cert",
        "cluster_tls_key",
        "certs_per_message",
        "batch",
        "batch_wait",
        "lint",
        "lint_profile",
        "lint_every",
        "lint_fail",
        "quiet",
        "json",
        "verbose",
        "log_file",
        "log_format",
        "log_size",
    }
    for name in theirs.keys() & own.keys() - {"population"}:
        assert own[name].annotation == theirs[name].annotation
        assert own[name].default == theirs[name].default
    new = own.keys() - theirs.keys()
    assert new.isdisjoint(Options.known())
