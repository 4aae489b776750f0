// The pictures that an edit starts from, brought to a model's size.
#pragma once

#include <string>
#include <vector>

#include "cm/base/tensor.h"
#include "cm/cli/edit_options.h"
#include "cm/nn/network.h"

namespace cm {

// The pictures are repeated in order until there are --num.
struct EditInput : EditPictures {
  std::vector<std::string> pictures;  // their names, before they are repeated
  int64_t small_pictures = 0;         // superres: how many of them were the small pictures themselves
  std::vector<std::string> remarks;   // what the user may not have meant
};

// Reads --input (read_pictures), --mask or --box, and --class for any task but interpolate.
//
// Every picture is cropped in the centre and resized to S×S as training does (center_crop). For superres, a
// picture of side S/factor is the small one itself, repeated factor times in both directions; of any other,
// the patch means are kept. A mask has S×S pixels, or those of the picture as stored, with which it is
// cropped and resized; it counts as white from 128. The classes are those of --class, or of the input, or
// else all in order.
//
// InputError for a picture that is missing or broken, a mask of another size, a box outside the image, a
// factor that does not divide S, and a task that the model's images are not made for (colorize in grey).
EditInput read_edit_input(const EditOptions& options, const ImageSpec& image);

}  // namespace cm
