// Damage of image files that their decoders would report on stderr themselves, or draw over in grey.
#pragma once

#include <string>

namespace cm {

// What is wrong with the bytes of a PNG (a chunk cut off, or with another checksum than it says) or JPEG (no
// end of the image itself, whatever its thumbnails have): "a truncated PNG", "a damaged PNG", "a truncated
// JPEG". "" when nothing is, and for bytes of another kind. What follows the image's end is not looked at.
std::string damage_of_image(const std::string& bytes);

}  // namespace cm
