"""Check the grid of a network of the RANC simulator: its cores, its output bus, and numbers in general."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .. import limits
from ..errors import ImageError
from ..limits import GRID_MAX, MAX_LINES
from .documents import check_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

_BUS: Final = {"coordinates", "num_outputs"}
_CORE: Final = {"axons", "connections", "coordinates", "neurons"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What the cores of a network have in common.

    Attributes
    ----------
    places : dict
        Number of the core at each place (x, y).
    bus : (int, int)
        Place of the output bus.
    lines : int
        Number of output lines of the bus.
    axons : int
        Axons of each core, 0..256.
    width, height : int
        Size of the grid in cores: RANC fills the places that no core has with empty ones.

    """

    places: Mapping[tuple[int, int], int]
    bus: tuple[int, int]
    lines: int
    axons: int
    width: int
    height: int

    def check_place(self, place: tuple[int, int], what: str, missing: str) -> int | None:
        """Return the number of the core at a place, None if RANC has an empty core there.

        Raises
        ------
        ImageError
            The place is outside the grid.

        """
        x, y = place
        if place not in self.places and not (0 <= x < self.width and 0 <= y < self.height):
            raise ImageError(f"{what}: {missing} {list(place)}")
        return self.places.get(place)


def surroundings(network: Mapping[str, Any], config: Mapping[str, Any]) -> Surroundings:
    """Check places and sizes; raise if two things have one place."""
    width, height = config.get("num_cores_x", 0), config.get("num_cores_y", 0)
    places = _places(network["cores"])
    bus = network["output_bus"]
    check_keys(bus, _BUS, "output_bus")
    lines = whole(bus["num_outputs"], 0, MAX_LINES, "output_bus: num_outputs")
    at = pair(bus["coordinates"], "output_bus: coordinates")
    if at in places:
        raise ImageError(f"output_bus: coordinates {list(at)} are those of core {places[at]}")
    axons = min(limits.AXONS, config.get("num_axons", limits.AXONS))
    return Surroundings(places=places, bus=at, lines=lines, axons=axons, width=width, height=height)


def _places(cores: list[Mapping[str, Any]]) -> dict[tuple[int, int], int]:
    """Return the number of the core at each place; check all cores before anything is allocated for them."""
    if not 1 <= len(cores) <= limits.MAX_CORES:
        raise ImageError(f"{len(cores)} cores, limits 1..{limits.MAX_CORES}")
    places: dict[tuple[int, int], int] = {}
    for c, core in enumerate(cores):
        check_keys(core, _CORE, f"core {c}")
        if missing := sorted(_CORE - core.keys()):
            raise ImageError(f"core {c}: field {missing[0]} is missing")
        place = pair(core["coordinates"], f"core {c}: coordinates")
        if places.setdefault(place, c) != c:
            raise ImageError(
                f"core {c}: coordinates {list(place)} are those of core {places[place]}"
            )
    return places


def whole(value: Any, low: int, high: int | None, what: str) -> int:
    """Return a value of the file if it is an integer within limits; raise otherwise."""
    if type(value) is not int:
        raise ImageError(f"{what} is {value!r:.40}, not an integer")
    if value < low or (high is not None and value > high):
        raise ImageError(f"{what} is {value!s:.40}, limits {low}..{'' if high is None else high}")
    return value


def pair(value: Any, what: str) -> tuple[int, int]:
    """Return a place (x, y) in the grid; raise if the value is not one."""
    if not isinstance(value, list) or len(value) != 2:
        raise ImageError(f"{what} {value!r:.40}, expected x and y")
    x, y = (whole(n, 0, GRID_MAX, what) for n in value)
    return x, y
