"""Plots of results, as SVG with its text as text."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from benchmarks.figure import Bound, Figure
from benchmarks.result import Result

_MET: Final = "#2a7f62"
_MISSED: Final = "#b3432b"
_PLAIN: Final = "#5a6b7b"
_SETTINGS: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    # the same figures make the same file
    "svg.hashsalt": "bulkcmp",
    "font.size": 8,
}


def plot_overview(path: Path, figures: Sequence[Figure]) -> None:
    """How far each figure is from its target: at 1 it meets it, to the left it is better."""
    judged = [figure for figure in figures if figure.target is not None]
    if not judged:
        return
    with mpl.rc_context(_SETTINGS):
        canvas = Canvas(figsize=(8, 0.8 + 0.26 * len(judged)), layout="constrained")
        axes = canvas.subplots()
        for place, figure in enumerate(reversed(judged)):
            distances = sorted(_distance(figure, ratio) for ratio in figure.ratios)
            colour = _MISSED if figure.is_missed else _MET
            axes.plot([distances[0], distances[-1]], [place, place], color=colour, linewidth=1)
            axes.plot([_distance(figure, figure.ratio)], [place], "o", color=colour, markersize=5)
        axes.axvline(1.0, color="black", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_yticks(range(len(judged)), [figure.name for figure in reversed(judged)])
        axes.set_xlabel("cost over what the target allows (1: just met; left is better)")
        axes.grid(axis="x", which="both", linewidth=0.3)
        _save(canvas, path)


def plot_result(path: Path, result: Result) -> None:
    """Numerator and denominator of each figure, side by side, with every repetition."""
    figures = result.findings.figures
    with mpl.rc_context(_SETTINGS):
        canvas = Canvas(figsize=(8, 0.4 + 0.85 * len(figures)), layout="constrained")
        rows = canvas.subplots(len(figures), 1, squeeze=False)[:, 0]
        for axes, figure in zip(rows, figures, strict=True):
            both = (figure.denominator, figure.numerator)
            colour = _MISSED if figure.is_missed else _PLAIN if figure.target is None else _MET
            for place, series in enumerate(both):
                axes.barh(place, series.median, color=colour if place else "#c4ccd4", height=0.7)
                axes.plot(series.values, [place] * len(series.values), "|", color="black")
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.set_yticks((0, 1), [_label(series.label, series.unit) for series in both])
            axes.set_title(f"{figure.name}: {figure.ratio:.3g}", fontsize=8, loc="left")
            axes.spines[["top", "right"]].set_visible(False)
        _save(canvas, path)


def _distance(figure: Figure, ratio: float) -> float:
    assert figure.target is not None
    over = ratio / figure.target.value
    return over if figure.target.bound is Bound.AT_MOST else 1 / over


def _label(label: str, unit: str) -> str:
    return f"{label if len(label) < 46 else label[:45] + '…'} ({unit})"


def _save(canvas: Canvas, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(path, metadata={"Date": None})
