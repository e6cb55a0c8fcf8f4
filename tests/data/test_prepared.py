"""Prepared files: all of the likes come back, whatever the ids; damaged, foreign and newer ones are refused by name."""

import json
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import sparse

from cmlfast import CML, Interactions
from cmlfast.data import prepared, tensor_file


def likes_of(strings: bool, time: str | None) -> Interactions:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"user": rng.integers(0, 40, 300), "item": rng.integers(0, 25, 300), "v": rng.integers(0, 3, 300)}
    )
    frame["time"] = rng.integers(1_700_000_000, 1_710_000_000, 300) / (2 if time == "halves" else 1)
    if strings:
        frame["item"] = ["", "naïve", "\U0001f600"] * 100
        frame["item"] += frame.index.astype(str)
    return Interactions.from_frame(frame, value="v", min_value=1, time=time and "time")


@pytest.mark.parametrize("strings", [False, True])
@pytest.mark.parametrize("time", [None, "whole", "halves"])
def test_everything_comes_back(tmp_path, strings, time) -> None:
    likes = likes_of(strings, time)
    likes.save(tmp_path / "likes.prepared")
    back = Interactions.load(tmp_path / "likes.prepared")
    np.testing.assert_array_equal(back.matrix.toarray(), likes.matrix.toarray())
    assert (back.matrix.dtype, back.matrix.has_canonical_format) == (np.float32, True)
    for name in ("user_ids", "item_ids"):
        assert getattr(back, name).tolist() == getattr(likes, name).tolist()
        assert getattr(back, name).dtype == getattr(likes, name).dtype
    assert (back.n_duplicates, back.n_dropped) == (likes.n_duplicates, likes.n_dropped)
    assert back.by_position is False
    if time:
        np.testing.assert_array_equal(back.times, likes.times)
        assert back.times.dtype == likes.times.dtype
    else:
        assert back.times is None


def test_a_bare_matrix_keeps_its_meaning(tmp_path) -> None:
    model = CML(4, n_epochs=1, random_state=0).fit(sparse.random(20, 30, 0.2, format="csr", random_state=0))
    likes = Interactions(model.user_items_.matrix)
    likes.by_position = True
    likes.save(tmp_path / "p")
    assert Interactions.load(tmp_path / "p").by_position is True


def test_what_is_loaded_can_be_used_and_leaves_the_file_alone(tmp_path) -> None:
    likes_of(True, "whole").save(tmp_path / "p")
    content = (tmp_path / "p").read_bytes()
    likes = Interactions.load(tmp_path / "p")
    likes.matrix.data *= 2
    likes.matrix.indices += 0
    likes.times += 1
    CML(4, n_epochs=1, random_state=0).fit(Interactions.load(tmp_path / "p"))
    assert (tmp_path / "p").read_bytes() == content


def test_every_changed_byte_of_the_content_is_seen(tmp_path) -> None:
    path = tmp_path / "p"
    likes_of(True, "whole").save(path)
    content = bytearray(path.read_bytes())
    begin = 8 + int.from_bytes(content[:8], "little")
    for at in range(begin, len(content), 97):
        path.write_bytes(bytes([*content[:at], content[at] ^ 1, *content[at + 1 :]]))
        with pytest.raises(
            ValueError, match=r"path is '.*p', which is damaged: .*not what was written; prepare it again"
        ):
            Interactions.load(path)


def test_a_file_that_is_cut_is_refused(tmp_path) -> None:
    path = tmp_path / "p"
    likes_of(False, None).save(path)
    content = path.read_bytes()
    for size in (0, 4, 9, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"path is '.*p', which is damaged or no file of likes"):
            Interactions.load(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        Interactions.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, r"newer cmlfast \(format 2, this one reads 1\); upgrade cmlfast"),
        ({"format": None}, "header is damaged; prepare it again"),
        ({"shape": [3, 25]}, "damaged: its ids are not those of 3 x 25"),
        ({"n_dropped": -1}, "its counts are none"),
        ({"checksums": None}, "not what was written"),
        ({"shape": 5}, "damaged: .*prepare it again"),
    ],
)
def test_a_wrong_header_is_refused(tmp_path, change, message) -> None:
    path = tmp_path / "p"
    likes_of(False, None).save(path)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    own = json.loads(header["__metadata__"]["cmlfast-likes"])
    header["__metadata__"]["cmlfast-likes"] = json.dumps(own | change)
    packed = json.dumps(header).encode()
    path.write_bytes(len(packed).to_bytes(8, "little") + packed + content[8 + length :])
    with pytest.raises(ValueError, match=message):
        Interactions.load(path)


def test_columns_out_of_range_are_refused_though_their_checksum_is_right(tmp_path) -> None:
    """Native code follows these numbers without asking: a header alone must not vouch for them."""
    likes = likes_of(False, None)
    for at, value, message in ((5, 25, "numbers outside of 0 to 24"), (5, -1, "numbers outside")):
        wrong = Interactions(likes.matrix, likes.user_ids, likes.item_ids)
        wrong.matrix.indices[at] = value
        wrong.save(tmp_path / "p")
        with pytest.raises(ValueError, match=message):
            Interactions.load(tmp_path / "p")
    wrong = Interactions(likes.matrix, likes.user_ids, likes.item_ids)
    wrong.matrix.indptr[3] = 10**6
    wrong.save(tmp_path / "p")
    with pytest.raises(ValueError, match="indptr falls at position 4"):
        Interactions.load(tmp_path / "p")


def test_models_and_prepared_files_are_told_apart(tmp_path) -> None:
    likes = likes_of(False, None)
    likes.save(tmp_path / "p")
    CML(4, n_epochs=1, random_state=0).fit(likes).save(tmp_path / "m")
    with pytest.raises(ValueError, match=r"path is '.*m', a model; CML.load reads it"):
        Interactions.load(tmp_path / "m")
    with pytest.raises(
        ValueError, match=r"path is '.*p', likes that cmlfast prepare wrote.*Interactions.load reads it"
    ):
        CML.load(tmp_path / "p")
    assert (prepared.is_prepared(tmp_path / "p"), prepared.is_prepared(tmp_path / "m")) == (True, False)
    assert (tensor_file.is_model(tmp_path / "p"), tensor_file.is_model(tmp_path / "m")) == (False, True)


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch) -> None:
    likes = likes_of(False, None)
    likes.save(tmp_path / "p")
    content = (tmp_path / "p").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        likes.save(tmp_path / "p")
    assert (tmp_path / "p").read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["p"]


def test_offsets_beyond_32_bits_are_kept(tmp_path, monkeypatch) -> None:
    """SciPy keeps both arrays of a matrix in one type; where 32 bits do not do, both have 64."""
    from cmlfast.data import gather

    monkeypatch.setattr(gather, "SMALL", 10)
    table = pa.table({"user": list(range(20)), "item": [n % 7 for n in range(20)]})
    likes = Interactions.from_frame(table)
    likes.matrix.indptr = likes.matrix.indptr.astype(np.int64)  # which SciPy has narrowed: the contents are small
    likes.save(tmp_path / "p")
    assert tensor_file.read(tmp_path / "p", prepared.LIKES)[0]["indptr"].numpy().dtype == np.int64
    np.testing.assert_array_equal(Interactions.load(tmp_path / "p").matrix.toarray(), likes.matrix.toarray())
