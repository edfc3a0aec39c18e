# %% [markdown]
# # A rig, live
#
# The same slow and noisy device that stands in for a rig, here in virtual time, so that it takes seconds. It belongs to a session
# of its own: if one of the same device runs already (`aeqlab session linear-slow`), this attaches to it.

# %%
import signal
import threading

import numpy as np

from aeqlab.protocols import open_rig

# %%
rig = open_rig("linear-slow", "data.degree=4", "device.options={frequencies: 3}", "data.samples=40", "data.test_samples=5")
print(rig)
print(rig.info.n_parameters, "parameters in", rig.info.parameters[0].unit, "- control knobs", rig.info.controls.names)

# %% [markdown]
# By hand: an input, homeostasis, then a nudge with the knobs clamped. What is read has its unit in `rig.info`.

# %%
rig.present(np.array([[0.3]]))  # shape (samples, inputs)
held = rig.hold()
print("held:", held.accepted, "- worst error", f"{held.worst[1]:.2f} tolerances")

# %%
before = rig.settle().readout
rig.nudge(targets=np.array([[0.7]]), beta=0.1)  # shape (samples, outputs)
after = rig.settle().readout
rig.release()
print("the output moved from", before.outputs[0], "to", after.outputs[0])

# %% [markdown]
# Training cells: each is a run with a folder and a record of its own, on the device as it stands. The second goes on where the
# first left theta and the data; in between the loop goes on holding.

# %%
first = rig.train(method="centered", beta=0.1, samples=4)
second = rig.train(method="centered", beta=0.1, samples=4)
print("samples", first.steps["sample"], "then", second.steps["sample"], "- now", rig.status().state)

# %%
found = rig.stage.hold(seconds=1.0)  # the stage, with a record; rig.hold() is by hand
print(found.path.name, found.summary["stages"]["0"])

# %% [markdown]
# A cell that is interrupted, here by a timer in place of the stop button: the nudge is off, the device frozen, the knobs stand.

# %%
threading.Timer(0.5, signal.raise_signal, [signal.SIGINT]).start()
try:
    rig.advance(900_000.0)
except KeyboardInterrupt as stopped:
    print("interrupted:", *stopped.__notes__)
print(rig.status().state, "-", rig.status().reason)

# %%
rig.continue_()
print("again held:", rig.hold().accepted)

# %% [markdown]
# At the end the device is frozen: knobs where they are, no nudge. `with open_rig(...) as rig:` closes by itself.

# %%
rig.freeze("done for today")
rig.close()
print(rig.left)
