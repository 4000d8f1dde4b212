"""Write the report on a published model: one self-contained HTML page (extra `[report]`)."""

from __future__ import annotations

from .page import render, write_report
from .report_data import ReportData, gather

__all__ = ["ReportData", "gather", "render", "write_report"]
