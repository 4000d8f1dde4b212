"""Command line `spikewatch-sim`: inspect, run, convert, plot and time core images."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..command_line import Program, one_line
from ..command_line import run as run_program
from .chip._dispatch import kernel as load_kernel
from .errors import InputError, SimcoreError
from .exchange.formats import (
    Format,
    Network,
    open_network,
    run_network,
    write_network,
    write_spikes,
)
from .program import bench, inspection, plotting, reporting
from .program.trace import trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from .chip.outcome import Outcome
    from .image import CoreImage

PROGRAM = "spikewatch-sim"

app = Program(PROGRAM)


def _version(asked: bool) -> None:
    if asked:
        from .. import __version__  # noqa: PLC0415 - looked up in the installed files, only when asked for

        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Inspect, run, convert, plot and time TrueNorth core images, published models, RANC networks and IBM models."""


File = Annotated[
    Path,
    typer.Argument(
        metavar="NETWORK",
        help="A core image, a RANC network (.json, .json.gz), an IBM model (.json),"
        " or the reference of a published model (trec:production).",
    ),
]
Registry = Annotated[
    Path | None,
    typer.Option(
        "--registry",
        envvar="SPIKEWATCH_REGISTRY",
        help="Directory of the registry that has the model; default: the bundled one.",
    ),
]
SpikeFile = Annotated[
    Path | None,
    typer.Option(
        "--spikes",
        help="File of input spikes: .sfti (IBM), or .txt with a spike `tick line` on each line.",
    ),
]
Ticks = Annotated[
    int | None,
    typer.Option(
        "--ticks",
        min=0,
        help="Length of the run; default: that of a RANC file, or 15 ticks after the last input spike.",
    ),
]
Traced = Annotated[
    list[str] | None,
    typer.Option(
        "--trace", help="CORE:NEURON whose membrane potential to record; can be repeated."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def main() -> None:
    """Run the program; print our own errors and those of files as one line on stderr, and exit with code 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Braille still shows the rest
    run_program(app, PROGRAM, _explain)


def _explain(error: Exception) -> tuple[str, int] | None:
    match error:
        case SimcoreError():
            text = str(error)
        case OSError():
            text = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        case MemoryError():
            text = f"out of memory: {error}" if str(error) else "out of memory"
        case _:
            return None
    return text, 2


@app.command()
def inspect(
    file: File,
    core: Annotated[int, typer.Option("--core", help="Core whose crossbar to draw.")] = 0,
    registry: Registry = None,
    as_json: Json = False,
) -> None:
    """Show a network, its use of the chip, and a crossbar."""
    network = _open(file, registry=registry)
    found = inspection.inspect(network.image)
    if as_json:
        typer.echo(json.dumps({"format": network.format} | found.as_json()))
        return
    picture = inspection.picture(network.image, core, shutil.get_terminal_size().columns)
    typer.echo(reporting.inspection_text(network, found))
    typer.echo(f"\n{picture}")
    if found.cores > 1:
        typer.echo(f"one of {found.cores} cores; --core N draws another")


@app.command()
def run(
    file: File,
    spikes: SpikeFile = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="File to write output spikes to: .sfci (IBM), or .txt with `tick line`."
        ),
    ] = None,
    ticks: Ticks = None,
    traced: Traced = None,
    registry: Registry = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare with the output spikes in a RANC file.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a network on its input spikes.

    With --check, exit with 1 at the first output spike that differs from the file's.
    """
    network = _open(file, spikes, ticks, registry)
    neurons = [_place(text) for text in traced or []]
    if check and network.expected is None:
        raise SimcoreError(f"{file}: has no output spikes to compare with")
    outcome = run_network(network, str(file))
    raster = _recorded(outcome)
    if out is not None:
        write_spikes(out, raster)
    report = reporting.run_report(network, outcome)
    difference = reporting.first_difference(network, raster) if check else None
    if neurons:
        potentials = trace(network.image, _given(network), neurons).tolist()
        report["trace"] = {
            f"{c}:{n}": [v[k] for v in potentials] for k, (c, n) in enumerate(neurons)
        }
    if check:
        report["difference"] = difference
    typer.echo(json.dumps(report) if as_json else reporting.run_text(report))
    if difference is not None:
        raise typer.Exit(1)


@app.command("convert-format")
def convert_format(
    file: File,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help=".safetensors, .json, .json.gz or .nir")
    ],
    to: Annotated[
        str | None,
        typer.Option("--to", help="image, ranc, ibm or nir; default: by the suffix of OUT."),
    ] = None,
    spikes: SpikeFile = None,
    ticks: Ticks = None,
    registry: Registry = None,
    without_spikes: Annotated[
        bool, typer.Option("--no-spikes", help="Leave out the input spikes of the file.")
    ] = False,
) -> None:
    """Convert a network to another format.

    Its input spikes go into the same file (RANC), or into a second one next to it.
    """
    network = _open(file, spikes, ticks, registry)
    if without_spikes:
        network = Network(image=network.image, format=network.format)
    # a dict rather than a set, so that the type checker sees that the option is a Format
    kinds: dict[str, Format] = {"image": "image", "ranc": "ranc", "ibm": "ibm", "nir": "nir"}
    if to is not None and to not in kinds:
        raise InputError(f"--to {to}: expected image, ranc, ibm or nir")
    with _warnings_shown():
        written = write_network(network, out, None if to is None else kinds[to])
    for path in written:
        typer.echo(one_line(path))


