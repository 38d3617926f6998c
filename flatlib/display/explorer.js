const SHORT = ["none", "skip", "conv 1\u00d71", "conv 3\u00d73", "pool 3\u00d73"];
const W = 440, H = 330, LEFT = 46, BOTTOM = 40, TOP = 8, RIGHT = 8;
const NODES = [[40, 205], [200, 30], [200, 138], [360, 205]]; // the cell as a planar graph
const percent = (value) => `${value.toFixed(2)} %`;

function axis(values, low, high) {
  const sorted = Float32Array.from(values).sort();
  const min = sorted[0] - 0.5, max = sorted[Math.floor(0.97 * N_CELLS)] + 0.5; // useless cells would squeeze the rest
  const step = [1, 2, 5, 10, 20, 50].find((size) => (max - min) / size <= 7);
  const ticks = Array.from({ length: 9 }, (_, i) => (Math.ceil(min / step) + i) * step).filter((tick) => tick < max);
  return { ticks, at: (value) => low + ((Math.min(value, max) - min) / (max - min)) * (high - low) };
}

/** f against a test error: all cells on a canvas, axes, neighbors and path above it. */
function makeScatter(table, choose) {
  const canvas = html("canvas", { width: 2 * W, height: 2 * H, "aria-hidden": "true" });
  const over = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img" });
  const readout = html("p", { class: "fx-note" });
  const select = html("select", { "aria-label": "test error on the vertical axis" });
  table.tests.forEach(({ label }, i) => select.append(html("option", { value: i }, label)));
  const x = axis(table.f, LEFT, W - RIGHT);
  let y, errors, last;

  const point = (row) => [x.at(table.f[row]), y.at(errors[row])];
  const circle = (row, r, name) => svg("circle", { cx: point(row)[0], cy: point(row)[1], r, class: name });
  const label = (text, attributes) => svg("text", attributes, text);

  function drawCells() {
    ({ errors } = table.tests[select.value]);
    y = axis(errors, H - BOTTOM, TOP);
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.fillStyle = "rgba(105, 135, 165, 0.35)"; // seen on white and on black
    for (let row = 0; row < N_CELLS; row++) {
      const [left, top] = point(row);
      pen.fillRect(2 * left - 1.5, 2 * top - 1.5, 3, 3);
    }
  }

  function update(row, path, { grid }) {
    last = [row, path, { grid }];
    const frame = svg("path", { class: "fx-axis", d: `M${LEFT} ${TOP}V${H - BOTTOM}H${W - RIGHT}` });
    const ticks = [
      ...x.ticks.map((tick) => label(tick, { x: x.at(tick), y: H - BOTTOM + 14, "text-anchor": "middle" })),
      ...y.ticks.map((tick) => label(tick, { x: LEFT - 5, y: y.at(tick) + 4, "text-anchor": "end" })),
      label("f (%)", { x: (LEFT + W) / 2, y: H - 6, "text-anchor": "middle" }),
      label(`test error, ${table.tests[select.value].label} (%)`, { transform: `translate(12 ${H / 2 - 16}) rotate(-90)`, "text-anchor": "middle" }),
    ];
    const walk = path.map((step) => point(step).map((value) => value.toFixed(1)));
    over.setAttribute("aria-label", `Scatter of f against test error; the cell at f ${percent(table.f[row])}, a path of ${path.length} cells`);
    over.replaceChildren(
      frame, ...ticks,
      ...grid.flat().filter((other) => other !== row).map((other) => circle(other, 3.5, "fx-neighbor")),
      svg("path", { class: "fx-path", d: `M${walk.join("L")}` }),
      ...path.map((step) => circle(step, 3, "fx-step")), circle(row, 6, "fx-here"),
    );
  }

  function nearest(event) {
    const box = over.getBoundingClientRect();
    const [left, top] = [((event.clientX - box.left) / box.width) * W, ((event.clientY - box.top) / box.height) * H];
    let found = -1, least = 12 ** 2;
    for (let row = 0; row < N_CELLS; row++) {
      const [pointX, pointY] = point(row);
      const distance = (pointX - left) ** 2 + (pointY - top) ** 2;
      if (distance < least) [found, least] = [row, distance];
    }
    return found;
  }
  const hint = "Click a cell. Rings: neighbors; cells beyond the axes lie on the border.";
  readout.textContent = hint;
  let row = -1; // the cell pointed at
  const aim = (event) => {
    row = nearest(event);
    readout.textContent = row < 0 ? hint : `Cell ${row}: f ${percent(table.f[row])}, ${table.tests[select.value].label} ${percent(errors[row])}`;
  };
  for (const name of ["pointermove", "pointerdown"]) over.addEventListener(name, aim);
  over.addEventListener("click", () => row >= 0 && choose(row));
  over.addEventListener("pointerleave", () => (readout.textContent = hint));
  select.addEventListener("change", () => { drawCells(); update(...last); });
  drawCells();
  const element = html("section", {}, html("h3", {}, "All cells, f against test error on ", select), html("div", { class: "fx-plot" }, canvas, over), readout);
  return { element, update };
}

