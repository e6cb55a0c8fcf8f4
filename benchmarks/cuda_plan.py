"""The budget of every CUDA kernel. The first line that matches a kernel's name as a whole is its plan.

Names are demangled, without namespaces and parameters, with `bf16` and `half` for the storage types. `blocks` is per
multiprocessor. What the columns mean stands at `benchmarks.cuda_budget.Plan`.
"""

from __future__ import annotations

from benchmarks.cuda_budget import Plan

# fmt: off
PLANS: tuple[Plan, ...] = (
    # Plan(r"sum_rows<float, .*>", threads=256, blocks=8, wide_loads=1,               bytes_per_pair="4 d"),
    # Plan(r"sum_rows<bf16, .*>",  threads=256, blocks=8, wide_loads=1, wide_bits=64, bytes_per_pair="2 d"),
)
# fmt: on
