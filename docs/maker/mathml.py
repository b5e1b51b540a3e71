"""A Sphinx extension that writes equations as MathML, which browsers show without scripts and without a network."""

from __future__ import annotations

from docutils import nodes
from docutils.utils.math import latex2mathml


def _mathml(node, block: bool) -> str:
    return latex2mathml.tex2mathml(node.astext(), as_block=block)


def _visit_inline(self, node) -> None:
    self.body.append(_mathml(node, block=False))
    raise nodes.SkipNode


def _visit_block(self, node) -> None:
    self.body.append(f'<div class="math">{_mathml(node, block=True)}</div>')
    raise nodes.SkipNode


def setup(app) -> dict:
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
