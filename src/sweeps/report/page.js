"use strict";
// The page works without this script; with it the table sorts and filters, and every run shows its details.
// All that the data hold is set as text, never as markup.
(() => {
  document.documentElement.classList.add("scripted");
  const data = JSON.parse(document.getElementById("data").textContent);
  const runs = new Map(data.runs.map((run) => [run.key, run]));
  const get = (id) => document.getElementById(id);

  function make(tag, content, attributes = {}) {
    const svg = ["svg", "path", "line", "text"].includes(tag);
    const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    for (const one of [content].flat()) if (one !== null && one !== undefined) node.append(one);
    return node;
  }

  // What the reader chose survives a reload, where the browser has storage for files.
  function keep(name, value) {
    try { sessionStorage.setItem(`${location.pathname} ${name}`, value); } catch { /* no storage here */ }
  }
  function kept(name) {
    try { return sessionStorage.getItem(`${location.pathname} ${name}`); } catch { return null; }
  }
  if (kept("theme")) document.documentElement.dataset.theme = kept("theme");

  // Light or dark: the system's choice until the reader chooses.
  get("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    keep("theme", root.dataset.theme);
  });

  // The table.
  const table = get("runs"), body = table.tBodies[0], rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const words = new Map(rows.map((row) => [row, `${row.textContent} ${row.dataset.name}`.toLowerCase()]));

  function sortBy(column, wanted) {
    const head = heads[column], before = head.getAttribute("aria-sort");
    const first = head.dataset.first || "ascending";
    const order = wanted || (before ? (before === "ascending" ? "descending" : "ascending") : first);
    keep("sort", `${column} ${order}`);
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const values = new Map(rows.map((row) => {
      const value = row.cells[column].dataset.v;
      return [row, { value, number: value !== "" && isFinite(value) ? Number(value) : null }];
    }));
    rows.sort((a, b) => {
      const one = values.get(a), two = values.get(b);
      if (!one.value || !two.value) return !one.value - !two.value; // blanks last in either order
      if (one.number !== null && two.number !== null) return sign * (one.number - two.number);
      return sign * one.value.localeCompare(two.value, "en", { numeric: true });
    });
    body.append(...rows);
  }
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => sortBy(column)));
  const [sorted, direction] = (kept("sort") || "").split(" ");
  if (direction && heads[sorted]) sortBy(Number(sorted), direction);

  const selects = [...document.querySelectorAll("select[data-filter]")];
  function filter() {
    const wanted = get("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const fits = selects.every((select) => !select.value || row.dataset[select.dataset.filter] === select.value)
        && wanted.every((word) => words.get(row).includes(word));
      row.hidden = !fits;
      shown += fits;
    }
    get("shown").textContent = `${shown} of ${rows.length} runs`;
  }
  get("filter").addEventListener("input", filter);
  for (const select of selects) select.addEventListener("change", filter);

  // The details of a run.
  const dialog = get("details");
  function facts(pairs) {
    const lines = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
    return make("table", make("tbody", lines.map(([key, value]) =>
      make("tr", [make("th", key, { scope: "row" }), make("td", text(value))]))), { class: "facts" });
  }
  const text = (value) => (value !== null && typeof value === "object" && !(value instanceof Node)
    ? JSON.stringify(value) : value instanceof Node ? value : String(value));

  function copyable(line) {
    const button = make("button", "Copy", { type: "button" });
    button.addEventListener("click", () => {
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      if (navigator.clipboard) navigator.clipboard.writeText(line).catch(() => {});
      button.textContent = "Copied";
    });
    const code = make("code", line, { id: "repeat-line" });
    return make("p", [code, " ", button]);
  }

  // Metrics that differ in their split alone share a chart: train_loss and val_loss, train/f1 and test/f1.
  const kind = (key) => key.replace(/^(train|val|valid|validation|dev|eval|test)[_/.-]/, "") || key;
  function allCurves(run) {
    const keys = Object.keys(run.metrics).filter((key) => key !== "step" && key !== "elapsed");
    return [...new Set(keys.map(kind))].map((one) => curves(run, one, keys.filter((key) => kind(key) === one)))
      .filter(Boolean).slice(0, 8);
  }

  function curves(run, title, keys) {
    const steps = run.metrics.step || [], width = 420, height = 190, left = 52, top = 12;
    const points = keys.map((key) => run.metrics[key].map((y, at) => [steps[at], y])
      .filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y)));
    const all = points.flat();
    if (!points.some((line) => line.length > 1)) return null;
    const [x0, x1] = range(all.map(([x]) => x)), [y0, y1] = range(all.map(([, y]) => y));
    const x = (value) => left + (value - x0) / (x1 - x0 || 1) * (width - left - 10);
    const y = (value) => top + (y1 - value) / (y1 - y0 || 1) * (height - top - 30);
    const ink = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
    const parts = [y0, y1].map((value) => make("text", value.toPrecision(4),
      { x: left - 6, y: y(value) + 4, "text-anchor": "end", "font-size": 11, fill: "currentColor" }));
    parts.push(make("text", `steps ${x0} to ${x1}`,
      { x: width - 10, y: height - 16, "text-anchor": "end", "font-size": 11, fill: "currentColor" }));
    points.forEach((line, at) => {
      const path = line.map(([a, b], place) => `${place ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
      const colour = ink[at % ink.length];
      parts.push(make("path", null, { d: path, fill: "none", stroke: colour, "stroke-width": 2,
        "stroke-dasharray": keys[at].startsWith("train") ? "5 3" : "none" }));
      parts.push(make("text", keys[at],
        { x: left + at * (width - left) / keys.length, y: height - 3, "font-size": 11, fill: colour, "font-weight": 600 }));
    });
    return make("svg", parts, { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title} by step` });
  }
  const range = (values) => values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);

  function show(key) {
    const run = runs.get(key);
    if (!run) return;
    for (const row of rows) row.classList.toggle("here", row.id === key);
    const close = make("button", "Close", { type: "button", class: "close" });
    close.addEventListener("click", () => dialog.close());
    const environment = data.environments[run.environment] || {};
    const git = environment.git || null;
    const objective = run.objective ? run.objective.name : "objective";
    const which = run.objective && run.objective.metric ? ` (${run.objective.report} report)` : "";
    const parts = [close, make("h2", run.name, { id: "details-title" }),
      make("p", make("a", run.path, { href: run.link }))];
    if (run.repeat) parts.push(make("h3", "Run it again"), copyable(run.repeat));
    if (run.objective && run.objective.split === "test")
      parts.push(make("p", "Its objective was measured on the test set.", { class: "warning" }));
    parts.push(make("h3", "Values"), facts([["status", run.status], ["problem", run.problem], ["rank", run.rank],
      [objective + which, run.value], ["steps", run.max_steps ? `${run.steps ?? 0} of ${run.max_steps}` : run.steps],
      ["seconds", run.seconds], ["peak memory, bytes", run.peak_memory], ...Object.entries(run.facts || {})]));
    parts.push(make("div", allCurves(run), { class: "curves" }));
    parts.push(make("h3", "Provenance"), facts([["command", run.command], ["run id", run.run_id], ["setting id", run.setting_id],
      ["commit", git ? `${git.commit}${git.dirty ? " with changes (the diff is in sweep.json)" : ""}` : null],
      ["device", environment.device], ["host", environment.host], ["platform", environment.platform],
      ["Python", environment.python], ["packages", environment.packages], ["started", run.started],
      ["ended", run.ended], ["attempts", run.attempts]]));
    if (run.traceback) parts.push(make("h3", "Traceback"), make("pre", run.traceback));
    const settings = { ...data.common, ...run.settings, seed: run.seed };
    parts.push(make("details", [make("summary", "All settings"), facts(Object.entries(settings)
      .map(([name, value]) => [name, value === null ? "null" : value]))]));
    get("details-body").replaceChildren(...parts);
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  }
  body.addEventListener("click", (event) => {
    const button = event.target.closest(".more");
    if (button) show(button.closest("tr").id);
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => { if (location.hash.startsWith("#run-")) history.replaceState(null, "", " "); });
  document.addEventListener("click", (event) => { // a point that is clicked again must open again
    const link = event.target.closest('a[href^="#run-"], svg a');
    const target = link && (link.getAttribute("href") || link.getAttribute("xlink:href") || "");
    if (target && target.startsWith("#run-")) { event.preventDefault(); show(target.slice(1)); }
  });
  const follow = () => show(location.hash.slice(1));
  addEventListener("hashchange", follow);
  follow();

  // The run behind a point of a chart.
  const tip = make("div", null, { class: "tip", role: "tooltip" });
  tip.hidden = true;
  document.body.append(tip);
  document.addEventListener("pointermove", (event) => {
    const mark = event.target.closest ? event.target.closest(".chart [aria-label][role='graphics-symbol']") : null;
    tip.hidden = !mark;
    if (!mark) return;
    tip.textContent = mark.getAttribute("aria-label");
    tip.style.left = `${Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${event.clientY + 16}px`;
  });

  // Two runs side by side.
  const left = get("left"), right = get("right");
  for (const select of [left, right])
    select.append(...data.runs.map((run) => make("option", `${run.rank ?? "-"}  ${run.name}`, { value: run.key })));
  if (data.runs.length > 1) right.selectedIndex = 1;
  function compare() {
    const one = runs.get(left.value), two = runs.get(right.value);
    if (!one || !two) return;
    const [mine, yours] = [one, two].map((run) => ({ ...run.settings, seed: run.seed }));
    const keys = [...new Set([...Object.keys(mine), ...Object.keys(yours)])].sort();
    const shown = (settings, key) => (key in settings ? JSON.stringify(settings[key]) : "absent");
    const lines = keys.filter((key) => shown(mine, key) !== shown(yours, key)).map((key) => make("tr",
      [make("th", key, { scope: "row" }), make("td", shown(mine, key)), make("td", shown(yours, key))]));
    const head = make("thead", make("tr", ["setting", one.name, two.name].map((name) => make("th", name, { scope: "col" }))));
    get("difference").replaceChildren(lines.length ? make("table", [head, make("tbody", lines)], { class: "facts" })
      : make("p", "Their settings are the same."));
  }
  left.addEventListener("change", compare);
  right.addEventListener("change", compare);
  compare();

  // While the sweep runs the page is rewritten; it is reloaded unless the reader is filtering or looking at a run.
  if (data.refresh) setInterval(() => {
    if (!dialog.open && !get("filter").value && selects.every((select) => !select.value)) location.reload();
  }, data.refresh * 1000);
})();
