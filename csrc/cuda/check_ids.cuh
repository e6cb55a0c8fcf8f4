// Ids are checked on the device. Operators that wait for the outcome raise what the CPU raises: on a fault the ids come
// to the host, where the common checks find the words for it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>

#include "../arguments.h"
#include "device.h"
#include "ids.cuh"
#include "launch.cuh"

namespace cmlfast {
namespace {

__global__ void check_range_kernel(DeviceIds ids, int64_t n, int64_t low, int64_t high, int* fault) {
  const int64_t i = thread_number();
  if (i < n && (ids[i] < low || ids[i] >= high)) atomicExch(fault, 1);
}

// Whether row `row` of a CSR matrix lies within its indices.
__device__ __forceinline__ bool csr_row_is_sound(const DeviceIds& indptr, int64_t row, int64_t nnz) {
  const int64_t begin = indptr[row];
  const int64_t end = indptr[row + 1];
  return begin >= 0 && begin <= end && end <= nnz;
}

__global__ void check_csr_kernel(DeviceIds indptr, int64_t n_rows, int64_t nnz, int* fault) {
  const int64_t row = thread_number();
  if (row < n_rows && !csr_row_is_sound(indptr, row, nnz)) atomicExch(fault, 1);
}

// What a pair whose negatives are drawn may name: users of both a table and a CSR matrix, and items.
struct PairLimits {
  DeviceIds indptr;  // [n_csr_rows + 1]
  int64_t n_csr_rows;
  int64_t nnz;
  int64_t n_users;
  int64_t n_items;

  __device__ __forceinline__ bool allow(int64_t user, int64_t positive) const {
    return user >= 0 && user < n_users && user < n_csr_rows && positive >= 0 && positive < n_items &&
           csr_row_is_sound(indptr, user, nnz);
  }
};

__global__ void check_pairs_kernel(DeviceIds users, DeviceIds positives, int64_t n_pairs, PairLimits limits,
                                   int* fault) {
  const int64_t n = thread_number();
  if (n < n_pairs && !limits.allow(users[n], positives[n])) atomicExch(fault, 1);
}

// A row of negatives is all items or all -1.
__global__ void check_mixed_kernel(DeviceIds negatives, int64_t n, int64_t n_negatives, int* fault) {
  const int64_t i = thread_number();
  if (i < n && (negatives[i] < 0) != (negatives[i - i % n_negatives] < 0)) atomicExch(fault, 1);
}

inline PairLimits pair_limits(const Ids& indptr, const Ids& indices, int64_t n_users, int64_t n_items) {
  return {DeviceIds(indptr), indptr.size() - 1, indices.size(), n_users, n_items};
}

class IdChecks {
 public:
  IdChecks(cudaStream_t stream, int* fault) : stream_(stream), fault_(fault) {
    check_cuda(cudaMemsetAsync(fault, 0, sizeof(int), stream), "cannot clear memory");
  }

  void range(const Ids& ids, int64_t low, int64_t high) const {
    launch(stream_, ids.size(), kBlock, check_range_kernel, DeviceIds(ids), ids.size(), low, high, fault_);
  }
  void csr(const Ids& indptr, const Ids& indices) const {
    const int64_t n_rows = indptr.size() - 1;
    launch(stream_, n_rows, kBlock, check_csr_kernel, DeviceIds(indptr), n_rows, indices.size(), fault_);
  }
  void pairs(const Ids& users, const Ids& positives, const PairLimits& limits) const {
    launch(stream_, users.size(), kBlock, check_pairs_kernel, DeviceIds(users), DeviceIds(positives), users.size(),
           limits, fault_);
  }
  void mixed(const Ids& negatives, int64_t n_negatives) const {
    launch(stream_, negatives.size(), kBlock, check_mixed_kernel, DeviceIds(negatives), negatives.size(), n_negatives,
           fault_);
  }

  // Waits for the device. On a fault, `on_host` is to raise.
  template <typename OnHost>
  void finish(const OnHost& on_host) const {
    int fault = 0;
    check_cuda(cudaMemcpyAsync(&fault, fault_, sizeof fault, cudaMemcpyDeviceToHost, stream_), "cannot read memory");
    check_cuda(cudaStreamSynchronize(stream_), "an earlier kernel failed");
    if (fault == 0) return;
    on_host();
    throw std::runtime_error("ids were out of range and changed while they were looked at");
  }

 private:
  cudaStream_t stream_;
  int* fault_;
};

inline Tensor on_host(const Tensor& tensor) {
  return torch::stable::to(tensor, torch::stable::Device(torch::headeronly::DeviceType::CPU));
}

}  // namespace
}  // namespace cmlfast