/** The cell as a graph, and what is known of it. */
function makeCell(table) {
  const graph = svg("svg", { viewBox: "0 0 400 236", role: "img", class: "fx-graph" });
  const facts = html("dl");
  const title = html("h3"), name = html("p", { class: "fx-note fx-string" });

  function drawEdge(op, edge) {
    const [[x1, y1], [x2, y2]] = table.edges[edge].map((node) => NODES[node]);
    const middle = { x: (x1 + x2) / 2, y: (y1 + y2) / 2 + 4, "text-anchor": "middle" };
    return svg("g", { class: `fx-edge fx-op${op}`, "data-edge": edge }, svg("line", { x1, y1, x2, y2 }), svg("text", middle, SHORT[op]));
  }
  function update(row, path, { mean, std }) {
    const ops = operationsOf(table.numbers[row]);
    title.textContent = `Cell ${row}`;
    name.textContent = cellString(table, row);
    graph.setAttribute("aria-label", ops.map((op, edge) => `edge ${edgeName(table, edge)} ${SHORT[op]}`).join(", "));
    const nodes = NODES.map(([cx, cy], i) => svg("g", { class: "fx-node" }, svg("circle", { cx, cy, r: 14 }), svg("text", { x: cx, y: cy + 5, "text-anchor": "middle" }, i)));
    graph.replaceChildren(...ops.map(drawEdge), ...nodes);
    const lines = [
      ["f", percent(table.f[row])],
      ["neighborhood, mean \u00b1 std", `${mean.toFixed(2)} \u00b1 ${std.toFixed(2)} %`],
      ["flatness rank (1: flattest)", `${table.flatness[row].toLocaleString("en")} of ${N_CELLS.toLocaleString("en")}`],
      ...table.tests.map(({ label, errors }) => [`test error, ${label}`, percent(errors[row])]),
    ];
    showFacts(facts, lines);
  }
  const light = (edge) => graph.querySelectorAll(".fx-edge").forEach((line) => line.classList.toggle("fx-lit", line.dataset.edge === String(edge)));
  return { element: html("section", {}, title, graph, name, facts), update, light };
}

/** The neighbors' f by edge and operation: 6 x 5 buttons, of which one is in the tab order. */
function makeGrid(table, move, light) {
  const buttons = table.edges.map(() => SHORT.map(() => html("button", { type: "button", tabindex: "-1" })));
  const flat = buttons.flat();
  let rows = [];
  flat.forEach((button, at) => {
    button.addEventListener("click", () => move(rows[at]));
    button.addEventListener("focus", () => {
      flat.forEach((other) => (other.tabIndex = other === button ? 0 : -1));
      light(Math.floor(at / 5));
    });
    button.addEventListener("blur", () => light(-1));
    button.addEventListener("keydown", (event) => {
      const [line, op] = [Math.floor(at / 5), at % 5];
      const target = { ArrowLeft: [line, op - 1], ArrowRight: [line, op + 1], ArrowUp: [line - 1, op], ArrowDown: [line + 1, op], Home: [line, 0], End: [line, 4] }[event.key];
      if (!target) return;
      event.preventDefault();
      buttons[target[0]]?.[target[1]]?.focus();
    });
  });
  flat[0].tabIndex = 0;

  function update(row, path, { grid }) {
    rows = grid.flat();
    const most = Math.max(...rows.map((other) => Math.abs(table.f[other] - table.f[row]))) || 1;
    flat.forEach((button, at) => {
      const other = rows[at], gain = table.f[row] - table.f[other], own = other === row;
      const place = `edge ${edgeName(table, Math.floor(at / 5))}, ${SHORT[at % 5]}`;
      const than = gain > 0 ? "lower" : gain < 0 ? "higher" : "equal";
      button.textContent = table.f[other].toFixed(1);
      button.className = own ? "fx-own" : gain > 0 ? "fx-better" : "fx-worse";
      button.style.setProperty("--fx-share", `${((60 * Math.abs(gain)) / most).toFixed(0)}%`);
      button.setAttribute("aria-label", `${place}: f ${percent(table.f[other])}, ${own ? "this cell" : than}`);
      own ? button.setAttribute("aria-current", "true") : button.removeAttribute("aria-current");
    });
  }
  const head = html("tr", {}, html("th", { scope: "col" }, "edge"), ...SHORT.map((name) => html("th", { scope: "col" }, name)));
  const body = buttons.map((line, edge) => html("tr", {}, html("th", { scope: "row" }, edgeName(table, edge)), ...line.map((button) => html("td", {}, button))));
  const note = html("p", { class: "fx-note" }, html("span", { class: "fx-better fx-key" }, "lower"), " and ", html("span", { class: "fx-worse fx-key" }, "higher"), " f than this cell (solid). Click to move there, or use Tab, arrows and Enter.");
  return { element: html("section", {}, html("h3", {}, "Its 24 neighbors: f (%) by edge and operation"), html("table", {}, html("thead", {}, head), html("tbody", {}, ...body)), note), update };
}

