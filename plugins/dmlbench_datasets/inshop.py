"""In-Shop Clothes Retrieval (DeepFashion): queries look for their item in a gallery.

``list_eval_partition.txt`` is the official split of 52,712 photos: train, query and gallery. An
item is what its column ``item_id`` says. The photos are those of ``img.zip``, not the
high-resolution ones. No copy on the hub is known to have the official partition, so the hub is not
used.
"""

from pathlib import Path

from dmlbench import Archive, DataError
from dmlbench_datasets.label_files import inside, read_rows
from dmlbench_datasets.official import Listing, OfficialSet

FILE = "list_eval_partition.txt"
COLUMNS = "image_name item_id evaluation_status"
HEADER = (r"\d+", r"image_name\b.*")
SPLITS = ("train", "query", "gallery")


class InShop(OfficialSet):
    """In-Shop Clothes Retrieval: learn 3,997 items, find 3,985 others in a gallery."""

    title = "In-Shop Clothes Retrieval"
    folders = ("inshop", "In-shop Clothes Retrieval Benchmark")
    sizes_vary = False
    protocol = "resnet50-512"
    evaluation = "query-gallery"
    recall_at = (1, 10, 20, 30, 40)
    paper = (
        "Z. Liu, P. Luo, S. Qiu, X. Wang and X. Tang, DeepFashion: powering robust clothes "
        "recognition and retrieval with rich annotations, CVPR 2016"
    )
    licence = "for non-commercial research, by agreement with the Chinese University of Hong Kong"
    expected = {
        "train": (25_882, 3_997),
        "query": (14_218, 3_985),
        "gallery": (12_612, 3_985),
    }
    archives = (
        Archive(
            "img.zip",
            homes=("http://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html",),
        ),
        Archive(FILE),
    )

    def absent(self, folder: Path) -> list[str]:
        """Return which of the partition and the folder of images are not in `folder`."""
        found = {f"Eval/{FILE}": _partition(folder), "Img/img": _images(folder)}
        return [name for name, place in found.items() if place is None]

    def read(self, folder: Path) -> Listing:
        """Return the images of the partition file."""
        partition, images = _partition(folder), _images(folder)
        assert partition is not None
        assert images is not None
        rows = []
        for where, (path, item, split) in read_rows(partition, COLUMNS, header=HEADER):
            if split not in SPLITS:
                raise DataError(f"{where}: {split!r} is none of {', '.join(SPLITS)}.")
            rows.append((f"{images}{inside(path, where)}", item, split))
        order = {item: place for place, item in enumerate(sorted({item for _, item, _ in rows}))}
        return Listing(
            [path for path, _, _ in rows],
            [order[item] for _, item, _ in rows],
            [split for _, _, split in rows],
            list(order),
        )


def _partition(folder: Path) -> Path | None:
    """Return the partition file: in ``Eval/``, as distributed, or beside the images."""
    files = [path for path in (folder / "Eval" / FILE, folder / FILE) if path.is_file()]
    return files[0] if files else None


def _images(folder: Path) -> str | None:
    """Return where ``img/WOMEN`` and ``img/MEN`` lie: wherever ``img.zip`` was unpacked."""
    for place in ("", "Img/", "Img/img/"):
        if any((folder / place / "img" / who).is_dir() for who in ("WOMEN", "MEN")):
            return place
    return None
