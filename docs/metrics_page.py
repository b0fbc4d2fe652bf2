"""Writes docs/metrics.md, whose table is the list of bulkcmp/stats/metrics.py.

python docs/metrics_page.py > docs/metrics.md
"""

from bulkcmp.stats.metrics import METRICS, Kind

_HEAD = """\
# Live metrics of load tests

Made by `python docs/metrics_page.py`, the table from the list in `bulkcmp/stats/metrics.py`; do not
edit.

    pip install 'bulkcmp[metrics]'
    bulkcmp load scenario.toml … --prometheus :9464
    bulkcmp load scenario.toml … --otlp http://127.0.0.1:4318 --otlp-interval 5
    bulkcmp dashboard > bulkcmp.json        # import it into Grafana 10 or later

Both may be given. The values are read off the same figures as every report of the run, so they are
the same numbers. Nothing is counted a second time, and nothing is computed where nobody asks.

## Prometheus

    scrape_configs:
      - job_name: bulkcmp
        scrape_interval: 5s
        static_configs: [{targets: ["127.0.0.1:9464"]}]

The page is at `/metrics`, as text or as OpenMetrics. `:9464` listens on 127.0.0.1 alone; for a
Prometheus on another machine name an address, as in `10.0.0.5:9464`, or `0.0.0.0:9464` for all of
the machine's; `:0` takes any free port, and the notice at the beginning tells which. There is no
TLS and no password: whoever reaches the port reads the server's URL, the scenario's name and all
figures (no secret, no name of an end entity and no text of a peer is among them), and each scrape
costs the generator's parent process 10 to 60 ms of CPU, which never are a worker's. On a network
that others use, put a proxy before it, or use a firewall. A port that is taken ends the command
before anything is sent.

A scrape is answered when the run's own thread comes by its figures, twice a second. The page is
there from before the first message until the command ends, with the last figures while reports are
written; what a scraper misses all the same stands in the report, and in the last push of OTLP.

## OTLP

Metrics are pushed over HTTP with protobuf to `URL/v1/metrics`, every 10 s and once more at the end,
from a thread of its own. The variables of OpenTelemetry say the rest: `OTEL_EXPORTER_OTLP_HEADERS`
(`authorization=Bearer%20…`), `_TIMEOUT`, `_COMPRESSION`, `_CERTIFICATE`, `_CLIENT_CERTIFICATE`,
`_CLIENT_KEY`, each also with `METRICS_` after `OTLP_`; `OTEL_SERVICE_NAME`,
`OTEL_RESOURCE_ATTRIBUTES`. A collector that does not answer does not disturb the run: it is told
once, and how many pushes failed at the end, which may then take up to ten seconds longer.

Names have dots there (`bulkcmp.process.cpu`, unit `s`); where Prometheus takes OTLP in, it makes
the names below of them again, and `service.instance.id` becomes `instance`.

## What there is

`phase` is `warmup` or `measured`: add both for all of a run. `operation` is as in the scenario
(`ir`, `kur`, `rr` …; where it has several servers, `ir@NAME`), and `all` where figures of several
can't be added: percentiles, means and shares. `outcome` is `ok` where all requests of a transaction
reached what was asked for, else `failed`; `class` is the outcome class of a request
([outcomes](outcomes.md)). `exchange` is what was sent and what came (`ir/ip`, `ir/ip@NAME`,
`ir: no answer in time`). `percentile` is `min`, `p50`, `p90`, `p95`, `p99`, `p99.9` or `max`, as
the reports have it: over the whole phase, off by 0.4 % at most.

For percentiles over the last minutes use the histograms:

    histogram_quantile(0.95, sum by (le) (rate(bulkcmp_response_seconds_bucket{outcome="ok"}[1m])))

Their bounds are powers of two and half way between, from 1/1024 s to 64 s, since buckets of
bulkcmp's own histograms begin there: each count is exact. (A value that is a bound to the last bit
counts above it.)

What is planned and started are gauges, not counters: transactions under way are told by the workers
once a second, so that in between the figures may go down a little; use `deriv`, not `rate`.
[Reports](reports.md) says what each latency is.
"""


def page() -> str:
    """The page, in Markdown."""
    lines = [_HEAD, "| metric | kind | labels | meaning |", "| --- | --- | --- | --- |"]
    for metric in METRICS.values():
        name = metric.prometheus
        if metric.kind is Kind.HISTOGRAM:
            name += "_{bucket,sum,count}"
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{name}` | {metric.kind.value} | {labels} | {metric.meaning} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(page(), end="")
