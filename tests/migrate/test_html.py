"""The HTML report: one file, harmless whatever the project holds, and usable in a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("libcst")

from hypothesis import given
from hypothesis import strategies as st

from canopy.migrate.apply import apply_edits
from canopy.migrate.findings import Edit, Effort
from canopy.migrate.html import content, to_html
from canopy.migrate.html.sources import hunks_of, lines_of
from canopy.migrate.project import Project, read_project
from tests.migrate.browser import Browser, find_chromium

EVIL = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked=1'>"
EVIL_NAME = "<img src=x onerror=hacked=1>&lt;b&gt;\n\"'`${hacked}\u202eyp.py"
TRAIN = """import torch

def main(device="cuda"):
    model = torch.nn.Linear(3, 3).cuda()
    torch.cuda.synchronize()
    import cupy
    return model, torch.cuda.ipc_collect()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("evil") / "a<b>&amp;"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CANOPY_CACHE_DIR", str(root.parent / "cache"))
        (root / "train.py").write_text(TRAIN)
        (root / EVIL_NAME).write_text(f"import cupy  # {EVIL}\nx = 'cuda:1'; y = '{{<!--'\n")
        (root / "<!--<script>").mkdir()
        (root / "<!--<script>" / "k.cu").write_text(f"__global__ void k() {{}} // {EVIL}\n")
        (root / "two.py").write_text("print 'cuda'\n")
        cells = [{"cell_type": "code", "source": "import torch\n%time\ntorch.cuda.synchronize()"}]
        (root / "n.ipynb").write_text(json.dumps({"cells": cells}))
        for number in range(70):
            (root / f"m{number}.py").write_text("import torch\nprint(torch.cuda.ipc_collect())\n")
        return read_project(root, jobs=1)


