// Random square patches of a few pictures.
#pragma once

#include "kinds.h"

namespace cm {

// A picture, or a folder or .zip of them (image_files.h). Each is decoded once, reduced by
// data.patches.reduce (every pixel the mean of reduce × reduce; the rows and columns left over at the end are
// cut off) and kept as uint8; a patch is a view of it.
//
// Patch i, [channels, image_size, image_size], is drawn from (data.patches.seed, i) alone, uniformly among
// all positions in all pictures, so that a picture is chosen in proportion to the positions it has. Class k
// is the k-th picture by name.
//
// InputError, with every picture that is broken, smaller than a patch, or grey where channels is 3, when
// there is one, and with the path where there are no pictures.
DataKind patches_kind();

}  // namespace cm
