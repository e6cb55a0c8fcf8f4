"""The static check of the CUDA kernels: what it reads, what it computes, and that it reports each kind of problem."""

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.gpu.cuda_check import check, report
from benchmarks.gpu.cuda_check.compile import MissingToolError, find_tools
from benchmarks.gpu.cuda_check.names import library, qualified, short
from benchmarks.gpu.cuda_check.occupancy import LIMITS, blocks_by_registers, max_registers, occupancy
from benchmarks.gpu.cuda_check.ptxas import Arithmetic, Resources, arithmetic_in_ptx, parse_report
from benchmarks.gpu.cuda_check.sass import count, parse
from benchmarks.gpu.cuda_check.verdict import Kernel, Plan

REPORT = """\
ptxas info    : 29 bytes gmem, 232 bytes cmem[4]
ptxas info    : Compiling entry function '_Z5spillPKfPf' for 'sm_90'
ptxas info    : Function properties for _Z5spillPKfPf
    464 bytes stack frame, 600 bytes spill stores, 944 bytes spill loads
ptxas info    : Used 64 registers, used 1 barriers, 464 bytes cumulative stack size
ptxas info    : Compile time = 78.898 ms
ptxas info    : Compiling entry function '_Z4sumsPf' for 'sm_90'
ptxas info    : Function properties for _Z4sumsPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 38 registers, used 1 barriers, 4096 bytes smem, 381 bytes cmem[0]
"""

# A loop with a wide and a byte load, whose trip through .L_x_3 lies behind the end; a scalar load before it.
SASS = """\
\t.section\t.text._Z4loopPKfPf,"ax",@progbits
\t.align\t128
        .type           _Z4loopPKfPf,@function
_Z4loopPKfPf:
.text._Z4loopPKfPf:
        /*0000*/                   LDG.E.CONSTANT R3, desc[UR4][R4.64+0x80] ;
.L_x_2:
        /*0010*/                   BSSY.RECONVERGENT B0, `(.L_x_67) ;
        /*0090*/              @!P0 BRA `(.L_x_68) ;
        /*00a0*/                   CALL.REL.NOINC `($__internal_7_$__cuda_sm3x_div_rn_noftz_f32_slowpath) ;
.L_x_68:
        /*00b0*/                   BSYNC.RECONVERGENT B0 ;
.L_x_67:
        /*00c0*/              @!P1 LDG.E.128.CONSTANT.SYS R4, [R4] ;
        /*00d0*/                   BRA.U !UP0, `(.L_x_3) ;
.L_x_4:
        /*00e0*/               @P0 BRA `(.L_x_2) ;
        /*00f0*/                   STG.E.64 desc[UR4][R6.64], R4 ;
        /*0100*/                   STL [R1], R4 ;
        /*0110*/                   LDS.128 R4, [R1] ;
        /*0120*/                   SHFL.BFLY PT, R3, R8, 0x10, 0x1f ;
        /*0130*/                   EXIT ;
.L_x_3:
        /*0140*/                   LDG.E.U8.STRONG.SYS R9, desc[UR4][R4.64] ;
        /*0150*/                   BRA `(.L_x_4) ;
        .weak           $__internal_7_$__cuda_sm3x_div_rn_noftz_f32_slowpath
$__internal_7_$__cuda_sm3x_div_rn_noftz_f32_slowpath:
        /*0160*/                   FFMA.RM R6, R10.reuse, R8.reuse, R7.reuse ;
        /*0170*/                   RET.REL.NODEC R4 `(_Z4loopPKfPf) ;
.L_x_80:
        /*0180*/                   BRA `(.L_x_80);
"""

PTX = """\
.visible .entry _Z1aPf(
\t.param .u64 .ptr .align 1 _Z1aPf_param_0
)
{
\tfma.rn.f32 \t%f4, %f1, %f3, %f2;
\tdiv.rn.f32 \t%f5, %f4, %f3;
}
.func  (.param .b32 func_retval0) _Z6helperf(
\t.param .b32 _Z6helperf_param_0
)
{
\tfma.rn.f32x2 \t%f4, %f1, %f3, %f2;
\tsqrt.rn.f32 \t%f5, %f4;
\tsub.f64 \t%fd3, %fd1, %fd2;
}
.weak .entry _Z1bPf(
)
{
\tmad.lo.s32 \t%r1, %r2, %r3, %r4;
\tmul.f32 \t%f4, %f1, %f3;
\tcall.uni (retval0), _Z6helperf, (param0);
}
.visible .entry _Z1cPf()
{
\tmul.rn.f32 \t%f4, %f1, %f3;
\tadd.rz.f32 \t%f4, %f1, %f3;
\tmul.wide.u16 \t%r1, %rs1, %rs2;
}
.visible .entry _Z1dPf()
{
\tadd.ftz.f32 \t%f4, %f1, %f3;
\tmul.bf16x2 \t%r4, %r1, %r3;
\tdiv.full.f32 \t%f4, %f1, %f3;
\tex2.approx.ftz.f32 \t%f4, %f1;
}
"""


