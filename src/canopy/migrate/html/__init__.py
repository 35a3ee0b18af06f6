"""The report as one HTML file that needs nothing else: no network, no server, no other file.

project -> content (plain data, sources, hunks of the rewrite) -> page (`report.css`, `report.js`)
"""

from __future__ import annotations

from canopy.migrate.html.page import to_html

__all__ = ["to_html"]
