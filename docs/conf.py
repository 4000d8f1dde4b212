"""The documentation's site: `make docs` writes it to build/docs."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PROGRAMS = {
    "spikewatchd": "spikewatch.daemon.cli",
    "spikewatch-convert": "spikewatch.convert.cli",
    "spikewatch-registry": "spikewatch.registry.cli",
    "spikewatch-sim": "spikewatch.simcore.cli",
}

project = "spikewatch"
author = "the spikewatch developers"
copyright = f"2026, {author}"  # noqa: A001 - Sphinx's name
version = release = importlib.metadata.version("spikewatch")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
# Pages link to files that are in the checkout but not in the site; they are shown as they are.
suppress_warnings = ["myst.xref_missing"]
# Attributes become fields of their class instead of link targets: several classes have `ticks`, `spikes` or `cores`.
napoleon_use_ivar = True
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
exclude_patterns = ["Thumbs.db"]

html_theme = "furo"
html_title = "spikewatch"
html_copy_source = False


def write_commands(_: Sphinx) -> None:
    """Write the reference of the command lines from the programs themselves."""
    folder = Path(__file__).parent / "cli"
    folder.mkdir(exist_ok=True)
    for program, module in PROGRAMS.items():
        page = folder / f"{program}.md"
        options = ("--name", program, "--output", page)
        subprocess.run(
            [sys.executable, "-m", "typer", module, "utils", "docs", *options],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        page.write_text(with_whole_summaries(page.read_text()))


def with_whole_summaries(page: str) -> str:
    """Replace each command's summary, which typer cuts off at 45 characters, by the first line of its section."""
    summaries = dict(re.findall(r"^#+ `(.+)`\n\n(.+)$", page, re.MULTILINE))
    lines, above = [], ""
    for line in page.splitlines():
        heading, entry = re.match(r"#+ `(.+)`$", line), re.match(r"\* `([\w-]+)`: ", line)
        above = heading[1] if heading else above
        whole = summaries.get(f"{above} {entry[1]}") if entry else None
        lines.append(f"* `{entry[1]}`: {whole}" if entry and whole else line)
    return "\n".join(lines) + "\n"


def setup(app: Sphinx) -> None:
    """Write the commands before Sphinx looks for pages."""
    app.connect("config-inited", lambda app, _: write_commands(app))
