"""How does a suite on a device become a run folder? The front door of the modules that prepare, measure and record it.

``study`` opens the device and decides what is measured there, ``running`` measures it or what is missing of it,
``record`` writes what is true of the whole run.
"""

from energybench.session.running import ComparisonDone, run_study
from energybench.session.study import RunOptions, Station, Study, open_station, plan_study

__all__ = ["ComparisonDone", "RunOptions", "Station", "Study", "open_station", "plan_study", "run_study"]
