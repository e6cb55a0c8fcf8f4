"""What people do with models of other libraries, done with this one."""

import io
import logging
import sys
import threading
import types

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.validation import check_is_fitted

from cmlfast import CML, Interactions, datasets, recall_at_k, split_per_user

LIKES = datasets.synthetic(n_users=80, n_items=60, n_pairs=1200, n_groups=4, seed=1).interactions
OWN = Interactions(LIKES.matrix, [f"u{u}" for u in range(80)], [f"i{i}" for i in range(60)])
SMALL = {"n_components": 8, "n_epochs": 10, "random_state": 0}


@pytest.fixture(scope="module")
def model() -> CML:
    return CML(**SMALL).fit(OWN)


def of_new_users(model: CML, likes: sparse.csr_matrix) -> float:
    """Return the recall of a third of users' likes by the other two thirds: a scorer for splits of users."""
    train, _, test = split_per_user(likes, seed=0, fraction=0.3)
    ids, _ = model.recommend(np.arange(train.n_users), train.matrix, N=10, recalculate_user=True)
    return recall_at_k(ids, test, 10)


def test_scikit_learn_searches_and_validates():
    search = GridSearchCV(CML(**SMALL), {"n_components": [2, 8]}, scoring=of_new_users, cv=3).fit(LIKES.matrix)
    assert search.best_params_["n_components"] in (2, 8)
    check_is_fitted(search.best_estimator_)
    by_hand = [
        of_new_users(CML(**SMALL).fit(LIKES.matrix[train]), LIKES.matrix[test])
        for train, test in ((np.r_[27:80], np.r_[:27]), (np.r_[:27, 54:80], np.r_[27:54]), (np.r_[:54], np.r_[54:80]))
    ]
    scores = cross_val_score(CML(**SMALL), LIKES.matrix, scoring=of_new_users, cv=3)
    np.testing.assert_allclose(scores, by_hand)
    with pytest.raises(ValueError, match="not fitted"):
        check_is_fitted(CML())
    assert clone(CML(margin=2.0, loss="warp")).get_params() == CML(margin=2.0, loss="warp").get_params()


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (np.float64(2), f"CML(margin={np.float64(2)!r})"),  # "2.0" before NumPy 2
        (np.array([3.0, 1.0]), "CML(margin=array([3., 1.]))"),
        ((3, 1), "CML(margin=(3, 1))"),
        (torch.tensor([3.0, 1.0]), "CML(margin=tensor([3., 1.]))"),
        ("auto", "CML()"),
    ],
)
def test_any_parameter_can_be_shown(given, shown):
    assert repr(CML(margin=given)) == shown
    assert shown.partition("(")[2][:10] in CML(margin=given)._repr_html_()


def test_an_array_of_margins_is_two_margins_or_an_error_that_names_it():
    fitted = [CML(**SMALL, loss="warp", margin=margin).fit(OWN).item_embedding_ for margin in ((3, 1), [3, 1])]
    assert torch.equal(*fitted)
    with pytest.raises((TypeError, ValueError), match="margin is"):
        CML(**SMALL, loss="warp", margin=np.array([3.0, 1.0, 2.0])).fit(OWN)


def test_similar_ones_can_be_filtered_and_chosen_from(model):
    everything, distances = model.similar_items("i3", N=60)
    assert everything[0] == "i3"
    assert distances[0] == 0
    rest = [one for one in everything if one not in ("i1", everything[1])]
    found, scores = model.similar_items("i3", N=5, filter_items={"i1", everything[1]})
    assert found.tolist() == rest[:5]
    np.testing.assert_array_equal(scores, [distances[everything.tolist().index(one)] for one in found])
    some = ["i3", "i9", "i8", "i7"]
    assert model.similar_items("i3", N=3, items=some)[0].tolist() == [one for one in everything if one in some][:3]
    assert model.similar_items("i3", N=3, items=["i9", "i8"])[0].tolist() == [
        one for one in everything if one in ("i9", "i8")
    ]
    assert model.similar_items("i3", N=3, filter_items=["i3"])[0].tolist() == everything[1:4].tolist()
    both, _ = model.similar_items(["i3", "i9"], N=3, items=iter(["i9", "i8"]))
    assert both.tolist() == [[*model.similar_items("i3", items=["i9", "i8"])[0], None], ["i9", "i8", None]]
    users, _ = model.similar_users("u1", N=80)
    assert model.similar_users("u1", N=4, filter_users=users[1:3])[0].tolist() == [users[0], *users[3:6]]
    assert model.similar_users("u1", users=users[5:8])[0].tolist() == users[5:8].tolist()
    with pytest.raises(KeyError, match="'nobody'"):
        model.similar_users("u1", users=["nobody"])