def test_ptxas_report() -> None:
    assert parse_report(REPORT) == {
        "_Z5spillPKfPf": Resources(registers=64, spill_stores=600, spill_loads=944, stack=464, shared=0),
        "_Z4sumsPf": Resources(registers=38, shared=4096),
    }


IN_FLIGHT = """\
.text._Z4loadPf:
        /*0000*/                   LDG.E.64 R20, desc[UR4][R2.64] ;
        /*0010*/                   LDG.E R30, desc[UR4][R2.64] ;
        /*0020*/                   FADD R0, R20, R21 ;
        /*0030*/                   LDG.E.128 R4, desc[UR4][R2.64] ;
        /*0040*/               @P0 LDG.E.128 R8, desc[UR4][R2.64+0x10] ;
        /*0050*/                   IADD3 R2, R2, 0x20, RZ ;
        /*0060*/                   LDG.E.128 R12, desc[UR4][R2.64] ;
        /*0070*/                   {store} ;
        /*0080*/                   FADD R0, R0, R11 ;
        /*0090*/                   LDG.E.128 R16, desc[UR4][R2.64] ;
"""


@pytest.mark.parametrize(
    ("store", "expected"), [("FMUL R1, R1, R1", 3), ("STG.E desc[UR4][R24.64], R15", 3), ("FADD R1, R0, R7", 3)]
)
def test_loads_in_flight(store: str, expected: int) -> None:
    """Wide loads count until one's register is read; narrow ones do not count."""
    text = "\t.section\t.text._Z4loadPf\n" + IN_FLIGHT.format(store=store)
    assert count(parse(text)["_Z4loadPf"]).in_flight == expected
    early = text.replace("IADD3 R2, R2, 0x20, RZ", "FADD R0, R0, R9")
    assert count(parse(early)["_Z4loadPf"]).in_flight == 2


def test_machine_code() -> None:
    counts = count(parse(SASS)["_Z4loopPKfPf"])
    assert counts.loads == Counter({32: 1, 128: 1, 8: 1})
    assert counts.loop_loads == Counter({128: 1, 8: 1})
    assert counts.stores == Counter({64: 1})
    assert (counts.local, counts.shuffles) == (1, 1)


def test_arithmetic_of_the_source() -> None:
    assert arithmetic_in_ptx(PTX) == {
        "_Z1aPf": Arithmetic(free=1, divisions=1),
        "_Z1bPf": Arithmetic(free=3, divisions=1),  # two of them, and the root, in the function that it calls
        "_Z1cPf": Arithmetic(free=0, divisions=0),
        "_Z1dPf": Arithmetic(free=4, divisions=0),
    }


@pytest.mark.parametrize(
    ("demangled", "name"),
    [
        ("void cmlfast::sum_rows<__nv_bfloat16, 4>(__nv_bfloat16 const*, float*, int)", "sum_rows<bf16, 4>"),
        ("void (anonymous namespace)::scan<(bool)1, (int)8, cmlfast::Ids<long> >(cmlfast::Ids<long>)",
         "scan<true, 8, Ids<long>>"),
        ("void add<Layout<float, true>, Rows<Layout<float, true> >, To<Layout<float, false> > >(int)",
         "add<Layout<float, true>, Rows<~>, To<Layout<float, false>>>"),
        ("cmlfast::step(float const*, void (*)(int), unsigned long)", "step"),
        ("void f<(Kind)1, 7l>(int)", "f<(Kind)1, 7>"),
        ("plain", "plain"),
    ],
)  # fmt: skip
def test_names(demangled: str, name: str) -> None:
    assert short(demangled) == name