/** What was walked, with the way back. */
function makePath(table, go) {
  const list = html("ol"), back = html("button", { type: "button" }, "Back"), reset = html("button", { type: "button" }, "Reset");
  let path = [];
  back.addEventListener("click", () => path.length > 1 && go(path.slice(0, -1)));
  reset.addEventListener("click", () => path.length > 1 && go(path.slice(0, 1)));
  function update(row, walked) {
    path = walked;
    for (const button of [back, reset]) button.setAttribute("aria-disabled", path.length < 2);
    const how = (step, i) => (i ? changeBetween(table, path[i - 1], step) : "start");
    list.replaceChildren(...path.map((step, i) => html("li", {}, `cell ${step}, f ${percent(table.f[step])} (${how(step, i)})`)));
    list.scrollTop = list.scrollHeight;
  }
  return { element: html("section", {}, html("h3", {}, "Path"), back, " ", reset, list), update };
}

/** The choice of a cell: one of the best by f, a row or an architecture string. */
function makeChooser(table, choose) {
  const best = Array.from(table.f.keys()).sort((a, b) => table.f[a] - table.f[b] || a - b).slice(0, 50);
  const options = best.map((row, i) => html("option", { value: row }, `${i + 1}. cell ${row}, f ${percent(table.f[row])}`));
  const select = html("select", {}, html("option", { value: "" }, "choose one"), ...options);
  const input = html("input", { type: "text", size: "16", placeholder: "4127 or |nor_conv_3x3~0|+|\u2026" });
  const error = html("p", { class: "fx-note", role: "alert" });
  const form = html("form", {}, html("label", {}, "Best cells by f ", select), html("label", {}, "Cell ", input), html("button", {}, "Go"), error);
  select.addEventListener("change", () => select.value && choose(Number(select.value)));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const row = findCell(table, input.value.trim());
    error.textContent = row < 0 ? `No such cell; give a row, 0 to ${N_CELLS - 1}, or a string as below the graph.` : "";
    if (row >= 0) choose(row);
  });
  const update = (row) => (select.value = best.includes(row) ? row : "");
  return { element: form, update };
}

function render({ model, el }) {
  const table = readTable(model.get("data"));
  const go = (path) => {
    model.set("path", path);
    model.set("cell", path.at(-1));
    model.save_changes();
  };
  const choose = (row) => go([row]);
  const move = (row) => row !== model.get("cell") && go([...model.get("path"), row]);
  const cell = makeCell(table);
  const parts = [makeChooser(table, choose), makeScatter(table, choose), cell, makeGrid(table, move, cell.light), makePath(table, go)];
  const said = html("p", { class: "fx-said", "aria-live": "polite" });
  function update() {
    const row = model.get("cell"), around = describe(table, row);
    for (const part of parts) part.update(row, model.get("path"), around);
    said.textContent = `Cell ${row}, f ${percent(table.f[row])}, neighborhood mean ${percent(around.mean)}`;
  }
  const [chooser, ...sections] = parts.map(({ element }) => element);
  el.append(frame("explorer", chooser, html("div", { class: "fx-parts" }, ...sections), html("p", { class: "fx-note" }, table.setting), said));
  update();
  return listen(model, [["change:cell", update], ["change:path", update]]);
}

export default { render };
