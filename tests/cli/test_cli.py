"""The command line as a user meets it: output, exit codes, errors without tracebacks."""

import csv
import io
import subprocess
import sys

import numpy as np
import pytest

from cmlfast import CML, Interactions, datasets, split_per_user
from cmlfast_cli import main
from cmlfast_cli.options import DEFAULTS, parse

FAST = ["--n-components", "8", "--n-epochs", "10"]


@pytest.fixture(scope="module")
def likes(tmp_path_factory):
    data = datasets.synthetic(n_users=60, n_items=50, n_pairs=700, n_groups=4, seed=1).interactions
    path = tmp_path_factory.mktemp("cli") / "likes.csv"
    pairs = data.matrix.tocoo()
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("rating", "item", "user"))
        writer.writerows((5, f"i{item}", f"u{user}") for user, item in zip(pairs.row, pairs.col, strict=True))
        writer.writerow((1, "i0", "u0"))
    return path


COLUMNS = ["--user", "user", "--item", "item", "--value", "rating", "--min-value", "4"]


@pytest.fixture(scope="module")
def model(likes):
    path = likes.with_name("likes.model")
    assert main(["train", str(likes), *COLUMNS, "--model", str(path), *FAST]) == 0
    return path


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_train_tells_what_it_read(likes, tmp_path, capsys) -> None:
    assert main(["train", str(likes), *COLUMNS, "--model", str(tmp_path / "m"), *FAST]) == 0
    out = capsys.readouterr().out
    assert out.startswith("60 users, 50 items, 700 likes; 1 row was no like\n")
    assert CML.load(tmp_path / "m").user_items_.nnz == 700


def test_the_same_seed_gives_the_same_file(likes, tmp_path) -> None:
    for name in "ab":
        main(["train", str(likes), *COLUMNS, "--model", str(tmp_path / name), *FAST, "--seed", "4"])
    models = [CML.load(tmp_path / name) for name in "ab"]
    assert (models[0].item_embedding_ == models[1].item_embedding_).all()


def test_recommend_prints_what_the_model_says(model, capsys) -> None:
    assert main(["recommend", str(model), "u3", "u5", "-n", "4"]) == 0
    found = rows(capsys.readouterr().out)
    assert found[0] == ["user", "item", "score"]
    ids, scores = CML.load(model).recommend(np.array(["u3", "u5"], dtype=object), N=4)
    assert [row[:2] for row in found[1:]] == [[u, i] for u, some in zip(("u3", "u5"), ids, strict=True) for i in some]
    np.testing.assert_allclose([float(row[2]) for row in found[1:]], scores.ravel(), rtol=1e-5)


def test_recommend_for_all_and_with_liked_items(model, capsys) -> None:
    assert main(["recommend", str(model), "-n", "100", "--include-liked"]) == 0
    n_users, n_items = (len(ids) for ids in (CML.load(model).user_ids_, CML.load(model).item_ids_))
    assert len(rows(capsys.readouterr().out)) == 1 + n_users * n_items


def test_similar_leaves_the_id_itself_out(model, capsys) -> None:
    assert main(["similar", str(model), "i1", "i2", "-n", "3"]) == 0
    found = rows(capsys.readouterr().out)[1:]
    assert [row[0] for row in found] == ["i1"] * 3 + ["i2"] * 3
    assert all(row[0] != row[1] for row in found)
    assert main(["similar", str(model), "u1", "--users", "-n", "2"]) == 0
    assert [row[0] for row in rows(capsys.readouterr().out)] == ["user", "u1", "u1"]


def test_evaluate_with_and_without_a_model(likes, model, capsys) -> None:
    assert main(["evaluate", str(likes), *COLUMNS, "-k", "5", "10", *FAST]) == 0
    out = capsys.readouterr().out
    assert "popularity" in out
    assert "recall@5" in out
    held = likes.with_name("held.tsv")
    held.write_text("user\titem\nu1\ti1\nu2\ti30\n")
    assert main(["evaluate", str(held), "--model", str(model), "-k", "50"]) == 0
    assert "recall@50" in capsys.readouterr().out


def test_ids_that_look_like_integers_are_what_the_model_has(tmp_path, capsys) -> None:
    (tmp_path / "likes.csv").write_text(
        "user,item\n" + "".join(f"{u},{'i' if u == 9 else ''}{i}\n" for u in range(10) for i in range(u % 3, 9, 2))
    )
    (tmp_path / "held.csv").write_text("user,item\n0,1\n3,3\n")
    model = str(tmp_path / "m")
    assert (
        main(
            ["train", str(tmp_path / "likes.csv"), "--validation", str(tmp_path / "held.csv"), "--model", model, *FAST]
        )
        == 0
    )
    assert main(["evaluate", str(tmp_path / "held.csv"), "--model", model]) == 0
    assert "recall@50" in capsys.readouterr().out


