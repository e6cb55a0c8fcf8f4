"""A saved model behind HTTP: ``python serve.py likes.model --port 8000``, then http://127.0.0.1:8000/docs."""

from __future__ import annotations

import argparse
from collections.abc import Hashable, Iterable
from contextlib import asynccontextmanager

import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel
from scipy import sparse

from cmlfast import CML

N = Query(10, ge=1, le=1000, description="how many")


class Likes(BaseModel):
    """What a user likes of whom nothing else is known."""

    items: list[str | int]


class Known:
    """The ids of a model by how they are written in a URL: "7" is the integer 7 where ids are integers."""

    def __init__(self, ids: np.ndarray, kind: str) -> None:
        self.kind = kind
        self.places = {str(one): place for place, one in enumerate(ids.tolist())}
        self.ids = ids.tolist()

    def __getitem__(self, written: Hashable) -> int:
        if str(written) not in self.places:
            raise HTTPException(404, f"the model does not know the {self.kind} {str(written)!r}")
        return self.places[str(written)]


def application(path: str) -> FastAPI:
    """Return the server of the model in a file."""
    model: CML
    users: Known
    items: Known

    @asynccontextmanager
    async def lifespan(_: FastAPI):
        # Here, not above: each worker loads its own, after it was started (docs/serving.md, forks).
        nonlocal model, users, items
        model = CML.load(path)
        users, items = Known(model.user_ids_, "user"), Known(model.item_ids_, "item")
        yield

    app = FastAPI(title="cmlfast", lifespan=lifespan)

    def answer(ids: Iterable, scores: Iterable) -> list[dict]:
        return [{"id": one, "score": score} for one, score in zip(ids.tolist(), scores.tolist(), strict=True)]

    # Plain functions: FastAPI runs each in a thread of its own, and any number of threads may ask one model.
    @app.get("/health")
    def health() -> dict:
        return {"users": len(users.ids), "items": len(items.ids), "search": model.index["kind"]}

    @app.get("/recommend/{user:path}")
    def recommend(user: str, n: int = N) -> list[dict]:
        return answer(*model.recommend(users.ids[users[user]], N=n))

    @app.post("/recommend")
    def recommend_to_new_user(likes: Likes, n: int = N) -> list[dict]:
        if not likes.items:  # nobody of whom something is known
            ids, counts = model.popular_items(n)
            return answer(ids, counts)
        columns = sorted({items[one] for one in likes.items})
        row = sparse.csr_matrix((np.ones(len(columns)), ([0] * len(columns), columns)), (1, len(items.ids)))
        return answer(*model.recommend("somebody new", row, N=n, recalculate_user=True))

    @app.get("/similar/{item:path}")
    def similar(item: str, n: int = N) -> list[dict]:
        ids, scores = model.similar_items(items.ids[items[item]], N=n + 1)
        return answer(ids[1:], scores[1:])  # the first is the item itself

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="what CML.save or cmlfast train wrote")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    uvicorn.run(application(options.model), host=options.host, port=options.port)
