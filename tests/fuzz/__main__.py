"""`python -m tests.fuzz`: fuzzing by coverage, with atheris (libFuzzer); see docs/fuzzing.md."""

import argparse
import hashlib
import os
import sys
import tempfile
import warnings
from collections import deque
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import atheris

from tests.fuzz.target import NAMES, Target, load

_LONGEST: Final = 20_000
"""Octets of an input, but where a seed has more."""

_SLOWEST: Final = 20
"""Seconds after which an input counts as one that hangs."""

_MEMORY: Final = 2048
"""MiB of a process, at most."""

_HELD: Final = 0
_FINDINGS: Final = (255, 77, 70, 71)
"""Exit codes of a target's process where an input raised, crashed Python, hung, or took too much
memory."""
_FOUND: Final = 77


def _fuzz(target: Target, seconds: int, corpus: Path | None, findings: Path, seeds: Path) -> None:
    """Fuzz one target; libFuzzer ends the process.

    Args:
        seeds: a folder to be made for them.
    """
    log = os.open(_log(findings, target.name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    warnings.simplefilter("ignore")
    seeds.mkdir()
    for number, seed in enumerate((*target.seeds, *map(Path.read_bytes, target.regressions))):
        (seeds / f"{number}").write_bytes(seed)
    if corpus is not None:
        (corpus / target.name).mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={max(_LONGEST, *map(len, target.seeds))}",
        # long inputs from the beginning: seeds are whole messages
        "-len_control=0",
        f"-timeout={_SLOWEST}",
        f"-rss_limit_mb={_MEMORY}",
        f"-artifact_prefix={findings}/{target.name}-",
        "-print_final_stats=1",
    ]
    # what is new goes into the first folder
    folders = [str(seeds)] if corpus is None else [str(corpus / target.name), str(seeds)]

    def one(data: bytes) -> None:
        try:
            target.one(data)
        except BaseException:
            # libFuzzer keeps what hangs or takes too much memory; a fork ends before it keeps this
            digest = hashlib.sha256(data).hexdigest()[:16]
            (findings / f"{target.name}-{digest}").write_bytes(data)
            raise

    atheris.Setup([target.name, *options, *folders], one)
    atheris.Fuzz()


def _log(findings: Path, name: str) -> Path:
    return findings / f"{name}.log"


def _told(findings: Path, name: str, code: int | None) -> str:
    """What is said of a target that was fuzzed, by the exit code of its process."""
    lines = _log(findings, name).read_text(errors="replace").splitlines()
    key = "stat::number_of_executed_units:"
    count = next((line.removeprefix(key).strip() for line in lines if line.startswith(key)), "?")
    if code == _HELD:
        return f"{name}: {count} executions, nothing found"
    how = f"FAILED after {count} executions" if code in _FINDINGS else f"can't be fuzzed ({code})"
    return "\n".join([*lines[-40:], f"{name}: {how}, see {findings}"])


def main() -> int:
    """Exit code 0 where nothing was found, 77 where something was, 1 where it can't be told."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--jobs", type=int, default=2, help="targets at the same time")
    parser.add_argument("--corpus", type=Path, help="folder that keeps what leads to new code")
    parser.add_argument("--findings", type=Path, default=Path("findings"), help="folder")
    given = parser.parse_args()
    if unknown := set(given.targets) - set(NAMES):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    given.findings.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=["bulkcmp"]):
        targets = [load(name) for name in given.targets or NAMES]
    with tempfile.TemporaryDirectory(prefix="seeds-") as seeds:
        codes = _fuzz_all(targets, given, Path(seeds))
    if codes <= {_HELD}:
        return _HELD
    return _FOUND if codes <= {_HELD, *_FINDINGS} else 1


def _fuzz_all(targets: Sequence[Target], given: argparse.Namespace, seeds: Path) -> set[int | None]:
    """Fuzz them, some at a time; returns the exit codes of their processes."""
    # a fork has what was instrumented, which took longer than a short run does
    forks = get_context("fork")
    waiting, running = deque(targets), dict[int, tuple[str, BaseProcess]]()
    codes: set[int | None] = set()
    while waiting or running:
        while waiting and len(running) < given.jobs:
            target = waiting.popleft()
            own = (target, given.seconds, given.corpus, given.findings, seeds / target.name)
            process: BaseProcess = forks.Process(target=_fuzz, args=own)
            process.start()
            running[process.sentinel] = target.name, process
        for ended in wait(list(running)):
            assert isinstance(ended, int)
            name, process = running.pop(ended)
            process.join()
            codes.add(process.exitcode)
            print(_told(given.findings, name, process.exitcode), flush=True)
    return codes


if __name__ == "__main__":
    sys.exit(main())
