"""Command line `spikewatch-sim`: inspect and run core images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from .errors import SimcoreError
from .image import CoreImage
from .power import estimate
from .ranc import RancNetwork, read_ranc
from .run import Simulator, pack_lines

PROGRAM = "spikewatch-sim"

app = typer.Typer(
    name=PROGRAM,
    help="Inspect and run TrueNorth core images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the program; errors of ours are one line on stderr and exit code 2."""
    try:
        app()
    except SimcoreError as e:
        print(f"{PROGRAM}: {e}", file=sys.stderr)  # noqa: T201 - the one place that speaks to stderr
        sys.exit(2)


@app.command()
def inspect(
    file: Annotated[
        Path, typer.Argument(help="A core image, or a RANC network (.json, .json.gz).")
    ],
) -> None:
    """Show what an image holds and how much of the chip it uses."""
    image = _open(file)[0]
    synapses = image.synapses()
    used_neurons = int((image.target_core != -1).sum())
    used_axons = int(synapses.any(axis=2).sum())
    typer.echo(f"cores           {image.cores}")
    typer.echo(f"neurons used    {used_neurons} of {image.cores * 256}")
    typer.echo(f"axons used      {used_axons} of {image.cores * 256}")
    typer.echo(f"synapses        {int(synapses.sum())} of {synapses.size}")
    typer.echo(f"input lines     {image.input_lines}")
    typer.echo(f"output lines    {image.output_lines}")
    if image.coding is not None:
        coding = image.coding
        typer.echo(
            f"coding          {coding.ticks_per_step} ticks per step, {coding.word_lines} word lines,"
            f" read {coding.direction}, {coding.drain_steps} drain step, gate line {coding.gate_line}"
        )


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="A RANC network with its input spikes.")],
    check: Annotated[
        bool, typer.Option("--check", help="Compare with the output spikes that the file carries.")
    ] = False,
) -> None:
    """Run a network on the input spikes of its file; with --check, exit 1 at the first difference."""
    image, ranc = _open(file)
    if ranc is None:
        raise SimcoreError(f"{file}: a core image carries no input spikes")
    outcome = Simulator(image).run(pack_lines(ranc.spikes), [0, len(ranc.spikes)], record=True)
    spikes, events = outcome.spikes[0], int(outcome.synaptic_events[0])
    typer.echo(
        f"{len(ranc.spikes)} ticks, spikes {spikes[0]} input, {spikes[1]} hidden, {spikes[2]} output,"
        f" {events} synaptic events"
    )
    energy = estimate(cores=image.cores, ticks=len(ranc.spikes), synaptic_events=events)
    for method, power in energy.power_uw.items():
        typer.echo(
            f"estimated for the chip ({method}): {power:.2f} uW, {energy.energy_uj[method]:.3f} uJ"
        )
    if check:
        _check(ranc, outcome.raster, file)


def _check(ranc: RancNetwork, raster: np.ndarray | None, file: Path) -> None:
    if ranc.expected is None or raster is None:
        raise SimcoreError(f"{file}: carries no output spikes to compare with")
    different = np.argwhere(raster[: len(ranc.expected)] != ranc.expected)
    if len(different):
        tick, line = different[0]
        typer.echo(
            f"first difference: tick {tick}, line {line}: {raster[tick, line]} here,"
            f" {ranc.expected[tick, line]} in the file"
        )
        raise typer.Exit(1)
    typer.echo(f"equal to the file's output in all {ranc.expected.size} places")


def _open(file: Path) -> tuple[CoreImage, RancNetwork | None]:
    if file.suffix in {".json", ".gz"}:
        ranc = read_ranc(file)
        return ranc.image, ranc
    return CoreImage.load(file), None