def test_filters_are_any_iterables(model):
    ids, _ = model.recommend("u1", N=5)
    expected = model.recommend("u1", N=5, filter_items=ids[:2].tolist())[0].tolist()
    for given in (set(ids[:2]), dict.fromkeys(ids[:2]).keys(), (one for one in ids[:2]), iter(ids[:2])):
        assert model.recommend("u1", N=5, filter_items=given)[0].tolist() == expected
    assert model.recommend("u1", N=5, items=set(ids[:2]))[0].tolist() == ids[:2].tolist()


def test_the_item_itself_comes_first_however_many_are_as_near():
    tags = Interactions(sparse.csr_matrix(np.ones((3, 1))), ["t1", "t2", "t3"], ["red"])
    known = Interactions(sparse.csr_matrix((np.arange(60) % 4 == 0)[:, None]), OWN.item_ids, ["red"])
    model = CML(**SMALL).fit(OWN, known).partial_fit(item_features=tags)
    for one in ("t3", "t1", "t2"):
        ids, scores = model.similar_items(one, N=2)
        assert ids[0] == one
        assert scores.tolist() == [0, 0]


def test_what_nothing_was_learned_of_is_near_to_nobody():
    """Of 60 items 20 are liked by nobody, and of 80 users 30 like nothing: with 8 dimensions they are near to many."""
    matrix = LIKES.matrix.tolil()
    matrix[50:], matrix[:, 40:] = 0, 0
    likes = Interactions(matrix.tocsr(), OWN.user_ids, OWN.item_ids)
    for params in ({}, {"loss": "warp", "margin": 1.0}):
        model = CML(**SMALL, **params).fit(likes)
        known = set(OWN.item_ids[np.asarray(likes.matrix.sum(0)).ravel() > 0])
        found, scores = model.similar_items(sorted(known), N=60)
        assert set(found.ravel()) - {None} == known
        assert np.isneginf(scores[:, len(known) :]).all()
        assert model.similar_items("i50", N=5)[0].tolist() == ["i50"]
        users, _ = model.similar_users("u1", N=80)
        assert set(users) <= set(OWN.user_ids[:50])
        # Who likes nothing is in the middle, and gets what is near to that.
        rows = [model.recommend(f"u{one}", N=5)[0].tolist() for one in (50, 79)]
        assert rows[0] == rows[1]
        grown = model.partial_fit(Interactions(sparse.csr_matrix([[1.0]]), ["u60"], ["i50"]))
        assert "i50" in grown.similar_items("i1", N=60)[0]
        assert "u60" in grown.similar_users("u1", N=80)[0]


def test_a_matrix_of_everybody_does_for_some(model, tmp_path):
    bare = CML(**SMALL).fit(LIKES.matrix)
    for one, whole in ((bare, [3, 17]), (model, ["u3", "u17"])):
        for options in ({}, {"recalculate_user": True}):
            expected = one.recommend(whole, LIKES.matrix[[3, 17]], N=5, **options)
            found = one.recommend(whole, LIKES.matrix, N=5, **options)
            for mine, wanted in zip(found, expected, strict=True):
                np.testing.assert_array_equal(mine, wanted)
            single = one.recommend(whole[1], LIKES.matrix, N=5, **options)
            np.testing.assert_array_equal(single[0], expected[0][1])
    with pytest.raises(KeyError, match="'new'"):
        model.recommend("new", LIKES.matrix, recalculate_user=True)


def test_models_go_to_open_files_and_come_back(model, tmp_path):
    memory = io.BytesIO()
    model.save(memory)
    model.save(tmp_path / "m")
    assert memory.getvalue() == (tmp_path / "m").read_bytes()
    memory.seek(0)
    assert torch.equal(CML.load(memory).item_embedding_, model.item_embedding_)
    with open(tmp_path / "m", "rb") as file:
        assert CML.load(file).summary() == model.summary() | {"device": "cpu"}
    for content, message in ((b"", "damaged or no model"), (memory.getvalue()[:-9], "damaged or no model")):
        with pytest.raises(ValueError, match=f"an open file.*{message}"):
            CML.load(io.BytesIO(content))


