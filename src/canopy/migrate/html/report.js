"use strict";
// Shows the data of a report. The state is the part of the address behind "#", so every view is a
// link. All text from the project becomes text nodes and attributes; nothing here parses HTML.

const data = JSON.parse(document.getElementById("data").textContent);
const NEAR = 4; // lines shown around a finding before the reader asks for more
const FIRST_ROWS = 60;
const MOST_IN_PRINT = 3000;
const RUNS = data.statuses.indexOf("runs");
const KNOWN = ["effort", "target", "status", "rule", "text", "size", "folder", "file", "view", "line"];

// ---- small helpers ---------------------------------------------------------------------------

// Characters that would reorder or hide what stands beside them are spelled out.
const HIDDEN = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

function shown(text) {
  return String(text).replace(HIDDEN, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== false && value !== undefined) node.setAttribute(name, shown(value));
  }
  node.append(...children.map((child) => (child instanceof Node ? child : shown(child))));
  return node;
}

function sum(items, value) {
  return items.reduce((total, item) => total + value(item), 0);
}

function percent(part, whole) {
  return whole ? Math.floor((100 * part) / whole) + "%" : "100%";
}

function plural(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}

// ---- the data --------------------------------------------------------------------------------

const files = data.files.map((entry, id) => {
  const file = { ...entry, id };
  file.findings = entry.findings.map((values) => {
    const finding = Object.fromEntries(data.fields.map((name, at) => [name, values[at]]));
    for (const name of ["rule", "why", "advice"]) finding[name] = data.texts[finding[name]];
    const words = [file.path, finding.rule, finding.what, finding.advice, finding.why];
    finding.words = words.join("\n").toLowerCase();
    return finding;
  });
  return file;
});

// Folders as a tree; a chain of folders that hold one folder each is one node.
const folders = [];

function newFolder(name) {
  const folder = { name, folders: new Map(), files: [], id: folders.length };
  folders.push(folder);
  return folder;
}

const root = newFolder(data.name);
for (const file of files) {
  let folder = root;
  const parts = file.path.split("/");
  for (const part of parts.slice(0, -1)) {
    if (!folder.folders.has(part)) folder.folders.set(part, newFolder(part));
    const above = folder;
    folder = folder.folders.get(part);
    folder.above = above;
  }
  file.name = parts[parts.length - 1];
  folder.files.push(file);
}

// ---- state and filters -----------------------------------------------------------------------

let state = {};

function readState() {
  const words = new URLSearchParams(location.hash.slice(1));
  state = Object.fromEntries(KNOWN.map((name) => [name, words.get(name) || ""]));
}

function linkTo(changes) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...state, ...changes }))
    if (value !== "" && value !== undefined) words.set(name, value);
  return "#" + words.toString();
}

function goTo(changes) {
  history.replaceState(null, "", linkTo(changes));
  render();
}

function chosenEfforts() {
  return state.effort ? state.effort.split(",") : data.efforts;
}

// A chosen target asks for what does not simply run there, unless a status is chosen, too.
function hasStatus(finding) {
  const at = data.targets.indexOf(state.target);
  const wanted = data.statuses.indexOf(state.status);
  const statuses = at < 0 ? finding.status : [finding.status[at]];
  if (wanted >= 0) return statuses.includes(wanted);
  return at < 0 || state.status === "any" || statuses[0] !== RUNS;
}

function matcher(ignored = "") {
  const efforts = new Set(chosenEfforts().map((name) => data.efforts.indexOf(name)));
  const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
  return (finding) =>
    (ignored === "effort" || efforts.has(finding.effort)) &&
    (ignored === "rule" || !state.rule || finding.rule === state.rule) &&
    hasStatus(finding) &&
    words.every((word) => finding.words.includes(word));
}

let visible = new Map(); // file -> its findings that the filters let through

function applyFilters() {
  const matches = matcher();
  visible = new Map(files.map((file) => [file, file.findings.filter(matches)]));
}

function isFiltered() {
  return Boolean(state.effort || state.target || state.rule || state.text || state.status);
}

const SIZES = {
  effort: (file) => sum(visible.get(file), (finding) => data.weights[finding.effort]),
  uses: (file) => visible.get(file).length,
  lines: (file) => (isFiltered() && !visible.get(file).length ? 0 : file.lines),
};

// ---- the overview ----------------------------------------------------------------------------

