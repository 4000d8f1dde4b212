"""Command line `spikewatch-sim`: inspect, run, convert, plot and time core images."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from .chip._dispatch import kernel as load_kernel
from .errors import InputError, SimcoreError
from .exchange.formats import Format, Network, convert, open_network, run_network, write_spikes
from .exchange.nir_export import LossyExport
from .power import estimate
from .program import bench, inspection, plotting
from .program.trace import trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .chip.simulator import Outcome

PROGRAM = "spikewatch-sim"

app = typer.Typer(
    name=PROGRAM,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text: rich cuts long help off, and takes long to import
)


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
        help="Where to look models up; else the bundled registry.",
    ),
]
SpikeFile = Annotated[
    Path | None,
    typer.Option("--spikes", help="Input spikes: .sfti (IBM), or .txt with `tick line` a line."),
]
Ticks = Annotated[
    int | None,
    typer.Option(
        "--ticks",
        min=0,
        help="Length of the run; else that of a RANC file, or 15 ticks after the last input spike.",
    ),
]
Traced = Annotated[
    list[str] | None,
    typer.Option("--trace", help="CORE:NEURON whose membrane to follow; may be given repeatedly."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def main() -> None:
    """Run the program; errors of ours and of files are one line on stderr and exit code 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Braille shows the rest
    try:
        app()
    except SimcoreError as e:
        _say(str(e))
        sys.exit(2)
    except OSError as e:
        _say(f"{e.filename}: {e.strerror}" if e.filename else str(e))
        sys.exit(2)
    except MemoryError as e:
        _say(f"out of memory: {e}" if str(e) else "out of memory")
        sys.exit(2)


@app.command()
def inspect(
    file: File,
    core: Annotated[int, typer.Option("--core", help="Core whose crossbar to draw.")] = 0,
    registry: Registry = None,
    as_json: Json = False,
) -> None:
    """Show a network, its use of the chip, and a crossbar."""
    network = open_network(file, registry=registry)
    found = inspection.inspect(network.image)
    if as_json:
        typer.echo(json.dumps({"format": network.format} | found.as_json()))
        return
    picture = inspection.picture(network.image, core, shutil.get_terminal_size().columns)
    cells = found.cores * 256
    typer.echo(f"format          {network.format}")
    typer.echo(f"cores           {found.cores}")
    typer.echo(f"axons used      {found.axons} of {cells}")
    typer.echo(f"neurons used    {found.neurons} of {cells}")
    typer.echo(f"  copies        {found.copies}")
    typer.echo(f"  stochastic    {found.stochastic}")
    typer.echo(f"synapses        {found.synapses} of {cells * 256}")
    typer.echo(f"input lines     {found.input_lines}")
    typer.echo(f"output lines    {found.output_lines}")
    coding = network.image.coding
    if coding is not None:
        typer.echo(
            f"coding          {coding.ticks_per_step} ticks per step, {coding.word_lines} word lines,"
            f" read {coding.direction},\n{'':16}drain steps {coding.drain_steps}, gate line {coding.gate_line},"
            f" reads the {coding.readout}"
        )
    if network.image.head_bias is not None:
        typer.echo(f"head            on the host, {network.image.classes} classes")
    typer.echo("\nlargest                         used    limit        %")
    for use in found.use:
        typer.echo(f"{use.what:24}{use.used:12}{use.limit:9}{use.percent:9.1f}")
    typer.echo(f"\n{picture}")
    if found.cores > 1:
        typer.echo(f"one of {found.cores} cores; --core N draws another")


