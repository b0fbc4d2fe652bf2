import re

import pytest

from bulkcmp.outputs.hgrm import hgrm
from bulkcmp.stats.histogram import RELATIVE_ERROR, Histogram

# the lines that HdrHistogram's own reader and plotter know
LINE = re.compile(r" *(\d+\.\d{3}) (\d\.\d{12}) +(\d+)(?: +(\d+\.\d\d))?\n")


def test_each_line_says_how_many_values_are_no_larger() -> None:
    histogram = Histogram()
    for milliseconds in range(1, 101):
        histogram.record(milliseconds / 1000)
    head, *lines, mean, most, buckets = hgrm(histogram)
    assert head.split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    found = [match.groups() for line in lines if (match := LINE.fullmatch(line))]
    assert len(found) == len(lines) == 100
    for milliseconds, (value, share, count, inverse) in enumerate(found, 1):
        assert float(value) == pytest.approx(milliseconds, rel=RELATIVE_ERROR)
        assert float(share) == milliseconds / 100
        assert int(count) == milliseconds
        assert (inverse is None) == (milliseconds == 100)
    assert found[49][3] == "2.00"
    assert float(found[-1][0]) == 100
    assert re.findall(r"[\d.]+", mean)[0] == "50.500"
    assert float(re.findall(r"[\d.]+", mean)[1]) == pytest.approx(28.866, rel=0.01)
    assert re.findall(r"[\d.]+", most) == ["100.000", "100"]
    assert re.findall(r"\d+", buckets) == ["100", "128"]


def test_nothing_recorded_is_a_whole_file_too() -> None:
    assert [line.split()[0] for line in hgrm(Histogram())] == [
        "Value", "#[Mean", "#[Max", "#[Buckets",
    ]  # fmt: skip
