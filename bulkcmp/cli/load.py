"""`bulkcmp load`: a load test of a CMP server."""

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bulkcmp.cli import completion, option
from bulkcmp.cli.enroll import enroll
from bulkcmp.cli.log import logged
from bulkcmp.cli.report import put_report
from bulkcmp.cli.revoke import clean_up_and_show
from bulkcmp.cli.show import Errors, warn
from bulkcmp.cli.stdout import PipedConsole, printing
from bulkcmp.cluster.address import Address
from bulkcmp.cluster.crew import GENERATOR, joined, look
from bulkcmp.engine.load.cleanup import Cleanup, cleanup, cleanups, remnants
from bulkcmp.engine.load.monitor import INTERVAL, SHORTEST, Watchers, monitored
from bulkcmp.engine.load.servers import server_options
from bulkcmp.engine.load.session import at_home, session
from bulkcmp.engine.load.start import plan_test, read_test, refuse_present
from bulkcmp.engine.options import Options
from bulkcmp.errors import EXIT_INTERRUPTED, BulkcmpError, InputError, Interrupted, Where
from bulkcmp.inputs.toml import CHANGE
from bulkcmp.io.loop import run
from bulkcmp.load.folder import CERTIFICATES, SUMMARY
from bulkcmp.load.scenario import Scenario
from bulkcmp.model import Operation, ReportFormat
from bulkcmp.outputs.files import make_private_folder
from bulkcmp.outputs.log import settle
from bulkcmp.outputs.records import RecordFile
from bulkcmp.outputs.report import report_json, write_report
from bulkcmp.stats.capacity import Capacity
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.record import Run
from bulkcmp.stats.report import Report
from bulkcmp.ui.export import Export
from bulkcmp.ui.load import INTERVALS, make_view
from bulkcmp.ui.report import render_report

_OF_ENROLLMENTS: Final = (
    "population", "range", "cmd", "revreason", "keys", "keys_pass", "key_pass", "plain_keys",
    "journal", "journal_lease", *option.OF_OUTPUT, *option.OF_DELIVERIES,
    "skip_bad_rows", "lint", "lint_profile", "lint_every", "lint_fail", "concurrency", "rate",
    "retry_fail_info", "save_messages", "trust_first_ca_cert", *option.OF_WAVES,
)  # fmt: skip
"""What a scenario says, or a load test has not."""

_PANEL: Final = "Load test"
_METRICS: Final = "Live metrics"


