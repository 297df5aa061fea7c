"""The report page of an evaluation: one HTML file that needs nothing else."""

from ilk.evaluation.report.page import render_report, write_report

__all__ = ["render_report", "write_report"]