def test_library_kernels() -> None:
    scan = "void cub::CUB_300001_SM_900::detail::scan::Kernel<float, cub::Policy>(int)"
    assert qualified(scan) == "cub::CUB_300001_SM_900::detail::scan::Kernel<float, cub::Policy>"
    assert library(scan) == "cub"
    assert library("void cmlfast::uses<cub::Policy>(cub::Policy)") is None


@pytest.mark.parametrize(
    ("arch", "registers", "shared", "threads", "blocks", "warps"),
    [
        # CUDA best practices guide, "Calculating Occupancy": 37 registers; its device has the slots of sm_80.
        (80, 37, 0, 128, 12, 0.75),
        (80, 37, 0, 320, 4, 0.625),
        # Tuning guides: warps 64 and 48 of sm_80 and 86; 1024 threads on sm_75.
        (75, 64, 0, 1024, 1, 1.0),
        (80, 32, 0, 1024, 2, 1.0),
        (86, 40, 0, 768, 2, 1.0),
        # At most 163 KB of the 164 KB of sm_80 go to one block.
        (80, 32, 163 << 10, 1024, 1, 0.5),
        (80, 32, (163 << 10) + 1, 1024, 0, 0.0),
        # Shared memory for three blocks of 64 KB, each with 1 KB that the system takes.
        (90, 32, 64 << 10, 128, 3, 12 / 64),
        (80, 65, 0, 1024, 0, 0.0),
    ],
)
def test_occupancy(arch: int, registers: int, shared: int, threads: int, blocks: int, warps: float) -> None:
    found = occupancy(arch, registers, shared, threads)
    assert (found.blocks, found.warps) == (blocks, warps)


def test_register_budgets() -> None:
    assert max_registers(80, threads=256, blocks=8) == 32
    assert max_registers(80, threads=256, blocks=6) == 40
    assert max_registers(90, threads=128, blocks=8) == 64
    # sm_75 has slots for four such blocks, so no more need to fit.
    assert max_registers(75, threads=256, blocks=8) == 64
    assert max_registers(80, threads=32, blocks=1) == 255
    for threads in (32, 96, 256, 1024):
        budget = max_registers(90, threads, 2)
        assert blocks_by_registers(budget, threads) >= 2 or budget == 0
        assert budget == 255 or blocks_by_registers(budget + 1, threads) < 2


# Reads "arch warps shared shared_per_block reserved registers dynamic threads" and answers with the blocks.
CALCULATOR = """\
#include <cuda_occupancy.h>
#include <cstdio>
int main() {
  int arch, warps, shared, per_block, reserved, registers, dynamic, threads;
  while (scanf("%d %d %d %d %d %d %d %d", &arch, &warps, &shared, &per_block, &reserved, &registers, &dynamic,
               &threads) == 8) {
    cudaOccDeviceProp device;
    device.computeMajor = arch / 10;
    device.computeMinor = arch % 10;
    device.maxThreadsPerBlock = 1024;
    device.maxThreadsPerMultiprocessor = warps * 32;
    device.regsPerBlock = device.regsPerMultiprocessor = 65536;
    device.warpSize = 32;
    device.numSms = 1;
    device.sharedMemPerBlock = 48 << 10;
    device.sharedMemPerBlockOptin = per_block;
    device.sharedMemPerMultiprocessor = shared;
    device.reservedSharedMemPerBlock = reserved;
    cudaOccFuncAttributes kernel;
    kernel.maxThreadsPerBlock = 1024;
    kernel.numRegs = registers;
    kernel.sharedSizeBytes = 0;
    kernel.maxDynamicSharedSizeBytes = per_block;
    kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
    kernel.numBlockBarriers = 1;
    cudaOccDeviceState state;
    state.carveoutConfig = SHAREDMEM_CARVEOUT_MAX_SHARED;
    cudaOccResult result;
    if (cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state, threads, dynamic)) return 1;
    printf("%d\\n", result.activeBlocksPerMultiprocessor);
  }
}
"""


