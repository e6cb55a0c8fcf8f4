"""The large published tables: their formats with all that is odd in them, the paper's filters, files that are wrong."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from cmlfast.data.datasets import DatasetUnavailableError, fetch, load, triplets

# As the publishers write them: CRLF or LF, a float or an integer, quotes, a delimiter and an entity inside quotes.
RATINGS = "userId,movieId,rating,timestamp\r\n" + "".join(
    f"{user},{movie},{rating},11124847{movie:02}\r\n"
    for user, movie, rating in [
        (1, 2, "4.0"), (1, 29, "3.5"), (1, 32, "5.0"), (2, 2, "4.5"), (2, 7, "4.0"), (2, 32, "0.5"), (3, 9, "4.0"),
    ]
)  # fmt: skip
BOOKS = '"User-ID";"ISBN";"Book-Rating"\r\n' + "".join(
    f'"{user}";"{isbn}";"{rating}"\r\n'
    for user, isbn, rating in [
        (276725, "034545104X", 0), (276725, "0&amp;155061224", 5), (276725, " 03-402", 10), (276726, "034545104X", 8),
        (276726, "M\u00fcnchen", 0), (276729, "0521795028", 3), (276726, 'say ""3""', 0),
    ]
)  # fmt: skip
PLAYS = "".join(
    f"{user * 8}\t{song}\t{plays}\n"
    for user, song, plays in [
        ("b8034", "SOAKIMP12A8C130995", 5), ("b8034", "SOAPDEY12A81C210A9", 1), ("00003", "SOAKIMP12A8C130995", 4),
        ("85c16", "SOBBMDR12A8C13253B", 12),
    ]
)  # fmt: skip
TABLES = {
    "movielens-20m": ("MOVIELENS_20M", RATINGS.encode(), "ml-20m/ratings.csv"),
    "book-crossing": ("BOOK_CROSSING", BOOKS.encode("latin-1"), "BX-Book-Ratings.csv"),
    "echonest": ("ECHONEST", PLAYS.encode(), "train_triplets.txt"),
}
SMALL = {"movielens-20m": {"min_likes": 2}, "book-crossing": {"min_likes": 3}, "echonest": {}}


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch) -> None:
    """Let the publishers have counted the rows of the small tables, and nothing be at hand."""
    for name, content, _ in TABLES.values():
        n_rows = len(content.splitlines()) - (name != "ECHONEST")
        monkeypatch.setattr(triplets, name, replace(getattr(triplets, name), n_rows=n_rows))
    monkeypatch.delenv("CMLFAST_DATA", raising=False)
    monkeypatch.setattr(fetch, "_cache_folder", lambda: tmp_path / "cache")


def archive(path: Path, name: str, content: bytes | None = None) -> Path:
    _, table, member = TABLES[name]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("ml-20m/README.txt", "others")
        packed.writestr(member, table if content is None else content)
    return path


def pairs(dataset) -> set:
    likes = dataset.interactions
    users, items = likes.matrix.nonzero()
    return set(zip(likes.user_ids[users].tolist(), likes.item_ids[items].tolist(), strict=True))


EXPECTED = {
    "movielens-20m": {(1, 2), (1, 32), (2, 2), (2, 7)},
    "book-crossing": {
        (276725, "034545104X"), (276725, "0&amp;155061224"), (276725, " 03-402"), (276726, "034545104X"),
        (276726, "M\u00fcnchen"), (276726, 'say "3"'),
    },
    "echonest": {("b8034" * 8, "SOAKIMP12A8C130995"), ("85c16" * 8, "SOBBMDR12A8C13253B")},
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("kind", ["archive", "table", "folder", "unpacked", "environment", "environment_root"])
def test_read_from_what_people_have(tmp_path, monkeypatch, name, kind) -> None:
    source = getattr(triplets, TABLES[name][0])
    folder = tmp_path / (name if kind == "environment" else "data")
    folder.mkdir()
    options = dict(SMALL[name])
    if kind in ("table", "folder"):
        (folder / source.table).write_bytes(TABLES[name][1])
        options["path"] = folder / source.table if kind == "table" else str(folder)
    elif kind == "unpacked":
        inside = folder / Path(source.archive).stem / source.table
        inside.parent.mkdir()
        inside.write_bytes(TABLES[name][1])
        options["path"] = folder
    else:
        packed = archive(folder / source.archive, name)
        if kind == "archive":
            options["path"] = packed
        elif kind == "environment":
            monkeypatch.setenv("CMLFAST_DATA", str(tmp_path))
        else:
            monkeypatch.setenv("CMLFAST_DATA", str(folder))
    dataset = load(name, **options)
    assert pairs(dataset) == EXPECTED[name]
    assert dataset.interactions.nnz == len(EXPECTED[name])
    # Nobody and nothing is left that has no like.
    assert {user for user, _ in EXPECTED[name]} == set(dataset.interactions.user_ids.tolist())
    assert {item for _, item in EXPECTED[name]} == set(dataset.interactions.item_ids.tolist())


def test_times_stay_with_their_pairs(tmp_path) -> None:
    likes = load("movielens-20m", min_likes=2, path=archive(tmp_path / "ml-20m.zip", "movielens-20m")).interactions
    assert [t % 100 for t in likes.times.tolist()] == likes.item_ids[likes.matrix.indices].tolist()


def test_filters_can_be_chosen(tmp_path) -> None:
    films = archive(tmp_path / "ml-20m.zip", "movielens-20m")
    assert pairs(load("movielens-20m", min_rating=4.5, min_likes=1, path=films)) == {(1, 32), (2, 2)}
    books = archive(tmp_path / "BX-CSV-Dump.zip", "book-crossing")
    rated = load("book-crossing", min_rating=1, min_likes=1, path=books)
    assert rated.interactions.nnz == 4
    assert pairs(load("echonest", min_plays=12, path=archive(tmp_path / "x.zip", "echonest"))) == {
        ("85c16" * 8, "SOBBMDR12A8C13253B")
    }
    with pytest.raises(ValueError, match="no user has 9 likes: lower min_likes"):
        load("book-crossing", min_likes=9, path=books)


def test_a_table_that_is_cut_off_is_told_by_its_rows(tmp_path) -> None:
    (tmp_path / "ratings.csv").write_text(RATINGS[: RATINGS.index("3,9")])
    with pytest.raises(
        ValueError, match=r"ratings.csv has 6 rows, but the ratings.csv of movielens-20m has 7: it is cut"
    ):
        load("movielens-20m", path=tmp_path)


@pytest.mark.parametrize("cut", [0.5, 0.98])
def test_an_archive_that_is_cut_off(tmp_path, cut) -> None:
    packed = archive(tmp_path / "ml-20m.zip", "movielens-20m")
    whole = packed.read_bytes()
    packed.write_bytes(whole[: int(len(whole) * cut)])
    with pytest.raises(ValueError, match=r"ml-20m.zip is damaged, .*get it again from https://grouplens.org"):
        load("movielens-20m", path=packed)


def test_an_archive_with_a_flipped_byte(tmp_path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as packed:
        packed.writestr("ratings.csv", RATINGS)
    damaged = content.getvalue().replace(b"1,32,5.0", b"1,33,5.0")
    (tmp_path / "ml-20m.zip").write_bytes(damaged)
    with pytest.raises(ValueError, match="damaged"):
        load("movielens-20m", min_likes=1, path=tmp_path)


def test_an_archive_whose_packed_bytes_are_damaged(tmp_path) -> None:
    rows = "".join(f"{user},{user * 7919 % 10007},4.0,{user * user}\n" for user in range(20_000))
    packed = archive(tmp_path / "ml-20m.zip", "movielens-20m", b"userId,movieId,rating,timestamp\n" + rows.encode())
    content = bytearray(packed.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 100] = b"\xff" * 100
    packed.write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged, .*decompressing data: invalid"):
        load("movielens-20m", min_likes=1, path=tmp_path)


def test_other_tables(tmp_path) -> None:
    (tmp_path / "ratings.csv").write_text("userId,movieId,timestamp\n1,2,3\n")
    with pytest.raises(ValueError, match=r"not the ratings.csv of movielens-20m .*rating"):
        load("movielens-20m", path=tmp_path)
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\nann,2,3,4\n")
    with pytest.raises(ValueError, match=r"not the ratings.csv of movielens-20m .*ann"):
        load("movielens-20m", path=tmp_path)
    with zipfile.ZipFile(tmp_path / "BX-CSV-Dump.zip", "w") as packed:
        packed.writestr("BX-Users.csv", "")
    with pytest.raises(ValueError, match=r"has no BX-Book-Ratings.csv, only \['BX-Users.csv'\]"):
        load("book-crossing", path=tmp_path)


def test_lines_unlike_the_others_are_left_out_and_told(tmp_path, caplog) -> None:
    lines = BOOKS.encode("latin-1").splitlines(keepends=True)
    lines[3] = b'"276725";"03-402"\r\n'
    (tmp_path / "BX-Book-Ratings.csv").write_bytes(b"".join(lines))
    assert load("book-crossing", min_likes=2, path=tmp_path).interactions.nnz == 5
    assert '1 lines left out that are not as the others, first \'"276725";"03-402"\'' in caplog.text


@pytest.mark.parametrize("name", ["book-crossing", "echonest"])
def test_without_a_file_it_is_said_which_to_get(name) -> None:
    source = getattr(triplets, TABLES[name][0])
    with pytest.raises(DatasetUnavailableError) as caught:
        load(name)
    for part in (name, source.archive, source.page, "path=", "CMLFAST_DATA"):
        assert part in str(caught.value)


def test_a_wrong_path_is_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere' is neither ml-20m.zip nor ratings.csv .*grouplens"):
        load("movielens-20m", path=tmp_path / "nowhere")


def test_movielens_is_downloaded_by_its_hash(tmp_path, monkeypatch) -> None:
    packed = archive(tmp_path / "served.zip", "movielens-20m")

    def download(address, path, _):
        assert address == "https://files.grouplens.org/datasets/movielens/ml-20m.zip"
        Path(path).write_bytes(packed.read_bytes())

    source = triplets.MOVIELENS_20M
    monkeypatch.setattr(
        triplets, "MOVIELENS_20M", replace(source, download=replace(source.download, download=download))
    )
    with pytest.raises(DatasetUnavailableError, match="does not match"):
        load("movielens-20m", min_likes=2)
    sha256 = fetch._pooch().file_hash(str(packed))
    offered = replace(source.download, download=download, sha256=sha256)
    monkeypatch.setattr(triplets, "MOVIELENS_20M", replace(source, download=offered))
    assert pairs(load("movielens-20m", min_likes=2)) == EXPECTED["movielens-20m"]
    assert (tmp_path / "cache" / "movielens-20m" / "ml-20m.zip").is_file()
