"""Tables that are read in parts, against pandas: repeats across files, borders within a user, ids that come late."""

import gzip
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmlfast import Interactions
from cmlfast.data import gather, parquet, parts, text

FORMATS = ("csv", "parquet")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Have every border come up in small tables: of blocks, batches, of what is numbered and sorted together."""
    monkeypatch.setattr(text, "BLOCK", 256)
    monkeypatch.setattr(parts, "BATCH", 7)
    monkeypatch.setattr(parquet, "BATCH", 7)
    monkeypatch.setattr(parquet, "FEW", 3)
    monkeypatch.setattr(gather, "ROWS", 13)
    monkeypatch.setattr(gather, "SLICE", 5)


def hostile(seed: int, strings: bool) -> pd.DataFrame:
    """Return rows with repeats far apart, sorted against their ids, the largest ids last."""
    rng = np.random.default_rng(seed)
    n = 400
    frame = pd.DataFrame(
        {
            "user": rng.integers(0, 30, n),
            "item": rng.integers(-20, 20, n),
            "rating": rng.integers(0, 6, n) / 2,
            "time": rng.integers(1_700_000_000, 1_700_000_000 + 86_400 * 90, n),
        }
    ).sort_values("user", ascending=False, kind="stable")
    late = pd.DataFrame({"user": [10**15, -5], "item": [3, 10**12], "rating": [2.5, 2.5], "time": [1_700_000_001] * 2})
    frame = pd.concat([frame, frame.sample(50, random_state=seed), late], ignore_index=True)
    if strings:
        frame = frame.astype({"user": str})
        frame["user"] = "ü" + frame["user"]
    return frame


def written(frame: pd.DataFrame, folder, form: str, n_files: int = 3):
    folder.mkdir()
    for number, rows in enumerate(np.array_split(np.arange(len(frame)), n_files)):
        part = frame.iloc[rows]
        if form == "csv":
            part.to_csv(folder / f"{number}.csv", index=False)
        else:
            pq.write_table(pa.Table.from_pandas(part, preserve_index=False), folder / f"{number}.parquet")
    return folder


def read(folder, form: str, **options) -> Interactions:
    return (Interactions.from_csv if form == "csv" else Interactions.from_parquet)(folder, **options)


def pairs(likes: Interactions) -> dict:
    """Return the time of each pair, by its ids, read off the matrix a row at a time; 0 without times."""
    found = {}
    for row, user in enumerate(likes.user_ids.tolist()):
        for at in range(likes.matrix.indptr[row], likes.matrix.indptr[row + 1]):
            time = 0 if likes.times is None else likes.times[at]
            found[user, likes.item_ids[likes.matrix.indices[at]]] = time
    assert len(found) == likes.nnz
    return found


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("strings", [False, True])
@pytest.mark.parametrize("min_count", [1, 2])
def test_many_files_are_what_pandas_makes_of_them(tmp_path, form, strings, min_count) -> None:
    frame = hostile(1, strings)
    liked = frame[frame.rating >= 1.5]
    groups = liked.groupby(["user", "item"]).time
    expected = groups.max()[groups.size() >= min_count]
    folder = written(frame, tmp_path / "likes", form)
    likes = read(folder, form, value="rating", min_value=1.5, time="time", min_count=min_count)
    assert pairs(likes) == expected.to_dict()
    assert likes.user_ids.tolist() == sorted(set(frame.user))
    assert likes.item_ids.tolist() == sorted(set(frame.item))
    rare = groups.size()[groups.size() < min_count].sum()
    assert likes.n_dropped == (frame.rating < 1.5).sum() + rare
    assert likes.n_duplicates == len(liked) - rare - len(expected)
    assert likes.matrix.has_canonical_format
    for row in range(likes.n_users):
        columns = likes.matrix.indices[likes.matrix.indptr[row] : likes.matrix.indptr[row + 1]].tolist()
        assert columns == sorted(set(columns))


@pytest.mark.parametrize("form", FORMATS)
def test_neither_order_nor_files_matter(tmp_path, form) -> None:
    frame = hostile(2, True)
    whole = Interactions.from_frame(frame, time="time")
    shuffled = written(frame.sample(frac=1, random_state=0), tmp_path / "many", form, 11)
    other = read(shuffled, form, time="time")
    np.testing.assert_array_equal(whole.matrix.indptr, other.matrix.indptr)
    np.testing.assert_array_equal(whole.matrix.indices, other.matrix.indices)
    np.testing.assert_array_equal(whole.times, other.times)
    assert whole.user_ids.tolist() == other.user_ids.tolist()


def test_a_catalogue_fixes_the_order_of_what_comes_in_parts(tmp_path) -> None:
    frame = hostile(3, False)
    users = [*sorted(set(frame.user), key=lambda one: (one * 7919) % 31), 77]
    folder = written(frame, tmp_path / "likes", "csv")
    likes = Interactions.from_csv(folder, user_ids=users)
    assert likes.user_ids.tolist() == users
    assert set(pairs(likes)) == set(zip(frame.user, frame.item, strict=True))
    with pytest.raises(ValueError, match=r"user id -?\d+ \(\d+ such in all\) is not in user_ids"):
        Interactions.from_csv(folder, user_ids=users[:5])


def test_ids_that_turn_into_words_in_the_last_file_are_words_in_all(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("user,item\n" + "".join(f"{n},1\n" for n in range(100)))
    (tmp_path / "b.csv").write_text("user,item\nlast,1\n")
    likes = Interactions.from_csv(tmp_path)
    assert likes.user_ids.tolist() == sorted([*map(str, range(100)), "last"])
    pq.write_table(pa.table({"user": [1], "item": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"user": ["x"], "item": [1]}), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"b\.parquet"):
        Interactions.from_parquet(tmp_path / "*.parquet")


def test_values_and_times_that_change_their_looks_after_a_block(tmp_path) -> None:
    """Arrow guesses by the first block: integers, of which some later have fractions; dates that later have hours."""
    path = tmp_path / "likes.csv"
    path.write_text("user,item,v,t\n" + "".join(f"u{n},{n},1,{n}\n" for n in range(80)) + "u,9,2.5,80.5\n")
    likes = Interactions.from_csv(path, value="v", min_value=0.5, time="t")
    assert (likes.nnz, likes.n_duplicates, likes.times.dtype) == (81, 0, np.float64)
    assert sorted(likes.times.tolist()) == [*range(80), 80.5]
    days = pd.date_range("2025-01-01", periods=80).strftime("%Y-%m-%d").tolist()
    path.write_text(
        "user,item,t\n" + "".join(f"u{n},1,{day}\n" for n, day in enumerate(days)) + "u,1,2026-01-01 06:00:00\n"
    )
    likes = Interactions.from_csv(path, time="t")
    expected = pd.to_datetime([*days, "2026-01-01 06:00:00"], format="ISO8601").as_unit("us").astype("int64")
    assert sorted(likes.times.tolist()) == sorted(expected.tolist())


@pytest.mark.parametrize(
    ("last", "options", "message"),
    [
        ("x,1,2,3,4\n", {}, r"b\.csv': line 32 has 5 fields in place of 4, 'x,1,2,3,4'"),
        ("x,,2,3\n", {}, r"empty cells .*: 1 in item; row 31 of '.*b\.csv'"),
        ("x,1,,3\n", {"value": "v"}, r"empty cells .*: 1 in value; row 31 of '.*b\.csv'"),
        ("x,1,-2,3\n", {"value": "v"}, r"value column contains -2 \(row 31 of '.*b\.csv'\)"),
        ("x,1,inf,3\n", {"value": "v"}, r"value column contains inf \(row 31 of '.*b\.csv'\)"),
        ("x,1,many,3\n", {"value": "v"}, r"b\.csv' .*Row #32.*'many'"),
        ("x,1,2,\n", {"time": "t"}, r"empty cells .*: 1 in time; row 31 of '.*b\.csv'"),
        ("x,1,2,soon\n", {"time": "t"}, r"b\.csv' .*Row #32.*'soon'"),
    ],
)
def test_a_bad_row_in_the_last_file_is_called_by_its_place(tmp_path, last, options, message) -> None:
    rows = "".join(f"u{n},{n},1,{n}\n" for n in range(30))
    (tmp_path / "a.csv").write_text("user,item,v,t\n" + rows)
    (tmp_path / "b.csv").write_text("user,item,v,t\n" + rows + last)
    with pytest.raises(ValueError, match=message):
        Interactions.from_csv(tmp_path, **options)


def test_a_bad_row_of_parquet_is_called_by_its_place(tmp_path) -> None:
    pq.write_table(pa.table({"user": [1] * 20, "item": list(range(20))}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"user": [1] * 20, "item": [*range(15), None, *range(4)]}), tmp_path / "b.parquet")
    with pytest.raises(
        ValueError, match=r"empty cells .*: 1 in item; row 16 of '.*b\.parquet': fill or drop those rows$"
    ):
        Interactions.from_parquet(tmp_path)
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"b\.parquet"):
        Interactions.from_parquet(tmp_path)


def test_lines_that_are_left_out_are_counted_over_all_blocks(tmp_path, caplog) -> None:
    path = tmp_path / "likes.csv"
    path.write_text("user,item\n" + "".join(f"u{n},{n}\n" if n % 10 else "too,many,fields\n" for n in range(1, 101)))
    assert Interactions.from_csv(path, skip_bad_lines=True).nnz == 90
    assert "10 lines left out" in caplog.text
    assert "line 11" in caplog.text


def test_empty_files_among_others_are_left_out_and_named(tmp_path, caplog) -> None:
    (tmp_path / "a.csv").write_text("")
    (tmp_path / "b.csv").write_text("user,item\n1,2\n")
    (tmp_path / "c.csv").write_text("user,item\n")
    assert pairs(Interactions.from_csv(tmp_path)) == {(1, 2): 0}
    assert "a.csv' is empty" in caplog.text
    pq.write_table(
        pa.table({"user": pa.array([], pa.int64()), "item": pa.array([], pa.int64())}), tmp_path / "a.parquet"
    )
    pq.write_table(pa.table({"user": [1], "item": [2]}), tmp_path / "b.parquet")
    assert pairs(Interactions.from_parquet(tmp_path / "*.parquet")) == {(1, 2): 0}
    for wrong in ("a.parquet", "c.csv"):
        with pytest.raises(ValueError, match="no rows"):
            read(tmp_path / wrong, wrong[2:])


@pytest.mark.parametrize("delimiter", ["::", "||", "abab"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_delimiter_of_several_characters_is_whole_across_borders(tmp_path, monkeypatch, delimiter, packed) -> None:
    rows = [(f"u{n}", f"ü{n % 7}") for n in range(200)]
    content = "\n".join(delimiter.join(row) for row in [("user", "item"), *rows]).encode()
    path = tmp_path / "likes.dat"
    path.write_bytes(gzip.compress(content) if packed else content)
    for block in (64, 65, 66, 67):
        monkeypatch.setattr(text, "BLOCK", block)
        assert set(pairs(Interactions.from_csv(path, delimiter=delimiter))) == set(rows)


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_the_last_days_are_those_before_the_last_like(unit) -> None:
    frame = hostile(4, True)
    frame.loc[0, ["user", "item", "time"]] = ["border", 1, frame.time.max() - 10 * 86_400]
    frame["time"] *= unit
    likes = Interactions.from_frame(frame, time="time")
    last = frame.groupby(["user", "item"]).time.max()
    kept = last[last >= frame.time.max() - 10 * 86_400 * unit]
    recent = likes.recent(10)
    assert pairs(recent) == kept.to_dict()
    assert recent.user_ids.tolist() == sorted({user for user, _ in kept.index})
    assert recent.item_ids.tolist() == sorted({item for _, item in kept.index})
    assert recent.n_dropped == len(last) - len(kept)
    assert likes.recent(1e4) is likes


def test_days_and_counts_that_mean_nothing() -> None:
    likes = Interactions.from_frame(pa.table({"user": [1, 2], "item": [1, 2], "time": [5, 6]}), time="time")
    with pytest.raises(ValueError, match=r"last time is 6, which is no date since 1973 in seconds"):
        likes.recent(3)
    for days in (0, -1, np.nan, np.inf, True, "3"):
        with pytest.raises(ValueError, match=r"days is .*above 0"):
            likes.recent(days)
    with pytest.raises(ValueError, match="have no times: read them with time="):
        Interactions.from_frame(pa.table({"user": [1], "item": [1]})).recent(3)
    for count in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match=r"min_count is .*whole number of at least 1"):
            Interactions.from_frame(pa.table({"user": [1], "item": [1]}), min_count=count)
    with pytest.raises(ValueError, match="no pair has min_count=3 rows; the most that one has are 2: lower it"):
        Interactions.from_frame(pa.table({"user": [1, 1], "item": [1, 1]}), min_count=3)


def test_numbers_in_one_file_and_dates_in_another_are_no_times(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("user,item,t\n1,2,1700000000\n")
    (tmp_path / "b.csv").write_text("user,item,t\n1,2,2025-01-01\n")
    with pytest.raises(ValueError, match=r"b\.csv.*numbers in some rows and dates in others"):
        Interactions.from_csv(tmp_path, time="t")


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_the_bar_comes_to_its_end(tmp_path, monkeypatch, name) -> None:
    """By bytes of the files, packed ones as they lie, or by rows."""
    for number in range(2):
        path, frame = tmp_path / f"{number}{name}", hostile(number, True)
        frame.to_parquet(path) if name.endswith("parquet") else frame.to_csv(path, index=False)
    seen = []

    class Bar:
        def __init__(self, **options):
            seen.append(options)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, n):
            seen.append(n)

    monkeypatch.setattr("tqdm.auto.tqdm", Bar)
    read(tmp_path, name.split(".")[1], show_progress=True)
    options, *sizes = seen
    assert options["disable"] is False
    assert len(sizes) > 3
    rows = 2 * len(hostile(0, True))
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert sum(sizes) == options["total"] == (rows if name == "a.parquet" else size)


PEAK = """
import sys
import torch, pyarrow.dataset
from cmlfast import Interactions
def peak():  # of this program: getrusage also knows what was there before exec
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
before = peak()
likes = Interactions.from_parquet(sys.argv[1], time=sys.argv[2] or None)
parts = [likes.matrix.data, likes.matrix.indices, likes.matrix.indptr, likes.user_ids, likes.item_ids]
print(peak() - before, sum(part.nbytes for part in parts) + (likes.nnz * 8 if likes.times is not None else 0))
"""


@pytest.fixture(scope="module")
def twenty_million(tmp_path_factory):
    """Give a folder of 20 files of a million rows each."""
    folder, n = tmp_path_factory.mktemp("long"), 1_000_000
    rng = np.random.default_rng(0)
    user, item, time = rng.integers(0, 20_000, n), rng.integers(0, 50_000, n), rng.integers(0, 2**40, n)
    for number in range(20):
        table = pa.table({"user": user + 15_000 * number, "item": item, "time": time + number})
        pq.write_table(table, folder / f"{number}.parquet")
    return folder


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc: peak memory is not told")
@pytest.mark.parametrize("time", ["", "time"])
def test_memory_stays_below_three_times_the_result(twenty_million, time) -> None:
    """Of 20 files of a million rows; parts of that size, and what Arrow keeps, are the same for any number of files.

    Measured: 2.48 and 2.61 times the result without times, 2.69 and 2.70 with them, in two runs of a busy machine.
    """
    command = [sys.executable, "-c", PEAK, str(twenty_million), time]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    grown, result = map(int, run.stdout.split())
    print(f"grew by {grown / result:.2f} times the result, {grown / 2**20:.0f} MiB")
    assert grown < 3 * result
