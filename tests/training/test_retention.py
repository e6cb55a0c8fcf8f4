"""Who was seen when, and who is dropped for it, against loops over rows."""

import time

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from cmlfast import CML, Interactions

DAY = 86_400
START = 1_700_000_000


def rows(seed: int, n: int = 400, begin: int = 0, end: int = 100) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "user": [f"u{one}" for one in rng.integers(0, 50, n) ** 2 // 50],
            "item": rng.integers(0, 40, n),
            "time": START + rng.integers(begin * DAY, end * DAY, n),
        }
    )


def fitted(frame: pd.DataFrame, timed: bool = True, **options) -> CML:
    likes = Interactions.from_frame(frame, time="time" if timed else None)
    return CML(4, n_epochs=2, random_state=0, **options).fit(likes)


def active(frame: pd.DataFrame, column: str, days: float) -> set:
    last = frame.groupby(column).time.max()
    return set(last[last >= frame.time.max() - days * DAY].index)


@pytest.mark.parametrize("unit", [1, 1000, "dates"])
def test_who_is_dropped_after_a_training_and_two_updates(tmp_path, unit) -> None:
    """Seconds, then another unit, then seconds again: the model knows all by the same clock."""
    days = [rows(1, 300, 0, 60), rows(2, 60, 60, 80), rows(3, 20, 80, 90)]
    days[1].loc[::7, "user"] = "a" + days[1].user  # new ones, before the others by their names
    days[2].loc[0, ["user", "item"]] = ["new", 99]
    model = fitted(days[0])
    middle = days[1].copy()
    middle["time"] = pd.to_datetime(middle.time, unit="s") if unit == "dates" else middle.time * unit
    model.partial_fit(Interactions.from_frame(middle, time="time"))
    model.save(tmp_path / "m")
    model = CML.load(tmp_path / "m").partial_fit(Interactions.from_frame(days[2], time="time"))
    whole = pd.concat(days)
    for kind, ids in (("user", model.user_ids_), ("item", model.item_ids_)):
        assert dict(zip(ids, model._fitted.last_seen[kind], strict=True)) == whole.groupby(kind).time.max().to_dict()
    before = {user: model.user_embedding_[n] for n, user in enumerate(model.user_ids_)}
    likes = {(u, i) for u, i in zip(whole.user, whole.item, strict=True)}
    model.drop_inactive(25, 40)
    users, items = active(whole, "user", 25), active(whole, "item", 40)
    assert 0 < len(users) < whole.user.nunique()
    assert 0 < len(items) < whole.item.nunique()
    assert set(model.user_ids_) == users
    assert set(model.item_ids_) == items
    for n, user in enumerate(model.user_ids_):
        np.testing.assert_array_equal(model.user_embedding_[n], before[user])
    pairs = model.user_items_.matrix.tocoo()
    left = {(model.user_ids_[u], model.item_ids_[i]) for u, i in zip(pairs.row, pairs.col, strict=True)}
    assert left == {(u, i) for u, i in likes if u in users and i in items}
    model.save(tmp_path / "m")
    again = CML.load(tmp_path / "m").drop_inactive(25, 40)
    assert set(again.user_ids_) == users
    assert len(again.recommend(again.user_ids_[0], N=3)[0]) == 3


@pytest.mark.parametrize("kept", [True, False])
def test_an_item_keeps_its_number_of_likes_when_their_users_go(kept) -> None:
    frame = rows(4)
    model = fitted(frame, keep_user_items=kept)
    before = dict(zip(model.item_ids_, model._fitted.item_likes, strict=True))
    model.drop_inactive(user_days=10)
    assert dict(zip(model.item_ids_, model._fitted.item_likes, strict=True)) == before
    more = pd.DataFrame({"user": ["x", "y", "x"], "item": [3, 3, 5]})
    model.partial_fit(Interactions.from_frame(more))
    expected = before | {3: before[3] + 2, 5: before[5] + 1}
    assert dict(zip(model.item_ids_, model._fitted.item_likes, strict=True)) == expected


def test_who_comes_back_is_new() -> None:
    frame = rows(5)
    model = fitted(frame)
    gone = sorted(set(frame.user) - active(frame, "user", 5))[0]
    model.drop_inactive(5)
    assert gone not in model.user_ids_.tolist()
    n = len(model.user_ids_)
    model.partial_fit(Interactions.from_frame(pd.DataFrame({"user": [gone], "item": [7]})))
    assert model.user_ids_[n] == gone
    assert model.user_items_.matrix[n].nnz == 1


def test_of_whom_no_time_is_known_stays() -> None:
    model = fitted(rows(6), timed=False)
    with pytest.raises(ValueError, match=r"user_days is 3, but the model knows no dates .*with times \(--time\)"):
        model.drop_inactive(3)
    known = set(model.user_ids_)
    day = pd.DataFrame({"user": ["late", "early"], "item": [1, 2], "time": [START + 90 * DAY, START]})
    model.partial_fit(Interactions.from_frame(day, time="time"))
    assert set(model.drop_inactive(3).user_ids_) == known | {"late"}


def test_one_time_of_the_future_drops_nobody_else() -> None:
    now = int(time.time())
    frame = pd.DataFrame({"user": ["a", "b", "c"] * 2, "item": [1, 2, 3, 2, 3, 1]})
    frame["time"] = [now - 50 * DAY, now - 2 * DAY, now + 9000 * DAY] * 2
    assert set(fitted(frame).drop_inactive(10).user_ids_) == {"b", "c"}


def test_wrong_days_and_models_are_refused_and_unchanged() -> None:
    model = fitted(rows(7))
    n = len(model.user_ids_)
    for days in (0, -1, np.nan, "3", True):
        with pytest.raises(ValueError, match=r"user_days is .*above 0"):
            model.drop_inactive(days)
        with pytest.raises(ValueError, match=r"item_days is .*above 0"):
            model.drop_inactive(item_days=days)
    assert len(model.drop_inactive().user_ids_) == n
    bare = CML(4, n_epochs=1, random_state=0).fit(sparse.random(20, 30, 0.2, format="csr", random_state=0))
    with pytest.raises(ValueError, match="meant by their numbers"):
        bare.drop_inactive(3)
    with pytest.raises(ValueError, match="not fitted yet"):
        CML().drop_inactive(3)


def test_times_that_are_no_dates_are_not_kept() -> None:
    frame = rows(8)
    frame["time"] = range(len(frame))
    with pytest.raises(ValueError, match="knows no dates"):
        fitted(frame).drop_inactive(3)


def test_an_index_does_not_outlive_the_items_it_is_of(tmp_path) -> None:
    pytest.importorskip("annoy")
    model = fitted(rows(9)).build_index("annoy")
    model.save(tmp_path / "m")
    assert model.index["kind"] == "annoy"
    assert model.drop_inactive(item_days=20).index == {"kind": "exact"}
    model.save(tmp_path / "m")
    assert [file.name for file in tmp_path.iterdir()] == ["m"]
