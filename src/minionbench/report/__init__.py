"""Reports: runs as one page that opens offline, and as single plots."""

from __future__ import annotations

from minionbench.report.writing import PLOTS, Report, write_plot, write_report

__all__ = ["PLOTS", "Report", "write_plot", "write_report"]
