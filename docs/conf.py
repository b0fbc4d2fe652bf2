"""The documentation as a site: sphinx-build -nW -c docs . site

Its source is the whole repository, so that links between documents hold on the site as they do
there.
"""

import subprocess
import sys
from importlib.metadata import version as version_of
from pathlib import Path

project = "bulkcmp"
version = release = version_of("bulkcmp")
author = "the authors of bulkcmp"

extensions = ["myst_parser", "sphinxcontrib.mermaid"]
root_doc = "docs/index"
include_patterns = [
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/*.md", "docs/**.md",
]  # fmt: skip
exclude_patterns = ["docs/measurements/**"]

html_theme = "furo"
html_title = f"bulkcmp {release}"
html_show_copyright = False
# else `--server` in running text becomes one dash, which no shell takes
smartquotes = False

# as GitHub draws it, and links to headings
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 4

man_pages = [
    ("docs/commands", "bulkcmp", "enroll populations over CMP, and test the CA", author, 1)
]

_HERE = Path(__file__).parent


def _write_commands() -> None:
    """Write the reference of the command line, from the program itself."""
    made = subprocess.run(
        [sys.executable, "-m", "typer", "bulkcmp.cli.main", "utils", "docs", "--name", "bulkcmp"],
        check=True,
        capture_output=True,
        text=True,
    )
    (_HERE / "commands.md").write_text(made.stdout)


_write_commands()
