"""Read the record of a run, with numpy and nothing else: python read_record.py record.sqlite."""

import sqlite3
import sys

import numpy as np

record = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
(state,) = record.execute("SELECT value FROM meta WHERE key = 'state'").fetchone()
print("state:", state)
for step, cost_free, cost_1, theta in record.execute("SELECT step, cost_free, cost_1, theta FROM current_steps WHERE sham = 0"):
    values = np.frombuffer(theta, "<f8") if theta else None
    print(step, cost_free, cost_1, None if values is None else values[:3])
for dataset, cost, error in record.execute("SELECT dataset, cost_free, error_rate FROM current_evaluations"):
    print(dataset, cost, error)
for row in record.execute("SELECT table_name || '.' || column_name, dtype, shape, unit, text FROM columns"):
    print(*row)
