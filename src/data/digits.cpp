#include "digits.h"

#include <zlib.h>

#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "file_mistakes.h"
#include "memory_dataset.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kDigitsSide = 8;
constexpr int64_t kDigitsPixels = kDigitsSide * kDigitsSide;
constexpr int64_t kDigitsClasses = 10;
constexpr int kInk = 16;                        // the darkest value in the file
constexpr size_t kMaxBytes = size_t{64} << 20;  // the real file has a quarter of a MiB
constexpr const char* kDigitsRemedy = "; give the digits' CSV, data/digits/digits.csv.gz of this project";

// The whole file, decompressed when it is a gzip.
std::string read_gzip(const fs::path& path) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file) throw InputError(concat(path.string(), ": can't be opened", kDigitsRemedy));
  std::string text;
  std::vector<char> chunk(1 << 16);
  int count = 0;
  while ((count = gzread(file.get(), chunk.data(), static_cast<unsigned>(chunk.size()))) > 0) {
    text.append(chunk.data(), static_cast<size_t>(count));
    if (text.size() > kMaxBytes)
      throw InputError(concat(path.string(), ": too large for digits", kDigitsRemedy));
  }
  int status = Z_OK;
  const char* reason = gzerror(file.get(), &status);
  if (status != Z_OK)
    throw InputError(concat(path.string(), ": damaged or truncated (", reason, ")", kDigitsRemedy));
  return text;
}

// The integers of one line; empty when a field is no integer.
std::vector<int> parse_integers(std::string_view line) {
  std::vector<int> values;
  const char* next = line.data();
  const char* const end = next + line.size();
  while (true) {
    int value = 0;
    const auto [rest, error] = std::from_chars(next, end, value);
    if (error != std::errc() || (rest != end && *rest != ',')) return {};
    values.push_back(value);
    if (rest == end) return values;
    next = rest + 1;
  }
}

// What is wrong with a line's numbers; "" when nothing is.
std::string mistake_in(const std::vector<int>& values) {
  constexpr size_t kColumns = kDigitsPixels + 1;
  if (values.empty()) return "not integers separated by commas";
  if (values.size() != kColumns)
    return concat(values.size(), " numbers, expected ", kColumns, " (64 pixels, the digit)");
  for (size_t i = 0; i < kDigitsPixels; ++i) {
    if (values[i] < 0 || values[i] > kInk)
      return concat("pixel ", i + 1, " is ", values[i], ", expected 0 to ", kInk);
  }
  if (values.back() < 0 || values.back() >= kDigitsClasses)
    return concat("digit ", values.back(), ", expected 0 to 9");
  return "";
}

std::unique_ptr<Dataset> open_digits(const DataOptions& options) {
  const fs::path path = options.path;
  const std::string text = read_gzip(path);
  if (text.empty()) throw InputError(concat(path.string(), ": empty file", kDigitsRemedy));

  std::vector<uint8_t> pixels;
  std::vector<int64_t> digits;
  FileMistakes mistakes;
  std::string_view rest = text;
  for (int64_t number = 1; !rest.empty(); ++number) {
    const size_t length = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, length);
    rest.remove_prefix(std::min(length + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);

    const std::vector<int> values = parse_integers(line);
    if (const std::string mistake = mistake_in(values); !mistake.empty()) {
      mistakes.add(concat(path.string(), ":", number, ": ", mistake, kDigitsRemedy));
      continue;
    }
    for (size_t i = 0; i < kDigitsPixels; ++i) {
      pixels.push_back(static_cast<uint8_t>((values[i] * 255 + kInk / 2) / kInk));
    }
    digits.push_back(values.back());
  }
  mistakes.throw_if_any(path.string());

  const auto count = static_cast<int64_t>(digits.size());
  return std::make_unique<InMemoryDataset>(
      torch::tensor(pixels, torch::kUInt8).view({count, 1, kDigitsSide, kDigitsSide}),
      options.labels ? torch::tensor(digits, torch::kInt64) : Tensor(), options.labels ? kDigitsClasses : 0);
}

}  // namespace

DataKind digits_kind() {
  return {.name = "digits",
          .help = "UCI's CSV",
          .data_path = "the digits' CSV, data/digits/digits.csv.gz of this project",
          .open = open_digits,
          .recognises =
              [](const fs::path& path) {
                return path.string().ends_with(".csv") || path.string().ends_with(".csv.gz");
              },
          .recognised = "digits .csv.gz",
          .shape = DatasetShape{1, kDigitsSide, kDigitsClasses}};
}

}  // namespace cm