@pytest.mark.parametrize("what", ["partial_fit", "fit", "rare_item_distance"])
def test_answers_during_a_change_are_of_one_state_or_the_other(what):
    """Two threads ask all the time; each of their answers must be one of those of the whole states."""
    served = CML(**SMALL, rare_item_distance=0.5).fit(OWN)
    states, answers, done = [], [], threading.Event()

    def answer() -> bytes:
        return served.recommend(OWN.user_ids, N=10, filter_already_liked_items=False)[1].tobytes()

    def ask() -> None:
        while not done.is_set():
            answers.append(answer())

    states.append(answer())
    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(12):
        more = Interactions(sparse.random(80, 60, 0.1, random_state=number, format="csr"), OWN.user_ids, OWN.item_ids)
        if what == "rare_item_distance":
            served.rare_item_distance = 0.11 + number / 20
        elif what == "fit":
            served.fit(more)
        else:
            served.partial_fit(more)
        states.append(answer())
    done.set()
    for thread in threads:
        thread.join()
    assert len(set(states)) == len(states)
    assert len(answers) > 12
    assert set(answers) <= set(states)


def test_what_is_written_into_a_table_is_true_everywhere():
    model = CML(**SMALL, rare_item_distance=0.5).fit(OWN)
    before = [model.recommend("u1")[1], model.similar_items("i1")[1], model.predict("u1", ["i1"])]
    with torch.no_grad():
        model.item_embedding_.mul_(0.5)
    after = [model.recommend("u1")[1], model.similar_items("i1")[1], model.predict("u1", ["i1"])]
    assert all(not np.array_equal(one, two) for one, two in zip(before, after, strict=True))
    memory = io.BytesIO()
    model.save(memory)
    memory.seek(0)
    np.testing.assert_array_equal(CML.load(memory).recommend("u1")[1], after[0])
    with pytest.raises(AttributeError, match="item_embedding_ is what fit found and cannot be set"):
        model.item_embedding_ = torch.zeros(60, 8)


def test_validation_that_is_trained_on_is_left_out_or_refused(caplog):
    train, validation, _ = split_per_user(OWN, seed=0)
    with pytest.raises(ValueError, match=f"validation has all of its {train.nnz} pairs in common with user_items"):
        CML(**SMALL).fit(train, validation=train)
    expected = CML(**SMALL).fit(train, validation=validation)
    mixed = validation.with_pairs(validation.matrix + train.matrix.multiply(sparse.eye(80, 60)).tocsr())
    common = mixed.nnz - validation.nnz
    assert common > 0
    found = CML(**SMALL).fit(train, validation=mixed)
    assert f"validation has {common} of its {mixed.nnz} pairs in common" in caplog.text
    measure = [[record.get("recall@50") for record in one.history_] for one in (found, expected)]
    assert measure[0] == measure[1]


def test_own_integer_ids_are_ids_whatever_they_are():
    pairs = [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 0)]
    tags = [(0, 0), (1, 1), (2, 0), (30, 0)]
    for shift in (0, 1, -1, 2**40):
        likes = Interactions(*coo(pairs, shift, shift))
        model = CML(n_components=4, n_epochs=2).fit(likes, Interactions(*coo(tags, shift, 0)))
        assert model.item_ids_.tolist() == [shift, 1 + shift, 2 + shift, 30 + shift]
        ids, _ = model.recommend(shift, N=4)
        assert ids.dtype == np.int64
        assert set(ids.tolist()) == {2 + shift, 30 + shift}
        with pytest.raises(KeyError, match="user id 99 is not in the data"):
            model.recommend(99)
        new = model.partial_fit(item_features=Interactions(*coo([(77, 1)], 0, 0)))
        assert 77 in new.item_ids_
    short, scores = (
        CML(n_components=4, n_epochs=2).fit(Interactions(*coo(pairs[:-1], -1, -1))).recommend([-1, 0, 1], N=3)
    )
    assert (np.isneginf(scores) == (short == np.iinfo(np.int64).min)).all()
    assert -1 in short
    assert np.isneginf(scores).any()


def coo(pairs: list, shift: int, other: int) -> tuple:
    """Return a matrix and the ids of its rows and columns."""
    rows, columns = (sorted({pair[place] for pair in pairs}) for place in (0, 1))
    matrix = np.zeros((len(rows), len(columns)))
    for row, column in pairs:
        matrix[rows.index(row), columns.index(column)] = 1
    return sparse.csr_matrix(matrix), [row + shift for row in rows], [column + other for column in columns]


