"""Stages: the protocols a sequence is made of, one file each."""
