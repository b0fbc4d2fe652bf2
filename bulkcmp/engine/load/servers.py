"""The servers of a load test, and the options of each."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from bulkcmp.engine.options import Options, refuse_two_readers
from bulkcmp.errors import InputError, InputErrors
from bulkcmp.inputs.field import option_name
from bulkcmp.load.scenario import Scenario
from bulkcmp.model import Operation

S = TypeVar("S")
T = TypeVar("T")


def server_options(scenario: Scenario, options: Options) -> dict[str, Options]:
    """The options of each server, by its name; of the only one under an empty name.

    Args:
        options: of all, the scenario's common settings among them.

    Raises:
        InputError: an option, or a setting, would do nothing; or standard input is to have two
            secrets.
    """
    if not scenario.servers:
        return {"": options}
    made = {
        name: replace(options.behind(settings), updates_only=_only_updates(scenario, name))
        for name, settings in scenario.servers.items()
    }
    refuse_two_readers({secret: None for one in made.values() for secret in one.read_from_stdin})
    problems = tuple(_pointless(options, made))
    if problems:
        raise InputErrors("something that is said of the servers would do nothing", problems)
    return made


def _only_updates(scenario: Scenario, server: str) -> bool:
    """Whether a server is asked for nothing but updates of what was issued in the same lifecycle,
    which are signed with that."""
    return all(
        place > 0 and step.cmd is Operation.KUR
        for life in scenario.lifecycles
        for place, step in enumerate(life.steps)
        if step.server == server
    )


def _pointless(common: Options, made: Mapping[str, Options]) -> Iterator[InputError]:
    for option in sorted(common.stated):
        if all(
            # a server with a path of its own puts aside another path
            option in one.foremost or getattr(one, option) != getattr(common, option)
            for one in made.values()
        ):
            yield InputError(
                f"{option_name(option)}: each of the servers has its own {option}",
                hint=f"leave it away, or say it of one: --set 'servers.NAME.{option}=…'",
            )
    for name, one in made.items():
        wants_secret = one.secret is not None and not one.sign_requests
        is_hidden = "cert" in one.foremost and "secret" not in one.foremost
        if is_hidden and wants_secret and not one.updates_only:
            yield _of(
                name,
                InputError(
                    "cert: the secret that is said of all servers goes before it",
                    hint=f"say servers.{name}.sign_requests = true",
                ),
            )


def of_each(servers: Mapping[str, S], make: Callable[[S], T]) -> dict[str, T]:
    """What is made of what is said of each server, by its name.

    Raises:
        InputError: it can't be used; of several servers all that is wrong is told, and of which.
    """
    made: dict[str, T] = {}
    problems: list[InputError] = []
    for name, said in servers.items():
        try:
            made[name] = make(said)
        except InputError as error:
            if not name:
                raise
            found = error.problems if isinstance(error, InputErrors) else (error,)
            problems += (_of(name, one) for one in found)
    if problems:
        raise InputErrors("not all servers can be used", tuple(problems))
    return made


def _of(server: str, problem: InputError) -> InputError:
    return InputError(f"servers.{server}: {problem.what}", where=problem.where, hint=problem.hint)