def test_occupancy_is_that_of_the_toolkits_calculator(tmp_path: Path) -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("nvcc is not on the PATH")
    (tmp_path / "calculator.cpp").write_text(CALCULATOR)
    program = tmp_path / "calculator"
    subprocess.run([nvcc, "-cudart", "none", tmp_path / "calculator.cpp", "-o", program], check=True)
    cases = [
        (arch, registers, shared, threads)
        for arch in LIMITS
        for registers in (1, 24, 32, 37, 65, 128, 255)
        for shared in (0, 100, 5000, 40000, 65536, 99 << 10, 163 << 10, 227 << 10)
        for threads in (1, 64, 96, 192, 256, 320, 1024)
    ]
    lines = []
    for arch, registers, shared, threads in cases:
        at = LIMITS[arch]
        lines.append(
            f"{arch} {at.warps} {at.shared} {at.shared_per_block} {at.shared_reserved} {registers} {shared} {threads}"
        )
    answer = subprocess.run([program], input="\n".join(lines), capture_output=True, text=True, check=True).stdout
    assert [occupancy(*case).blocks for case in cases] == [int(blocks) for blocks in answer.split()]


KERNELS = """\
#include <cuda_bf16.h>
namespace demo {
template <int W> __global__ void wide(const float4* __restrict__ x, float* y, int n) {
  float s = 0;
  for (int i = threadIdx.x; i < n; i += W) { float4 v = x[i]; s += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w; }
  y[threadIdx.x] = s;
}
template __global__ void wide<32>(const float4*, float*, int);
__global__ void narrow(const float* x, float* y, int n) {
  float s = 0;
  for (int i = threadIdx.x; i < n; i += 32) s += x[i] * x[i];
  y[threadIdx.x] = s;
}
__global__ void stored_in_16_bits(const uint2* x, float* y, int n) {
  float s = 0;
  for (int i = threadIdx.x; i < n; i += 32) {
    uint2 v = x[i];
    s += __uint_as_float(v.x << 16) + __uint_as_float(v.y << 16);
  }
  y[threadIdx.x] = s;
}
__global__ void frame(const int* x, int* y, int n) {
  int a[64];
  for (int i = 0; i < 64; ++i) a[i] = x[i];
  for (int i = 0; i < n; ++i) a[x[i + 64] & 63] += i;
  y[threadIdx.x] = a[y[threadIdx.x] & 63];
}
__global__ void __launch_bounds__(1024) spilling(const float* x, float* y) {
  float a[96], s = 0;
#pragma unroll
  for (int i = 0; i < 96; ++i) a[i] = x[i * 1024 + threadIdx.x];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 96; ++i) s = s * a[i] + a[95 - i];
#pragma unroll
  for (int i = 0; i < 96; ++i) y[i * 1024 + threadIdx.x] = a[i] + s;
}
__global__ void sharing(float* y) {
  __shared__ float all[12000];
  for (int i = threadIdx.x; i < 12000; i += 32) all[i] = y[i];
  __syncthreads();
  for (int i = threadIdx.x; i < 12000; i += 32) y[i] = all[11999 - i];
}
__global__ void divides(const float* x, float* y) { y[threadIdx.x] = sqrtf(x[threadIdx.x] / x[threadIdx.x + 32]); }
__global__ void fuses(const float* x, float* y) { y[threadIdx.x] = fmaf(x[threadIdx.x], 3.f, x[threadIdx.x + 32]); }
}  // namespace demo
"""


