"""What a shell completes the values of options with, where their type does not say it.

Shells leave out what does not begin as the word does. Where nothing is left they take files, so
`./` brings files where a shipped name may stand too.
"""

from collections.abc import Callable, Iterable

from bulkcmp.inputs.profile import purpose, shipped_profiles

Completion = Callable[..., Iterable[str | tuple[str, str]]]
"""Gives values, perhaps with their meanings; typer hands it the word where it names one."""


def one_of(names: Iterable[str]) -> Completion:
    """One of some names."""
    return lambda: names


def some_of(names: Iterable[str]) -> Completion:
    """Names with commas between them: the last is completed, and none is offered twice."""

    def complete(incomplete: str) -> list[str]:
        before, comma, _ = incomplete.rpartition(",")
        taken = before.split(",")
        return [f"{before}{comma}{name}" for name in names if name not in taken]

    return complete


def profiles() -> list[tuple[str, str]]:
    """The connection profiles that are shipped, and what each is for."""
    return [(name, purpose(file)) for name, file in shipped_profiles().items()]


def scenarios() -> list[str]:
    """The scenarios that are shipped."""
    # with pydantic, which takes its time and is wanted for load tests alone
    from bulkcmp.inputs.scenario import shipped_scenarios

    return list(shipped_scenarios())


def time_zones() -> list[str]:
    """Those that this machine knows."""
    from zoneinfo import available_timezones

    return sorted(available_timezones())
