// A pass over an array in parts, compiled for each kind of processor.
#pragma once

#include <ATen/Parallel.h>

#include "float_vector.h"
#include "processor.h"

namespace cm {

template <class Pass>
CM_TARGET_AVX512 void parts_by_avx512(const Pass& pass, int64_t first, int64_t end) {
  for (int64_t part = first; part < end; ++part) pass.template run<vec::Floats16>(part);
}

template <class Pass>
CM_TARGET_AVX2 void parts_by_avx2(const Pass& pass, int64_t first, int64_t end) {
  for (int64_t part = first; part < end; ++part) pass.template run<vec::Floats8>(part);
}

template <class Pass>
void parts_anywhere(const Pass& pass, int64_t first, int64_t end) {
  for (int64_t part = first; part < end; ++part) pass.template run<vec::Floats4>(part);
}

// pass.run<V>(part), always inlined, for parts 0 … count − 1, by all threads, each of which takes at least
// `grain` of them; V is the processor's vector of floats.
template <class Pass>
void each_part(const Pass& pass, int64_t count, int64_t grain) {
  using Runner = void (*)(const Pass&, int64_t, int64_t);
  const auto runner = by_processor<Runner>(parts_anywhere<Pass>, parts_by_avx2<Pass>, parts_by_avx512<Pass>);
  at::parallel_for(0, count, grain, [&](int64_t first, int64_t end) { runner(pass, first, end); });
}

}  // namespace cm
