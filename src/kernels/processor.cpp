#include "processor.h"

namespace cm {
namespace {

Processor detect() {
#if defined(__x86_64__)
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq");
  if (avx512) return Processor::avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Processor::avx2;
#endif
  return Processor::any;
}

}  // namespace

Processor processor() {
  static const Processor found = detect();
  return found;
}

}  // namespace cm