@logged
@option.with_those_of(enroll, but=_OF_ENROLLMENTS)
def load(
    ctx: typer.Context,
    scenario: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO",
            help="TOML file of the load test, or the name of one that comes with bulkcmp.",
            autocompletion=completion.scenarios,
            show_default=False,
        ),
    ],
    change: Annotated[
        list[str] | None,
        typer.Option(
            CHANGE,
            help="A value of the scenario, otherwise than in its file, as TOML writes it:"
            " 'duration=60', 'open.rate=20', 'closed={clients=4}'. May be repeated.",
            metavar="KEY=VALUE",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
    find_capacity: Annotated[
        bool,
        typer.Option(
            "--find-capacity",
            help="Raise the rate by steps, then bisect, to the highest one at which the thresholds"
            " hold; how is said in \\[capacity] of the scenario: --set capacity.from=20.",
            rich_help_panel=_PANEL,
        ),
    ] = False,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            help="What must hold, besides what the scenario says: 'p95(ir.response) < 500ms',"
            " 'rate(ok) > 200', 'share(failed) < 0.1%'; with 'abort' before it, the test ends where"
            " it does not. May be repeated.",
            metavar="EXPR",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
    yes_load: Annotated[
        list[str] | None,
        typer.Option(
            help="The server's host, said once more: it is not this machine, and may be put under"
            " load. May be repeated.",
            metavar="HOST",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
    revoke_after: Annotated[
        bool | None,
        typer.Option(
            "--revoke-after/--no-revoke-after",
            help="After a test that was not interrupted, revoke what it had issued and did not"
            " revoke itself, by the credential of all rows. bulkcmp revoke RUN does it later, and"
            " what is left.",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
    config: option.Config = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run folder to make. Default: runs/ and the scenario's name.",
            metavar="RUN",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
    cluster: option.Cluster = None,
    cluster_tls_ca: option.ClusterTlsCa = None,
    cluster_tls_cert: option.ClusterTlsCert = None,
    cluster_tls_key: option.ClusterTlsKey = None,
    prometheus: Annotated[
        str | None,
        typer.Option(
            help="Serve live metrics to Prometheus at this address: :9464 is this machine alone,"
            " 0.0.0.0:9464 all of its addresses. Needs bulkcmp\\[metrics].",
            metavar="[HOST]:PORT",
            rich_help_panel=_METRICS,
            show_default=False,
        ),
    ] = None,
    otlp: Annotated[
        str | None,
        typer.Option(
            help="Push live metrics over OTLP/HTTP: http://127.0.0.1:4318. Headers and more as in"
            " OTEL_EXPORTER_OTLP_HEADERS and its like. Needs bulkcmp\\[metrics].",
            metavar="URL",
            rich_help_panel=_METRICS,
            show_default=False,
        ),
    ] = None,
    otlp_interval: Annotated[
        float,
        typer.Option(
            help="Seconds between two pushes.",
            metavar="SECONDS",
            min=SHORTEST,
            rich_help_panel=_METRICS,
        ),
    ] = INTERVAL,
    quiet: option.Quiet = False,
    json: option.Json = False,
    **given: Any,
) -> None:
    """Put a CMP server under load as a scenario says, and report what it did.

    Options take the place of what the scenario says of the server. All that was measured is kept
    in the run folder (bulkcmp report shows it again), with the serial numbers of all certificates.

    Exit codes: 0 all is well, 1 some transactions failed, 2 bad input or usage, 3 a threshold was
    crossed, 4 the load generator was the bottleneck, 130 interrupted.

    Example: bulkcmp load smoke.toml --server http://127.0.0.1:8829/ejbca/publicweb/cmp/ra-hmac
    --ref ra1 --secret env:RA_SECRET --trusted ca/ca.pem --threshold 'p95(response) < 500ms'
    """
    meant, options = read_test(scenario, change or (), config or (), given)
    address = Address.of(cluster, cluster_tls_ca, cluster_tls_cert, cluster_tls_key)
    each = options.processes_asked()
    nodes = {} if address is None else run(partial(look, address, each))
    planned = plan_test(
        meant,
        options,
        os.environ,
        thresholds=threshold or (),
        yes_load=yes_load or (),
        find_capacity=find_capacity,
        workers=sum(nodes.values()) or None,
    )
    if address is not None:
        spread = "cluster", f"{address.url}, {len(nodes)} machines"
        begun = replace(planned.run, settings=(*planned.run.settings, spread))
        planned = replace(planned, run=begun)
    wanted = meant.revoke_after if revoke_after is None else revoke_after
    cleaning = _cleaning(meant, options) if wanted else None
    folder = out or Path("runs") / meant.name
    refuse_present(folder)
    _refuse_present(folder / name for name in meant.outputs.values())
    errors = Errors()
    warn(errors, planned.run.notes)
    view = make_view(errors, quiet=quiet, json=json)

    def notice(what: str) -> None:
        if not quiet:
            errors.survive(lambda: errors.print(what, markup=False))

    def report_of(
        run: Run, figures: Figures, capacity: Capacity | None, newest: int | None = None
    ) -> Report:
        return Report.of([run], figures, planned.thresholds, newest=newest, capacity=capacity)

    def show(figures: Figures, capacity: Capacity | None) -> None:
        report = report_of(planned.run, figures, capacity, INTERVALS)
        errors.survive(lambda: view.update(report))
        monitor.update(figures)

    watchers = Watchers(prometheus, otlp, otlp_interval)
    # until the command ends, so that the last figures are seen, too
    monitor = ctx.with_resource(monitored(planned.run, planned.thresholds, watchers, notice))
    make_private_folder(folder)
    uncleaned = ctx.with_resource(ExitStack())
    if cleaning is not None:
        uncleaned.callback(_tell_uncleaned, folder, notice)
    join = at_home if address is None else partial(joined, address, GENERATOR, each, notice)
    work = partial(session, planned, folder, on_figures=show, on_notice=notice, join=join)
    try:
        with ExitStack() as stack:
            errors.survive(view.__enter__)
            stack.callback(errors.survive, lambda: view.__exit__(None, None, None))
            # above the view, not below the report
            stack.callback(settle)
            ended = run(work)
    except KeyboardInterrupt:
        raise Interrupted(hint=f"what was measured is in {folder}") from None
    monitor.finish()
    report = report_of(ended.run, ended.figures, ended.capacity)
    faults = [] if ended.failure is None else [ended.failure]
    for put in (
        partial(write_report, report, folder / SUMMARY),
        partial(_print, report, folder, quiet=quiet, json=json),
        *(
            partial(_export, folder, report, ended.figures, format_, name)
            for format_, name in meant.outputs.items()
        ),
    ):
        try:
            put()
        except BulkcmpError as error:
            faults.append(error)
    for fault in faults[1:]:
        errors.say(f"error: {fault}")
    if faults:
        raise faults[0]
    code = report.exit_code
    if cleaning is not None and not report.interrupted:
        uncleaned.pop_all()
        cleaned = clean_up_and_show(cleaning, folder, remnants(folder), quiet=quiet)
        # who stops the clean-up is told so; else the verdict on the test goes before
        code = cleaned if cleaned == EXIT_INTERRUPTED else code or cleaned
    raise typer.Exit(code)


def _print(report: Report, folder: Path, *, quiet: bool, json: bool) -> None:
    with printing("the report", f"bulkcmp report {folder} prints it again"):
        if json:
            typer.echo(report_json(report), nl=False)
        elif not quiet:
            render_report(PipedConsole(highlight=False), report)


def _export(
    folder: Path, report: Report, figures: Figures, format_: ReportFormat, name: str
) -> None:
    path = folder / name
    make_private_folder(path.parent)
    put_report(Export([RecordFile(folder)], known=(report, figures)), format_, path)


def _cleaning(scenario: Scenario, options: Options) -> dict[str, Cleanup]:
    """How what a scenario's servers issue is revoked."""
    issuing = [server for cmd, server in scenario.works if cmd is not Operation.RR]
    servers = server_options(scenario, options)
    return cleanups(servers, issuing, scenario.revoke_at, lambda one: cleanup(one, os.environ))


def _tell_uncleaned(folder: Path, notice: Callable[[str], None]) -> None:
    if (folder / CERTIFICATES).exists():
        notice(f"nothing was cleaned up: bulkcmp revoke {folder} revokes what was issued")


def _refuse_present(paths: Iterable[Path]) -> None:
    """Make sure that nothing is overwritten.

    Raises:
        InputError: a file is there already.
    """
    for path in paths:
        if path.exists():
            raise InputError(
                "is there already, and is an output of the scenario",
                where=Where(str(path)),
                hint="choose another --out",
            )
