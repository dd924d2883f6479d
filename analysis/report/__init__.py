"""HTML reports: of one run, and of two runs side by side."""

from analysis.report.comparison import write_comparison
from analysis.report.run_report import write_report

__all__ = ["write_comparison", "write_report"]
