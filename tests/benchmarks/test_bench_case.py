"""What every benchmark works on can be made, here on made-up data where the real data is missing."""

from benchmarks.kit.case import N_PAIRS, make_case, restore_


def test_a_case_is_in_the_middle_of_training_and_can_be_restored() -> None:
    case = make_case()
    assert len(case.users) == len(case.positives) == N_PAIRS
    start = case.tables.clone()
    assert (start.item_state > 0).any()
    case.tables.item.zero_()
    restore_(case.tables, start)
    assert (case.tables.item == start.item).all()
    elsewhere = case.to("meta")
    moved = [*elsewhere.tables.all(), *elsewhere.sampling]
    assert {tensor.device.type for tensor in moved} == {"meta"}
    assert [tensor.shape for tensor in moved] == [tensor.shape for tensor in (*case.tables.all(), *case.sampling)]
