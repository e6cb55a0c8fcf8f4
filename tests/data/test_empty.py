"""Rows with empty cells, of all columns told at once or left out and counted; values that look like ratings."""

import logging

import pandas as pd
import pytest

from cmlfast import Interactions

TEXT = "user,item,stars,day\nann,x,5,1\n,x,5,2\nbob,,,3\nbob,y,4,\nbob,y,4,5\neve,z,-1,6\n"


def test_one_error_names_every_column_and_the_first_rows(tmp_path) -> None:
    path = tmp_path / "likes.csv"
    path.write_text(TEXT)
    with pytest.raises(ValueError, match=r"3 of 6 rows: 1 in user, 1 in item, 1 in value, 1 in time; rows 2, 3, 4 of "
                       r"'.*likes\.csv': fill or drop .*skip_bad_lines=True \(--skip-bad-lines\)$"):  # fmt: skip
        Interactions.from_csv(path, value="stars", time="day")
    path.write_text("user,item\n" + ",x\n" * 9)
    with pytest.raises(ValueError, match=r"9 of 9 rows: 9 in user; rows 1, 2, 3, 4, 5 and 4 more of"):
        Interactions.from_csv(path)


def test_a_frame_has_no_such_option_and_is_advised_none() -> None:
    frame = pd.DataFrame({"user": ["a", None, "b"], "item": ["x", "y", "z"]})
    with pytest.raises(ValueError, match=r"1 of 3 rows: 1 in user; row 2 of the frame: fill or drop those rows$"):
        Interactions.from_frame(frame)


def test_such_rows_are_left_out_and_counted_where_that_is_wanted(tmp_path, caplog) -> None:
    path = tmp_path / "likes.csv"
    path.write_text(TEXT)
    likes = Interactions.from_csv(path, value="stars", min_value=4, time="day", skip_bad_lines=True)
    assert (likes.user_ids.tolist(), likes.nnz, likes.times.tolist()) == (["ann", "bob", "eve"], 2, [1, 5])
    assert f"3 rows left out for an empty cell, the first of them row 2 of {str(path)!r}" in caplog.text
    with pytest.raises(ValueError, match=r"contains -1 \(row 6 of"):  # the number that it has in the file
        Interactions.from_csv(path, value="stars", time="day", skip_bad_lines=True)


@pytest.mark.parametrize(
    ("values", "options", "hint"),
    [
        ([1, 5, 3], {}, "ratings of 1 to 5: is each a like? min_value=4 (--min-value 4)"),
        ([0.5, 5, 3], {}, "ratings of 0.5 to 5"),
        ([1, 10, 3], {}, "min_value=8"),
        ([1, 5, 3], {"min_value": 1}, None),
        ([0, 5, 3], {}, None),
        ([1, 1, 7], {}, None),
    ],
)
def test_ratings_are_asked_about_once(values, options, hint, caplog) -> None:
    frame = pd.DataFrame({"user": ["a", "b", "c"], "item": ["x", "y", "z"], "v": values})
    with caplog.at_level(logging.INFO, "cmlfast"):
        Interactions.from_frame(frame, value="v", **options)
    assert caplog.text.count("is each a like") == (hint is not None)
    assert (hint or "") in caplog.text
