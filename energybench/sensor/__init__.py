"""What does a power sensor publish, and when? Its description, what is known of real ones, and a simulation."""

from energybench.sensor.known import ASSUMED, PROFILES, assumed_profile, rapl_profile
from energybench.sensor.profile import Counter, Faults, SensorProfile, Stream
from energybench.sensor.simulated import Published, SimulatedSensor

__all__ = [
    "ASSUMED",
    "PROFILES",
    "Counter",
    "Faults",
    "Published",
    "SensorProfile",
    "SimulatedSensor",
    "Stream",
    "assumed_profile",
    "rapl_profile",
]
