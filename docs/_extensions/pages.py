"""Makes pages of the site of what a code host shows well: comments that say what a block is.

- ``<!-- example: server.py -->`` before a block: its file's name stands above it, and a line that
  says no more than the name goes.
- ``<!-- output: server.py -->``: the block says that it is what the program prints.
- ``<!-- search: time-out, timeout -->``: who searches for these words finds this page first.

What a page says first is its description, for search engines and for whoever gets a link to it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_BLOCK = re.compile(
    r"^(?P<label>`[\w./-]+`:\n\n)?<!-- (?P<what>example: |output: )?(?P<name>[\w./-]+\.\w+) -->\n"
    r"```(?P<language>\w+)$",
    re.MULTILINE,
)
_SEARCH = re.compile(r"^<!-- search: (.+) -->$", re.MULTILINE)
_DESCRIPTION_LENGTH = 200


def _caption(found: re.Match[str]) -> str:
    """Return the directive that shows a block with its name, in as many lines as it had."""
    label = found["label"] or ""
    if label == f"`{found['name']}`:\n\n":
        label = "\n\n"
    caption = f"{found['name']} prints" if found["what"] == "output: " else found["name"]
    return f"{label}```{{code-block}} {found['language']}\n:caption: {caption}"


def _entries(found: re.Match[str]) -> str:
    """Return the directive for main entries of the index: only these come before other matches."""
    return f"```{{index}} {', '.join(f'! {words}' for words in found[1].split(', '))}\n```"


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    if app.env.doc2path(page).suffix == ".md":
        text = _BLOCK.sub(_caption, source[0])
        source[0] = _SEARCH.sub(_entries, text)


def _describe(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Hand the template the first paragraph, as words."""
    if doctree is not None:
        first = next(doctree.findall(nodes.paragraph), None)
        words = " ".join(first.astext().split()) if first else ""
        if len(words) > _DESCRIPTION_LENGTH:
            words = words[:_DESCRIPTION_LENGTH].rpartition(" ")[0] + " …"
        context["description"] = words


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", _read)
    app.connect("html-page-context", _describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
