"""Backends: the device interface and its implementations. Import from the modules; nothing is loaded here."""
