// The keyboard and the buttons; then everything begins.

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
dark.addEventListener("change", () => { hidden.clear(); drawLegend(); begin(); });
drawLegend();
byId("panel").replaceChildren(...help());
// For scripts: what the page knows, and what it can be told.
window.cmlfastMap = {
  data, views, places, nearTo, likedBy, recommendedTo, reasonsFor, choose, found,
  chosen: () => chosen, hovered: () => hovered, pixel: (name, point) => pixel(views.find((one) => one.name === name), point),
  ready: begin(),
};
