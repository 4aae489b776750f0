#include "cm/data/cifar10.h"

#include <string>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "cm/data/memory_dataset.h"
#include "file_mistakes.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSide = 32;
constexpr int64_t kChannels = 3;
constexpr int64_t kRecord = 1 + kChannels * kSide * kSide;
constexpr int64_t kClasses = 10;
constexpr const char* kRemedy =
    "; unpack cifar-10-binary.tar.gz again and give its folder cifar-10-batches-bin";

std::vector<fs::path> batch_files(const fs::path& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files;
  for (int i = 1; i <= 5; ++i) files.push_back(path / concat("data_batch_", i, ".bin"));
  return files;
}

// What is wrong with the size of a file; "" when nothing is.
std::string mistake_in(const fs::path& file) {
  std::error_code failed;
  const auto bytes = static_cast<int64_t>(fs::file_size(file, failed));
  if (failed) return "missing or unreadable";
  if (bytes == 0) return "empty file";
  if (bytes % kRecord == 0) return "";
  return concat(bytes, " bytes, which is no whole number of ", kRecord, "-byte records (truncated?)");
}

// The file's records, uint8 [n, 3073].
Tensor read_records(const fs::path& file) {
  const std::string bytes = read_file(file);
  const auto count = static_cast<int64_t>(bytes.size()) / kRecord;
  Tensor records = torch::empty({count, kRecord}, torch::kUInt8);
  std::copy_n(bytes.data(), count * kRecord, reinterpret_cast<char*>(records.data_ptr<uint8_t>()));
  for (int64_t i = 0; i < count; ++i) {
    const auto label = static_cast<uint8_t>(bytes[static_cast<size_t>(i * kRecord)]);
    if (label >= kClasses) {
      throw InputError(
          concat(file.string(), ": record ", i, " has class ", int{label}, ", expected 0 to 9", kRemedy));
    }
  }
  return records;
}

}  // namespace

std::unique_ptr<Dataset> open_cifar10(const fs::path& path, bool labels) {
  const std::vector<fs::path> files = batch_files(path);
  FileMistakes mistakes;
  for (const auto& file : files) {
    if (const std::string mistake = mistake_in(file); !mistake.empty()) {
      mistakes.add(concat(file.string(), ": ", mistake, kRemedy));
    }
  }
  mistakes.throw_if_any(path.string());

  std::vector<Tensor> batches;
  for (const auto& file : files) batches.push_back(read_records(file));
  const Tensor records = torch::cat(batches);
  const Tensor pixels = records.slice(1, 1).reshape({-1, kChannels, kSide, kSide});
  const Tensor classes = labels ? records.select(1, 0).to(torch::kInt64) : Tensor();
  return std::make_unique<InMemoryDataset>(pixels, classes, labels ? kClasses : 0);
}

}  // namespace cm