def test_parquet_is_read(likes, tmp_path, capsys) -> None:
    from pyarrow import csv as arrow_csv
    from pyarrow import parquet

    parquet.write_table(arrow_csv.read_csv(likes), tmp_path / "likes.parquet")
    assert main(["train", str(tmp_path / "likes.parquet"), *COLUMNS, "--model", str(tmp_path / "m"), *FAST]) == 0
    assert "700 likes" in capsys.readouterr().out


@pytest.fixture
def tags(likes):
    path = likes.with_name("tags.tsv")
    path.write_text("item\ttag\n" + "".join(f"i{one}\tt{one % 4}\n" for one in (*range(50), 98, 99)))
    return path


def test_items_that_nobody_likes_are_placed_by_their_tags(likes, tags, tmp_path, capsys) -> None:
    path, arguments = tmp_path / "m", ["--item-features", str(tags), *COLUMNS, *FAST]
    assert main(["train", str(likes), "--model", str(path), *arguments]) == 0
    told = capsys.readouterr().out
    assert "4 tags of 50 of the 50 items with likes and of 2 without; 0 have likes and no tag" in told
    assert main(["info", str(path)]) == 0
    assert "item_features      4, such as 't0'" in capsys.readouterr().out
    model = CML.load(path)
    assert model.item_ids_[-2:].tolist() == ["i98", "i99"]
    assert model.user_items_.nnz == 700
    given = datasets.synthetic(n_users=60, n_items=50, n_pairs=700, n_groups=4, seed=1).interactions
    by_name = {f"i{item}": item for item in given.item_ids}
    assert set(model.item_ids_) == {*by_name, "i98", "i99"}
    near, _ = model.similar_items("i98", N=14)  # liked by nobody, and so exactly where its tag alone puts it
    shares = [int(one[1:]) % 4 == 98 % 4 for one in near]
    assert sum(shares) > 0.5 * len(shares)


def test_users_who_like_nothing_are_placed_by_their_tags(likes, tmp_path, capsys) -> None:
    people, path = tmp_path / "people.csv", tmp_path / "m"
    people.write_text("user,town\n" + "".join(f"u{one},{one % 4}\n" for one in (*range(60), 96)))
    wanted = ["--user-features", str(people), "--rare-item-distance", "0.5", "--covariance-weight", "2"]
    small = ["--dtype", "bfloat16", "--rowwise-adagrad"]
    assert main(["train", str(likes), "--model", str(path), *wanted, *small, *COLUMNS, *FAST]) == 0
    model = CML.load(path)
    assert (model.rare_item_distance, model.covariance_weight) == (0.5, 2.0)
    assert (model.dtype, model.rowwise_adagrad) == ("bfloat16", True)
    assert model.user_ids_[-1] == "u96"
    assert model.user_items_.matrix[-1].nnz == 0
    assert model.item_network_ is None
    capsys.readouterr()
    assert main(["recommend", str(path), "u96", "-n", "3"]) == 0
    answers = capsys.readouterr().out.splitlines()[1:]
    in_town_0, _ = model.recommend(user_features=np.eye(4)[:1], N=3)
    assert in_town_0[0].tolist() == [line.split(",")[1] for line in answers]


