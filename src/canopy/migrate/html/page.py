"""The HTML around the data.

Nothing from the project becomes markup: the data stand in a JSON block that no HTML can end, the
script makes text of it, and the policy in the head allows this style and this script alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from importlib import resources
from typing import Any

from canopy.migrate.findings import Effort
from canopy.migrate.html.content import content_of
from canopy.migrate.project import Project
from canopy.migrate.summary import shown, totals

__all__ = ["to_html"]

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="canopy migrate">
<title>{title}: leaving CUDA</title>
<style>{style}</style>
</head>
<body>
<main id="report"><noscript>
<h1>{title}: leaving CUDA</h1>
<p>{totals}</p>
<p>The treemap, the filters and the sources need JavaScript; this table does not.</p>
{table}
</noscript></main>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def to_html(project: Project) -> str:
    """The whole report; plain ASCII but for this package's own style and script."""
    style, script = _own("report.css"), _own("report.js")
    return _PAGE.format(
        policy=escape(_policy(style, script)),
        title=escape(shown(project.root.resolve().name or "/")),
        totals=escape(totals(project)),
        table=_table(project),
        style=style,
        script=script,
        data=_harmless(content_of(project)),
    )


def _own(name: str) -> str:
    text = resources.files("canopy.migrate.html").joinpath(name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")


def _policy(style: str, script: str) -> str:
    """Nothing is loaded, sent or run but the page's own style and script."""
    rules = (
        "default-src 'none'",
        f"style-src '{_hash(style)}'",
        f"script-src '{_hash(script)}'",
        "base-uri 'none'",
        "form-action 'none'",
    )
    return "; ".join(rules)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _harmless(data: Any) -> str:
    """JSON in ASCII without a character that HTML reads as its own."""
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _table(project: Project) -> str:
    """The files with findings, for readers without JavaScript."""
    efforts = [effort for effort in Effort if effort is not Effort.NONE]
    names = ["file", "uses", "ready", *(effort.value for effort in efforts)]
    rows = [
        [
            shown(file.path),
            str(len(file.findings)),
            f"{file.ready:.0%}",
            *(str(file.count(effort)) for effort in efforts),
        ]
        for file in project.with_findings
    ]
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"