class Checked:
    """The kernels above, compiled once for one architecture."""

    def __init__(self, folder: Path) -> None:
        self.tools = find_tools()
        self.cache = folder / "cache"
        self.source = folder / "kernels.cu"
        self.source.write_text(KERNELS)

    def check(self, *plans: Plan) -> tuple[dict[str, Kernel], list[str]]:
        kernels, problems = check.check(self.tools, [self.source], plans, [80], self.cache)
        return {kernel.name: kernel for kernel in kernels}, problems

    def problems_of(self, plan: Plan) -> list[str]:
        """Return the problems of the kernels that the plan names; the others are planned as anything goes."""
        anything = Plan(r".*", threads=32, blocks=1, hot=False, divides=True, pinned=False)
        return self.check(plan, anything)[1]


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    try:
        return Checked(tmp_path_factory.mktemp("cuda"))
    except MissingToolError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    "plan",
    [
        Plan(r"wide<\d+>", threads=256, blocks=6, wide_loads=1, narrow_loop_loads=0),
        Plan(r"stored_in_16_bits", threads=256, blocks=6, wide_loads=1, wide_bits=64, narrow_loop_loads=0),
        Plan(r"divides", threads=256, blocks=8, divides=True),
        Plan(r"sharing", threads=32, blocks=3),
        Plan(r"spilling|frame", threads=32, blocks=1, hot=False),
    ],
)
def test_a_kernel_within_its_plan_has_no_problem(checked: Checked, plan: Plan) -> None:
    assert checked.problems_of(plan) == []


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (Plan(r"spilling", threads=1024, blocks=1), "spilling, sm_80: spills: "),
        (Plan(r"spilling", threads=1024, blocks=2, hot=False), "registers, budget 32 for 2 blocks of 1024 threads"),
        (Plan(r"frame", threads=32, blocks=1), "frame, sm_80: a stack frame of 256 bytes"),
        (Plan(r"narrow", threads=32, blocks=1, wide_loads=1), "narrow, sm_80: 0 loads of 128 bits, planned at least 1"),
        (Plan(r"stored_in_16_bits", threads=32, blocks=1, wide_loads=1), "0 loads of 128 bits"),
        (Plan(r"narrow", threads=32, blocks=1, narrow_loop_loads=0), "loads of under 128 bits in loops"),
        (Plan(r"sharing", threads=32, blocks=4), "48000 bytes of shared memory allow 3 blocks"),
        (Plan(r"wide<32>", threads=32, blocks=4, dynamic_shared=60000), "60000 bytes of shared memory allow 2 blocks"),
        (Plan(r"divides", threads=32, blocks=1), "divides, sm_80: 2 divisions and square roots, budget 0"),
        (Plan(r"fuses", threads=32, blocks=1), "fuses, sm_80: 1 operations in its PTX that are fused"),
        (Plan(r"fuses", threads=32, blocks=1, divides=True), "fuses, sm_80: 1 operations in its PTX that are fused"),
        (Plan(r"gone", threads=32, blocks=1), "gone: planned, but no kernel has such a name"),
    ],
)
def test_a_departure_from_the_plan_is_reported(checked: Checked, plan: Plan, said: str) -> None:
    found = checked.problems_of(plan)
    assert len(found) == 1
    assert said in found[0]


def test_a_kernel_that_nobody_planned_is_reported(checked: Checked) -> None:
    kernels, found = checked.check(Plan(r"(?!narrow).*", threads=32, blocks=1, hot=False, divides=True, pinned=False))
    assert set(kernels) > {"narrow", "wide<32>"}
    assert found == ["narrow, sm_80: no plan covers it; give it a budget in benchmarks/gpu/cuda_check/budgets.py"]


def test_nothing_is_compiled_again_until_a_source_changes(checked: Checked, tmp_path: Path) -> None:
    source = tmp_path / "one.cu"
    source.write_text("__global__ void one(int* x) { *x = 1; }\n")
    cache = tmp_path / "cache"

    def kept() -> list[tuple[str, int]]:
        check.check(checked.tools, [source], (), [80], cache)
        return [(folder.name, (folder / "kernels.cubin").stat().st_mtime_ns) for folder in cache.iterdir()]

    first = kept()
    assert len(first) == 1
    assert kept() == first
    source.write_text("__global__ void one(int* x) { *x = 2; }\n")
    changed = kept()
    assert len(changed) == 1
    assert changed != first


def test_tables(checked: Checked) -> None:
    plan = Plan(r"wide<\d+>", threads=256, blocks=6)
    kernels, _ = checked.check(plan)
    line = next(line for line in report.short_table(kernels.values()).splitlines() if line.startswith("wide<32>"))
    assert line.split()[:2] == ["wide<32>", "80"]
    assert "100%" in line
    assert report.full_table(kernels.values()).count("\n") == len(kernels)


def test_without_the_compiler_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check.main([str(tmp_path / "kernels.cu")]) == 2
    assert "nvcc is not on the PATH" in capsys.readouterr().err


@pytest.mark.parametrize(("blocks", "status"), [(1, 0), (2, 1)])
def test_the_exit_status_says_whether_all_is_as_planned(
    checked: Checked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], blocks: int, status: int
) -> None:
    plan = Plan(r".*", threads=1024, blocks=blocks, hot=False, divides=True, pinned=False)
    monkeypatch.setattr(check, "PLANS", (plan,))
    monkeypatch.setattr(check, "CACHE", checked.cache)
    assert check.main([str(checked.source), "--arch", "80"]) == status
    printed = capsys.readouterr().out
    assert ("0 problems" in printed.splitlines()) == (status == 0)
    assert "spilling" in (checked.cache / "report.txt").read_text()
