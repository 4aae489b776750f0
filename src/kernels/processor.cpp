#include "processor.h"

#include <algorithm>
#include <cstdlib>

#include "cm/base/error.h"
#include "cm/base/text.h"

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

Processor named() {
  const char* const word = std::getenv("CM_PROCESSOR");
  if (word == nullptr) return Processor::avx512;
  if (const auto found = from_name<Processor>(word)) return *found;
  throw InputError(
      concat("CM_PROCESSOR must be one of {", join(all_names<Processor>()), "}, got '", word, "'"));
}

}  // namespace

Processor processor() {
  static const Processor chosen = std::min(detect(), named());
  return chosen;
}

}  // namespace cm
