// Barriers of a block, and fences.
#pragma once

#include "core.h"

inline void __syncthreads(SIMT_SITE) { simt::sync_block(true, "__syncthreads", SIMT_HERE); }
inline int __syncthreads_count(int predicate, SIMT_SITE) {
  return simt::sync_block(predicate != 0, "__syncthreads_count", SIMT_HERE).ayes;
}
inline int __syncthreads_or(int predicate, SIMT_SITE) {
  return simt::sync_block(predicate != 0, "__syncthreads_or", SIMT_HERE).ayes > 0;
}
inline int __syncthreads_and(int predicate, SIMT_SITE) {
  const simt::Votes votes = simt::sync_block(predicate != 0, "__syncthreads_and", SIMT_HERE);
  return votes.ayes == votes.voters;
}

// One thread runs at a time and memory is never stale here, so that a fence has nothing to do.
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
