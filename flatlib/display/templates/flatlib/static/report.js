// Draws the figures stored in the page, and opens or closes all code at once.
function isGraded({type, marker, line}) {
  const scales = [marker, line].some((part) => part && (part.colorscale || part.coloraxis || part.showscale));
  return scales || /heatmap|contour|surface|histogram2d|mesh3d|image/.test(type);
}

function draw(box) {
  const figure = JSON.parse(box.querySelector("script").textContent);
  const still = box.classList.contains("still");
  const solid = figure.data.some(({type}) => /3d|surface/.test(type)); // Plotly draws no 3-D in a static plot
  box.classList.toggle("graded", figure.data.some(isGraded));
  const target = box.appendChild(document.createElement("div"));
  if (still) target.style.height = "100%";
  figure.layout = {...figure.layout, autosize: true};
  delete figure.layout.width;
  figure.config = {...figure.config, responsive: true, displaylogo: false};
  const svg = {name: "svg", title: "Download as SVG", icon: Plotly.Icons.disk, click: (plot) => Plotly.downloadImage(plot, {format: "svg"})};
  figure.config.modeBarButtonsToAdd = [svg];
  if (still) Object.assign(figure.config, {staticPlot: !solid, displayModeBar: false});
  return Plotly.newPlot(target, figure);
}

for (const box of document.querySelectorAll(".figure")) {
  try {
    draw(box);
  } catch (error) {
    box.append(window.Plotly ? `This figure cannot be drawn: ${error}` : "This figure needs assets/plotly.min.js.");
  }
}

const button = document.getElementById("all-code");
const folds = [...document.querySelectorAll("details.code")];
if (button && folds.length) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const open = folds.some((fold) => !fold.open);
    for (const fold of folds) fold.open = open;
    button.textContent = open ? "Hide all code" : "Show all code";
  });
}

// What scrolls sideways can be reached and scrolled by keyboard.
const SCROLLING = "pre, .output, .jp-OutputArea-output, .jp-RenderedMarkdown table, math[display=block], [style*=overflow-x]";
function reach() {
  for (const box of document.querySelectorAll(SCROLLING)) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}
addEventListener("resize", reach);
document.addEventListener("toggle", reach, true); // of folded code
reach();
