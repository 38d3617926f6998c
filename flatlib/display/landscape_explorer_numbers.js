// The loss over the plane alpha + l0 v0 + l1 v1, and the cell there: its numbers.

export function readRuns(data) {
  return data.runs.map((run) => Object.fromEntries(Object.entries(run).map(([name, value]) => [name, name === "name" ? value : decode(value, Float32Array)])));
}

/** alpha' = alpha + l0 v0 + l1 v1: clipped at 0, renormalized by edge; an edge that is not moved, or whose entries all clip, keeps its alpha (Eq. 6). */
export function stepOnPlane(run, [l0, l1], m) {
  const size = run.alphas.length, q = Float64Array.from(run.alphas, (_, i) => l0 * run.directions[i] + l1 * run.directions[size + i]);
  const moved = q.map((value, i) => run.alphas[i] + value);
  const alphas = Float64Array.from(moved, (value) => Math.max(value, 0));
  let kept = 0;
  for (let edge = 0; edge < size; edge += m) {
    const total = alphas.subarray(edge, edge + m).reduce((sum, value) => sum + value, 0);
    kept += !total;
    if (!total || q.subarray(edge, edge + m).every((value) => value === 0)) alphas.set(run.alphas.subarray(edge, edge + m), edge);
    else for (let k = edge; k < edge + m; k++) alphas[k] /= total;
  }
  return { alphas, clipped: moved.filter((value) => value < 0).length / size, kept };
}

/** The operation of each edge of the derived cell, -1 where it has none, by cell type. */
export function derive(data, alphas, weights) {
  const { edges, kinds, none } = data, m = data.operations.length, two = kinds.length === 2;
  const strongest = (at) => {
    const own = Array.from(alphas.subarray(at * m, at * m + m), (value, k) => (two && k === none ? -1 : value));
    const k = own.indexOf(Math.max(...own));
    return { k, strength: own[k] * (two ? weights[at] : 1) };
  };
  return kinds.map((_, kind) => {
    const best = edges.map((_, edge) => strongest(kind * edges.length + edge));
    if (!two) return best.map(({ k }) => k);
    const chosen = edges.map(() => -1);
    for (const node of new Set(edges.map(([, target]) => target))) {
      const incoming = edges.map((_, edge) => edge).filter((edge) => edges[edge][1] === node);
      incoming.sort((a, b) => best[b].strength - best[a].strength || a - b).slice(0, 2).forEach((edge) => (chosen[edge] = best[edge].k));
    }
    return chosen;
  });
}

/** Loss and accuracy at a point: the grid's where it is a point of the grid, else bilinear. */
export function valueAt(run, [l0, l1]) {
  const { lambdas } = run, n = lambdas.length, step = (lambdas[n - 1] - lambdas[0]) / (n - 1);
  const place = (value) => {
    const x = (value - lambdas[0]) / step, near = Math.round(x);
    return Math.abs(x - near) < 1e-3 ? [near, 0] : [Math.floor(x), x - Math.floor(x)];
  };
  const [[j, right], [i, up]] = [place(l0), place(l1)];
  const mix = (map) => {
    const at = (row, column) => map[Math.min(row, n - 1) * n + Math.min(column, n - 1)];
    const line = (row) => (right ? (1 - right) * at(row, j) + right * at(row, j + 1) : at(row, j));
    return up ? (1 - up) * line(i) + up * line(i + 1) : line(i);
  };
  return { loss: mix(run.losses), accuracy: mix(run.accuracy), how: right || up ? "interpolated" : "grid" };
}

/** Segments [x, y, x', y'] in grid units where the map crosses a level (marching squares). */
function contour(map, n, level) {
  const segments = [];
  for (let i = 0; i < n - 1; i++) for (let j = 0; j < n - 1; j++) {
    const corners = [[j, i], [j + 1, i], [j + 1, i + 1], [j, i + 1]], z = corners.map(([x, y]) => map[y * n + x]);
    const crossings = corners.flatMap(([x, y], c) => {
      const d = (c + 1) % 4, share = (level - z[c]) / (z[d] - z[c]);
      return z[c] < level !== z[d] < level ? [[x + share * (corners[d][0] - x), y + share * (corners[d][1] - y)]] : [];
    });
    for (let c = 0; c + 1 < crossings.length; c += 2) segments.push([...crossings[c], ...crossings[c + 1]]);
  }
  return segments;
}

