"""How does a run folder become a report? Derive the tables, write results.csv, figures and the page into the folder."""

from __future__ import annotations

from pathlib import Path

from energybench.analysis.summary import Summary, summarize
from energybench.journal import load
from energybench.report.figures import save_figures
from energybench.report.page import write_page
from energybench.report.results_csv import write_csv

RESULTS_FILE = "results.csv"
PAGE_FILE = "report.html"
FIGURES_FOLDER = "figures"


def build_report(folder: Path) -> Summary:
    """Rebuild everything that is derived, from the folder alone.

    Raises:
        RunFolderError: it is no run folder, or it is damaged.
    """
    summary = summarize(load(folder))
    write_csv(summary.results, folder / RESULTS_FILE)
    figures = save_figures(summary, folder / FIGURES_FOLDER)
    write_page(summary, figures, folder / PAGE_FILE)
    return summary
