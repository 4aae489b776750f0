// The 8×8 handwritten digits of UCI's "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak).
#pragma once

#include <filesystem>
#include <memory>

#include "cm/data/dataset.h"

namespace cm {

// Reads a CSV, gzipped or not: a line is 64 integers 0…16 (row by row) and the digit 0…9. Pixels become
// round(v · 255 / 16): 1 channel, 8×8, 10 classes (0 without `labels`). InputError with path and line when
// the file is missing, empty, a damaged gzip, or a line is not as above.
std::unique_ptr<Dataset> open_digits(const std::filesystem::path& path, bool labels);

}  // namespace cm