function effortBar(findings) {
  const bar = make("span", { class: "bar", role: "img" });
  const told = [];
  data.efforts.forEach((name, effort) => {
    const count = findings.filter((finding) => finding.effort === effort).length;
    if (!count) return;
    const part = make("i", { class: name });
    part.style.width = (100 * count) / findings.length + "%";
    bar.append(part);
    told.push(`${count} ${name}`);
  });
  bar.setAttribute("aria-label", told.join(", ") || "nothing");
  bar.title = told.join(", ");
  return bar;
}

function isReady(finding) {
  return finding.effort <= data.efforts.indexOf("automatic");
}

function runsNow(finding) {
  const at = Math.max(data.targets.indexOf(state.target), 0);
  return ["runs", "caveat"].includes(data.statuses[finding.status[at]]);
}

function facts() {
  const all = files.flatMap((file) => file.findings);
  const touched = files.filter((file) => file.findings.length);
  const at = state.target || data.targets[0];
  const tile = (value, words) => make("div", {}, make("b", {}, value), make("span", {}, words));
  return make(
    "section",
    { class: "facts" },
    tile(percent(all.filter(isReady).length, all.length), "of all uses stay or are rewritten by machine"),
    tile(percent(all.filter(runsNow).length, all.length), `of all uses run untouched on ${at}`),
    tile(all.length.toLocaleString("en"), `uses of CUDA in ${plural(touched.length, "file")}`),
    tile(sum(files, (file) => file.lines).toLocaleString("en"), `lines in ${plural(files.length, "file")}`),
    effortBar(all),
  );
}

function steps() {
  if (!data.steps.length) return make("p", {}, "Nothing here depends on CUDA.");
  const items = data.steps.map(([count, text]) => make("li", {}, make("b", {}, plural(count, "use")), ": " + text));
  return make("section", { class: "steps" }, make("h2", {}, "What to do first"), make("ol", {}, ...items));
}

function proof() {
  if (!data.proof.length) return "";
  const lines = data.proof.map((line) => make("div", {}, line));
  return make("section", { class: "proof" }, make("h2", {}, "The proof by running"), make("pre", {}, ...lines));
}

function fileTable() {
  const rows = files.filter((file) => visible.get(file).length);
  const table = make("tbody");
  const section = make("section", { class: "files" }, make("h2", {}, plural(rows.length, "file")));
  const names = ["file", "uses", "runs now", "ready", "effort", "mostly"];
  const head = make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { class: name }, name))));
  section.append(make("table", {}, head, table));
  rows.slice(0, FIRST_ROWS).forEach((file) => table.append(fileRow(file)));
  if (rows.length > FIRST_ROWS) {
    const rest = () => {
      rows.slice(FIRST_ROWS).forEach((file) => table.append(fileRow(file)));
      more.remove();
    };
    const more = make("button", { class: "more", click: rest }, `${rows.length - FIRST_ROWS} more`);
    section.append(more);
  }
  return section;
}

function fileRow(file) {
  const findings = visible.get(file);
  return make(
    "tr",
    {},
    make("td", { class: "file" }, make("a", { href: linkTo({ file: file.id }) }, make("bdi", {}, file.path))),
    make("td", { class: "uses" }, String(findings.length)),
    make("td", { class: "runs" }, percent(findings.filter(runsNow).length, findings.length)),
    make("td", { class: "ready" }, percent(findings.filter(isReady).length, findings.length)),
    make("td", { class: "effort" }, effortBar(findings)),
    make("td", { class: "mostly" }, mostly(findings)),
  );
}

function mostly(findings) {
  const counts = new Map();
  const open = findings.filter((finding) => !isReady(finding));
  for (const finding of open.length ? open : findings)
    counts.set(finding.rule, (counts.get(finding.rule) || 0) + 1);
  const sorted = [...counts].sort((a, b) => b[1] - a[1]);
  return sorted.slice(0, 2).map(([rule]) => rule).join(", ");
}

function notes() {
  const told = files.filter((file) => file.note);
  if (!told.length || isFiltered()) return "";
  const items = told.map((file) => make("li", {}, make("bdi", {}, file.path), ": " + file.note));
  const title = `${plural(told.length, "file")} not read`;
  return make("details", { class: "notes" }, make("summary", {}, title), make("ul", {}, ...items));
}

// ---- the treemap -----------------------------------------------------------------------------

