"""Each notebook does what it says: its cells run in their order, as a kernel would run them."""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from PIL import Image

from tests.docs.ports import at_free_ports

NOTEBOOKS = Path(__file__).parents[2] / "docs" / "notebooks"


def cells(name: str) -> list[dict[str, Any]]:
    text = at_free_ports((NOTEBOOKS / f"{name}.ipynb").read_text())
    found: list[dict[str, Any]] = json.loads(text)["cells"]
    return found


@pytest.mark.timeout(300)
def test_the_load_test_draws_its_plot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    names: dict[str, Any] = {}
    try:
        for number, cell in enumerate(cells("load-test")):
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    finally:
        if (serving := names.get("serving")) is not None:
            with serving:
                serving.kill()
        if (plt := names.get("plt")) is not None:
            plt.close("all")
    assert " ok, 0 failed" in capsys.readouterr().out
    with Image.open("climb.png") as picture:
        colours = picture.convert("RGB").getcolors(1 << 20)
    assert colours is not None
    # axes, letters and lines, not an empty sheet
    assert len(colours) > 50


@pytest.mark.parametrize("name", sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")))
def test_a_notebook_is_kept_without_outputs(name: str) -> None:
    for cell in cells(name):
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
