"""Experiments that ship with aeqlab, by name: `aeqlab run linear-regression`."""