function sizeOf(node) {
  if (!node.folders) return (SIZES[state.size] || SIZES.effort)(node);
  return sum([...node.folders.values()], sizeOf) + sum(node.files, sizeOf);
}

function worstOf(node) {
  const inside = node.folders ? [...node.folders.values(), ...node.files].map(worstOf) : [];
  const own = node.folders ? [] : visible.get(node).map((finding) => finding.effort);
  return Math.max(-1, ...inside, ...own.slice(0, 1000));
}

function countOf(node) {
  if (!node.folders) return visible.get(node).length;
  return sum([...node.folders.values(), ...node.files], countOf);
}

// Squarified: rows of rectangles along the shorter side, each as square as it can be.
function squarify(items, width, height) {
  const placed = [];
  let x = 0, y = 0;
  let rest = items.slice();
  const scale = (width * height) / sum(items, (item) => item.size);
  const worst = (sizes, side) => {
    const total = sum(sizes, (size) => size);
    return Math.max(...sizes.map((size) => Math.max((side * side * size) / (total * total), (total * total) / (side * side * size))));
  };
  while (rest.length) {
    const side = Math.min(width - x, height - y);
    const sizes = [rest[0].size * scale];
    while (sizes.length < rest.length) {
      const next = rest[sizes.length].size * scale;
      if (worst([...sizes, next], side) > worst(sizes, side)) break;
      sizes.push(next);
    }
    const thick = sum(sizes, (size) => size) / side;
    const isColumn = side === height - y;
    let along = 0;
    sizes.forEach((size, at) => {
      const long = size / thick;
      placed.push(
        isColumn
          ? { item: rest[at], x, y: y + along, width: thick, height: long }
          : { item: rest[at], x: x + along, y, width: long, height: thick },
      );
      along += long;
    });
    if (isColumn) x += thick;
    else y += thick;
    rest = rest.slice(sizes.length);
  }
  return placed;
}

function childrenOf(folder) {
  return [...folder.folders.values(), ...folder.files]
    .map((node) => ({ node, size: sizeOf(node) }))
    .filter((item) => item.size > 0)
    .sort((a, b) => b.size - a.size);
}

function drawFolder(folder, into, width, height) {
  for (const place of squarify(childrenOf(folder), width, height)) {
    const tile = makeTile(place.item.node, place.width, place.height);
    tile.style.left = (100 * place.x) / width + "%";
    tile.style.top = (100 * place.y) / height + "%";
    tile.style.width = (100 * place.width) / width + "%";
    tile.style.height = (100 * place.height) / height + "%";
    into.append(tile);
  }
}

function makeTile(node, width, height) {
  let name = node.name;
  while (node.folders && node.folders.size === 1 && !node.files.length) {
    node = [...node.folders.values()][0];
    name += "/" + node.name;
  }
  const worst = data.efforts[worstOf(node)] || "none";
  const title = `${name}: ${plural(countOf(node), "use")}, at worst ${worst}`;
  const hasRoom = width > 34 && height > 14;
  const label = hasRoom ? make("span", { class: "label " + worst }, name) : "";
  if (!node.folders) return painted(make("a", { class: "tile " + worst, href: linkTo({ file: node.id }), title }, label), node);
  const link = { href: linkTo({ folder: node.id }), title };
  if (width < 60 || height < 44) return make("a", { class: "tile " + worst, ...link }, label);
  const inside = make("div", { class: "inside" });
  drawFolder(node, inside, width - 4, height - 20);
  return make("div", { class: "tile folder" }, make("a", link, name + "/"), inside);
}

// A file's tile is divided as its work is, the hardest part first.
function painted(tile, file) {
  const bySize = data.efforts.map((name, effort) => {
    const count = visible.get(file).filter((finding) => finding.effort === effort).length;
    return { name, share: count * (state.size === "uses" ? 1 : data.weights[effort]) };
  });
  const total = sum(bySize, (part) => part.share);
  let at = 0;
  const stops = bySize.reverse().filter((part) => part.share).map((part) => {
    const from = at;
    at += (100 * part.share) / total;
    return `var(--${part.name}) ${from}% ${at}%`;
  });
  if (stops.length > 1) tile.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  return tile;
}

function breadcrumbs(folder) {
  const names = [];
  for (let one = folder; one; one = one.above)
    names.unshift(make("a", { href: linkTo({ folder: one === root ? "" : one.id }) }, one.name));
  return make("p", { class: "crumbs" }, ...names.flatMap((name, at) => (at ? [" / ", name] : [name])));
}

