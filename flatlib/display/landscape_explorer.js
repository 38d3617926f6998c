const SCALE = [[247, 251, 255], [222, 235, 247], [198, 219, 239], [158, 202, 225], [107, 174, 214], [66, 146, 198]];
const SIDE = 300, LEFT = 50, TOP = 26, BOTTOM = 40, BAR = 74, W = LEFT + SIDE + BAR, H = TOP + SIDE + BOTTOM;
const NAMES = ["\u03bb\u2080", "\u03bb\u2081"];

function color(share) {
  const x = Math.min(Math.max(share, 0), 1) * (SCALE.length - 1), low = Math.min(Math.floor(x), SCALE.length - 2);
  return SCALE[low].map((value, c) => Math.round(value + (x - low) * (SCALE[low + 1][c] - value)));
}

/** One color scale for all runs: from the least loss to nearly the largest, with round levels. */
function linkedScale(runs) {
  const all = runs.flatMap((run) => Array.from(run.losses)).filter(Number.isFinite).sort((a, b) => a - b);
  const [low, high] = [all[0], all[Math.floor(0.995 * (all.length - 1))]], rough = Math.max((high - low) / 10, 1e-6);
  const size = 10 ** Math.floor(Math.log10(rough)), step = size * [1, 2, 2.5, 5, 10].find((nice) => nice * size >= 0.75 * rough);
  const first = step * Math.floor(low / step), digits = [0, 1, 2, 3, 4].find((d) => Math.abs(step * 10 ** d - Math.round(step * 10 ** d)) < 1e-6) ?? 5;
  const levels = Array.from({ length: Math.ceil(high / step) - Math.floor(low / step) + 1 }, (_, i) => first + i * step);
  return { levels, digits, share: (loss) => (loss - first) / (levels.at(-1) - first || 1) };
}

/** The map as a picture, a pixel a grid point, stretched smoothly. */
function picture(run, scale) {
  const n = run.lambdas.length, canvas = html("canvas", { width: n, height: n }), pen = canvas.getContext("2d"), image = pen.createImageData(n, n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
    const loss = run.losses[i * n + j], rgb = Number.isFinite(loss) ? color(scale.share(loss)) : [213, 94, 0];
    image.data.set([...rgb, 255], 4 * ((n - 1 - i) * n + j));
  }
  pen.putImageData(image, 0, 0);
  return canvas.toDataURL();
}

