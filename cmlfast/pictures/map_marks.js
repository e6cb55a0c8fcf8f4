// Marks over the points, and the names of the best liked.

const SHAPES = {
  circle: "M7 2a5 5 0 1 0 .01 0z", square: "M2.5 2.5h9v9h-9z", diamond: "M7 1l6 6-6 6-6-6z",
  "triangle-up": "M7 1.5l6 10.5H1z", "triangle-down": "M7 12.5L1 2h12z", cross: "M5 1h4v4h4v4H9v4H5V9H1V5h4z",
  x: "M3 1l4 4 4-4 2 2-4 4 4 4-2 2-4-4-4 4-2-2 4-4-4-4z",
};

// Marks over the points: who is chosen, and who is near, liked or recommended.

const pixel = (view, point) => {
  const { ranges: { x, y }, size: { width, height } } = view;
  return [
    ((view.where[2 * point] - x[0]) / (x[1] - x[0])) * width,
    (1 - (view.where[2 * point + 1] - y[0]) / (y[1] - y[0])) * height,
  ];
};
let chosen = null, hovered = null, pointed = null;

// A point's colour and shape, as they are drawn.
function lookOf(point) {
  if (!isItem(point)) return data.people.look;
  if (codes) return colour.looks[codes[point]];
  if (Number.isNaN(values[point])) return colour.rest;
  const colours = scale(), [low, high] = span.map(numberOf);
  const place = high > low ? (numberOf(values[point]) - low) / (high - low) : 0;
  return { colour: colours[Math.round(place * (colours.length - 1))], shape: "circle" };
}

function mark(view) {
  view.over.replaceChildren();
  const subject = hovered ?? chosen;
  view.plot.classList.toggle("behind", subject !== null);
  const there = (point) => 2 * point < view.where.length && shown(view.where, point);
  const add = (tag, properties, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(properties)) made.setAttribute(name, value);
    if (text) made.textContent = text;
    view.over.append(made);
  };
  const ring = (point, radius, kind = "ring") => {
    const [cx, cy] = pixel(view, point);
    const { colour: fill, shape } = lookOf(point);
    const size = radius / 9.5;
    if (kind === "ring") add("circle", { cx, cy, r: radius, class: "back" });
    add("path", { d: SHAPES[shape], fill, transform: `translate(${cx - 7 * size} ${cy - 7 * size}) scale(${size})` });
    add("circle", { cx, cy, r: radius, class: kind });
  };
  if (subject === null) writeNames(view, add);
  if (subject !== null) {
    const related = (isItem(subject) ? nearTo(subject) : recommendedTo(subject - nItems)).filter(there);
    const places = isItem(subject) ? nearTo(subject) : recommendedTo(subject - nItems);
    if (!isItem(subject)) for (const item of likedBy(subject - nItems)) if (there(item)) ring(item, 6.5, "liked");
    if (there(subject)) {
      const [x1, y1] = pixel(view, subject);
      for (const item of related) {
        const [x2, y2] = pixel(view, item);
        add("line", { x1, y1, x2, y2, class: "line" });
      }
    }
    for (const item of related) {
      const [x, y] = pixel(view, item);
      ring(item, 7);
      add("text", { x: x + 8, y: y - 5 }, String(places.indexOf(item) + 1));
    }
    if (there(subject)) named(subject, 9);
  }
  if (pointed !== null && there(pointed)) named(pointed, 10);

  function named(point, radius) {
    ring(point, radius);
    const [x, y] = pixel(view, point);
    const left = x > view.size.width - 180;
    add("text", { x: x + (left ? -14 : 14), y: y + 18, "text-anchor": left ? "end" : "start" }, short(nameOf(point), 42));
  }
}

// The best liked items by name, as many as have room beside each other; more of them come in sight on the way nearer.
const famous = data.titles ? everything.slice(0, nItems).sort((a, b) => likes[b] - likes[a]) : [];
function writeNames(view, add) {
  const { width, height } = view.size;
  const taken = [];
  let tried = 0;
  for (const item of famous) {
    if (taken.length === 24 || tried === 150) return;
    if (!shown(view.where, item) || hidden.has(lookOf(item))) continue;
    const [x, y] = pixel(view, item);
    if (x < 0 || y < 0 || x > width || y > height) continue;
    tried += 1;
    const text = short(titles[item], 34);
    const long = text.length * 6.1;
    for (const [left, up] of [[x + 6, y - 4], [x - 6 - long, y - 4], [x + 6, y + 12], [x - 6 - long, y + 12]]) {
      const box = [left - 4, up - 12, left + long + 4, up + 5];
      const out = box[0] < 0 || box[1] < 0 || box[2] > width || box[3] > height;
      if (out || taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) continue;
      taken.push(box);
      add("circle", { cx: x, cy: y, r: 3.2, class: "dot" });
      add("text", { x: left, y: up, class: "famous" }, text);
      break;
    }
  }
}
const markAll = () => views.forEach(mark);
