// How large a picture is, told from its file before a decoder takes memory for it.
#pragma once

#include <cstdint>
#include <string_view>

namespace cm {

// Width times height as a PNG, JPEG, BMP, TIFF, PNM or extended WebP says it; of several in one file the
// most. 0 where it says none, for other WebPs, whose sides have 14 bits, and for bytes of another kind.
uint64_t pixels_of_image(std::string_view bytes);

}  // namespace cm
