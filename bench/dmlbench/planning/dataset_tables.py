"""Which table of a protocol's file is about a dataset."""

from dmlbench.components.catalogue import Catalogue
from dmlbench.planning.combinations import HOME
from dmlbench.schemas.protocol_file import ProtocolFile


def dataset_key(catalogue: Catalogue, reference: str, file: ProtocolFile) -> str | None:
    """Return the key of the table about a dataset, however its `reference` is spelt, if any.

    A plain key means dmlbench's own dataset of that name, where there is one.
    """
    for key in file.tables:
        if catalogue.is_same("dataset", reference, catalogue.qualify("dataset", key, HOME)):
            return key
    return None
