"""Questions about models, asked for every task, and the findings that rows of results give.

Imports `submissions`, `report` and rooms below them. The questions themselves are data, `questions.toml`, so this room names
no model or task. Other rooms may import the listed modules: `catalogue` (reads questions), `findings` (answers them),
`missing` (commands that train what the answers lack), `text` and `figures` (how findings are shown).
"""

__all__ = ["catalogue", "figures", "findings", "missing", "text"]
