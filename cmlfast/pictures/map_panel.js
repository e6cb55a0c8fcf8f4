// What is said of a point, where the pointer is and in the panel; and the legend.

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
