#include <zlib.h>

#include "cm/data/dataset.h"
#include "fuzz/fuzz_target.h"

namespace cm::fuzz {
namespace {

std::vector<std::string> digits_seeds() {
  std::string line;
  for (int i = 0; i < 64; ++i) line += std::to_string(i % 17) + ",";
  const std::string zipped = bytes_of("seed.csv.gz", [&](const std::filesystem::path& path) {
    gzFile file = gzopen(path.c_str(), "wb");
    gzwrite(file, line.data(), static_cast<unsigned>(line.size()));
    gzwrite(file, "7", 1);
    gzclose(file);
  });
  return {line + "7\n", line + "0\r\n" + line + "9", zipped};
}

void read_digits(const std::string& input) {
  const auto digits = open_dataset({.kind = {"digits"}, .path = file_of(input, "digits.csv.gz").string()});
  require(digits->size() > 0 && digits->get(digits->size() - 1).label < 10, "digits are there, and digits");
}

const Listed kDigits({"digits", digits_seeds, read_digits});

}  // namespace
}  // namespace cm::fuzz
