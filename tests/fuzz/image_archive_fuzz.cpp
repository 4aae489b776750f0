// Zip archives of images, with dataset.json.
#include "cm/data/pictures.h"
#include "cm/io/image.h"
#include "fuzz/fuzz_target.h"
#include "support/zip_file.h"

namespace cm::fuzz {
namespace {

std::vector<std::string> image_archive_seeds() {
  const std::string png = encode_png(torch::zeros({1, 2, 2}, torch::kUInt8));
  const auto zip = [](const test::ZipEntries& entries, bool deflated = false) {
    return bytes_of("seed.zip", [&](const auto& path) {
      std::filesystem::remove(path);
      test::write_zip(path, entries, deflated);
    });
  };
  return {zip({{"a.png", png}}), zip({{"cats/", ""}, {"cats/a.png", png}, {"dogs\\b.png", png}}, true),
          zip({{"00000/img0.png", png}, {"dataset.json", R"({"labels": [["00000/img0.png", 3]]})"}})};
}

void read_image_archive(const std::string& input) {
  const auto images = open_stored_images(file_of(input, "input.zip"));
  for (int64_t i = 0; i < images->size(); ++i) {
    const Example image = images->get(i, 3);
    require(image.label >= 0 && image.label <= images->classes(), "labels are classes");
  }
}

const Listed kImageArchive({"image_archive", image_archive_seeds, read_image_archive});

}  // namespace
}  // namespace cm::fuzz
