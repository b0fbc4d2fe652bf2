"""What a load test would stumble over: its population is read, and nothing is sent."""

from collections.abc import Iterator, Mapping
from itertools import islice, starmap
from typing import Final

from bulkcmp.engine.load.servers import of_each
from bulkcmp.engine.options import Options
from bulkcmp.errors import InputError
from bulkcmp.inputs.generation import Generation
from bulkcmp.inputs.population import Population
from bulkcmp.load.scenario import GeneratedPopulation, Scenario
from bulkcmp.model import BadRow, EndEntity, Operation

_SAMPLE: Final = 100
"""Rows of a generated population that are looked at: all are made of one template."""


def rehearse(
    scenario: Scenario, servers: Mapping[str, Options], environ: Mapping[str, str]
) -> Iterator[tuple[InputError, ...]]:
    """What is wrong with each row of a scenario, for any lifecycle that may fall to it.

    All rows of a file are looked at, and the first hundred of a generated population.

    Args:
        servers: the options of each, by its name; where they say where it is, what is said of it is
            checked too.

    Raises:
        InputError: an option can't be used, or the population, whatever its rows say.
    """

    def population(options: Options) -> Population | Generation:
        if options.server:
            options.setup(environ)
        return options.population(scenario.population, environ, scenario.seed or 0)

    populations = of_each(servers, population)
    generated = isinstance(scenario.population, GeneratedPopulation)
    # a row is read as its lifecycle begins, by each server that the lifecycle comes to
    wanted = dict.fromkeys(
        (life.steps[0].cmd, step.server) for life in scenario.lifecycles for step in life.steps
    )

    def rows(cmd: Operation, server: str) -> Iterator[EndEntity | BadRow]:
        return islice(populations[server].rows(lambda _: cmd), _SAMPLE if generated else None)

    for row in zip(*starmap(rows, wanted), strict=True):
        problems = [problem for one in row if isinstance(one, BadRow) for problem in one.problems]
        yield tuple({str(problem): problem for problem in problems}.values())