def test_ids_beyond_64_bits_are_unknown_as_others_are(model):
    numbered, own = CML(**SMALL).fit(LIKES.matrix), CML(**SMALL).fit(LIKES)
    for one in (numbered, own):
        for ids in (2**70, [2**70], [1, 2**63], -(2**70)):
            with pytest.raises(LookupError):
                one.recommend(ids)
    with pytest.raises(KeyError):
        model.recommend(2**70)
    with pytest.raises(ValueError, match="beyond 64-bit"):
        Interactions(LIKES.matrix[:2], user_ids=[2**63, 1])


def test_masked_ids_are_missing():
    users = np.ma.array([1, 2, 3], mask=[False, True, False])
    with pytest.raises(ValueError, match="1 of 3 ids are missing"):
        Interactions(sparse.eye(3, format="csr"), user_ids=users)


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        ([0, 1, 9], "ends with 9, but there are 2 entries"),
        ([1, 1, 2], "begins with 1"),
        ([0, 2, 1], "falls at position 2, from 2 to 1"),
        ([0, -1, 2], "falls at position 1"),
        ([0, 2], "has 2 offsets for 2 rows"),
    ],
)
def test_a_malformed_matrix_is_refused_before_anything_reads_it(ends, message):
    for kind in (sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array):
        matrix = kind(np.eye(2))
        matrix.indptr = np.array(ends, np.int32)
        with pytest.raises(ValueError, match=message):
            CML().fit(matrix)
    matrix = sparse.csr_matrix(np.eye(2))
    matrix.indices = np.array([0, 7], np.int32)
    with pytest.raises(ValueError, match=r"user_items is malformed: .* 7"):
        CML().fit(matrix)


def test_a_model_tells_what_it_is(model, caplog):
    facts = model.summary()
    assert (facts["users"], facts["items"], facts["likes"]) == ("80", "60", f"{OWN.nnz:,}")
    assert facts["epochs"] == 10
    assert facts["loss"] == "softmax"
    html = model._repr_html_()
    assert "<th style='text-align:left'>n_components</th><td style='text-align:left'>8</td>" in html
    assert "&lt;" in CML(random_state=np.random.default_rng(0), device="<b>")._repr_html_()
    with caplog.at_level(logging.DEBUG, "cmlfast"):
        CML(**SMALL).fit(OWN)
    assert sum("fit: {'epoch'" in line for line in caplog.text.splitlines()) == 10


def test_a_notebook_has_a_bar_and_other_places_have_none(monkeypatch, capsys):
    CML(**SMALL).fit(OWN)
    assert capsys.readouterr().err == ""
    kernel = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(kernel=1))
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    CML(**SMALL).fit(OWN)
    assert "10/10" in capsys.readouterr().err
    CML(**SMALL).fit(OWN, show_progress=False)
    assert capsys.readouterr().err == ""


def test_users_for_an_item(model):
    scores = model.predict(OWN.user_ids, "i3")
    likers = set(OWN.user_ids[OWN.matrix[:, 3].nonzero()[0]])
    order = list(OWN.user_ids[np.argsort(-scores, kind="stable")])
    ids, found = model.recommend_users("i3", N=5)
    assert ids.tolist() == [one for one in order if one not in likers][:5]
    np.testing.assert_array_equal(found, [scores[OWN.user_ids.tolist().index(one)] for one in ids])
    assert model.recommend_users("i3", N=5, filter_already_liked_users=False)[0].tolist() == order[:5]
    both, _ = model.recommend_users(["i3", "i5"], N=5)
    assert both[0].tolist() == ids.tolist()
    with pytest.raises(KeyError, match="'nothing'"):
        model.recommend_users("nothing")


def test_scores_of_all_items(model):
    scores = model.predict("u1")
    assert scores.shape == (60,)
    ids, best = model.recommend("u1", N=60, filter_already_liked_items=False)
    np.testing.assert_array_equal(np.sort(scores)[::-1], best)
    assert model.item_ids_[scores.argmax()] == ids[0]


