"""Joules and latency of GPU layers, with intervals one can believe."""

from __future__ import annotations

__version__ = "0.1.0"