@app.command()
def run(
    file: File,
    spikes: SpikeFile = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write output spikes: .sfci (IBM), or .txt with `tick line`."),
    ] = None,
    ticks: Ticks = None,
    traced: Traced = None,
    registry: Registry = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare with the output spikes that a RANC file has.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a network on its input spikes.

    With --check, exit with 1 at the first output spike that differs from the file's.
    """
    network = open_network(file, spikes, ticks, registry)
    neurons = [_place(text) for text in traced or []]
    if check and network.expected is None:
        raise SimcoreError(f"{file}: carries no output spikes to compare with")
    outcome = run_network(network, str(file))
    raster = _recorded(outcome)
    if out is not None:
        write_spikes(out, raster)
    report = _report(network, outcome)
    difference = _difference(network, raster) if check else None
    if neurons:
        potentials = trace(network.image, _given(network), neurons).tolist()
        report["trace"] = {
            f"{c}:{n}": [v[k] for v in potentials] for k, (c, n) in enumerate(neurons)
        }
    if check:
        report["difference"] = difference
    typer.echo(json.dumps(report) if as_json else _text(report))
    if difference is not None:
        raise typer.Exit(1)


@app.command("convert-format")
def convert_format(
    file: File,
    out: Annotated[Path, typer.Argument(help=".safetensors, .json, .json.gz or .nir")],
    to: Annotated[
        str | None, typer.Option("--to", help="image, ranc, ibm or nir; else by the name.")
    ] = None,
    spikes: SpikeFile = None,
    ticks: Ticks = None,
    registry: Registry = None,
    without_spikes: Annotated[
        bool, typer.Option("--no-spikes", help="Leave out the input spikes that the file carries.")
    ] = False,
) -> None:
    """Convert a network to another format.

    Its input spikes are written into the same file or beside it, as the format has it.
    """
    network = open_network(file, spikes, ticks, registry)
    if without_spikes:
        network = Network(image=network.image, format=network.format)
    kinds: dict[str, Format] = {"image": "image", "ranc": "ranc", "ibm": "ibm", "nir": "nir"}
    if to is not None and to not in kinds:
        raise InputError(f"--to {to}: expected image, ranc, ibm or nir")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LossyExport)
        written = convert(network, out, None if to is None else kinds[to])
    for warning in caught:
        _say(str(warning.message).replace("\n", "\n  "))
    for path in written:
        typer.echo(path)


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
    network = open_network(file, spikes, ticks, registry)
    neurons = [_place(text) for text in traced or []]
    raster = _recorded(run_network(network, str(file)))
    given = _given(network)
    potentials = trace(network.image, given, neurons) if neurons else None
    plotting.plot(out, given, raster, neurons=neurons, potentials=potentials, title=file.name)
    typer.echo(out)


@app.command("bench")
def measure(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[NETWORK]", help="As elsewhere; without it, a dense core is made."),
    ] = None,
    spikes: SpikeFile = None,
    ticks: Ticks = None,
    rate: Annotated[
        float,
        typer.Option(
            "--rate",
            min=0,
            max=1,
            help="Spikes per line and tick, where no input spikes are given.",
        ),
    ] = 0.2,
    kernel: Annotated[
        list[str] | None, typer.Option("--kernel", help="Kernel to time; may be repeated.")
    ] = None,
    threads: Annotated[
        list[int] | None,
        typer.Option("--threads", min=1, help="Threads to use; may be repeated. Else 1 and all."),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0, help="How long to measure each.")
    ] = 1.0,
    registry: Registry = None,
    as_json: Json = False,
) -> None:
    """Measure ticks and synaptic events per second here."""
    length = bench.TICKS if ticks is None else ticks
    if not length:
        raise InputError("--ticks 0: there is nothing to measure")
    for wanted in kernel or ():
        load_kernel(wanted)  # refused before the table begins
    if file is None:
        if spikes is not None:
            raise InputError(f"--spikes {spikes}: of no network; name one, or leave the spikes out")
        name, (image, given) = "dense core", bench.dense_core(ticks=length)
    else:
        network = open_network(file, spikes, ticks, registry)
        name, image = str(file), network.image
        if network.spikes is not None and network.spikes.any():
            given = network.spikes
        else:
            given = bench.random_spikes(image.input_lines, length, rate)
    counts = threads or sorted({1, os.cpu_count() or 1})
    found = []
    if not as_json:
        cores = f"{image.cores} core{'s' * (image.cores != 1)}"
        typer.echo(f"{name}: {cores}, {len(given)} ticks a run, real time 1,000 ticks/s\n")
        typer.echo("kernel          threads  runs       ticks/s   syn. events/s  x real time")
    for row in bench.measure(image, given, names=kernel or (), threads=counts, seconds=seconds):
        found.append(row.as_json())
        if not as_json:
            kind = f"{row.kernel}{', program' * row.program}"
            typer.echo(
                f"{kind:16}{row.threads:7}{row.runs:6}{row.ticks_per_s:14,.0f}"
                f"{row.events_per_s:16.3g}{row.real_time:13,.2f}"
            )
    if as_json:
        report = {"network": name, "cores": image.cores, "ticks": len(given), "measured": found}
        typer.echo(json.dumps(report))


def _report(network: Network, outcome: Outcome) -> dict[str, Any]:
    """Gather what a run gave, as a JSON object."""
    ticks, events = len(_given(network)), int(outcome.synaptic_events[0])
    counts = outcome.counts[0]
    energy = estimate(cores=network.image.cores, ticks=ticks, synaptic_events=events)
    return {
        "ticks": ticks,
        "spikes": dict(zip(("input", "hidden", "output"), outcome.spikes[0].tolist(), strict=True)),
        "synaptic_events": events,
        "output_lines": {str(n): int(counts[n]) for n in np.nonzero(counts)[0]},
        "power_uw": energy.power_uw,
        "energy_uj": energy.energy_uj,
    }


def _text(report: dict[str, Any]) -> str:
    """Write a report out for people."""
    sent = report["spikes"]
    lines = [
        f"{report['ticks']} ticks, spikes {sent['input']} input, {sent['hidden']} hidden,"
        f" {sent['output']} output, {report['synaptic_events']} synaptic events"
    ]
    lines += [
        f"estimated for the chip ({method}): {power:.2f} uW, {report['energy_uj'][method]:.3f} uJ"
        for method, power in report["power_uw"].items()
    ]
    if report["output_lines"]:
        shown = [f"{line}:{n}" for line, n in report["output_lines"].items()]
        more = f" and {len(shown) - 32} more lines" if len(shown) > 32 else ""
        lines.append(f"output spikes by line: {' '.join(shown[:32])}{more}")
    if "trace" in report:
        names = list(report["trace"])
        lines.append("tick " + " ".join(f"{name:>9}" for name in names))
        columns = zip(*report["trace"].values(), strict=True)
        lines += [f"{t:4} " + " ".join(f"{v:9}" for v in row) for t, row in enumerate(columns)]
    if "difference" in report:
        different = report["difference"]
        lines.append(
            "equal to the file's output"
            if different is None
            else f"first difference: tick {different['tick']}, line {different['line']}:"
            f" {different['here']} here, {different['file']} in the file"
        )
    return "\n".join(lines)


def _difference(network: Network, raster: NDArray[Any]) -> dict[str, int] | None:
    """Find the first output spike that differs from those in the file."""
    expected = network.expected
    if expected is None:
        return None
    # RANC's bus shows one spike of a line and tick, however many neurons share the line.
    here = np.minimum(raster[: len(expected)], 1)
    different = np.argwhere(here != expected)
    if not len(different):
        return None
    tick, line = different[0].tolist()
    return {
        "tick": tick,
        "line": line,
        "here": int(here[tick, line]),
        "file": int(expected[tick, line]),
    }


def _place(text: str) -> tuple[int, int]:
    core, colon, neuron = text.partition(":")
    if not (colon and core.isdecimal() and neuron.isdecimal()):
        raise InputError(f"--trace {text}: expected CORE:NEURON")
    return int(core), int(neuron)


def _given(network: Network) -> NDArray[np.uint8]:
    if network.spikes is None:
        raise InputError("no input spikes")
    return network.spikes


def _recorded(outcome: Outcome) -> NDArray[np.uint16]:
    if outcome.raster is None:
        raise SimcoreError("the run recorded no output spikes")
    return outcome.raster


def _say(text: str) -> None:
    print(f"{PROGRAM}: {text}", file=sys.stderr)  # noqa: T201 - the one place that speaks to stderr