@app.command()
def plot(
    file: File,
    out: Annotated[Path, typer.Option("--out", help="The picture: .png or .svg.")],
    spikes: SpikeFile = None,
    ticks: Ticks = None,
    traced: Traced = None,
    registry: Registry = None,
) -> None:
    """Draw input spikes, output spikes and membrane potentials.

    Needs the extra `plot`.
    """
    network = _open(file, spikes, ticks, registry)
    neurons = [_place(text) for text in traced or []]
    raster = _recorded(run_network(network, str(file)))
    given = _given(network)
    potentials = trace(network.image, given, neurons) if neurons else None
    plotting.plot(out, given, raster, neurons=neurons, potentials=potentials, title=file.name)
    typer.echo(one_line(out))


@app.command("bench")
def measure(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[NETWORK]", help="As in the other commands; default: a generated dense core."
        ),
    ] = None,
    spikes: SpikeFile = None,
    ticks: Ticks = None,
    rate: Annotated[
        float,
        typer.Option(
            "--rate",
            min=0,
            max=1,
            help="Probability of a spike per line and tick, for a network without input spikes.",
        ),
    ] = 0.2,
    kernel: Annotated[
        list[str] | None,
        typer.Option("--kernel", help="Kernel to measure; can be repeated; default: all."),
    ] = None,
    threads: Annotated[
        list[int] | None,
        typer.Option(
            "--threads", min=1, help="Number of threads; can be repeated; default: 1 and all CPUs."
        ),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds", min=0, help="How long to measure each kernel and number of threads."
        ),
    ] = 1.0,
    registry: Registry = None,
    as_json: Json = False,
) -> None:
    """Measure ticks and synaptic events per second.

    The figures are those of this machine; the chip runs 1,000 ticks per second.
    """
    for wanted in kernel or ():
        load_kernel(wanted)  # raises for an unknown kernel before the table begins
    name, image, given = _workload(file, spikes, ticks, rate, registry)
    counts = threads or sorted({1, os.cpu_count() or 1})
    found = []
    if not as_json:
        cores = f"{image.cores} core{'s' * (image.cores != 1)}"
        typer.echo(
            f"{one_line(name)}: {cores}, {len(given)} ticks a run, real time 1,000 ticks/s\n"
        )
        typer.echo(bench.COLUMNS)
    for row in bench.measure(image, given, names=kernel or (), threads=counts, seconds=seconds):
        found.append(row.as_json())
        if not as_json:
            typer.echo(row.as_text())
    if as_json:
        report = {"network": name, "cores": image.cores, "ticks": len(given), "measured": found}
        typer.echo(json.dumps(report))


def _workload(
    file: Path | None, spikes: Path | None, ticks: int | None, rate: float, registry: Path | None
) -> tuple[str, CoreImage, NDArray[np.uint8]]:
    """Return name, image and input spikes of the network to measure; one without input spikes gets random ones."""
    length = bench.TICKS if ticks is None else ticks
    if not length:
        raise InputError("--ticks 0: nothing to measure, give at least 1")
    if file is None:
        if spikes is not None:
            raise InputError(f"--spikes {spikes}: needs a network; name one, or drop --spikes")
        return "dense core", *bench.dense_core(ticks=length)
    network = _open(file, spikes, ticks, registry)
    given = network.spikes
    if given is None or not given.any():
        given = bench.random_spikes(network.image.input_lines, length, rate)
    return str(file), network.image, given


def _open(
    file: Path, spikes: Path | None = None, ticks: int | None = None, registry: Path | None = None
) -> Network:
    """Open a network as `open_network` does, and print what its import dropped."""
    with _warnings_shown():
        return open_network(file, spikes, ticks, registry)


@contextlib.contextmanager
def _warnings_shown() -> Iterator[None]:
    """Print the warnings of a block on stderr, where the user sees them each time."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        _print_stderr(str(warning.message).replace("\n", "\n  "))


def _place(text: str) -> tuple[int, int]:
    """Parse CORE:NEURON."""
    core, colon, neuron = text.partition(":")
    if not (colon and core.isdecimal() and neuron.isdecimal()):
        raise InputError(f"--trace {text}: expected CORE:NEURON")
    return int(core), int(neuron)


def _given(network: Network) -> NDArray[np.uint8]:
    """Return a network's input spikes; `run_network` has already refused a network without any."""
    if network.spikes is None:
        raise InputError("no input spikes")
    return network.spikes


def _recorded(outcome: Outcome) -> NDArray[np.uint16]:
    """Return the output spikes of a run, which `run_network` always records."""
    if outcome.raster is None:
        raise SimcoreError("the run recorded no output spikes")
    return outcome.raster


def _print_stderr(text: str) -> None:
    print(f"{PROGRAM}: {text}", file=sys.stderr)  # noqa: T201 - the one place that speaks to stderr
