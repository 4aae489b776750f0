// Images in a NumPy archive, as the samplers of this field write them.
#pragma once

#include <filesystem>
#include <memory>

#include "cm/data/dataset.h"
#include "cm/io/npz.h"

namespace cm {

// `arr_0`: uint8 [N, S, S, C] with C = 1 or 3; `arr_1`, if there: int32 or int64 [N], the classes, whose
// number is the largest plus one (0 without `labels` or `arr_1`). InputError with the path when the file is
// missing, damaged or holds other arrays.
std::unique_ptr<Dataset> open_npz_dataset(const std::filesystem::path& path, bool labels);

// The same of arrays that were read from `path`.
std::unique_ptr<Dataset> npz_dataset(const std::filesystem::path& path, const NpzArrays& arrays, bool labels);

}  // namespace cm