function treemap(width, height) {
  const folder = folders[Number(state.folder)] || root;
  const size = SIZES[state.size] ? state.size : "effort";
  const choices = Object.keys(SIZES).map((name) =>
    make("a", { href: linkTo({ size: name === "effort" ? "" : name }), class: name === size ? "chosen" : "" }, name),
  );
  const map = make("div", { class: "map" });
  if (sizeOf(folder) > 0) drawFolder(folder, map, width, height);
  else map.append(make("p", {}, size === "effort" ? "No work for people here." : "Nothing here."));
  return make(
    "section",
    { class: "treemap" },
    make("h2", {}, "Where the work is"),
    make("p", { class: "choices" }, "area: ", ...choices),
    breadcrumbs(folder),
    map,
  );
}

// ---- one file --------------------------------------------------------------------------------

function annotation(finding, file) {
  const statuses = data.targets.map((target, at) => {
    const status = data.statuses[finding.status[at]];
    return make("span", { class: "status " + status }, `${target} ${status}`);
  });
  const link = linkTo({ file: file.id, line: finding.line });
  return make(
    "div",
    { class: "note " + data.efforts[finding.effort] },
    make("a", { class: "badge " + data.efforts[finding.effort], href: link }, data.efforts[finding.effort]),
    make("b", {}, finding.what),
    make("span", { class: "rule" }, finding.rule),
    make("span", { class: "statuses" }, ...statuses),
    make("p", {}, finding.advice + (finding.why ? ` (${finding.why})` : "")),
    finding.suggestion ? make("pre", {}, ...finding.suggestion.split("\n").flatMap((line) => [make("div", {}, line)])) : "",
  );
}

