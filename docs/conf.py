"""The documentation site; `tox -e docs` builds it.

It is built without the network, on the pure backends: their docstrings and signatures can be read
wherever sealframe can be imported, and the compiled ones behave the same.
"""

from __future__ import annotations

import builtins
import re
import sys
from enum import EnumType
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pygments.lexers.special import TextLexer
from sphinx.pycode import ModuleAnalyzer

import sealframe

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "sealframe"
author = "the sealframe authors"
version = release = sealframe.__version__

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
    # In _extensions/.
    "accessible",
    "pages",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]

html_theme = "furo"
html_title = "sealframe"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_copyright = False
html_favicon = "_static/icon.svg"
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#1a5fb4",
        "color-brand-content": "#1a5fb4",
    },
    "dark_css_variables": {
        "color-brand-primary": "#8cb9f5",
        "color-brand-content": "#8cb9f5",
    },
}
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/versions.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

# What programs print is not for copying, and neither is what the protocol's bytes are.
copybutton_selector = ", ".join(
    f"div.highlight-{kind} pre"
    for kind in ("python", "sh", "ini", "yaml", "toml", "json", "default")
)
copybutton_exclude = ".linenos, .gp, .go"

myst_enable_extensions = ["colon_fence", "attrs_block"]

# The links that a code host follows work here too: headings get the anchors it gives them.
myst_heading_anchors = 3

add_module_names = False
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True
# Docstrings put a parameter between single backticks, too.
default_role = "literal"

nitpicky = True
# There is no link to Python's own documentation: the inventory that it needs is in the network.
_PYTHON = "|".join(map(re.escape, sorted({*dir(builtins), *sys.stdlib_module_names})))
nitpick_ignore_regex = [
    (r"py:\w+", rf"({_PYTHON})(\.[\w.]+)?"),
    (r"py:class", r"prometheus_client\..+"),
    (r"py:class", r"dns\..+"),
    # Type variables: what a codec makes messages of, and of messages.
    (r"py:class", r"sealframe\.(codecs|aio\.connection)\.(_S|_T|Sent|Received)"),
]
nitpick_ignore = [
    # Any bytes-like object, until Python 3.12 is the oldest: collections.abc.Buffer.
    ("py:class", "Buffer"),
    # The types of a named tuple's fields are shown as they were written.
    ("py:class", "Path"),
    ("py:class", "BytesLike"),
    # What a Service gives to connect() for one attempt.
    ("py:class", "sealframe.srv.ServiceRound"),
    # What refresh() returns is for its next call alone.
    ("py:class", "sealframe.trust.keylist.Version"),
    # What serve(cluster=...) takes, for sealframe's own Cluster.
    ("py:class", "sealframe.server.cluster_member.ClusterMember"),
    # The numbers that a layout hands to its codec.
    ("py:class", "sealframe.framing.plan.Plan"),
]

# Sealframe makes them itself, or they say no more than what an object must have.
_NEVER_CALLED = {
    "sealframe.Connection",
    "sealframe.Group",
    "sealframe.Server",
    "sealframe.ServerStats",
    "sealframe.Stats",
    "sealframe.Stream",
    "sealframe.Connecting",
    "sealframe.codecs.Codec",
    "sealframe.dashboard.Dashboard",
    "sealframe.files.Offer",
    "sealframe.Serving",
    "sealframe.sync.Connection",
    "sealframe.sync.Group",
    "sealframe.sync.Reconnecting",
    "sealframe.sync.Server",
    "sealframe.sync.Stream",
}

_INSTEAD = {
    # Offers know of inboxes only what they need.
    "~sealframe.files.incoming.Destination": "~sealframe.Inbox",
}


def _simplify_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str, returns: str
) -> tuple[str, str] | None:
    """Show no parameters of a class that nobody calls, and what an await returns."""
    if signature and (name in _NEVER_CALLED or what == "exception"):
        return "", ""
    if isinstance(obj, EnumType):
        return "", ""
    if returns and returns.startswith("~collections.abc.Coroutine["):
        result = returns.removeprefix("~collections.abc.Coroutine[").rpartition(", ")[2]
        returns = f"~collections.abc.Awaitable[{result}"
    for private, public in _INSTEAD.items():
        signature = signature and signature.replace(private, public)
    return signature, returns


def _show_public_bases(app: Sphinx, name: str, obj: Any, options: Any, bases: list[Any]) -> None:
    """Put their own bases in the place of private ones."""
    found: list[Any] = []
    for base in bases:
        found += base.__bases__ if base.__name__.startswith("_") else [base]
    bases[:] = dict.fromkeys(found)


# Public packages gather names from the modules that define them, and the text of a constant
# stands where it is defined.
_DEFINED_IN = {
    "sealframe.framing": ("sealframe.framing.layout", "sealframe.framing.catalogue"),
    "sealframe.noise": ("sealframe.noise.cipher",),
    "sealframe.wire": ("sealframe.wire.numbers", "sealframe.framing.native"),
}


def _find_text_of_constant(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Document a constant that a public package took over from one of its modules."""
    package, _, constant = name.rpartition(".")
    if what == "data":
        for module in _DEFINED_IN.get(package, ()):
            texts = ModuleAnalyzer.for_module(module).find_attr_docs()
            lines[:] = texts.get(("", constant), lines)


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", _find_text_of_constant)
    app.connect("autodoc-process-signature", _simplify_signature)
    app.connect("autodoc-process-bases", _show_public_bases)
    # The kinds of block in PROTOCOL.md that tests read.
    for kind in ("hex", "key", "argon2id", "bytes"):
        app.add_lexer(kind, TextLexer)
