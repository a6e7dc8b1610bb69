"""Makes the records that tests hold against today's code, in a minute.

python tests/records/make.py
"""

from pathlib import Path
from shutil import rmtree

import dmlbench

FOLDER = Path(__file__).parent

if __name__ == "__main__":
    rmtree(FOLDER / "runs", ignore_errors=True)
    records = dmlbench.run(
        "digits-closed",
        losses=["contrastive", "margin"],  # one without chance, one that draws its negatives
        baselines="untrained",
        seeds=2,
        settings={"protocol.length.epochs": 3},
        device="cpu",
        output=FOLDER,
    )
    assert all(record.status == "finished" for record in records), records
