"""The workspace Connect: from nothing to a rig that is armed, and what its knobs and readings are now."""
