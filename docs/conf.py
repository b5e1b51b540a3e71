"""Settings of Sphinx. `python docs/build.py` makes the generated pages and runs Sphinx with these settings."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from maker import docstrings  # noqa: E402
from nmbench import __version__  # noqa: E402

project = "nmbench"
author = "nmbench developers"
copyright = "nmbench developers, Apache-2.0"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "maker.mathml"]
exclude_patterns = ["parts"]  # included by other pages

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # the claims and the changelog start with other levels of headings

html_theme = "furo"
html_title = "nmbench"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
# The site loads nothing from other hosts, so that it works without a network.
html_theme_options = {"source_repository": "", "sidebar_hide_name": False}

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings name the types
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
default_role = "code"  # docstrings use single backticks for code
# Types that other libraries define. Their documentation is not reachable from the machines that build the site.
nitpick_ignore_regex = [
    ("py:.*", r"(?!nmbench\b).*"),
    ("py:class", r"nmbench\.(contracts\.model\.Baseline|conformance\.rules\.RuleFinding)"),
]


def setup(app):
    app.connect("autodoc-process-docstring", docstrings.process)
