"""How is a run drawn? The front door for notebooks: data frames in, a ``matplotlib.figure.Figure`` out.

``variants_figure(pandas.read_csv("results.csv"))`` is the shortest way to one. ``choice`` decides which figures a run
deserves, ``files`` writes them, every other module draws one kind or what several share.
"""

from energybench.report.figures.choice import save_figures
from energybench.report.figures.contributions import contribution_figure
from energybench.report.figures.energy_waterline import energy_waterline_figure
from energybench.report.figures.files import FigureFile, save_figure, svg_text
from energybench.report.figures.gap import energy_gap_figure, latency_gap_figure
from energybench.report.figures.group_size import group_size_figure
from energybench.report.figures.intensity import intensity_figure
from energybench.report.figures.pairs import pair_figure
from energybench.report.figures.power import power_figure
from energybench.report.figures.roofline import energy_roofline_figure, roofline_figure
from energybench.report.figures.sequences import sequence_energies, sequence_waterlines
from energybench.report.figures.variants import variants_figure
from energybench.report.figures.waterline import waterline_figure
from energybench.report.style import Palette

__all__ = [
    "FigureFile",
    "Palette",
    "contribution_figure",
    "energy_gap_figure",
    "energy_roofline_figure",
    "energy_waterline_figure",
    "group_size_figure",
    "intensity_figure",
    "latency_gap_figure",
    "pair_figure",
    "power_figure",
    "roofline_figure",
    "save_figure",
    "save_figures",
    "sequence_energies",
    "sequence_waterlines",
    "svg_text",
    "variants_figure",
    "waterline_figure",
]