def test_evaluate_trains_with_tags(likes, tags, capsys) -> None:
    assert main(["evaluate", str(likes), "--item-features", str(tags), *COLUMNS, *FAST, "-k", "5"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("recall@5"))
    found = float(line.split()[-1])
    given = Interactions.from_csv(likes, user="user", item="item", value="rating", min_value=4)
    features = Interactions.from_csv(tags)
    train, validation, test = split_per_user(given, seed=0)
    model = CML(n_components=8, n_epochs=10, random_state=0)
    expected = model.fit(train, features, validation=validation).evaluate(test, 5, exclude=validation)["recall@5"]
    assert found == round(expected, 4)
    without = model.fit(train, validation=validation).evaluate(test, 5, exclude=validation)["recall@5"]
    assert found != round(without, 4)


def test_info(model, capsys) -> None:
    assert main(["info"]) == 0
    assert "cuda_kernels" in capsys.readouterr().out
    assert main(["info", str(model)]) == 0
    facts = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert facts["n_components"] == "8"
    assert facts["loss"] == "softmax"  # what "auto" came to
    assert float(facts["temperature"]) > 0


def test_a_model_may_be_replaced_by_a_model_and_a_new_empty_file_too(likes, tmp_path) -> None:
    path = tmp_path / "m"
    path.touch()
    for seed in ("1", "2"):
        assert main(["train", str(likes), *COLUMNS, "--model", str(path), *FAST, "--seed", seed]) == 0
        assert CML.load(path).random_state == int(seed)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["recommend", "none.model", "u1"], 3, "no such file"),
        (["train", "none.csv", "--model", "m"], 3, "'none.csv': there is no such file"),
        (["train", "LIKES", "--model", "no/such/folder/m"], 3, "folder does not exist"),
        (["train", "LIKES", "--user", "who", "--model", "m"], 3, "who"),
        (["train", "LIKES", "--model", "LIKES"], 3, "is a file of data"),
        (["train", "LIKES", "--model", "."], 3, "a folder"),
        (["train", "LIKES", "--model", "/dev/null"], 3, "no regular file"),
        (["train", "LIKES", "--model", "m", "--margin", "1", "2", "3"], 2, "margin is (1.0, 2.0, 3.0)"),
        (["train", "LIKES", "--model", "m", "--n-negatives", "some"], 2, "'some' is neither an integer nor 'auto'"),
        (
            ["evaluate", "LIKES", "--model", "MODEL", "--user", "user", "--item", "item"],
            3,
            "in common with the training",
        ),
        (["recommend", "LIKES", "u1"], 3, "no model file"),
        (["recommend", "MODEL", "nobody"], 3, "'nobody'"),
        (["similar", "MODEL", "nothing"], 3, "'nothing'"),
        (["train", "LIKES", "--model", "m", "--margin", "-1"], 2, "margin is -1.0"),
        (["evaluate", "LIKES", "-k", "0"], 2, "-k is 0"),
        (["recommend", "MODEL", "u1", "-n", "0"], 2, "-n is 0"),
        (["evaluate", "LIKES", "--exclude", "x"], 2, "--exclude goes with --model"),
        (["evaluate", "LIKES", "--model", "m", "--item-features", "x"], 2, "--item-features does not go with --model"),
        (["evaluate", "LIKES", "--model", "m", "--user-features", "x"], 2, "--user-features does not go with --model"),
        (["train", "LIKES", "--model", "m", "--item-features", "x"], 3, "'x': there is no such file"),
        (["train", "LIKES", "--model", "m", "--item-features", "MODEL"], 3, ""),
        (
            ["train", "LIKES", *COLUMNS, "--model", "m", "--item-features", "LIKES"],
            3,
            "3 columns, rating, item, user; a file of tags has two",
        ),
        (
            ["train", "LIKES", *COLUMNS, "--model", "m", "--item-features", "STRANGE"],
            3,
            "no item has both likes and features: items are called 'i0' in the likes and 'x' in item_features",
        ),
        (["train", "LIKES", *COLUMNS, "--model", "STRANGE"], 3, "strange.csv is there and is no model; give another"),
        (
            ["train", "LIKES", *COLUMNS, "--model", "m", "--user-features", "EMPTY"],
            3,
            "empty.csv: the table has no row",
        ),
        (["fly"], 2, "invalid choice"),
        ([], 2, "required"),
    ],
)
def test_errors_have_a_code_and_a_sentence(arguments, code, message, likes, model, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    places = {"LIKES": str(likes), "MODEL": str(model)}
    for name, text in (("strange", "item,tag\nx,red\ny,blue\n"), ("empty", "user,town\n")):
        places[name.upper()] = str(likes.with_name(f"{name}.csv"))
        likes.with_name(f"{name}.csv").write_text(text)
    try:
        found = main([places.get(one, one) for one in arguments])
    except SystemExit as error:  # argparse
        found = error.code
    output = capsys.readouterr()
    assert found == code
    assert message in output.err
    assert "Traceback" not in output.err
    assert output.out == ""
    assert list(tmp_path.iterdir()) == []
    assert likes.with_name("strange.csv").read_text().startswith("item,tag")


def test_what_is_not_given_is_what_the_model_would_take() -> None:
    given = vars(parse(["train", "likes.csv", "--model", "m"])[0])
    assert {name: given[name] for name in DEFAULTS} == {name: CML().get_params()[name] for name in DEFAULTS}


@pytest.mark.slow
def test_as_a_process_with_help_and_a_reader_that_leaves(model) -> None:
    command = [sys.executable, "-m", "cmlfast_cli"]
    shown = subprocess.run([*command, "train", "--help"], capture_output=True, text=True, check=True)
    assert "--n-negatives" in shown.stdout
    piped = subprocess.run(
        f"{sys.executable} -m cmlfast recommend {model} -n 50 | head -1", shell=True, capture_output=True, text=True
    )
    assert piped.stdout == "user,item,score\n"
    assert piped.stderr == ""
