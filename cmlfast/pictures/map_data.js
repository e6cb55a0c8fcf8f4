// The data of the page, unpacked, and what is known of a point. A point is a number: items are 0 to J - 1, users follow.

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