// The line's text with what the findings speak of marked.
function markedLine(text, findings) {
  const code = make("code");
  let at = 0;
  const characters = Array.from(text);
  for (const finding of [...findings].sort((a, b) => a.column - b.column)) {
    const start = finding.column - 1;
    const rest = characters.slice(start).join("");
    const word = rest.match(/^(?:[\w.]+|#\s*include|[rbfu]*(["']).*?\1|\S+)/i);
    if (!word || start < at) continue;
    const length = Array.from(word[0]).length;
    code.append(shown(characters.slice(at, start).join("")));
    code.append(make("mark", { class: data.efforts[finding.effort] }, word[0]));
    at = start + length;
  }
  code.append(shown(characters.slice(at).join("")));
  return code;
}

function linesOf(file) {
  const lines = new Map();
  for (const [first, text] of file.source || [])
    text.split("\n").forEach((line, at) => lines.set(first + at, line));
  return lines;
}

function sourceView(file) {
  const lines = linesOf(file);
  const byLine = new Map();
  for (const finding of visible.get(file))
    byLine.set(finding.line, [...(byLine.get(finding.line) || []), finding]);
  const wanted = new Set();
  const told = new Set([...byLine.keys(), ...(state.line ? [Number(state.line)] : [])]);
  for (const line of told) for (let near = line - NEAR; near <= line + NEAR; near++) wanted.add(near);
  const view = make("div", { class: "source", dir: "ltr" });
  const last = Math.max(file.lines, 0, ...lines.keys());
  const row = (line) => {
    const href = linkTo({ file: file.id, line });
    const isChosen = line === Number(state.line);
    const found = byLine.get(line) || [];
    return [
      make("div", { class: "row" + (isChosen ? " chosen" : ""), id: "L" + line }, make("a", { class: "number", href }, String(line)), markedLine(lines.get(line), found)),
      ...found.map((finding) => annotation(finding, file)),
    ];
  };
  for (let line = 1; line <= last; ) {
    if (wanted.has(line) && lines.has(line)) {
      view.append(...row(line));
      line++;
      continue;
    }
    const first = line;
    while (line <= last && !(wanted.has(line) && lines.has(line))) line++;
    view.append(gap(first, line - 1, lines, row));
  }
  // A finding whose line is not there: the file has changed since it was read.
  for (const [line, found] of byLine) if (!lines.has(line)) view.append(...found.map((one) => annotation(one, file)));
  return view;
}

function gap(first, last, lines, row) {
  const words = plural(last - first + 1, "line");
  let isHere = true;
  for (let line = first; line <= last; line++) isHere = isHere && lines.has(line);
  if (!isHere) return make("div", { class: "gap" }, `${words}, not in this report`);
  const open = () => {
    const rows = [];
    for (let line = first; line <= last; line++) rows.push(...row(line));
    button.replaceWith(...rows);
  };
  const button = make("button", { class: "gap", click: open }, `${words} more`);
  return button;
}

// The part in which two lines differ is marked.
function differing(text, other, kind) {
  const code = make("code");
  let start = 0, end = 0;
  if (other !== undefined) {
    const least = Math.min(text.length, other.length);
    while (start < least && text[start] === other[start]) start++;
    while (end < least - start && text[text.length - 1 - end] === other[other.length - 1 - end]) end++;
    code.append(shown(text.slice(0, start)), make("mark", { class: kind }, text.slice(start, text.length - end)));
    code.append(shown(end ? text.slice(text.length - end) : ""));
  } else code.append(shown(text));
  return code;
}

function diffView(file) {
  const lines = linesOf(file);
  const view = make("div", { class: "diff", dir: "ltr" });
  let shift = 0;
  let next = 1; // the first old line that is not shown yet
  const same = (line) => {
    if (!lines.has(line)) return;
    const text = lines.get(line);
    view.append(
      make("div", { class: "pair same" }, number(line), make("code", {}, text), number(line + shift), make("code", {}, text)),
    );
  };
  const number = (line) => make("span", { class: "number" }, line === undefined ? "" : String(line));
  for (const [line, count, added] of file.hunks) {
    if (line - NEAR > next) view.append(make("div", { class: "gap" }, plural(line - NEAR - next, "line")));
    for (let near = Math.max(line - NEAR, next); near < line; near++) same(near);
    for (let at = 0; at < Math.max(count, added.length); at++) {
      const old = at < count ? lines.get(line + at) || "" : undefined;
      const fresh = at < added.length ? added[at] : undefined;
      view.append(
        make(
          "div",
          { class: "pair" },
          number(old === undefined ? undefined : line + at),
          old === undefined ? make("code", { class: "none" }) : wrap(differing(old, fresh, "old"), "old"),
          number(fresh === undefined ? undefined : line + at + shift),
          fresh === undefined ? make("code", { class: "none" }) : wrap(differing(fresh, old, "new"), "new"),
        ),
      );
    }
    shift += added.length - count;
    next = line + count;
    const following = file.hunks.find((hunk) => hunk[0] >= next && hunk[0] !== line);
    const stop = Math.min(next + NEAR, following ? following[0] : Infinity);
    while (next < stop) same(next++);
  }
  return view;
}

function wrap(code, kind) {
  code.className = kind;
  return code;
}

function fileView(file) {
  const isDiff = state.view === "diff" && file.hunks;
  const all = file.findings.length;
  const found = visible.get(file).length;
  const count = found === all ? plural(all, "use") : `${found} of ${plural(all, "use")} shown`;
  const tabs = [make("a", { href: linkTo({ view: "" }), class: isDiff ? "" : "chosen" }, "Source")];
  if (file.hunks)
    tabs.push(make("a", { href: linkTo({ view: "diff", line: "" }), class: isDiff ? "chosen" : "" }, `Rewrite (${plural(file.hunks.length, "place")})`));
  return make(
    "section",
    { class: "one" },
    make("p", { class: "crumbs" }, make("a", { href: linkTo({ file: "", view: "", line: "" }) }, "← all files")),
    make("h2", {}, make("bdi", {}, file.path)),
    make("p", {}, `${file.kind}, ${plural(file.lines, "line")}, ${count}` + (file.note ? `; ${file.note}` : "")),
    effortBar(visible.get(file)),
    make("nav", { class: "choices" }, ...tabs),
    isDiff ? diffView(file) : sourceView(file),
  );
}

// ---- the filters -----------------------------------------------------------------------------

const chips = make("span", { class: "chips" });
const targetChoice = make("select", { "aria-label": "target", change: (event) => goTo({ target: event.target.value }) });
const statusChoice = make("select", { "aria-label": "status", change: (event) => goTo({ status: event.target.value }) });
const ruleChoice = make("select", { "aria-label": "rule", change: (event) => goTo({ rule: event.target.value }) });
const textField = make("input", {
  type: "search", placeholder: "path, name, advice", "aria-label": "text",
  input: (event) => goTo({ text: event.target.value }),
});
const shownCount = make("output");
const filters = make(
  "form",
  { class: "filters", submit: (event) => event.preventDefault() },
  chips, targetChoice, statusChoice, ruleChoice, textField,
  make("a", { href: "#", class: "reset" }, "reset"), shownCount,
);

function options(select, values, chosen) {
  select.replaceChildren(...values.map(([value, text]) => make("option", { value }, text)));
  select.value = chosen;
  if (select.selectedIndex < 0) select.selectedIndex = 0;
}

function countBy(ignored, key) {
  const matches = matcher(ignored);
  const counts = new Map();
  for (const file of files)
    for (const finding of file.findings)
      if (matches(finding)) counts.set(finding[key], (counts.get(finding[key]) || 0) + 1);
  return counts;
}

function showFilters() {
  const efforts = countBy("effort", "effort");
  const chosen = chosenEfforts();
  const isAll = chosen.length === data.efforts.length;
  chips.replaceChildren(
    ...data.efforts.map((name, at) => {
      const on = chosen.includes(name);
      // From all to one with a click, then more by further clicks.
      const next = isAll ? [name] : on ? chosen.filter((one) => one !== name) : [...chosen, name];
      const effort = next.length && next.length < data.efforts.length ? next.join(",") : "";
      const link = { class: `chip ${name}${on ? "" : " off"}`, href: linkTo({ effort }), "aria-pressed": String(on), role: "button" };
      return make("a", link, `${name} ${efforts.get(at) || 0}`);
    }),
  );
  options(targetChoice, [["", "any target"], ...data.targets.map((name) => [name, name])], state.target);
  const first = state.target ? [["", "does not just run"], ["any", "any status"]] : [["", "any status"]];
  options(statusChoice, [...first, ...data.statuses.map((name) => [name, name])], state.status);
  const rules = [...countBy("rule", "rule")].sort((a, b) => b[1] - a[1]);
  options(ruleChoice, [["", "any rule"], ...rules.map(([rule, count]) => [rule, `${rule} (${count})`])], state.rule);
  if (document.activeElement !== textField) textField.value = state.text;
  const count = sum([...visible.values()], (found) => found.length);
  shownCount.textContent = plural(count, "use");
}

// ---- the page --------------------------------------------------------------------------------

const header = make(
  "header",
  {},
  make("h1", {}, make("bdi", {}, data.name), make("small", {}, " leaving CUDA")),
);
const body = make("div", { class: "body" });
const print = make("div", { class: "print" });
const footer = make("footer", {}, `canopy migrate ${data.canopy}`);
document.getElementById("report").replaceChildren(header, filters, body, print, footer);

function render() {
  readState();
  applyFilters();
  showFilters();
  const file = state.file === "" ? undefined : files[Number(state.file)];
  if (file) {
    body.replaceChildren(fileView(file));
    const line = document.getElementById("L" + state.line);
    if (line) line.scrollIntoView({ block: "center" });
    return;
  }
  const place = make("div");
  body.replaceChildren(facts(), steps(), proof(), place);
  const width = Math.max(body.clientWidth, 280);
  const height = width < 700 ? 420 : 460;
  place.replaceWith(treemap(width, height));
  body.append(fileTable(), notes());
}

// On paper the overview is followed by the list of what it counts.
function printList() {
  let left = MOST_IN_PRINT;
  const parts = [];
  for (const file of files) {
    const found = visible.get(file).filter((finding) => finding.effort > 0);
    if (!found.length || left <= 0) continue;
    left -= found.length;
    parts.push(make("h3", {}, make("bdi", {}, file.path)));
    const rows = found.map((finding) => {
      const cells = [String(finding.line), data.efforts[finding.effort], finding.what, finding.advice];
      return make("tr", {}, ...cells.map((cell) => make("td", {}, cell)));
    });
    parts.push(make("table", {}, make("tbody", {}, ...rows)));
  }
  if (left <= 0) parts.push(make("p", {}, "The rest is left out on paper; a filter shows it."));
  return [make("h2", {}, "All of them"), ...parts];
}

addEventListener("hashchange", () => {
  const before = state.file;
  render();
  if (state.file !== before && !state.line) scrollTo(0, 0);
});
addEventListener("beforeprint", () => {
  document.querySelectorAll("button.more, button.gap").forEach((button) => button.click());
  print.replaceChildren(...(state.file === "" ? printList() : []));
});
addEventListener("afterprint", () => print.replaceChildren());
let drawn = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === drawn) return; // a phone's bars come and go
  drawn = innerWidth;
  render();
});
render();
