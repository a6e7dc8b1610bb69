"""The environment of the site's templates: every text is escaped unless a template made it."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_environment = Environment(
    loader=PackageLoader("dmlbench.site"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_environment.policies["json.dumps_kwargs"] = {
    "sort_keys": True,
    "allow_nan": False,
    "separators": (",", ":"),
}


def render(template: str, path: str, **context: Any) -> str:
    """Return the page for `path` in the site's folder."""
    root = "../" * path.count("/")
    return _environment.get_template(template).render(root=root, here=path, **context)
