# %% [markdown]
# # Looking back
#
# A run is a folder, and `load_run` reads it, also while it goes on: arrays with units, the same as xarray, two runs beside each
# other, and files for other programs. Needs `pip install "aeqlab[export]"`.

# %%
from pathlib import Path

import numpy as np

from aeqlab.protocols import load_run, run

# %%
small = ["data.samples=60", "data.test_samples=20"]
one = run("linear-regression", *small)
other = run("linear-regression", *small, "device.epsilon=0.05")

# %% [markdown]
# By its folder, as one finds it days later.

# %%
loaded = load_run(one.path)
print(loaded.state, loaded.meta["device"], "- seed", loaded.provenance["seed"])
steps = loaded.steps
print(len(steps), "steps; units:", {name: unit for name, unit in steps.units.items() if unit not in ("", "1")})
print("theta of each step has shape", steps["theta"].shape, "- the last is", np.round(loaded.theta[:3], 3), "...")

# %% [markdown]
# As xarray, with units and what each variable means.

# %%
dataset = loaded.to_xarray()
print(dataset["theta"].dims, dataset["theta"].attrs)
print("mean cost of the last ten:", float(dataset["cost_free"][-10:].mean()), dataset["cost_free"].attrs["units"])

# %% [markdown]
# Two runs with one seed saw the same samples, so their steps can be compared one by one.

# %%
assert (one.steps["sample"] == other.steps["sample"]).all()
length = [float(np.nanmean(each.steps["moved"])) for each in (one, other)]
print("mean step:", length, "- half the coupling, so about half:", round(length[1] / length[0], 2))
for each in (one, other):
    print(each.path.name, {key: round(each.summary[key], 4) for key in ("running_cost_free", "test_cost_free")})

# %% [markdown]
# For other programs. `aeqlab export RUN --format hdf5` does the whole run, and `aeqlab bundle RUN...` archives it.

# %%
dataset[["step", "cost_free", "theta"]].to_netcdf("theta.nc", engine="h5netcdf")
loaded.to_dataframe("evaluations").to_csv("evaluations.csv", index=False)
print(*(f"{path}: {path.stat().st_size} bytes" for path in map(Path, ("theta.nc", "evaluations.csv"))))
