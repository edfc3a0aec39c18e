"""The Hopfield engine (extra `sim`): network, solver and device, in torch. Importing this package does not import torch."""