class Markup(HTMLParser):
    """Tags, and what the script and style elements hold."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in ("script", "style"):
            self.texts.append((self.tags[-1][0], data))


def test_nothing_of_a_project_becomes_markup(project: Project):
    markup = Markup(to_html(project))
    names = [tag for tag, _ in markup.tags]
    assert names.count("script") == 2
    assert not {"img", "iframe", "object", "link", "b"} & set(names)
    attributes = {name for _, attributes in markup.tags for name in attributes}
    assert not {"src", "href", "style", "onerror", "onclick"} & attributes


def test_the_policy_names_this_style_and_this_script_alone(project: Project):
    markup = Markup(to_html(project))
    (policy,) = (a["content"] or "" for _, a in markup.tags if "http-equiv" in a)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    hashes = set(re.findall(r"'(sha256-[^']+)'", policy))
    texts = [text for kind, text in markup.texts if not text.startswith("{")]
    for text in texts:
        if text.strip():
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"sha256-{digest}" in hashes
    assert len(hashes) == 2


def test_the_data_say_what_the_project_says(project: Project):
    markup = Markup(to_html(project))
    (block,) = (text for kind, text in markup.texts if kind == "script" and text.startswith("{"))
    assert not set("<>&") & set(block)
    assert block.isascii()
    data = json.loads(block)
    by_path = {file["path"]: file for file in data["files"]}
    assert set(by_path) == {file.path for file in project.files}
    assert "line 1" in by_path["two.py"]["note"]
    (source,) = by_path[EVIL_NAME]["source"]
    assert source == [1, f"import cupy  # {EVIL}\nx = 'cuda:1'; y = '{{<!--'\n"]
    assert by_path["n.ipynb"]["source"] == [[1, "import torch\n#%time\ntorch.cuda.synchronize()"]]


def test_beyond_the_budget_only_what_is_near_findings(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CANOPY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(content, "MOST_SOURCE", 0)
    root = tmp_path / "project"
    root.mkdir()
    lines = ["pass"] * 500
    lines[0], lines[40], lines[50], lines[498] = ("import torch", *["torch.cuda.ipc_collect()"] * 3)
    (root / "far.py").write_text("\n".join(lines) + "\n" + "#" * 5000)
    (file,) = content.content_of(read_project(root, jobs=1))["files"]
    assert [(first, text.count("\n") + 1) for first, text in file["source"]] == [
        (29, 35),
        (487, 15),
    ]
    assert max(map(len, file["source"][1][1].split("\n"))) < 1100


@given(
    st.text("ab\n", max_size=30),
    st.lists(st.tuples(st.integers(0, 30), st.text("xy\n", max_size=4)), max_size=6),
)
def test_hunks_make_the_new_text_of_the_old(text: str, cuts: list[tuple[int, str]]):
    data = text.encode()
    places = sorted(min(at, len(data)) for at, _ in cuts)
    pairs = list(zip(places[::2], places[1::2], strict=False))
    edits = [Edit(start, end, new) for (start, end), (_, new) in zip(pairs, cuts, strict=False)]
    lines = lines_of(data)
    for line, count, new in reversed(hunks_of(data, edits)):
        lines[line - 1 : line - 1 + count] = new
    assert lines == lines_of(apply_edits(data, edits))


def test_a_thousand_files_make_a_page_of_sane_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(content, "MOST_SOURCE", 50_000)
    draw = random.Random(7)
    root = tmp_path / "many"
    root.mkdir()
    project = read_project(root, jobs=1)
    assert "Nothing here depends on CUDA" in to_html(project)
    (root / "one.py").write_text(TRAIN)
    monkeypatch.setenv("CANOPY_CACHE_DIR", str(tmp_path / "cache"))
    (report,) = read_project(root, jobs=1).files
    for number in range(1000):
        path = root / f"f{number}.py"
        path.write_text(TRAIN + "pass\n" * draw.randrange(200))
        project.files.append(type(report)(**{**vars(report), "path": path.name}))
    assert len(to_html(project)) < 2_000_000


# ---- in a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if find_chromium() is None:
        pytest.skip("there is no Chromium")
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(to_html(project))
    return path


def place_of(page: Path, path: str) -> int:
    block = re.search(r'id="data">(\{.*?\})</script>', page.read_text(), re.S)
    assert block
    return [file["path"] for file in json.loads(block[1])["files"]].index(path)


def test_no_view_runs_or_loads_anything(browser: Browser, page: Path):
    browser.resize(1280, 900)
    for path in ("", EVIL_NAME, "<!--<script>/k.cu", "train.py"):
        state = f"file={place_of(page, path)}" if path else "size=lines"
        browser.open(page, state)
        assert browser.complaints() == []
        assert browser.value("typeof window.hacked") == "undefined"
        assert browser.value("document.scripts.length") == 2
        assert browser.value("document.images.length") == 0
        shown = browser.value("document.body.innerText")
        if path == EVIL_NAME:
            assert EVIL in shown
            assert r"\u000a" in shown
            assert r"\u202e" in shown


def test_the_policy_stops_what_gets_in_anyhow(browser: Browser, page: Path):
    browser.open(page)
    browser.value(
        "document.body.insertAdjacentHTML('beforeend', '<img src=http://127.0.0.1:9/x>"
        "<img src=x onerror=\"window.hacked=1\">'); fetch('http://127.0.0.1:9/y').catch(() => 0); 1"
    )
    assert browser.value("new Promise(done => setTimeout(done, 50))") is not None
    assert browser.value("typeof window.hacked") == "undefined"
    assert any("Content Security Policy" in told for told in browser.complaints())


def test_filters_count_what_they_say(browser: Browser, page: Path, project: Project):
    browser.open(page)
    uses = "Number(document.querySelector('output').textContent.split(' ')[0])"
    assert browser.value(uses) == project.total
    findings = [finding for file in project.files for finding in file.findings]
    for state, expected in {
        "effort=high": sum(f.effort.value == "high" for f in findings),
        "rule=package.cupy": sum(f.rule == "package.cupy" for f in findings),
        "target=ascend": sum(f.status["ascend"].value != "runs" for f in findings),
        "target=cpu&status=unsupported": sum(
            f.status["cpu"].value == "unsupported" for f in findings
        ),
        "text=train.py%20CUPY": 1,
        "text=nobody%20has%20this": 0,
    }.items():
        browser.open(page, state)
        assert browser.value(uses) == expected, state
    browser.open(page)
    browser.value("document.querySelector('.chip.high').click()")
    browser.value(
        "let field = document.querySelector('input'); field.value = 'train';"
        "field.dispatchEvent(new Event('input')); 1"
    )
    assert browser.value(uses) == 1
    assert browser.value("document.querySelectorAll('tbody tr').length") == 1


def test_the_table_opens_up_and_a_tile_leads_to_its_file(browser: Browser, page: Path):
    browser.open(page)
    rows = "document.querySelectorAll('tbody tr').length"
    assert browser.value(rows) == 60
    browser.value("document.querySelector('button.more').click()")
    assert browser.value(rows) == 74
    browser.value("document.querySelector('a.tile').click()")
    browser.value("dispatchEvent(new Event('hashchange'))")
    assert browser.value("document.querySelectorAll('.source .note').length") > 0


def test_annotations_stand_at_their_lines(browser: Browser, page: Path, project: Project):
    (report,) = (file for file in project.files if file.path == "train.py")
    browser.open(page, f"file={place_of(page, 'train.py')}")
    told = browser.value(
        "[...document.querySelectorAll('.note')].map(note => {"
        "  let row = note; while (!row.matches('.row')) row = row.previousElementSibling;"
        "  return [row, note].map(one => one.querySelector('.number, b').textContent) })"
    )
    assert told == [[str(finding.line), finding.what] for finding in report.findings]
    marks = browser.value("[...document.querySelectorAll('mark')].map(one => one.textContent)")
    assert marks == ['"cuda"', "cuda", "torch.cuda.synchronize", "cupy", "torch.cuda.ipc_collect"]


def test_the_rewrite_stands_beside_the_source(browser: Browser, page: Path, project: Project):
    browser.open(page, f"file={place_of(page, 'train.py')}&view=diff")
    old, new = (
        browser.value(f"[...document.querySelectorAll('code.{kind}')].map(one => one.textContent)")
        for kind in ("old", "new")
    )
    assert "    torch.cuda.synchronize()" in old
    assert "        torch.accelerator.synchronize()" in new
    left, right = (
        browser.value(f"document.querySelector('code.{kind}').getBoundingClientRect().x")
        for kind in ("old", "new")
    )
    assert right > left + 300


def test_on_a_phone_nothing_stands_out(browser: Browser, page: Path):
    browser.resize(390, 844, phone=True)
    train = place_of(page, "train.py")
    for state in (
        "",
        f"file={train}",
        f"file={train}&view=diff",
        f"file={place_of(page, EVIL_NAME)}",
    ):
        browser.open(page, state)
        assert browser.value("document.documentElement.scrollWidth") == 390, state
        assert browser.complaints() == []
    assert browser.value("document.querySelector('.chip').getBoundingClientRect().height") > 24
    browser.resize(1280, 900)


def test_paper_holds_every_finding_that_needs_somebody(
    browser: Browser, page: Path, project: Project
):
    browser.open(page)
    browser.value("dispatchEvent(new Event('beforeprint'))")
    listed = browser.value("document.querySelectorAll('.print td').length") // 4
    assert listed == project.total - project.count(Effort.NONE)
    assert browser.value("document.querySelectorAll('.files tbody tr').length") == 74
    assert browser.pdf().startswith(b"%PDF")