function makeMap(scale, move) {
  const still = svg("g"), point = svg("g", { class: "lx-point" }, svg("path", { d: `M-${SIDE} 0H${SIDE}M0 -${SIDE}V${SIDE}` }), svg("circle", { r: 7 }));
  const clip = svg("clipPath", { id: `lx-${Math.random().toString(36).slice(2)}` }, svg("rect", { x: LEFT, y: TOP, width: SIDE, height: SIDE }));
  const element = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", class: "lx-map", xmlns: SVG }, clip, still, svg("g", { "clip-path": `url(#${clip.id})` }, point));
  const label = (text, attributes) => svg("text", { "font-size": 12, "font-family": "sans-serif", fill: "currentColor", ...attributes }, text);
  let reach = 1, n = 3;
  const x = (value) => LEFT + ((value + reach) / (2 * reach)) * SIDE, y = (value) => TOP + ((reach - value) / (2 * reach)) * SIDE;

  function drawLevel(run, level, at) {
    const unit = SIDE / (n - 1), segments = contour(run.losses, n, level);
    const path = segments.map(([a, b, c, d]) => `M${(LEFT + a * unit).toFixed(1)} ${(TOP + SIDE - b * unit).toFixed(1)}L${(LEFT + c * unit).toFixed(1)} ${(TOP + SIDE - d * unit).toFixed(1)}`).join("");
    const parts = [svg("path", { d: path, fill: "none", stroke: "#444", "stroke-width": 0.8 })], inside = segments.filter(([a, b]) => Math.min(a, n - 1 - a) * unit > 14 && Math.min(b, n - 1 - b) * unit > 10);
    const middle = inside[Math.floor(inside.length * ((0.2 + 0.38 * at) % 1))]; // labels of neighboring levels lie apart
    if (middle) parts.push(label(level.toFixed(scale.digits), { x: LEFT + middle[0] * unit, y: TOP + SIDE - middle[1] * unit + 4, "text-anchor": "middle", "font-size": 10, fill: "#000" }));
    return parts;
  }
  function drawBar() {
    const left = LEFT + SIDE + 14, row = (i) => TOP + SIDE - ((i + 1) * SIDE) / 60;
    const boxes = Array.from({ length: 60 }, (_, i) => svg("rect", { x: left, y: row(i), width: 12, height: SIDE / 60 + 0.5, fill: `rgb(${color(i / 59)})` }));
    const ticks = scale.levels.map((level) => label(level.toFixed(scale.digits), { x: left + 17, y: TOP + SIDE * (1 - scale.share(level)) + 4, "font-size": 11 }));
    return [...boxes, ...ticks, label("nats", { x: left, y: TOP - 8, "font-size": 11 })];
  }
  function drawRun(run) {
    n = run.lambdas.length;
    reach = run.lambdas[n - 1];
    const ticks = [-reach, -reach / 2, 0, reach / 2, reach].map((tick) => Number(tick.toPrecision(3))); // float32's digits left out
    const middle = LEFT + SIDE / 2;
    still.replaceChildren(
      svg("image", { x: LEFT, y: TOP, width: SIDE, height: SIDE, href: picture(run, scale), preserveAspectRatio: "none" }),
      ...scale.levels.flatMap((level, i) => drawLevel(run, level, i)),
      svg("rect", { x: LEFT, y: TOP, width: SIDE, height: SIDE, fill: "none", stroke: "currentColor" }),
      ...ticks.map((tick) => label(tick, { x: x(tick), y: TOP + SIDE + 15, "text-anchor": "middle" })),
      ...ticks.map((tick) => label(tick, { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" })),
      label(NAMES[0], { x: middle, y: H - 6, "text-anchor": "middle" }),
      label(NAMES[1], { x: 12, y: TOP + SIDE / 2 }),
      label(`Validation loss, ${run.name}`, { x: middle, y: 16, "text-anchor": "middle", "font-size": 13 }),
      ...drawBar(),
    );
  }
  function update(at, said) {
    point.setAttribute("transform", `translate(${x(at[0])} ${y(at[1])})`);
    element.setAttribute("aria-label", `Map of the validation loss over the plane; ${said}`);
  }
  const aim = (event) => {
    const box = element.getBoundingClientRect(), step = (2 * reach) / (n - 1);
    const at = [((event.clientX - box.left) / box.width) * W - LEFT, TOP + SIDE - ((event.clientY - box.top) / box.height) * H];
    move(at.map((pixel) => {
      const value = Math.min(Math.max((pixel / SIDE) * 2 * reach - reach, -reach), reach), snapped = Math.round(value / step) * step;
      return Math.abs(value - snapped) < step / 5 ? snapped : value;
    }));
  };
  element.addEventListener("pointerdown", (event) => { element.setPointerCapture(event.pointerId); aim(event); });
  element.addEventListener("pointermove", (event) => element.hasPointerCapture(event.pointerId) && aim(event));
  return { element, drawRun, update };
}

/** Probabilities by edge and operation; what the derived cell takes is framed. */
function makeHeatmap(data, kind) {
  const m = data.operations.length, first = kind * data.edges.length;
  const cells = data.edges.map(() => data.operations.map(() => html("td")));
  const head = html("tr", {}, html("th", { scope: "col" }, "edge"), ...data.operations.map((name) => html("th", { scope: "col" }, html("span", {}, name))));
  const rows = cells.map((line, edge) => html("tr", {}, html("th", { scope: "row" }, edgeName(data, edge)), ...line));
  function update(alphas, chosen, changed) {
    cells.forEach((line, edge) => {
      rows[edge].className = changed.has(edge) ? "lx-changed" : "";
      line.forEach((cell, k) => {
        const value = alphas[(first + edge) * m + k];
        cell.style.setProperty("--lx-share", `${Math.round(85 * Math.sqrt(value))}%`);
        cell.className = chosen[edge] === k ? "lx-chosen" : "";
        cell.textContent = value.toFixed(2).replace(/^0/, "");
        cell.title = `${edgeName(data, edge)}, ${data.operations[k]}: ${value.toFixed(4)}${chosen[edge] === k ? ", in the derived cell" : ""}`;
      });
    });
  }
  const table = html("table", {}, html("caption", {}, `\u03b1\u2032, ${data.kinds[kind]}`), html("thead", {}, head), html("tbody", {}, ...rows));
  return { element: table, update };
}
const opName = (data, k) => (k < 0 ? "no edge" : data.operations[k]);

function changesBetween(data, before, after) {
  return after.flatMap((cell, kind) => cell.flatMap((k, edge) => (k === before[kind][edge] ? [] : [{ kind, edge, text: `${data.kinds.length === 2 ? `${data.kinds[kind].split(" ")[0]} ` : ""}${edgeName(data, edge)}: ${opName(data, before[kind][edge])} \u2192 ${opName(data, k)}` }])));
}

const genotype = (data, cells) => cells.map((cell, kind) => `${data.kinds[kind]}: ` + cell.flatMap((k, edge) => (k < 0 ? [] : [`${edgeName(data, edge)} ${data.operations[k]}`])).join(", ")).join("\n");

/** Download of the map as it is, in colors of its own. */
function save(map, format, name) {
  const copy = map.cloneNode(true);
  build(copy, { width: W, height: H, style: "color:#222;background:#fff" }, []);
  copy.prepend(svg("rect", { width: W, height: H, fill: "#fff" }));
  build(copy.querySelector(".lx-point path"), { stroke: "#d55e00", fill: "none" }, []);
  build(copy.querySelector(".lx-point circle"), { fill: "#d55e00", stroke: "#fff" }, []);
  const url = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
  const give = (href) => html("a", { href, download: `landscape-${name.replace(/[^\w.]+/g, "-")}.${format}` }).click();
  if (format === "svg") return give(url);
  const image = new Image();
  image.onload = () => {
    const canvas = html("canvas", { width: 3 * W, height: 3 * H });
    canvas.getContext("2d").drawImage(image, 0, 0, 3 * W, 3 * H);
    give(canvas.toDataURL());
  };
  image.src = url;
}

function makeSlider(name, changed) {
  const input = html("input", { type: "range", "aria-label": name.replace("\u2080", "0").replace("\u2081", "1") }), number = html("output");
  input.addEventListener("input", () => changed(Number(input.value)));
  input.addEventListener("keydown", (event) => { // by hand: JupyterLab takes a slider's own arrows away
    const [low, high, step] = [input.min, input.max, input.step].map(Number), value = Number(input.value);
    const to = { ArrowLeft: value - step, ArrowDown: value - step, ArrowRight: value + step, ArrowUp: value + step, Home: low, End: high, PageDown: value - 5 * step, PageUp: value + 5 * step }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    input.value = to; // the browser keeps it in range and on a step
    changed(Number(input.value));
  });
  const setRange = ({ lambdas }) => build(input, { min: lambdas[0], max: lambdas.at(-1), step: (2 * lambdas.at(-1)) / (lambdas.length - 1) }, []);
  const update = (value) => { input.value = value; number.textContent = value.toFixed(3); };
  return { element: html("label", {}, name, input, number), setRange, update };
}

function render({ model, el }) {
  const data = model.get("data"), runs = readRuns(data), m = data.operations.length, scale = linkedScale(runs);
  let at = model.get("at"), waiting = 0;
  const run = () => runs[model.get("run")];
  const tell = () => { clearTimeout(waiting); waiting = setTimeout(() => { model.set("at", at); model.save_changes(); }, 120); };
  const move = (to) => { at = to; update(); tell(); };

  const map = makeMap(scale, move), heatmaps = data.kinds.map((_, kind) => makeHeatmap(data, kind));
  const sliders = NAMES.map((name, i) => makeSlider(name, (value) => move(at.map((old, j) => (i === j ? value : old)))));
  const chooser = html("select", {}, ...runs.map(({ name }, i) => html("option", { value: i }, name)));
  const button = (text, action) => { const one = html("button", { type: "button" }, text); one.addEventListener("click", action); return one; };
  const facts = html("dl"), cell = html("pre"), changes = html("p", { class: "fx-note" }), said = html("p", { class: "fx-said", "aria-live": "polite" });
  chooser.addEventListener("change", () => { model.set("run", Number(chooser.value)); model.save_changes(); });

  function value() {
    const answer = model.get("answer"), own = answer?.at && answer.run === model.get("run") && answer.at.every((x, i) => Math.abs(x - at[i]) < 1e-9);
    return own ? { ...answer, how: "evaluated live" } : valueAt(run(), at);
  }
  function update() {
    const { loss, accuracy, how } = value(), there = stepOnPlane(run(), at, m), center = valueAt(run(), [0, 0]).loss;
    const cells = derive(data, there.alphas, run().edge_weights), changed = changesBetween(data, derive(data, stepOnPlane(run(), [0, 0], m).alphas, run().edge_weights), cells);
    sliders.forEach((slider, i) => slider.update(at[i]));
    said.textContent = `lambda 0 ${at[0].toFixed(3)}, lambda 1 ${at[1].toFixed(3)}: loss ${loss.toFixed(4)} (${how})`;
    map.update(at, said.textContent);
    const lines = [
      ["validation loss", `${loss.toFixed(4)} nats (${how})`], ["above (0, 0)", `${(loss - center).toFixed(4)} nats`], ["accuracy", `${accuracy.toFixed(2)} %`],
      ["entries clipped at 0", `${(100 * there.clipped).toFixed(1)} %`], ["edges that keep \u03b1", `${there.kept}`],
    ];
    showFacts(facts, lines);
    heatmaps.forEach((heatmap, kind) => heatmap.update(there.alphas, cells[kind], new Set(changed.filter((one) => one.kind === kind).map(({ edge }) => edge))));
    cell.textContent = genotype(data, cells);
    changes.textContent = changed.length ? `Changed against (0, 0): ${changed.map(({ text }) => text).join("; ")}` : "No edge changed against (0, 0).";
  }
  function show() {
    chooser.value = model.get("run");
    map.drawRun(run());
    sliders.forEach((slider) => slider.setRange(run()));
    update();
  }
  const moved = () => { at = model.get("at"); update(); };
  const tools = html("p", { class: "lx-tools" }, button("To (0, 0)", () => move([0, 0])), button("Save SVG", () => save(map.element, "svg", run().name)), button("Save PNG", () => save(map.element, "png", run().name)));
  const left = html("section", {}, html("label", {}, "Search ", chooser), map.element, ...sliders.map(({ element }) => element), tools, facts, html("h3", {}, "The cell that \u03b1\u2032 would give"), cell, changes);
  const right = html("section", { class: "lx-tables" }, ...heatmaps.map(({ element }) => element));
  el.append(frame("landscape", html("div", { class: "fx-parts" }, left, right), html("p", { class: "fx-note" }, `${data.setting}. Drag the point, or use the sliders (Tab, arrows). Blue is high; one scale for all searches.`), said));
  show();
  return listen(model, [["change:run", show], ["change:at", moved], ["change:answer", update]]);
}

export default { render };
