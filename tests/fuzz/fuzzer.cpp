// The entry points of libFuzzer for the one target that is linked. With --seeds FOLDER the program writes the
// target's seeds there and ends.
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "cm/base/log.h"
#include "fuzz/fuzz_target.h"

namespace {

int report = STDERR_FILENO;  // where stderr led to before libFuzzer closed it against the readers' own lines

void write_seeds(const std::filesystem::path& folder) {
  int number = 0;
  for (const std::string& seed : cm::fuzz::targets().front().seeds()) {
    std::ofstream(folder / ("seed-" + std::to_string(number++)), std::ios::binary) << seed;
  }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  cm::silence_log();
  report = dup(STDERR_FILENO);
  if (*count == 3 && std::string((*arguments)[1]) == "--seeds") {
    write_seeds((*arguments)[2]);
    std::exit(0);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    cm::fuzz::accepts(cm::fuzz::targets().front(), {reinterpret_cast<const char*>(data), size});
  } catch (const std::exception& finding) {
    dprintf(report, "FINDING: %s\n", finding.what());
    std::abort();
  }
  return 0;
}
