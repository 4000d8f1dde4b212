"""Draw the charts: stages, responses, weight levels, confusion, energy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.colors import to_rgb

from .theme import GRID, INK, MUTED, SCHEMES, SERIES, draw

if TYPE_CHECKING:
    from collections.abc import Mapping

    from markupsafe import Markup
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

CHART: Final = (4.8, 3.2)
"""Width and height of a chart in inches: readable at the width of a mobile phone."""


def stage_chart(
    own: Mapping[str, float], validated: Mapping[str, float], paper: Mapping[str, float]
) -> Markup:
    """Draw accuracies (0..1) by stage: this model's, its cross-validation's and the paper's."""
    stages = list(own)
    series = (
        (f"this model ({min(own.values()):.1%} to {max(own.values()):.1%})", own, "o-", SERIES[0]),
        ("cross-validation of its recipe", validated, "s--", SERIES[1]),
        ("Diehl et al. 2016", paper, "D:", SERIES[2]),
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for label, values, style, colour in series:
            at = [i for i, stage in enumerate(stages) if stage in values]
            shown = [100 * values[stages[i]] for i in at]
            if shown:
                axes.plot(at, shown, style, color=colour, label=label, markersize=5)
        for i, stage in enumerate(stages):
            if stage in paper:
                axes.annotate(
                    f"{100 * paper[stage]:.3g}",
                    (i, 100 * paper[stage]),
                    xytext=(0, -13),
                    textcoords="offset points",
                    ha="center",
                    color=SERIES[2],
                )
        axes.set_xticks(range(len(stages)), stages)
        axes.set_ylabel("accuracy, %")
        axes.margins(y=0.15)
        axes.grid(axis="y")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=1)

    description = "; ".join(
        f"{label}: {', '.join(f'{s} {100 * v:.1f} %' for s, v in values.items() if s in stages)}"
        for label, values, _, _ in series
        if values
    )
    return draw("stages", "Accuracy from stage to stage", f"{description}.", paint, size=(4.8, 3.8))


def response_chart(levels: list[Mapping[str, float]]) -> Markup:
    """Draw mean and standard deviation of the spike count by artificial activity."""
    activity = np.array([level["activity"] for level in levels])
    mean = np.array([level["spikes"] for level in levels])
    spread = np.array([level["deviation"] for level in levels])

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        most = max(15, float(activity.max()))
        axes.plot([0, most], [0, most], ":", color=MUTED, label="equal")
        axes.fill_between(
            activity,
            np.maximum(mean - spread, 0),
            np.minimum(mean + spread, most),
            color=SERIES[0],
            alpha=0.25,
            linewidth=0,
            label="one standard deviation",
        )
        axes.plot(activity, mean, "o-", color=SERIES[0], markersize=4, label="spiking, mean")
        axes.set_xlabel("activity of the artificial neuron")
        axes.set_ylabel("spikes of the spiking neuron")
        axes.grid()
        axes.legend(loc="upper left")

    worst = int(np.abs(mean - activity).argmax())
    description = (
        f"The mean count rises from {mean[0]:.2f} spikes at activity {activity[0]:g} to {mean[-1]:.2f} at"
        f" {activity[-1]:g}; the largest deviation from equality is at {activity[worst]:g}, with {mean[worst]:.2f}."
    )
    return draw("responses", "Spikes by artificial activity", description, paint, size=CHART)


def unit_chart(units: list[Mapping[str, Any]]) -> Markup:
    """Draw each hidden unit's mean spikes against its mean activity."""
    activity = np.array([unit["activity"] for unit in units])
    spikes = np.array([unit["spikes"] for unit in units])
    error = np.array([unit["error"] for unit in units])

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        most = 1.05 * float(max(activity.max(), spikes.max(), 1))
        axes.plot([0, most], [0, most], ":", color=MUTED, label="equal")
        axes.errorbar(
            activity,
            spikes,
            yerr=error,
            fmt="o",
            color=SERIES[1],
            markersize=4,
            elinewidth=0.8,
            label="a hidden unit, and its mean absolute error",
        )
        axes.set_xlabel("mean activity, artificial")
        axes.set_ylabel("mean spikes in a step")
        axes.grid()
        axes.legend(loc="upper left")

    description = (
        f"{len(units)} hidden units lie along the line of equality; their mean absolute error is"
        f" {error.min():.2f} to {error.max():.2f} spikes in a step."
    )
    return draw("units", "Mean response of each hidden unit", description, paint, size=CHART)


