"""Report on a published model: one HTML page that needs nothing beside it (extra `[report]`)."""

from __future__ import annotations

from .material import Material, gather
from .page import render, write_report

__all__ = ["Material", "gather", "render", "write_report"]
