// The 8×8 handwritten digits of UCI's "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak).
#pragma once

#include "kinds.h"

namespace cm {

// A CSV, gzipped or not: a line is 64 integers 0…16 (row by row) and the digit 0…9. Pixels become
// round(v · 255 / 16): 1 channel, 8×8, 10 classes. InputError with path and line when the file is missing,
// empty, a damaged gzip, or a line is not as above.
DataKind digits_kind();

}  // namespace cm
