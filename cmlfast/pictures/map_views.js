// Draws the views, and moves them. Whatever comes from the data is written as text, never as HTML.

// Small pieces of the page.

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((one) => one !== null && one !== ""));
  return made;
}
const short = (text, n) => (text.length > n ? `${text.slice(0, n - 1)}…` : text);
const byId = (id) => document.getElementById(id);
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// The views: one of the learned space and, where there are features, one of these to its left.

const views = [];
const addView = (name, where) => {
  const plot = element("div", { class: "plot" });
  const over = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  over.setAttribute("class", "over");
  over.setAttribute("aria-hidden", "true");
  const label = `${name}, a map of points. Arrow keys move it, plus and minus zoom, 0 shows everything; search names points.`;
  const root = element("div", { class: "view", tabindex: "0", role: "group", "aria-label": label }, plot, over);
  if (data.featurePlaces) root.prepend(element("div", { class: "name" }, name));
  byId("views").append(root);
  views.push({ name, where, root, plot, over, groups: [], ranges: null, drawn: null, size: null, resting: null, pause: 150, dragged: false });
};
if (data.featurePlaces) addView("Original features", unpack(data.featurePlaces, Float32Array));
addView("Learned space", places);

function traceOf(view, group) {
  const points = group.points.filter((point) => 2 * point < view.where.length && shown(view.where, point));
  view.groups.push(points);
  const marker = {
    size: points.map(sizeOf),
    line: { width: nPoints < 25000 ? 0.6 : 0, color: style("--plane") },
    opacity: group.opacity,
  };
  if (group.look) Object.assign(marker, { color: group.look.colour, symbol: group.look.shape });
  else {
    const colours = scale();
    marker.color = points.map((point) => numberOf(values[point]));
    marker.colorscale = colours.map((one, place) => [place / (colours.length - 1), one]);
  }
  return {
    type: "scattergl", mode: "markers", hoverinfo: "none", showlegend: false, marker, name: "",
    x: Float32Array.from(points, (point) => view.where[2 * point]),
    y: Float32Array.from(points, (point) => view.where[2 * point + 1]),
  };
}

function extent(view) {
  let [left, right, bottom, top] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let at = 0; at < view.where.length; at += 2) {
    if (Number.isNaN(view.where[at])) continue;
    left = Math.min(left, view.where[at]);
    right = Math.max(right, view.where[at]);
    bottom = Math.min(bottom, view.where[at + 1]);
    top = Math.max(top, view.where[at + 1]);
  }
  const { width, height } = view.root.getBoundingClientRect();
  const unit = (1.06 * Math.max((right - left) / width, (top - bottom) / height)) || 1;
  const [x, y] = [(left + right) / 2, (bottom + top) / 2];
  return { x: [x - (unit * width) / 2, x + (unit * width) / 2], y: [y - (unit * height) / 2, y + (unit * height) / 2] };
}

async function draw(view) {
  const axis = { visible: false, zeroline: false, showgrid: false };
  const { x, y } = (view.ranges = extent(view));
  view.groups = [];
  const layout = {
    margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    dragmode: false, hovermode: "closest", hoverdistance: 12, showlegend: false,
    xaxis: { ...axis, range: x }, yaxis: { ...axis, range: y, scaleanchor: "x" },
  };
  const config = { displayModeBar: false, scrollZoom: false, doubleClick: false, responsive: true, showTips: false,
    plotGlPixelRatio: devicePixelRatio };
  await Plotly.newPlot(view.plot, groups.map((group) => traceOf(view, group)), layout, config);
  const drawn = () => {
    const { xaxis, yaxis } = view.plot._fullLayout;
    view.drawn = { x: [...xaxis.range], y: [...yaxis.range] };
    view.size = view.root.getBoundingClientRect();
    if (!view.resting) view.ranges = view.drawn;
    stretch(view);
    mark(view);
  };
  view.plot.on("plotly_afterplot", drawn);
  drawn();
  const pointOf = (event) => view.groups[event.points[0].curveNumber][event.points[0].pointNumber];
  view.plot.on("plotly_hover", (event) => { if (!view.resting) hover(pointOf(event), event.event); });
  view.plot.on("plotly_unhover", () => hover(null));
  view.plot.on("plotly_click", (event) => { if (!view.dragged) choose(pointOf(event)); });
}

// While a view moves, what was drawn last is moved and scaled as a picture, which takes no time however many points
// there are; when it rests, it is drawn anew: the later, the longer that takes.
function move(view, x, y) {
  view.ranges = { x, y };
  hover(null);
  clearTimeout(view.resting);
  view.resting = setTimeout(() => {
    view.resting = null;
    const began = performance.now();
    const seen = () => { view.pause = Math.min(1500, Math.max(150, 2 * (performance.now() - began))); };
    Plotly.relayout(view.plot, { "xaxis.range": view.ranges.x, "yaxis.range": view.ranges.y })
      .then(() => requestAnimationFrame(() => requestAnimationFrame(seen)));
  }, view.pause);
  view.frame = view.frame || requestAnimationFrame(() => { view.frame = null; stretch(view); mark(view); });
}
function stretch(view) {
  const { ranges: { x, y }, drawn, size: { width, height } } = view;
  const scale = (drawn.x[1] - drawn.x[0]) / (x[1] - x[0]);
  const left = ((drawn.x[0] - x[0]) / (x[1] - x[0])) * width, top = ((y[1] - drawn.y[1]) / (y[1] - y[0])) * height;
  const still = view.ranges === view.drawn;
  view.plot.querySelector(".gl-container").style.transform = still ? "" : `translate(${left}px, ${top}px) scale(${scale})`;
}
function zoom(view, factor, across = 0.5, along = 0.5) {
  const { x, y } = view.ranges;
  const around = ([from, to], share) => {
    const middle = from + (to - from) * share;
    return [middle + (from - middle) * factor, middle + (to - middle) * factor];
  };
  move(view, around(x, across), around(y, 1 - along));
}
function shift(view, across, along) {
  const by = ([from, to], share) => [from + (to - from) * share, to + (to - from) * share];
  move(view, by(view.ranges.x, across), by(view.ranges.y, along));
}
const showAll = (view) => { const { x, y } = extent(view); move(view, x, y); };

function followPointer(view) {
  view.root.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 20 : 1;
    const { left, top, width, height } = view.size;
    zoom(view, Math.exp(0.0018 * lines * event.deltaY), (event.clientX - left) / width, (event.clientY - top) / height);
  }, { passive: false });
  view.root.addEventListener("pointerdown", (down) => {
    if (down.button !== 0) return;
    let [x, y] = [down.clientX, down.clientY];
    view.dragged = false;
    const dragging = (event) => {
      if (!view.dragged && Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) < 4) return;
      view.dragged = true;
      shift(view, (x - event.clientX) / view.size.width, (event.clientY - y) / view.size.height);
      [x, y] = [event.clientX, event.clientY];
    };
    const done = () => {
      removeEventListener("pointermove", dragging);
      removeEventListener("pointerup", done);
      removeEventListener("pointercancel", done);
    };
    addEventListener("pointermove", dragging);
    addEventListener("pointerup", done);
    addEventListener("pointercancel", done);
  });
  view.root.addEventListener("mouseleave", () => hover(null));
}

function bringIntoView(view, point) {
  if (2 * point >= view.where.length || !shown(view.where, point)) return;
  const [x, y] = pixel(view, point);
  const { width, height } = view.size;
  if (x < 40 || y < 40 || x > width - 40 || y > height - 40) shift(view, x / width - 0.5, 0.5 - y / height);
}
