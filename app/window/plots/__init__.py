"""Plots of the window: curves, scans, an oscilloscope, a drawing of the device; each takes arrays and knows no run."""
