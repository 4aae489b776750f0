#include "cm/data/image_zip.h"

#include <iomanip>
#include <vector>

#include "cm/base/text.h"
#include "cm/io/image.h"
#include "cm/io/zip_writer.h"
#include "dataset_json.h"

namespace cm {
namespace {

// A thousand images a folder.
std::string image_name(int64_t index) {
  constexpr int64_t kImagesAFolder = 1000;
  const auto digits = [](int64_t number, int width) {
    return concat(std::setw(width), std::setfill('0'), number);
  };
  return concat(digits(index / kImagesAFolder, 5), "/img", digits(index, 8), ".png");
}

}  // namespace

void write_image_zip(const std::filesystem::path& path, const Dataset& dataset, int64_t count,
                     const std::function<void(int64_t images)>& done) {
  TORCH_CHECK(count >= 1 && count <= dataset.size(), "there are ", dataset.size(), " examples, not ", count);
  std::vector<NewZipEntry> entries;
  std::vector<LabelledFile> labels;  // of the images that are written already
  for (int64_t index = 0; index < count; ++index) {
    entries.push_back({image_name(index), [&, index]() -> ZipBytes {
                         const Example example = dataset.get(index);
                         labels.push_back({image_name(index), example.label});
                         done(index);
                         return {encode_png(example.pixels.contiguous())};
                       }});
  }
  entries.push_back({kLabelFile, [&]() -> ZipBytes {
                       done(count);
                       return {json_of_labels(labels, dataset.classes() > 0)};
                     }});
  write_zip(path, entries);
}

}  // namespace cm
