# %% [markdown]
# # A first training, from Python
#
# The regression of section 5.2 on a simulated device: an experiment is made, trained, and its cost drawn into `cost.png`.
# Run it as a script, or cell by cell in an editor that knows `# %%`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from aeqlab.protocols import Experiment, run

# %% [markdown]
# An experiment in Python has the words of its YAML. What is wrong is said at once, with the key: try `betta` for `beta`.

# %%
experiment = Experiment(
    name="first-training",
    seed=1,
    device={"kind": "simulated", "energy": "linear", "epsilon": 0.1},
    data={"kind": "legendre", "degree": 10, "samples": 300, "test_samples": 50},
    sequence=[{"train": {"method": "centered", "beta": 0.1}}, "evaluate"],
)
experiment.save("first-training.yaml")  # `aeqlab run first-training.yaml` does the same

# %% [markdown]
# `run` gives the loaded run back. The stop button of a notebook, or Ctrl-C, ends it at the end of a sample.

# %%
first = run(experiment)
print(first.state, "- cost on the test set:", round(first.summary["test_cost_free"], 4))

# %% [markdown]
# A value is changed as on the command line with `--set`.

# %%
bolder = run(experiment, "train.beta=0.4", "name=bolder")

# %%
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for one, label in ((first, "beta 0.1"), (bolder, "beta 0.4")):
    cost = one.steps["cost_free"]  # shape (steps,), nan where it was not read
    axes.semilogy(one.steps["step"], cost, ".", alpha=0.15)
    mean = np.convolve(cost, np.ones(30) / 30, mode="valid")
    axes.semilogy(one.steps["step"][29:], mean, color=axes.lines[-1].get_color(), label=f"{label}, mean of 30")
axes.set_xlabel("training step")
axes.set_ylabel("cost, read without a nudge")
axes.legend()
figure.savefig("cost.png", dpi=120)
