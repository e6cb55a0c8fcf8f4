"""The budget of every CUDA kernel. The first line that matches a kernel's name as a whole is its plan.

Names are demangled, without namespaces and parameters. In ``Layout<storage, vector, one tile>`` the second is whether
rows are read four numbers at a time, the third whether a row fits a group's registers. `blocks` is per multiprocessor.
What the columns mean stands at `benchmarks.gpu.cuda_check.verdict.Plan`.

Most kernels have blocks of 64 threads. Those that compare rows have six on a multiprocessor, 384 threads of up to 168
registers, and at least six row loads in flight in each: 37 kB of float32, about twice what hides the latency of an
H100's memory (3.35 TB/s and some 0.7 us over 132 multiprocessors).
"""

from __future__ import annotations

from functools import partial

from benchmarks.gpu.cuda_check.verdict import Plan

kernel = partial(Plan, threads=64, blocks=8)
scan = partial(Plan, threads=64, blocks=6)
keep = partial(Plan, threads=256, blocks=2, divides=True)  # for a limit
WIDE, HALF, SCALAR = r"<Layout<float, true, \w+, 4>.*", r"<Layout<\w+16, true, \w+, 4>.*", r"<Layout<\w+, false, .*"
SMALL = r"<Layout<\w+, true, true, 2>.*"  # rows of at most 64 numbers
GRADIENT = r".*StoreGradient<~>>"

# fmt: off
PLANS: tuple[Plan, ...] = (
    # The forward pass: four rows at a time, all of a row's loads at once.
    scan("scan_pairs" + WIDE, wide_loads=32, in_flight=6, narrow_loop_loads=8),
    scan("scan_pairs" + SMALL, wide_loads=16, in_flight=4, wide_bits=64),
    scan("scan_pairs" + HALF, wide_loads=32, in_flight=4, wide_bits=64),
    scan("scan_pairs" + SCALAR),
    # Gradients and updates: AdaGrad and the clip divide and take roots.
    kernel("sum_runs" + SMALL, wide_loads=2, wide_bits=64, divides=True),
    kernel("sum_runs" + WIDE.removesuffix(".*") + GRADIENT, wide_loads=8, narrow_loop_loads=20),
    kernel("sum_runs" + HALF.removesuffix(".*") + GRADIENT, wide_loads=8, wide_bits=64),
    kernel("sum_runs" + SCALAR.removesuffix(".*") + GRADIENT),
    kernel("sum_runs" + WIDE, wide_loads=12, narrow_loop_loads=20, divides=True),
    kernel("sum_runs" + HALF, wide_loads=8, wide_bits=64, divides=True),
    kernel("sum_runs" + SCALAR, divides=True),
    kernel("finish_long_rows" + SMALL, wide_loads=2, wide_bits=64, divides=True),
    kernel("finish_long_rows" + WIDE.removesuffix(".*") + GRADIENT, wide_loads=4),
    kernel("finish_long_rows" + HALF.removesuffix(".*") + GRADIENT, wide_loads=4),
    kernel("finish_long_rows" + SCALAR.removesuffix(".*") + GRADIENT),
    kernel("finish_long_rows" + WIDE, wide_loads=12, divides=True),
    kernel("finish_long_rows" + HALF, wide_loads=8, wide_bits=64, divides=True),
    kernel("finish_long_rows" + SCALAR, divides=True),
    kernel("finish_step" + SMALL, wide_loads=6, wide_bits=64, divides=True),
    kernel("finish_step" + WIDE, wide_loads=12, divides=True),
    kernel("finish_step" + HALF, wide_loads=8, wide_bits=64, divides=True),
    kernel("finish_step" + SCALAR, divides=True),
    # Search: tiles of a matrix product, 64 sums of a thread in registers; its sums only say what may be near, and in
    # double how far wrong they are.
    Plan(r"find_near<.*, true, 8>", threads=256, blocks=2, wide_loads=2, wide_bits=64, pinned=False),
    Plan(r"find_near<.*", threads=256, blocks=2, pinned=False),
    kernel("bound_items<.*|bound_queries<.*", blocks=16, divides=True, pinned=False),
    keep("keep_nearest" + SMALL, wide_loads=4, in_flight=2, wide_bits=64),
    keep("keep_nearest" + WIDE, wide_loads=8, in_flight=6),
    keep("keep_nearest" + HALF, wide_loads=8, in_flight=4, wide_bits=64),
    keep("keep_nearest" + SCALAR),
    # For very many neighbours: an item's row stays in registers while the queries pass.
    scan("all_distances" + SMALL, wide_loads=4, in_flight=2, wide_bits=64),
    scan("all_distances" + WIDE, wide_loads=8, in_flight=8, narrow_loop_loads=0),
    scan("all_distances" + HALF, wide_loads=8, in_flight=4, wide_bits=64),
    scan("all_distances" + SCALAR),
    # The sampled softmax: a thread for each lane, so that loads are of one number. 32 warps on a multiprocessor with a
    # kB of products in flight in each, or 20 with 4 kB.
    kernel(r"weigh_rows<RowTiles<8, .*", blocks=16, divides=True),
    kernel(r"weigh_rows<RowTiles<32, .*", blocks=10, divides=True),
    # A thread for each number; all small.
    Plan("add_up", threads=32, blocks=1),
    kernel("draw_negatives|mask_seen|prepare_gradients|store_first|store_nearest|store_weights", blocks=16),
    kernel("check_csr_kernel|check_mixed_kernel|check_pairs_kernel|check_range_kernel", blocks=16),
    kernel("name_rows|pad_negatives|query_keys", blocks=16),
)
# fmt: on
