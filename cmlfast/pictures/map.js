// The map's page: draws the points with plotly.js, and answers to search, pointer and keyboard. Whatever comes from the
// data is written as text, never as HTML. A point is a number: items are 0 to J - 1, users follow.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const unpack = (text, Kind) => new Kind(Uint8Array.from(atob(text), (one) => one.charCodeAt(0)).buffer);
  const nItems = data.ids.length;
  const likes = unpack(data.likes, Int32Array);
  const nearest = unpack(data.nearest, Int32Array);
  const distances = unpack(data.distances, Float32Array);
  const people = data.people && {
    ids: data.people.ids,
    likedEnds: unpack(data.people.likedEnds, Int32Array),
    liked: unpack(data.people.liked, Int32Array),
    recommended: unpack(data.people.recommended, Int32Array),
    reasons: unpack(data.people.reasons, Int32Array),
  };
  const colour = data.colour;
  const values = colour.values && unpack(colour.values, Float32Array);
  const codes = colour.codes && unpack(colour.codes, Uint8Array);
  const titles = data.titles || data.ids;
  const many = new Intl.NumberFormat();

  // What is known of a point.

  const isItem = (point) => point < nItems;
  const nameOf = (point) => (isItem(point) ? titles[point] : `User ${people.ids[point - nItems]}`);
  const counted = (n, what) => `${many.format(n)} ${what}${n === 1 ? "" : "s"}`;
  const some = (array, row, n) => Array.from(array.subarray(row * n, row * n + n)).filter((one) => one >= 0);
  const nearTo = (item) => some(nearest, item, data.nNearest);
  const likedBy = (user) => Array.from(people.liked.subarray(people.likedEnds[user], people.likedEnds[user + 1]));
  const recommendedTo = (user) => some(people.recommended, user, data.people.nRecommended);
  const reasonsFor = (user, place) => some(people.reasons, user * data.people.nRecommended + place, data.people.nReasons);
  const likesOf = (item) => counted(likes[item], "like");
  const factsOf = (item) =>
    [likesOf(item), colour.texts[item] && `${colour.label}: ${colour.texts[item]}`].filter(Boolean).join("; ");

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

  // The points, in groups that the legend turns on and off.

  const shown = (places, point) => !Number.isNaN(places[2 * point]);
  const places = unpack(data.places, Float32Array);
  const nPoints = places.length / 2;
  const most = Math.log1p(likes.reduce((a, b) => Math.max(a, b), 1));
  const base = nPoints < 4000 ? 6 : nPoints < 25000 ? 4.2 : 2.8;
  const sizeOf = (point) => (isItem(point) ? base * (0.6 + (1.3 * Math.log1p(likes[point])) / most) : base * 0.9);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const scale = () => (dark.matches ? colour.scale : [...colour.scale].reverse());
  const span = values && values.reduce(([a, b], one) => (Number.isNaN(one) ? [a, b] : [Math.min(a, one), Math.max(b, one)]), [Infinity, -Infinity]);
  const hidden = new Set(); // looks that the legend has turned off
  const numberOf = (value) => (colour.log ? Math.log1p(value) : value);

  const groups = [];
  const everything = Array.from({ length: nPoints }, (_, point) => point);
  if (people) {
    groups.push({ name: "users", look: data.people.look, points: everything.slice(nItems), opacity: 0.55 });
  }
  const items = everything.slice(0, nItems).sort((a, b) => likes[a] - likes[b]); // the best liked on top
  if (codes) {
    const order = colour.names.map((_, code) => code).sort((a, b) => (colour.names[b] === "other") - (colour.names[a] === "other"));
    for (const code of order) {
      const points = items.filter((item) => codes[item] === code);
      groups.push({ name: colour.names[code], look: colour.looks[code], points, opacity: 0.9, code });
    }
  } else {
    const isKnown = (item) => !Number.isNaN(values[item]);
    const unknown = items.filter((item) => !isKnown(item));
    if (unknown.length) groups.push({ name: "unknown", look: colour.rest, points: unknown, opacity: 0.9 });
    groups.push({ name: colour.label, look: null, points: items.filter(isKnown), opacity: 0.9 });
  }

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

  // The pointer.

  function hover(point, event) {
    const tip = byId("tip");
    if (point === null && hovered === null) return;
    hovered = point;
    markAll();
    tip.hidden = point === null;
    if (point === null) return;
    tip.replaceChildren(element("strong", {}, short(nameOf(point), 120)));
    if (isItem(point)) {
      tip.append(element("p", {}, short(factsOf(point), 160)), element("p", {}, "Nearest in the learned space:"));
      tip.append(element("ol", {}, ...nearTo(point).map((item) => element("li", {}, short(nameOf(item), 60)))));
    } else {
      const user = point - nItems;
      tip.append(element("p", {}, `likes ${counted(likedBy(user).length, "item")}; click for recommendations`));
    }
    const { width, height } = tip.getBoundingClientRect();
    const [x, y] = event ? [event.clientX, event.clientY] : [0, 0];
    tip.style.left = `${x + 18 + width > innerWidth ? Math.max(4, x - width - 18) : x + 18}px`;
    tip.style.top = `${Math.max(4, Math.min(y + 12, innerHeight - height - 8))}px`;
  }

  // The panel: of the chosen point, or how to use the page.

  function row(point, ...more) {
    const pointAt = (which) => () => { pointed = which; markAll(); };
    const on = { onmouseenter: pointAt(point), onmouseleave: pointAt(null), onfocus: pointAt(point), onblur: pointAt(null) };
    const go = () => choose(point, true);
    return element(
      "button", { type: "button", class: "row", "data-point": point, onclick: go, ...on },
      element("span", { class: "what" }, short(nameOf(point), 300)), ...more,
    );
  }
  function numbered(button) {
    button.classList.add("numbered");
    return button;
  }

  function choose(point, moving = false) {
    chosen = point;
    pointed = null;
    hover(null);
    const panel = byId("panel");
    panel.scrollTop = 0;
    if (point === null) {
      byId("told").textContent = "Nothing is chosen.";
      panel.replaceChildren(...help());
    } else {
      panel.replaceChildren(...(isItem(point) ? aboutItem(point) : aboutUser(point - nItems)));
      byId("told").textContent = `${short(nameOf(point), 120)} is chosen.`;
      if (moving) {
        views.forEach((view) => bringIntoView(view, point));
        panel.querySelector("h2").focus({ preventScroll: true }); // from where Tab goes into its lists
      }
    }
    markAll();
  }

  function aboutItem(item) {
    const near = nearTo(item);
    const far = (place) => element("span", { class: "far", title: "distance" }, distances[item * data.nNearest + place].toFixed(2));
    const id = data.titles && titles[item] !== data.ids[item] ? `id ${data.ids[item]}; ` : "";
    const list = near.map((other, place) => element("li", {}, numbered(row(other, far(place)))));
    return [
      element("h2", { tabindex: "-1" }, short(nameOf(item), 2000)),
      element("p", {}, id + factsOf(item)),
      element("h3", {}, near.length ? "Nearest in the learned space" : "Nothing is known of it, and nothing is near"),
      element("ol", { id: "nearest" }, ...list),
    ];
  }

  function aboutUser(user) {
    const liked = likedBy(user).sort((a, b) => likes[b] - likes[a]);
    const recommended = recommendedTo(user).map((item, place) => {
      const because = reasonsFor(user, place).flatMap((reason, nth) => [
        nth ? " and " : "because you liked ",
        element("button", { type: "button", "data-point": reason, onclick: () => choose(reason, true) }, short(nameOf(reason), 80)),
      ]);
      return element("li", {}, numbered(row(item)), because.length ? element("div", { class: "why" }, ...because) : null);
    });
    const first = 12;
    const list = element("ol", { id: "liked" }, ...liked.slice(0, first).map((item) => element("li", {}, row(item))));
    const rest = element("button", {
      type: "button", class: "more",
      onclick: () => { list.append(...liked.slice(first).map((item) => element("li", {}, row(item)))); rest.remove(); },
    }, `Show all ${many.format(liked.length)}`);
    return [
      element("h2", { tabindex: "-1" }, nameOf(user + nItems)),
      element("p", {}, `likes ${counted(liked.length, "item")}`),
      element("h3", {}, "Recommended"),
      element("ol", { id: "recommended" }, ...recommended),
      element("h3", {}, "Liked, dashed on the map, the most popular first"),
      list,
      liked.length > first ? rest : "",
    ].filter(Boolean);
  }

  function help() {
    const line = (key, text) => element("p", {}, element("kbd", {}, key), ` ${text}`);
    return [
      element("h2", {}, "Near means alike"),
      element("p", {}, "Items that the same people like are near each other. Distances in the plane are only roughly those "
        + "of the learned space; lists of what is nearest are exact."),
      element("p", {}, `The larger a point, the more likes. Point at ${people ? "an item or a user" : "an item"}, or choose `
        + "one by a click, to see what is near."),
      element("h3", {}, "Keys"),
      line("/", "search; up and down go through what is found, Enter chooses"),
      line("Tab", "from list to list; up and down inside one, Enter chooses"),
      line("← ↑ → ↓", "on the map: move it"),
      line("+ − 0", "zoom in, zoom out, show everything"),
      line("Esc", "close, choose nothing"),
    ];
  }

  // The legend.

  function swatch(look) {
    const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    picture.setAttribute("viewBox", "0 0 14 14");
    picture.setAttribute("aria-hidden", "true");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", SHAPES[look.shape]);
    path.setAttribute("fill", look.colour);
    picture.append(path);
    return picture;
  }
  function drawLegend() {
    const parts = [element("h3", {}, short(colour.label, 80))];
    if (values) {
      const [low, high] = span;
      const middle = colour.log ? Math.expm1((Math.log1p(low) + Math.log1p(high)) / 2) : (low + high) / 2;
      const bar = element("div", { class: "bar" });
      bar.style.background = `linear-gradient(to right, ${scale().join(",")})`;
      const digits = high - low > 20 ? 0 : 2;
      const grouped = colour.log || Math.abs(high) >= 10000; // years are not
      const form = new Intl.NumberFormat(undefined, { maximumFractionDigits: digits, useGrouping: grouped });
      const end = (one) => element("span", {}, form.format(one));
      parts.push(bar, element("div", { class: "ends" }, end(low), end(middle), end(high)));
    }
    const inOrder = [...groups.keys()].sort((a, b) => (groups[a].code ?? 99) - (groups[b].code ?? 99));
    for (const place of inOrder) {
      const group = groups[place];
      if (!group.look) continue;
      const n = group.points.filter((point) => shown(places, point)).length;
      const toggle = () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", on);
        hidden[on ? "delete" : "add"](group.look);
        views.forEach((view) => Plotly.restyle(view.plot, { visible: on }, [place]));
      };
      const name = element("span", {}, short(group.name, 80));
      const button = element("button", { type: "button", "aria-pressed": "true", title: "Show or hide", onclick: toggle },
        swatch(group.look), name, element("span", { class: "much" }, many.format(n)));
      parts.push(button);
    }
    byId("legend").replaceChildren(...parts);
  }

  // Search.

  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const sought = everything.filter((point) => shown(places, point));
  let texts = null; // made when first needed: a title, and the id behind it
  function found(query) {
    texts = texts || sought.map((point) => plain(isItem(point) && data.titles ? `${titles[point]} ${data.ids[point]}` : nameOf(point)));
    const words = plain(query).split(/\s+/).filter(Boolean);
    if (!words.length) return [];
    const hits = [];
    texts.forEach((text, at) => {
      if (!words.every((word) => text.includes(word))) return;
      const point = sought[at];
      const begins = text.startsWith(words[0]) ? 2 : (` ${text}`).includes(` ${words[0]}`) ? 1 : 0;
      hits.push([begins, isItem(point) ? likes[point] : 0, point]);
    });
    return hits.sort((a, b) => b[0] - a[0] || b[1] - a[1] || a[2] - b[2]).slice(0, 40).map((hit) => hit[2]);
  }
  const search = byId("search"), results = byId("results");
  let active = -1;
  function listed() {
    const hits = found(search.value);
    results.replaceChildren(...hits.map((point, at) => element(
      "li", { role: "option", id: `result-${at}`, "data-point": point, "aria-selected": "false",
        onmousedown: (event) => { event.preventDefault(); take(point); } },
      element("span", {}, short(nameOf(point), 120)),
      element("span", { class: "much" }, isItem(point) ? likesOf(point) : ""),
    )));
    if (!hits.length && search.value.trim()) {
      results.append(element("li", { role: "option", "aria-disabled": "true" }, element("span", {}, "Nothing is called so")));
    }
    open(search.value.trim() !== "");
    activate(hits.length ? 0 : -1);
  }
  function open(on) {
    results.hidden = !on;
    search.setAttribute("aria-expanded", on);
    if (!on) search.removeAttribute("aria-activedescendant");
  }
  function activate(at) {
    active = at;
    Array.from(results.children).forEach((one, place) => one.setAttribute("aria-selected", place === at));
    if (at < 0) return;
    search.setAttribute("aria-activedescendant", `result-${at}`);
    results.children[at].scrollIntoView({ block: "nearest" });
  }
  function take(point) {
    open(false);
    search.value = "";
    choose(point, true);
  }
  search.addEventListener("input", listed);
  search.addEventListener("focus", () => { if (search.value) listed(); });
  search.addEventListener("blur", () => open(false));
  search.addEventListener("keydown", (event) => {
    const options = results.querySelectorAll("[data-point]");
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && options.length && !results.hidden) {
      activate((active + (event.key === "ArrowDown" ? 1 : -1) + options.length) % options.length);
      event.preventDefault();
    } else if (event.key === "Enter" && active >= 0 && !results.hidden) {
      take(Number(options[active].dataset.point));
    } else if (event.key === "Escape" && search.value) {
      search.value = "";
      open(false);
      event.stopPropagation();
    }
  });

  // The keyboard elsewhere.

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target === search;
    if (event.key === "Escape") {
      if (chosen !== null) choose(null);
      if (typing) search.blur();
    } else if (event.key === "/" && !typing) {
      search.focus();
      event.preventDefault();
    } else if (event.target.closest && event.target.closest("#panel") && /^Arrow(Up|Down)$/.test(event.key)) {
      const buttons = Array.from(byId("panel").querySelectorAll("button"));
      const next = buttons[buttons.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1)];
      if (next) next.focus();
      event.preventDefault();
    }
  });
  const KEYS = {
    ArrowLeft: (view) => shift(view, -0.12, 0), ArrowRight: (view) => shift(view, 0.12, 0),
    ArrowUp: (view) => shift(view, 0, 0.12), ArrowDown: (view) => shift(view, 0, -0.12),
    "+": (view) => zoom(view, 0.7), "=": (view) => zoom(view, 0.7), "-": (view) => zoom(view, 1 / 0.7), 0: showAll,
  };
  for (const view of views) {
    view.root.addEventListener("keydown", (event) => {
      if (!(event.key in KEYS) || event.ctrlKey || event.metaKey || event.altKey) return;
      KEYS[event.key](view);
      event.preventDefault();
    });
    followPointer(view);
  }
  byId("closer").addEventListener("click", () => views.forEach((view) => zoom(view, 0.7)));
  byId("farther").addEventListener("click", () => views.forEach((view) => zoom(view, 1 / 0.7)));
  byId("all").addEventListener("click", () => views.forEach(showAll));

  const begin = () => Promise.all(views.map(draw)).then(markAll);
  dark.addEventListener("change", () => { drawLegend(); begin(); });
  drawLegend();
  byId("panel").replaceChildren(...help());
  // For scripts: what the page knows, and what it can be told.
  window.cmlfastMap = {
    data, views, places, nearTo, likedBy, recommendedTo, reasonsFor, choose, found,
    chosen: () => chosen, hovered: () => hovered, pixel: (name, point) => pixel(views.find((one) => one.name === name), point),
    ready: begin(),
  };
})();
