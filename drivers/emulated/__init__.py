"""Emulated instruments: the front of each, as the real one speaks, for tests and for the emulated bench."""
