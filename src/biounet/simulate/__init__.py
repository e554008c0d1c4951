"""Synthetic microscopy with exact truth: for the demo, for tests, for images of any size.

Every image is a window on an endless one, made of noise on a lattice without end (`noise.py`):
first the truth (`truth.py`), then how it looks in a microscope (`appearance.py`).
"""

from biounet.simulate.window import KINDS, Kind, simulate_cells, simulated_region

__all__ = ["KINDS", "Kind", "simulate_cells", "simulated_region"]
