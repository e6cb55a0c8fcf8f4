"""``python -m benchmarks.peers.implicit_tests CLONE``: implicit's own tests of a recommender, on `CML`.

They are in a clone of https://github.com/benfred/implicit, in tests/recommender_base_test.py, and in no package. Says
which pass and which do not, and whether those that do not are the ones whose conventions differ (docs/serving.md).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import sys
import unittest
from pathlib import Path
from typing import Any

from cmlfast import CML

# Why what fails does.
CONVENTIONS = {
    "test_fit_non_csr_matrix": "expects a warning for other formats of SciPy, which are as welcome here",
    "test_invalid_user_items": "expects an error for other formats of SciPy",
    "test_rank_items": "expects liked items at the end of a row, which are left out here",
    "test_rank_items_batch": "the same",
    "test_recalculate_user": "expects a folded-in user's score within 0.001 of the trained one's",
    "test_serialization_without_fit": "saves what was not fitted",
    "test_similar_items": "asks for recalculate_item",
    "test_similar_items_batch": "the same",
    "test_similar_users_batch": "expects 1 as the score of a user with themselves, which is a distance of 0 here",
}


def main() -> int:
    """Run the tests; return 0 if those pass that should."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("clone", type=Path)
    path = parser.parse_args().clone / "tests" / "recommender_base_test.py"
    spec = importlib.util.spec_from_file_location("recommender_base_test", path)
    if spec is None or spec.loader is None or not path.exists():
        print(f"{path} is not there: give the folder of a clone of implicit", file=sys.stderr)
        return 3
    theirs: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)

    class Tests(theirs.RecommenderBaseTestMixin, unittest.TestCase):  # type: ignore[misc, name-defined]
        def _get_model(self) -> CML:
            return CML(n_components=32, random_state=42)

    result = unittest.TestResult()
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Tests)
    names = sorted(test._testMethodName for test in suite)  # type: ignore[union-attr]
    with contextlib.redirect_stdout(io.StringIO()):  # some of them print
        suite.run(result)
    failed = {test._testMethodName for test, _ in (*result.failures, *result.errors)}  # type: ignore[attr-defined]
    for name in names:
        reason = f"fails: {CONVENTIONS.get(name, 'AND SHOULD NOT')}" if name in failed else "passes"
        print(f"{name:36} {reason}")
    print(f"{len(names) - len(failed)} of {len(names)} pass")
    return int(failed != CONVENTIONS.keys())


if __name__ == "__main__":
    sys.exit(main())
