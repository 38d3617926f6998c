// A walk through the neighborhoods of a NAS-Bench-201 table: its numbers.

const N_CELLS = 5 ** 6;
const PLACES = [3125, 625, 125, 25, 5, 1]; // a cell's number: its operations as digits, base 5

export const operationsOf = (number) => PLACES.map((place) => Math.floor(number / place) % 5);

/** N(alpha) at d = 1 as numbers[edge][operation]; the cell itself stands once on each edge. */
export const neighborhood = (number) =>
  operationsOf(number).map((own, edge) => [0, 1, 2, 3, 4].map((op) => number + (op - own) * PLACES[edge]));

function column(text, Type) {
  const values = decode(text, Type);
  if (values.length !== N_CELLS) throw new Error(`${values.length} numbers for ${N_CELLS} cells`);
  return values;
}

/** The table as the state holds it: arrays in the table's order, `rows` the row of each number. */
export function readTable(data) {
  const numbers = column(data.numbers, Uint16Array);
  const rows = new Uint16Array(N_CELLS);
  numbers.forEach((number, row) => (rows[number] = row));
  const tests = data.tests.map(([label, text]) => ({ label, errors: column(text, Float32Array) }));
  const { operations, edges, setting } = data;
  return { numbers, rows, tests, operations, edges, setting, f: column(data.f, Float32Array), flatness: column(data.flatness, Uint16Array) };
}

/** A cell's 6 x 5 grid of rows, and mean and population deviation of f over its 25 cells. */
export function describe(table, row) {
  const grid = neighborhood(table.numbers[row]).map((line) => line.map((number) => table.rows[number]));
  const f = [row, ...grid.flat().filter((other) => other !== row)].map((other) => table.f[other]);
  const mean = f.reduce((sum, value) => sum + value, 0) / f.length;
  return { grid, mean, std: Math.sqrt(f.reduce((sum, value) => sum + (value - mean) ** 2, 0) / f.length) };
}

export function cellString(table, row) {
  const words = operationsOf(table.numbers[row]).map((op, edge) => `${table.operations[op]}~${table.edges[edge][0]}|`);
  return `|${words[0]}+|${words[1]}${words[2]}+|${words[3]}${words[4]}${words[5]}`;
}

/** The row that a text names: a row of the table or an architecture string; -1 for anything else. */
export function findCell(table, text) {
  if (/^\d{1,5}$/.test(text)) return Number(text) < N_CELLS ? Number(text) : -1;
  const ops = [...text.matchAll(/([a-z_0-9]+)~\d/g)].map(([, name]) => table.operations.indexOf(name));
  if (ops.length !== 6 || ops.includes(-1)) return -1;
  const row = table.rows[ops.reduce((number, op) => 5 * number + op, 0)];
  return cellString(table, row) === text ? row : -1;
}

function changeBetween(table, from, to) {
  const [before, after] = [from, to].map((row) => operationsOf(table.numbers[row]));
  const edge = before.findIndex((op, at) => op !== after[at]);
  return `${edgeName(table, edge)}: ${SHORT[before[edge]]} \u2192 ${SHORT[after[edge]]}`;
}

