#include "cifar10.h"

#include <string>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "file_mistakes.h"
#include "memory_dataset.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kCifarSide = 32;
constexpr int64_t kCifarChannels = 3;
constexpr int64_t kCifarRecord = 1 + kCifarChannels * kCifarSide * kCifarSide;
constexpr int64_t kCifarClasses = 10;
constexpr const char* kCifarRemedy =
    "; unpack cifar-10-binary.tar.gz again and give its folder cifar-10-batches-bin";

std::vector<fs::path> batch_files(const fs::path& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files;
  for (int i = 1; i <= 5; ++i) files.push_back(path / concat("data_batch_", i, ".bin"));
  return files;
}

// What is wrong with the size of a file; "" when nothing is.
std::string size_mistake(const fs::path& file) {
  std::error_code failed;
  const auto bytes = static_cast<int64_t>(fs::file_size(file, failed));
  if (failed) return "missing or unreadable";
  if (bytes == 0) return "empty file";
  if (bytes % kCifarRecord == 0) return "";
  return concat(bytes, " bytes, which is no whole number of ", kCifarRecord, "-byte records (truncated?)");
}

// The file's records, uint8 [n, 3073].
Tensor read_records(const fs::path& file) {
  const std::string bytes = read_file(file);
  const auto count = static_cast<int64_t>(bytes.size()) / kCifarRecord;
  Tensor records = torch::empty({count, kCifarRecord}, torch::kUInt8);
  std::copy_n(bytes.data(), count * kCifarRecord, reinterpret_cast<char*>(records.data_ptr<uint8_t>()));
  for (int64_t i = 0; i < count; ++i) {
    const auto label = static_cast<uint8_t>(bytes[static_cast<size_t>(i * kCifarRecord)]);
    if (label >= kCifarClasses) {
      throw InputError(concat(file.string(), ": record ", i, " has class ", int{label}, ", expected 0 to 9",
                              kCifarRemedy));
    }
  }
  return records;
}

std::unique_ptr<Dataset> open_cifar10(const DataOptions& options) {
  const std::vector<fs::path> files = batch_files(options.path);
  FileMistakes mistakes;
  for (const auto& file : files) {
    if (const std::string mistake = size_mistake(file); !mistake.empty()) {
      mistakes.add(concat(file.string(), ": ", mistake, kCifarRemedy));
    }
  }
  mistakes.throw_if_any(options.path);

  std::vector<Tensor> batches;
  for (const auto& file : files) batches.push_back(read_records(file));
  const Tensor records = torch::cat(batches);
  const Tensor pixels = records.slice(1, 1).reshape({-1, kCifarChannels, kCifarSide, kCifarSide});
  const Tensor classes = options.labels ? records.select(1, 0).to(torch::kInt64) : Tensor();
  return std::make_unique<InMemoryDataset>(pixels, classes, options.labels ? kCifarClasses : 0);
}

}  // namespace

DataKind cifar10_kind() {
  return {.name = "cifar10",
          .help = "binary batches",
          .data_path = "the folder cifar-10-batches-bin of cifar-10-binary.tar.gz, or one of its .bin files",
          .open = open_cifar10,
          .recognises =
              [](const fs::path& path) {
                return fs::is_directory(path) ? fs::exists(path / "data_batch_1.bin")
                                              : path.extension() == ".bin";
              },
          .recognised = "CIFAR-10's .bin batches",
          .shape = DatasetShape{kCifarChannels, kCifarSide, kCifarClasses}};
}

}  // namespace cm
