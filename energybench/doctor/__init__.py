"""Is this device fit to be measured? What was found, why it matters for the number, and what to do about it.

``examine`` asks the device, its meter and the surroundings; ``diagnose`` judges the answers (a pure function);
``diagnosis_lines`` writes the page. No torch: a machine whose torch is broken can be examined too.
"""

from energybench.doctor.diagnosis import diagnose
from energybench.doctor.examination import Examination, Surroundings, Watch, examine
from energybench.doctor.finding import Diagnosis, Finding
from energybench.doctor.page import diagnosis_lines

__all__ = [
    "Diagnosis",
    "Examination",
    "Finding",
    "Surroundings",
    "Watch",
    "diagnose",
    "diagnosis_lines",
    "examine",
]
