"""How well k-means clusters of the embeddings agree with the classes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dmlbench.errors import ConfigError
from dmlbench.retrieval.distances import unit_length
from dmlbench.retrieval.inputs import read_embeddings
from dmlbench.retrieval.labels import read_labels

if TYPE_CHECKING:
    from dmlbench.retrieval.inputs import Embeddings, Labels


@dataclass(frozen=True)
class ClusteringResult:
    """Means over the restarts and their spread (sample standard deviation, 0 for one restart)."""

    nmi: float
    """Normalised mutual information: I(clusters; classes) over the mean of both entropies."""
    nmi_spread: float
    ami: float
    """Adjusted mutual information: the same, corrected for chance (Vinh et al., JMLR 2010)."""
    ami_spread: float
    clusters: int
    restarts: int
    seed: int


def evaluate_clustering(
    embeddings: "Embeddings",
    labels: "Labels",
    *,
    restarts: int = 3,
    seed: int = 0,
    iterations: int = 20,
) -> ClusteringResult:
    """Compare the classes with faiss's k-means clusters of unit vectors, as many as classes.

    NMI is high even for random embeddings (about 0.7 with 200 classes of 5 items) and grows with
    the number of classes; AMI is about 0 for them. k-means adds its own noise: prefer MAP@R.

    Args:
        embeddings: ``[N, D]``.
        labels: classes ``[N]``.
        restarts: runs of k-means, each from different starting centres.
        seed: of the first run; each further run adds 1.
        iterations: of k-means in each run.

    Raises:
        DataError: see `read_inputs`.
        ConfigError: `restarts` or `iterations` is below 1.

    Example:
        >>> import numpy as np
        >>> from dmlbench.retrieval import evaluate_clustering
        >>> embeddings = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])  # [N, D]
        >>> result = evaluate_clustering(embeddings, np.array([0, 0, 1, 1]))
        >>> round(result.nmi, 3), round(result.ami, 3), result.clusters
        (1.0, 1.0, 2)
    """
    import faiss
    from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score

    if restarts < 1 or iterations < 1:
        raise ConfigError(
            "k-means needs at least 1 restart and 1 iteration, not "
            f"restarts={restarts}, iterations={iterations}."
        )
    vectors = unit_length(read_embeddings(embeddings, "embeddings")).astype(np.float32)
    classes = read_labels(labels, len(vectors), "labels")
    clusters = len(np.unique(classes))
    nmi, ami = np.empty(restarts), np.empty(restarts)
    for run in range(restarts):
        kmeans = faiss.Kmeans(
            vectors.shape[1],
            clusters,
            niter=iterations,
            seed=seed + run,
            min_points_per_centroid=1,
            max_points_per_centroid=len(vectors),
        )
        kmeans.train(vectors)
        assigned = kmeans.index.search(vectors, 1)[1][:, 0]
        nmi[run] = normalized_mutual_info_score(classes, assigned)
        ami[run] = adjusted_mutual_info_score(classes, assigned)
    freedom = min(1, restarts - 1)
    return ClusteringResult(
        nmi=float(nmi.mean()),
        nmi_spread=float(nmi.std(ddof=freedom)),
        ami=float(ami.mean()),
        ami_spread=float(ami.std(ddof=freedom)),
        clusters=clusters,
        restarts=restarts,
        seed=seed,
    )