def weight_chart(counts: Mapping[str, list[int]], levels: list[int]) -> Markup:
    """Draw the number of weights on each level, by the kind of connection."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        below = np.zeros(len(levels))
        for (label, values), colour, hatch in zip(
            counts.items(), SERIES, ("", "///", "..."), strict=False
        ):
            axes.bar(
                levels,
                values,
                bottom=below,
                color=colour,
                alpha=0.75,
                hatch=hatch,
                edgecolor=INK,
                linewidth=0.4,
                label=label,
            )
            below += values
        axes.set_xticks(levels)
        axes.set_xlabel("weight level")
        axes.set_ylabel("weights")
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=len(counts))

    total = np.sum(list(counts.values()), axis=0)
    description = (
        f"{int((total > 0).sum())} of {len(levels)} levels are used by {int(total.sum()):,} weights; the most frequent"
        f" is level {levels[int(total.argmax())]} ({int(total.max()):,})."
    )
    return draw("weights", "Weights on each level", description, paint, size=CHART)


def confusion_chart(labels: list[str], shares: NDArray[np.float64]) -> Markup:
    """Draw a confusion matrix as shades; `shares` are the shares 0..1 of each true class (rows)."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        # A bitmap cannot follow CSS variables: draw one for each colour scheme, and let CSS show the right one.
        for scheme, colours in SCHEMES.items():
            shown = np.empty((*shares.shape, 4))
            shown[..., :3] = to_rgb(colours["series"][0])
            shown[..., 3] = np.sqrt(shares)  # the square root keeps rare confusions visible
            axes.imshow(shown, interpolation="none", gid=f"class-{scheme}-only", aspect="auto")
        axes.set_yticks(range(len(labels)), labels, fontsize=6)
        axes.set_xticks(range(shares.shape[1]), [*labels, "none"], fontsize=6, rotation=90)
        axes.set_xlabel("answer")
        axes.set_ylabel("truth")

    right = np.diag(shares)
    description = (
        f"{len(labels)} classes; the share of right answers is {right.min():.0%} to {right.max():.0%}, on average"
        f" {right.mean():.0%}. The most frequent confusions are in the table."
    )
    return draw(
        "confusion", "Answers to questions of each class", description, paint, size=(8.4, 7.2)
    )


def energy_chart(rows: Mapping[str, tuple[float, float]]) -> Markup:
    """Draw energies in uJ; each row is (energy of the idle cores, energy that synaptic events add)."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        names = list(rows)
        fixed = np.array([v[0] for v in rows.values()])
        events = np.array([v[1] for v in rows.values()])
        axes.barh(names, fixed, height=0.6, color=SERIES[0], alpha=0.8, label="cores, at all times")
        axes.barh(
            names,
            events,
            height=0.6,
            left=fixed,
            color=SERIES[1],
            alpha=0.8,
            hatch="///",
            edgecolor=INK,
            linewidth=0.4,
            label="synaptic events",
        )
        for i, total in enumerate(fixed + events):
            axes.annotate(
                f"{total:.2f}",
                (total, i),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
            )
        axes.invert_yaxis()
        axes.margins(x=0.14)
        axes.set_xlabel("estimated energy of the chip, uJ")
        axes.grid(axis="x", color=GRID)
        axes.set_axisbelow(True)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)

    description = "; ".join(
        f"{' '.join(name.split())}: {sum(parts):.2f} uJ, of which {parts[1]:.2f} for synaptic events"
        for name, parts in rows.items()
    )
    return draw("energy", "Energy of a question", f"{description}.", paint, size=(4.8, 2.9))
