// Images in a NumPy archive, as the samplers of this field write them.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cm/data/dataset.h"
#include "cm/io/npz.h"

namespace cm {

struct DataKind;

// The names of the arrays that are looked at: images and labels, as numpy.savez numbers them.
inline const std::vector<std::string> kImageArrays = {"arr_0", "arr_1"};

// `arr_0`: uint8 [N, S, S, C] with C = 1 or 3; `arr_1`, if there: integers [N], the classes, whose number is
// the largest plus one (0 without `labels` or `arr_1`); other arrays are not read. InputError with the path
// when the file is missing or damaged, or these two are of another kind.
DataKind npz_kind();

// The dataset of arrays that were read from `path`.
std::unique_ptr<Dataset> npz_dataset(const std::filesystem::path& path, const NpzArrays& arrays, bool labels);

}  // namespace cm
