"""Drivers: one instrument each, over VISA or a user's own way. The only layer that imports pyvisa."""
