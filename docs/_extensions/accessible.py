"""What the theme and Sphinx leave out of their HTML, for those who do not see the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_MENDED = (
    # A heading has a level: these stand over lists of pages.
    ('class="caption" role="heading"', 'class="caption" role="heading" aria-level="2"'),
    # The parameters of a long signature, a line each: no list of terms, it has none.
    ('<dl>\n<dd><em class="sig-param', '<dl role="presentation">\n<dd><em class="sig-param'),
)


def _mend(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    for part in ("body", "furo_navigation_tree"):
        for written, better in _MENDED:
            if part in context:
                context[part] = context[part].replace(written, better)


def setup(app: Sphinx) -> dict[str, bool]:
    # After the theme, which makes the tree.
    app.connect("html-page-context", _mend, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
