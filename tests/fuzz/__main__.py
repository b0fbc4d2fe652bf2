"""`python -m tests.fuzz`: fuzzing by coverage, with atheris (libFuzzer); see docs/fuzzing.md."""

import argparse
import hashlib
import os
import sys
import tempfile
import warnings
from collections import deque
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


def _fuzz(target: Target, seconds: int, corpus: Path | None, findings: Path) -> None:
    """Fuzz one target; libFuzzer ends the process."""
    log = os.open(_log(findings, target.name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    warnings.simplefilter("ignore")
    seeds = Path(tempfile.mkdtemp(prefix="seeds-"))
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


def _told(findings: Path, name: str, *, held: bool) -> str:
    """What is said of a target that was fuzzed."""
    lines = _log(findings, name).read_text(errors="replace").splitlines()
    key = "stat::number_of_executed_units:"
    count = next((line.removeprefix(key).strip() for line in lines if line.startswith(key)), "?")
    if held:
        return f"{name}: {count} executions, nothing found"
    return "\n".join([*lines[-40:], f"{name}: FAILED after {count} executions, see {findings}"])


def main() -> int:
    """Exit code 0 where nothing was found."""
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
    # a fork has what was instrumented, which took longer than a short run does
    forks = get_context("fork")
    waiting, running, all_held = deque(targets), dict[int, tuple[str, BaseProcess]](), True
    while waiting or running:
        while waiting and len(running) < given.jobs:
            target = waiting.popleft()
            arguments = (target, given.seconds, given.corpus, given.findings)
            process: BaseProcess = forks.Process(target=_fuzz, args=arguments)
            process.start()
            running[process.sentinel] = target.name, process
        for ended in wait(list(running)):
            assert isinstance(ended, int)
            name, process = running.pop(ended)
            process.join()
            held = process.exitcode == 0
            all_held &= held
            print(_told(given.findings, name, held=held), flush=True)
    return 0 if all_held else 1


if __name__ == "__main__":
    sys.exit(main())
