"""Define the parts of the page: sections of paragraphs, plots and tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportTable:
    """A table whose first column names the rows.

    Attributes
    ----------
    caption : str
    head, rows
        Text of the heads, and of the cells of each row.
    shades
        Shade of each cell behind the first column, 0..1; None: no cell is shaded.
    bars
        Length of the bar in each row, 0..1; None: no bars.
    words
        Indices of columns that hold words rather than figures; column 0 always does.
    long
        Indices of columns whose text may be broken at any character, such as digests.
    folded
        Whether the table is collapsed until opened, because a plot next to it shows the same.

    """

    caption: str
    head: list[str]
    rows: list[list[str]]
    shades: list[list[float]] | None = None
    bars: list[float] | None = None
    words: tuple[int, ...] = ()
    long: tuple[int, ...] = ()
    folded: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """A plot with its text alternative.

    Attributes
    ----------
    svg : Markup
        Inline SVG with a title and a description.
    caption : str
    table : ReportTable or None
        The figures drawn; None if the SVG's description suffices.
    wide : bool
        Whether the plot takes the full page width, and scrolls on a narrow screen.

    """

    svg: Markup
    caption: str
    table: ReportTable | None = None
    wide: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A section of the page.

    Attributes
    ----------
    name, title : str
        Anchor and heading.
    text
        Paragraphs before the plots.
    plots, tables
        Shown in this order.
    missing
        Notes on what the model lacks, and how to get it.

    """

    name: str
    title: str
    text: list[str] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    tables: list[ReportTable] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
