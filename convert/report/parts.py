"""What the page is made of: sections of paragraphs, plots and tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportTable:
    """A table; the first column names the rows.

    Attributes
    ----------
    caption : str
    head, rows
        Text of the cells.
    shades
        Share 0..1 of each cell that shades it; None: no cell is shaded.
    bars
        Share 0..1 for each row, drawn as a bar; None: no bars.
    words
        Columns that hold words rather than figures; the first always does.
    long
        Those of them that may be broken anywhere, as digests must be.
    folded
        Whether it opens on demand, because the plot beside it says the same.

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
    """A plot and its alternative in text.

    Attributes
    ----------
    svg : Markup
        Inline SVG with a title and a description.
    caption : str
    table : ReportTable or None
        The figures that it draws; None where the description says it all.
    wide : bool
        Whether it takes the whole width, and is scrolled on a narrow screen.

    """

    svg: Markup
    caption: str
    table: ReportTable | None = None
    wide: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A section.

    Attributes
    ----------
    name, title : str
        Its anchor and heading.
    text
        Paragraphs before the plots.
    plots, tables
        In this order.
    missing
        What the model does not hold, and how to come by it.

    """

    name: str
    title: str
    text: list[str] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    tables: list[ReportTable] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
