"""The example server and the SQL of docs/export.md, as somebody would use them: over HTTP, and in a database."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from cmlfast import CML, Interactions, datasets

DOCS = Path(__file__).parents[1] / "docs"
pytestmark = pytest.mark.slow


def ask(address: str, body: dict | None = None) -> tuple[int, object]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Yield a model whose users are strings and items integers, and the address of a process that serves it."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    likes = datasets.synthetic(n_users=60, n_items=50, n_pairs=700, n_groups=4, seed=1).interactions
    users = [f"u/{user}" for user in range(likes.n_users)]  # with a character that addresses are cut at
    model = CML(n_components=8, n_epochs=5, random_state=0).fit(Interactions(likes.matrix, users, range(100, 150)))
    path = tmp_path_factory.mktemp("server") / "likes.model"
    model.save(path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(DOCS / "examples" / "serve.py"), str(path), "--port", str(port)]
    with open(path.with_suffix(".log"), "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, path.with_suffix(".log").read_text()
            try:
                ask(f"{address}/health")
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        yield model, address
    finally:
        process.terminate()
        process.wait(timeout=30)


def check(answer: object, ids: np.ndarray, scores: np.ndarray) -> None:
    assert [one["id"] for one in answer] == ids.tolist()
    np.testing.assert_allclose([one["score"] for one in answer], scores, rtol=1e-6)


def test_the_server_says_what_the_model_says(served) -> None:
    model, address = served
    assert ask(f"{address}/health") == (200, {"users": 60, "items": 50, "search": "exact"})
    check(ask(f"{address}/recommend/u/7?n=3")[1], *model.recommend("u/7", N=3))
    ids, scores = model.similar_items(104, N=4)
    check(ask(f"{address}/similar/104?n=3")[1], ids[1:], scores[1:])


def test_the_server_places_new_users(served) -> None:
    model, address = served
    row = sparse.csr_matrix(([1, 1], ([0, 0], [4, 30])), shape=(1, 50))
    expected = model.recommend("new", Interactions(row, ["new"], range(100, 150)), N=5, recalculate_user=True)
    status, answer = ask(f"{address}/recommend?n=5", {"items": [104, "130"]})
    assert status == 200
    check(answer, *expected)
    check(ask(f"{address}/recommend?n=5", {"items": []})[1], *model.popular_items(5))


@pytest.mark.parametrize(
    ("path", "body", "unknown"),
    [
        ("/recommend/u/77", None, "user 'u/77'"),
        ("/similar/7", None, "item '7'"),
        ("/recommend", {"items": [104, 7]}, "item '7'"),
    ],
)
def test_the_server_names_what_it_does_not_know(served, path, body, unknown) -> None:
    status, answer = ask(served[1] + path, body)
    assert (status, answer["detail"]) == (404, f"the model does not know the {unknown}")


def test_the_server_refuses_nonsense(served) -> None:
    assert ask(f"{served[1]}/recommend/u/7?n=0")[0] == 422
    assert ask(f"{served[1]}/recommend", {"likes": [1]})[0] == 422


def test_the_sql_of_the_export_page() -> None:
    """On the database that CMLFAST_POSTGRES names, in what is rolled back at the end."""
    where = os.environ.get("CMLFAST_POSTGRES")
    if not where or not shutil.which("psql"):
        pytest.skip("CMLFAST_POSTGRES names no database with pgvector to try the SQL on, or there is no psql")
    text = (DOCS / "export.md").read_text()
    make, query, index = re.findall(r"^```sql\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    names: dict = {}
    for code in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        if "faiss" not in code and "qdrant" not in code:
            exec(code, names)
    script = ["BEGIN;", make]
    for table in ("item", "person", "liked"):
        script.append(f"COPY {table} FROM STDIN;\n{names[f'{table}_rows']}\\.")
    script += [query, index, query, "ROLLBACK;"]
    command = ["psql", where, "-X", "-q", "-A", "-t", "-F", " ", "-v", "ON_ERROR_STOP=1"]
    run = subprocess.run(command, input="\n".join(script), capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    rows = np.array([line.split() for line in run.stdout.splitlines()], dtype=float)
    assert len(rows) == 20
    for found in (rows[:10], rows[10:]):
        assert found[:, 0].tolist() == names["expected"].tolist()
        np.testing.assert_allclose(found[:, 1], names["scores"], atol=1e-5)
