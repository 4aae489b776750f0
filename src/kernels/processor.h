// Which vector instructions the processor has that this runs on. A function for some of them is marked with
// their target, and called where processor() says that they are there.
#pragma once

#include "cm/base/fields.h"

#if defined(__x86_64__)
#define CM_TARGET_AVX512 [[gnu::target("avx512f,avx512vl,avx512dq,avx2,fma")]]
#define CM_TARGET_AVX2 [[gnu::target("avx2,fma")]]
#else
#define CM_TARGET_AVX512
#define CM_TARGET_AVX2
#endif

namespace cm {

enum class Processor { any, avx2, avx512 };

// The environment variable CM_PROCESSOR names a lesser one, whose code then runs: to test it and to compare.
// InputError when it names none.
Processor processor();

// What is for this processor.
template <class T>
T by_processor(const T& any, const T& avx2, const T& avx512) {
  switch (processor()) {
    case Processor::any:
      return any;
    case Processor::avx2:
      return avx2;
    case Processor::avx512:
      return avx512;
  }
  return any;
}

}  // namespace cm
