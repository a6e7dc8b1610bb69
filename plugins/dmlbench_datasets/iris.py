"""Fisher's iris flowers: vectors instead of images, for methods that learn a linear map."""

from pathlib import Path
from typing import TYPE_CHECKING

from dmlbench import Dataset
from dmlbench_datasets.arrays import vector_dataset

if TYPE_CHECKING:
    import datasets


class Iris(Dataset):
    """Fisher's 150 iris flowers: four lengths in cm, three species."""

    modality = "vector"
    protocol = "vectors"
    evaluation = "cross-validation"
    embedded = True
    paper = (
        "R. A. Fisher, The use of multiple measurements in taxonomic problems, "
        "Annals of Eugenics 7(2), 1936"
    )
    licence = "CC BY 4.0 (UCI, Iris)"
    expected = {"all": (150, 3)}

    def load(self, data_dir: Path | None) -> dict[str, "datasets.Dataset"]:
        """Return one split, ``all``; vectors ``[4]``: sepal length and width, petal's likewise."""
        from sklearn.datasets import load_iris

        flowers = load_iris()
        return {"all": vector_dataset(flowers.data, flowers.target, list(flowers.target_names))}