def test_vectors_are_where_the_scores_come_from(model):
    for one in (model, CML(**SMALL, rare_item_distance=0.0, dtype="bfloat16").fit(OWN)):
        users, items = one.user_vectors(), one.item_vectors()
        assert users.dtype == items.dtype == np.float32
        assert users.shape[1] == items.shape[1] == 8 + (one is model)
        distances = ((users[:, None] - items) ** 2).sum(-1)
        np.testing.assert_allclose(-distances, one.predict(OWN.user_ids), atol=2e-6)
        assert np.array_equal(one.user_vectors("u3"), users[3])
        folded = one.user_vectors(["a", "b"], OWN.matrix[:2], recalculate_user=True)
        ids, scores = one.recommend(["a", "b"], OWN.matrix[:2], recalculate_user=True, N=3)
        near = items[[one.user_items_.item_index(row) for row in ids]]
        np.testing.assert_allclose(-((folded[:, None] - near) ** 2).sum(-1), scores, atol=2e-6)
        near, scores = one.similar_users("new", user_items=OWN.matrix[:1], recalculate_user=True, N=80)
        table = one.user_embedding_.float().numpy()
        mine = folded[0][:8]
        np.testing.assert_array_equal(near, OWN.user_ids[np.argsort(((table - mine) ** 2).sum(1), kind="stable")])
    with pytest.raises(ValueError, match="user_items are given without recalculate_user"):
        model.similar_users("u1", user_items=OWN.matrix[:1])


def test_area_under_the_curve_is_that_of_scikit_learn():
    from sklearn.metrics import roc_auc_score

    train, validation, test = split_per_user(OWN, seed=0)
    model = CML(**SMALL).fit(train)
    scores = model.predict(OWN.user_ids)
    expected = []
    for user in range(80):
        allowed = (train.matrix[user].toarray()[0] == 0) & (validation.matrix[user].toarray()[0] == 0)
        held = test.matrix[user].toarray()[0]
        if held.any():
            expected.append(roc_auc_score(held[allowed], scores[user][allowed]))
    assert model.auc(test, exclude=validation) == pytest.approx(np.mean(expected), abs=1e-12)
    with pytest.raises(ValueError, match="in common"):
        model.auc(train)


def test_popular_items(model):
    ids, likes = model.popular_items(4)
    counts = OWN.matrix.sum(0).A1
    assert likes.tolist() == sorted(counts, reverse=True)[:4]
    assert [counts[OWN.item_index(one)] for one in ids] == likes.tolist()


def test_likes_of_those_whom_a_model_knows(model):
    rng = np.random.default_rng(0)
    strange = Interactions(
        sparse.csr_matrix(rng.random((4, 3)) < 0.7), ["u3", "nobody", "u1", "noone"], ["i9", "nothing", "i2"]
    )
    with pytest.raises(ValueError, match="2 of its 4 users and 1 of its 3 items are unknown to it"):
        model.evaluate(strange)
    chosen = strange.select(model.user_ids_, model.item_ids_)
    assert chosen.shape == (80, 60)
    expected = {(user, item) for user in ("u3", "u1") for item in ("i9", "i2")
                if strange.matrix[strange.user_index(user), strange.item_index(item)]}  # fmt: skip
    rows, columns = chosen.matrix.nonzero()
    assert set(zip(chosen.user_ids[rows], chosen.item_ids[columns], strict=True)) == expected
    assert chosen.n_dropped == strange.nnz - chosen.nnz
    assert strange.select(["u1"]).user_ids.tolist() == ["u1"]
    assert Interactions(sparse.eye(3, format="csr"), [1, 2, 3]).select(["1"]).nnz == 0  # of another type


def test_parameters_that_nothing_would_look_at_are_refused():
    from torch import nn

    with pytest.raises(ValueError, match="feature_weight is 3, but there are neither item_features nor user_features"):
        CML(feature_weight=3).fit(OWN)
    with pytest.raises(ValueError, match="user_network is given, but no user_features"):
        CML(user_network=nn.Linear(2, 100)).fit(OWN, item_features=np.eye(60))


def test_evaluators_of_implicit_on_a_model_with_own_ids():
    from implicit.evaluation import ranking_metrics_at_k

    train, _, test = split_per_user(OWN, seed=0)
    model = CML(**SMALL).fit(train)
    numbered = model.by_position()
    ids, scores = numbered.recommend(np.arange(80), N=5)
    own, same = model.recommend(OWN.user_ids, N=5)
    assert ids.dtype == np.int32
    assert np.array_equal(OWN.item_ids[ids], own)
    assert np.array_equal(scores, same)
    theirs = ranking_metrics_at_k(numbered, train.matrix, test.matrix, K=5, show_progress=False)
    assert theirs["ndcg"] == pytest.approx(model.evaluate(test, 5)["ndcg@5"])
    assert model.recommend("u1")[0][0].startswith("i")  # the model itself is as it was
    with pytest.raises(IndexError):
        numbered.recommend(80)
