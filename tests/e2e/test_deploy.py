"""The shell steps of the examples in docs/deploy do what they say; `.ci/deploy` has the schemas."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
import yaml

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, RunFolder, Tools, WritePopulation

EXAMPLES = Path(__file__).parents[2] / "docs" / "deploy"
PASSPHRASE = "for the keys of an example"
NOT_CANCELLED = "${{ !cancelled() }}"


def read(name: str) -> Any:
    documents = list(yaml.safe_load_all((EXAMPLES / name).read_text()))
    return documents[-1]


def bash(script: str, folder: Path, environ: dict[str, str]) -> int:
    """Run a script as the runners of GitHub and GitLab do, and return its exit code."""
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env=environ,
        check=False,
        timeout=100,
    ).returncode


@pytest.fixture
def environ(cli: "Cli", ca: "Ca") -> dict[str, str]:
    """What a site sets, and the programs of this environment before others."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    mine = {"CMP_SERVER": ca.url(), "CMP_HOST": "127.0.0.1", "RA_SECRET": ca.secret}
    return cli.environ | mine | {"PATH": path}


def verdicts(junit: Path) -> dict[str, bool]:
    """Whether each threshold held."""
    cases = ElementTree.parse(junit).iter("testcase")
    return {case.attrib["name"]: case.find("failure") is None for case in cases}


def test_the_versions_are_this_one() -> None:
    job, compose = read("job.yaml"), read("compose.yaml")
    image = f"bulkcmp:{version('bulkcmp')}"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == image
    assert {one["image"] for one in compose["services"].values()} == {image}
    assert f"-t {image} ." in (EXAMPLES / "Containerfile").read_text()


@pytest.mark.parametrize("held", [True, False])
def test_the_workflow_of_github(
    ca: "Ca", environ: dict[str, str], tmp_path: Path, held: bool
) -> None:
    (job,) = read("github-workflow.yml")["jobs"].values()
    environ["BULKCMP"] = job["env"].pop("BULKCMP")
    assert job["env"] == {
        "CMP_SERVER": "${{ vars.CMP_SERVER }}",
        "CMP_HOST": "${{ vars.CMP_HOST }}",
        "RA_SECRET": "${{ secrets.RA_SECRET }}",
    }
    assert environ["BULKCMP"] == f"bulkcmp[html]=={version('bulkcmp')}"
    assert job["defaults"]["run"]["shell"] == "bash"
    if not held:
        environ["RA_SECRET"] = "another"
    environ["GITHUB_STEP_SUMMARY"] = str(tmp_path / "summary.md")
    shutil.copy(ca.anchor, tmp_path / "ca.pem")
    codes: dict[str, int] = {}
    for step in job["steps"]:
        assert step.get("if", NOT_CANCELLED) == NOT_CANCELLED
        if "run" in step and ("if" in step or not any(codes.values())):
            codes[step["name"]] = bash(step["run"], tmp_path, environ)
    assert codes["Load the CA"] == (0 if held else 3)
    assert codes["Report"] == 0
    assert len(codes) == 3
    assert all(verdicts(tmp_path / "junit.xml").values()) is held
    assert "share(failed)" in (tmp_path / "summary.md").read_text()
    kept = next(step["with"]["path"] for step in job["steps"] if "upload" in step.get("uses", ""))
    assert all((tmp_path / name).stat().st_size for name in kept.split())


def test_the_job_of_gitlab(ca: "Ca", environ: dict[str, str], tmp_path: Path) -> None:
    (job,) = read("gitlab-ci.yml").values()
    environ |= job["variables"]
    shutil.copy(ca.anchor, tmp_path / "ca.pem")
    assert bash("\n".join(job["script"]), tmp_path, environ) == 0
    assert bash("\n".join(job["after_script"]), tmp_path, environ) == 0
    assert all(verdicts(tmp_path / job["artifacts"]["reports"]["junit"]).values())
    assert all((tmp_path / name).stat().st_size for name in job["artifacts"]["paths"])


def test_the_job_of_kubernetes(
    ca: "Ca",
    environ: dict[str, str],
    run: "RunFolder",
    write_population: "WritePopulation",
    tmp_path: Path,
) -> None:
    """The first pod enrolls; another one, for whatever reason it comes, goes on with the run."""
    write_population(3)
    (tmp_path / "ca.toml").write_text(f'server = "{ca.url()}"\nref = "ra1"\nworkers = 1\n')
    shutil.copy(ca.anchor, tmp_path / "ca.pem")
    (tmp_path / "ra-secret").write_text(ca.secret)
    (tmp_path / "key-pass").write_text(PASSPHRASE)
    (container,) = read("job.yaml")["spec"]["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "RUN", "value": "/work/runs/batch-17"}]
    environ["RUN"] = str(run.path)
    (script,) = container["args"]
    for folder in ("/etc/bulkcmp", "/run/secrets/bulkcmp"):
        assert any(mount["mountPath"] == folder for mount in container["volumeMounts"])
        script = script.replace(folder, str(tmp_path))
    assert bash(script, tmp_path, environ) == 0
    assert run.outcomes() == {("issued", "")}
    before = ca.count()
    assert bash(script, tmp_path, environ) == 0
    assert ca.count() == before
    assert len(run.results()) == 3


def test_the_services_of_compose(tools: "Tools", environ: dict[str, str], tmp_path: Path) -> None:
    services = read("compose.yaml")["services"]
    ca, enroll = services["ca"], services["enroll"]
    port = str(tools.free_port())
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "key-pass").write_text(PASSPHRASE)
    work = tmp_path / "work"
    work.mkdir()

    def here(word: str) -> str:
        changed = (("0.0.0.0", "127.0.0.1"), ("http://ca:", "http://127.0.0.1:"), ("8829", port))
        for there, mine in (*changed, ("/run/secrets", str(secrets)), ("$$", "$")):
            word = word.replace(there, mine)
        return word

    serving = [sys.executable, "-m", "bulkcmp", *map(here, ca["command"])]
    with subprocess.Popen(serving, cwd=work, env=environ, stdout=subprocess.DEVNULL) as process:
        try:
            kind, *healthy = ca["healthcheck"]["test"]
            assert kind == "CMD"
            probe = [here(word) for word in healthy]
            while subprocess.run(probe, env=environ, capture_output=True, check=False).returncode:
                assert process.poll() is None
            (script,) = map(here, enroll["command"])
            for _ in range(2):
                assert bash(script, work, environ) == 0
        finally:
            process.terminate()
    results = (work / "runs" / "batch-17" / "results.csv").read_text()
    assert results.count(",issued,") == 20
