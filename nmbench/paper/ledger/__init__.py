"""The ledger: each claim of the publication, the values measured for it, and the verdict that follows from them.

May import `paper.runs`, `paper.theory` and the rooms below `paper`. Public: `publication` (the claims), `evidence` (rows
that test them), `verdicts` (rules), `page` (Markdown and HTML), `effects` (plots), `plain` (text for a terminal) and
`summary` (a bullet for each claim).
"""

__all__ = ["effects", "evidence", "page", "plain", "publication", "summary", "verdicts"]
