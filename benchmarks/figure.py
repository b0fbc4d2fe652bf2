"""What a benchmark finds: figures, each a ratio of two measurements taken in turn in one run."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Self


class Bound(StrEnum):
    """Which way a ratio is good."""

    AT_MOST = "<="
    AT_LEAST = ">="


@dataclass(frozen=True, slots=True)
class Target:
    """What a ratio shall be."""

    bound: Bound
    value: float

    def is_met(self, ratio: float) -> bool:
        return ratio <= self.value if self.bound is Bound.AT_MOST else ratio >= self.value

    def missed_by(self, ratio: float) -> float:
        """How far a ratio is from the target, as a part of the target; 0 where it is met."""
        return 0.0 if self.is_met(ratio) else abs(ratio - self.value) / self.value

    def __str__(self) -> str:
        return f"{self.bound} {self.value:g}"


def at_most(value: float) -> Target:
    return Target(Bound.AT_MOST, value)


def at_least(value: float) -> Target:
    return Target(Bound.AT_LEAST, value)


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity, measured several times.

    Attributes:
        label: what it is, in a few words.
        values: one for each repetition, in `unit`.
    """

    label: str
    unit: str
    values: tuple[float, ...]

    @classmethod
    def of(cls, label: str, unit: str, values: Sequence[float]) -> Self:
        return cls(label, unit, tuple(values))

    @property
    def median(self) -> float:
        return median(self.values)


@dataclass(frozen=True, slots=True)
class Figure:
    """A ratio: numerator over denominator, both measured in each repetition.

    Attributes:
        name: stays the same from run to run.
        title: a sentence without a full stop.
        target: None where the figure explains another one.
    """

    name: str
    title: str
    numerator: Series
    denominator: Series
    target: Target | None = None

    @property
    def ratios(self) -> list[float]:
        """Of each repetition: its numerator over its denominator."""
        pairs = zip(self.numerator.values, self.denominator.values, strict=True)
        return [above / below for above, below in pairs]

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return median(self.ratios)

    @property
    def is_missed(self) -> bool:
        return self.target is not None and not self.target.is_met(self.ratio)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something to know beside the figures; `value` is rounded for the reader."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Line:
    """A function in a profile: its own part of the time, 0 to 1, and its calls per unit of work."""

    function: str
    share: float
    calls: float


@dataclass(frozen=True, slots=True)
class Profile:
    """Where the time goes: the functions that take most of it themselves.

    Attributes:
        title: what ran; the profiler's own cost is in it, so that only shares mean anything.
    """

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """All that one run of a benchmark found."""

    figures: tuple[Figure, ...]
    facts: tuple[Fact, ...] = ()
    profiles: tuple[Profile, ...] = ()
