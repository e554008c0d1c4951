"""Prediction on files: what to write, in which blocks, by which workers, and where it stands."""
