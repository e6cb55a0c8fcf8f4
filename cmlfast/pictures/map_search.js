// Search by title or id.

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
