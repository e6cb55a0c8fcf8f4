"""``python -m benchmarks.figure5``: the map of MovieLens-100K's films by genre, as in figure 5 of the paper.

Writes docs/map.png, or what ``--picture`` names, and says how many of a film's ten nearest in the learned space are
among its ten nearest on the map, beside what chance would have there.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import re
import tempfile
import time
from pathlib import Path

import numpy as np

from cmlfast import CML, datasets
from cmlfast_cli.demo import film_table

NEAREST = 10


def main() -> None:
    """Fit, draw and count."""
    from PIL import Image

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--picture", type=Path, default=Path("docs/map.png"))
    picture = parser.parse_args().picture
    films = datasets.load("movielens-100k")
    model = CML(random_state=0).fit(films.interactions)
    look, drawn = {"titles": film_table(films), "color": "genre"}, io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        began, cpu = time.perf_counter(), time.process_time()
        page = model.plot(Path(folder) / "map.html", **look)
        seconds = f"{time.perf_counter() - began:.1f} s, {time.process_time() - cpu:.1f} s of processor time"
        print(f"page: {page.stat().st_size:,} bytes in {seconds}")
        share, chance = kept(page.read_text("utf-8"))
    print(f"of the {NEAREST} nearest, {share:.3f} are so on the map, too; by chance {chance:.4f}")
    model.plot(**look).savefig(drawn, format="png")
    # A page of documentation shall not be heavy, and 128 colours are enough for the edges of these.
    Image.open(drawn).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(picture, optimize=True)
    print(f"{picture}: {picture.stat().st_size:,} bytes")


def kept(page: str) -> tuple[float, float]:
    """Return the share of the nearest items that are nearest on a page's map, too, and the share by chance."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data = json.loads(found[1])
    places = np.frombuffer(base64.b64decode(data["places"]), "<f4").reshape(-1, 2).astype(np.float64)
    nearest = np.frombuffer(base64.b64decode(data["nearest"]), "<i4").reshape(-1, NEAREST)
    there = np.flatnonzero(~np.isnan(places).any(1))
    squares = ((places[there, None] - places[there]) ** 2).sum(-1)
    np.fill_diagonal(squares, np.inf)
    on_map = there[np.argsort(squares, axis=1, kind="stable")[:, :NEAREST]]
    both = [len(set(a) & set(b)) for a, b in zip(nearest[there].tolist(), on_map.tolist(), strict=True)]
    return float(np.mean(both)) / NEAREST, NEAREST / (len(there) - 1)


if __name__ == "__main__":
    main()
