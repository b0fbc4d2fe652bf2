"""What a load test would stumble over: its population is read, and nothing is sent."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

from bulkcmp.engine.options import Options
from bulkcmp.errors import InputError
from bulkcmp.load.scenario import GeneratedPopulation, Scenario
from bulkcmp.model import BadRow, EndEntity, Operation

_SAMPLE: Final = 100
"""Rows of a generated population that are looked at: all are made of one template."""


def rehearse(
    scenario: Scenario, options: Options, environ: Mapping[str, str]
) -> Iterator[tuple[InputError, ...]]:
    """What is wrong with each row of a scenario, for any lifecycle that may fall to it.

    All rows of a file are looked at, and the first hundred of a generated population.

    Args:
        options: completed by the scenario's settings; where they name a server, what is said of it
            is checked too.

    Raises:
        InputError: an option can't be used, or the population, whatever its rows say.
    """
    if options.server:
        options.setup(environ)
    population = options.population(scenario.population, environ, scenario.seed or 0)
    generated = isinstance(scenario.population, GeneratedPopulation)
    first = dict.fromkeys(lifecycle.steps[0].cmd for lifecycle in scenario.lifecycles)

    def rows(cmd: Operation) -> Iterator[EndEntity | BadRow]:
        return islice(population.rows(lambda _: cmd), _SAMPLE if generated else None)

    for row in zip(*map(rows, first), strict=True):
        problems = [problem for one in row if isinstance(one, BadRow) for problem in one.problems]
        yield tuple({str(problem): problem for problem in problems}.values())
