"""The workspace Tune: how well every knob holds its parameter, and trials of other gains that revert by themselves."""
