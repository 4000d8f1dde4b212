"""Report on a published model: one HTML page that needs nothing beside it (extra `[report]`)."""

from __future__ import annotations

from .page import render, write_report
from .report_data import ReportData, gather

__all__ = ["ReportData", "gather", "render", "write_report"]
