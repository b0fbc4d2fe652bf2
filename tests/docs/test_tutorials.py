"""Each tutorial does what it says, as it is written."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.docs.ports import at_free_ports

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(path.stem for path in TUTORIALS.glob("*.md")))
def test_a_tutorial_runs_as_it_is_written(name: str, tmp_path: Path) -> None:
    blocks = BLOCK.findall((TUTORIALS / f"{name}.md").read_text())
    script = tmp_path / "tutorial.sh"
    script.write_text(at_free_ports("\n".join(text for kind, text in blocks if kind == "sh")))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    folder = tmp_path / "empty"
    folder.mkdir()
    printed = tmp_path / "printed.txt"
    with printed.open("w") as file:
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", str(script)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=folder,
            env=os.environ | {"PATH": path},
            start_new_session=True,
        )
        try:
            code = shell.wait(240)
        finally:
            # what a tutorial leaves running ends with it
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
    out = printed.read_text()
    assert code == 0, out
    for kind, text in blocks:
        if kind == "text":
            for line in text.splitlines():
                assert line in out, f"{line!r} is not in\n{out}"


@pytest.mark.parametrize("name", sorted(path.stem for path in TUTORIALS.glob("*.md")))
def test_a_tutorial_has_something_to_run(name: str) -> None:
    kinds = [kind for kind, _ in BLOCK.findall((TUTORIALS / f"{name}.md").read_text())]
    assert kinds.count("sh") >= 3
