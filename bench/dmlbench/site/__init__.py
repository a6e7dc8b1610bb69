"""The static site of the leaderboards: pages that need no server and no network."""

from dmlbench.site.build import build_site, write_site

__all__ = ["build_site", "write_site"]
