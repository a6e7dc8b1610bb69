"""How to cite dmlbench: the same in CITATION.cff, the README and pyproject.toml."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_citations_agree_with_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    file = (ROOT / "CITATION.cff").read_text()
    citation = dict(re.findall(r'^([a-z-]+): "?(.+?)"?$', file, re.MULTILINE))
    entry = (ROOT / "README.md").read_text().partition("@software{dmlbench,")[2].partition("\n}")[0]
    fields = dict(re.findall(r"^  (\w+) += \{+(.*?)\}+,$", entry, re.MULTILINE))
    assert citation["version"] == fields["version"] == project["version"]
    assert citation["license"] == fields["license"] == project["license"]
    assert citation["title"] == fields["title"]
    names = re.findall(r"^  - name: (.+)$", file, re.MULTILINE)
    assert names == [fields["author"]] == [author["name"] for author in project["authors"]]
    assert (citation["cff-version"], citation["type"]) == ("1.2.0", "software")
    assert citation["message"]
