// Data sets in the format of EDM and StyleGAN.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "cm/data/dataset.h"

namespace cm {

// Writes the first `count` in [1, size()] examples, in the data's own order, into an archive of PNGs with
// their classes in dataset.json, as EDM's dataset_tool.py does: 00000/img00000000.png, …. One image is in
// memory at a time; `done` is told how many are behind. InputError when an image file is broken, Error when
// the disk fails: then what was at `path` stays.
void write_image_zip(const std::filesystem::path& path, const Dataset& dataset, int64_t count,
                     const std::function<void(int64_t images)>& done);

}  // namespace cm
