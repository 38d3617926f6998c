// What the explorers share; each is this file and its own. JupyterLab runs them as anywidget modules, an exported page
// on the stored state: no library, no network, no Python needed.

const decode = (text, Type) => new Type(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
const edgeName = (data, edge) => data.edges[edge].join("\u2192");

const SVG = "http://www.w3.org/2000/svg";

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
const html = (tag, attributes = {}, ...children) => build(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

/** A list of terms with their values. */
const showFacts = (list, lines) => list.replaceChildren(...lines.flatMap(([term, text]) => [html("dt", {}, term), html("dd", {}, text)]));

/** The explorer's box; the attribute keeps JupyterLab's shortcuts (arrows, Enter) out of it. */
const frame = (name, ...children) => html("div", { class: `flatlib-widget flatlib-${name}`, "data-lm-suppress-shortcuts": "true" }, ...children);

/** Calls a listener at each event; what is returned ends that. */
function listen(model, heard) {
  heard.forEach(([event, listener]) => model.on(event, listener));
  return () => heard.forEach(([event, listener]) => model.off(event, listener));
}
