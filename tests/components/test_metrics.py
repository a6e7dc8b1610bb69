"""What a record keeps of a metric that a package offers."""

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.metrics import choose_metrics

METRIC = """
import some_helper, numpy
from dmlbench import Metric

class Rank(Metric):
    title = "Rank"
    needs = frozenset({"best_rank"})

    def by_query(self, arrays):
        return arrays["best_rank"]
"""


def test_libraries_that_a_metric_imports_are_recorded_with_their_versions(install):
    folder = install("some-helper", "x = 1", {}, version="1.5")
    (folder / "some_helper-1.5.dist-info" / "RECORD").write_text("some_helper.py,,\n")
    (folder / "some_helper-1.5.dist-info" / "METADATA").write_text(
        "Name: some-helper\nVersion: 1.5\n"
    )
    install("ranking", METRIC, {"dmlbench.metrics": {"rank": "ranking:Rank"}}, site="other")
    facts = choose_metrics(["rank", "mrr"], Catalogue.discover()).facts
    assert {key: told.libraries for key, told in facts.items()} == {"rank": {"some-helper": "1.5"}}
