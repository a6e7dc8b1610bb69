"""The defaults that the Python API and the command line share. Importing them costs nothing."""

from pathlib import Path

OUTPUT = Path()
"""A run writes its records to ``runs/`` in this folder, the command its tables beside them."""
RUNS = Path("runs")
LEADERBOARDS = Path("leaderboards")
DATA_VARIABLE = "DMLBENCH_DATA"
"""Environment variable that names the data folder, where no option does."""
DEVICE = "auto"
CHECKPOINT_MINUTES = 5.0
SCORE_DEVICE = "cpu"
RECALL_AT = (1, 10, 100, 1000)
DISTANCE = "cosine"
