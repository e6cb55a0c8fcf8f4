"""Processes that were forked from one that has used threads: they answer, on one thread, the same.

Each test is a program of its own, for threads that were once started stay, and a fork that hangs must not hang the
tests. A minute is a hundred times what a child needs.
"""

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.slow

PARENT = """
    import logging, multiprocessing, os, sys
    import numpy as np, torch
    from scipy import sparse
    from cmlfast import CML, datasets, ops, split_per_user
    from cmlfast.evaluation.popularity import popularity_recall

    N = 3000
    likes = datasets.synthetic(n_users=N, n_items=2000, n_pairs=50_000, n_groups=4, seed=1).interactions
    train, _, test = split_per_user(likes, seed=0)

    def fitted(**params):
        return CML(n_components=32, n_epochs=2, loss="warp", random_state=0, **params).fit(train)

    def answers(model):
        table = model.item_embedding_
        return {
            "recommend": model.recommend(np.arange(N), N=5)[0].tolist(),
            "folded in": model.recommend(np.arange(50), train.matrix[:50], recalculate_user=True, N=5)[0].tolist(),
            "similar": model.similar_items(np.arange(500), N=5)[0].tolist(),
            "evaluate": model.evaluate(test, 10),
            "popularity": popularity_recall(train, test, (10,)),
            "fit": fitted().item_embedding_.tolist(),
            "operator": torch.ops.cmlfast.topk(table, table, 5, None, None, "sqeuclidean")[0].tolist(),
            "torch": (torch.ones(2000, 200) @ torch.ones(200, 2000)).sum().item(),
            "features": CML(n_components=8, n_epochs=1).fit(train, np.eye(2000, 8)).history_[0]["epoch"],
        }

    def child(model, queue):
        queue.put((answers(model) == expected, torch.get_num_threads()))
"""


def run(program: str) -> subprocess.CompletedProcess:
    code = textwrap.dedent(PARENT) + textwrap.dedent(program)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)


FORKED = """
    torch.set_num_threads(2)
    model = fitted()
    expected = answers(model)
"""


def test_children_of_a_fork_answer_what_their_parent_does():
    done = run(
        FORKED
        + """
    context = multiprocessing.get_context("fork")
    for _ in range(2):
        queue = context.Queue()
        process = context.Process(target=child, args=(model, queue))
        process.start()
        print(queue.get(timeout=60))
        process.join()
    print(torch.get_num_threads(), answers(model) == expected)  # the parent is as it was
    """
    )
    assert done.stdout.splitlines() == ["(True, 1)", "(True, 1)", "2 True"], done.stderr
    told = [line for line in done.stderr.splitlines() if "was forked from one that had loaded cmlfast" in line]
    assert len(told) == 2  # once a child
    assert "OMP_NUM_THREADS" in told[0]


def test_workers_of_a_server_that_loads_before_it_forks():
    """As gunicorn --preload does: the master loads and warms up, workers are forked and forked again as they die."""
    done = run(
        FORKED
        + """
    for generation in range(2):
        workers = []
        for worker in range(2):
            reader, writer = os.pipe()
            if (pid := os.fork()) == 0:
                model.partial_fit(sparse.csr_matrix(([1.0], ([worker], [generation])), shape=(N, 2000)))
                os.write(writer, str(model.recommend(np.arange(N), N=3)[0].shape).encode())
                os._exit(0)
            workers.append((pid, reader))
        for pid, reader in workers:
            print(os.read(reader, 100).decode(), os.waitpid(pid, 0)[1])
    """
    )
    assert done.stdout.splitlines() == ["(3000, 3) 0"] * 4, done.stderr


@pytest.mark.parametrize("backend", ["multiprocessing", "loky", "threading"])
def test_workers_of_joblib(backend):
    done = run(
        FORKED
        + f"""
    from joblib import Parallel, delayed
    def ask(some):
        return model.recommend(some, N=3)[0].tolist()
    parts = np.array_split(np.arange(N), 4)
    found = Parallel(n_jobs=2, backend="{backend}")(delayed(ask)(some) for some in parts)
    print(sum(found, []) == model.recommend(np.arange(N), N=3)[0].tolist())
    """
    )
    assert done.stdout.splitlines() == ["True"], done.stderr


def test_spawned_processes_keep_their_threads(tmp_path):
    path = tmp_path / "spawned.py"
    program = textwrap.dedent("""
    if __name__ == "__main__":
        torch.set_num_threads(2)
        model = fitted()
        model.save(sys.argv[1])
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        process = context.Process(target=loaded, args=(sys.argv[1], queue))
        process.start()
        ids, threads = queue.get(timeout=60)
        process.join()
        print(ids == model.recommend(np.arange(N), N=3)[0].tolist(), threads > 1)
    """)
    child = textwrap.dedent("""
    def loaded(path, queue):
        torch.set_num_threads(2)
        queue.put((CML.load(path).recommend(np.arange(N), N=3)[0].tolist(), torch.get_num_threads()))
    """)
    path.write_text(textwrap.dedent(PARENT) + child + program)
    done = subprocess.run([sys.executable, path, tmp_path / "m"], capture_output=True, text=True, timeout=240)
    assert done.stdout.splitlines() == ["True True"], done.stderr
    assert "forked" not in done.stderr


def test_who_wants_one_thread_is_not_told_of_it():
    done = run("""
    torch.set_num_threads(1)
    model = fitted()
    if os.fork() == 0:
        fitted()
        os._exit(0)
    print(os.wait()[1])
    """)
    assert (done.stdout, done.stderr) == ("0\n", "")
