"""Numbers and names as tables show them."""

from __future__ import annotations


def number(value: float) -> str:
    """Four significant digits, without exponents where they do not help."""
    return f"{value:.4g}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.3e}"


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, whatever a name holds."""
    for char in "\\|<>`*_[]":
        text = text.replace(char, f"&#{ord(char)};" if char in "|<>" else f"\\{char}")
    return text
