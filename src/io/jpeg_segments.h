// The segments of a JPEG (ITU-T T.81, B.1.1).
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace cm {

// The second bytes of JPEG's markers; the first is FF.
namespace jpeg {
constexpr uint8_t kStuffing = 0x00;  // no marker: an FF of the compressed data
constexpr uint8_t kTemporary = 0x01;
constexpr uint8_t kFirstRestart = 0xd0;
constexpr uint8_t kStartOfImage = 0xd8;  // D0 … D7 are restarts
constexpr uint8_t kEndOfImage = 0xd9;
constexpr uint8_t kStartOfScan = 0xda;

inline bool has_segment(uint8_t marker) {
  const bool alone =
      marker == kStuffing || marker == kTemporary || (kFirstRestart <= marker && marker <= kStartOfImage);
  return !alone;
}
}  // namespace jpeg

// Calls visit(marker, segment) for every whole segment, which begins with its own length; true when the
// image's end was met.
//
// A marker is FF, perhaps several times, and its code. What lies in a segment (a thumbnail, which is a JPEG
// too) is passed over; so is what follows the image's end. Within a scan's compressed data the only markers
// are restarts.
template <class Visit>
bool for_each_jpeg_segment(std::string_view rest, const Visit& visit) {
  while (true) {
    rest.remove_prefix(std::min(rest.find('\xff'), rest.size()));
    rest.remove_prefix(std::min(rest.find_first_not_of('\xff'), rest.size()));
    if (rest.empty()) return false;
    const auto marker = static_cast<uint8_t>(rest.front());
    rest.remove_prefix(1);
    if (marker == jpeg::kEndOfImage) return true;
    if (!jpeg::has_segment(marker)) continue;
    if (rest.size() < 2) return false;
    const size_t length =
        static_cast<size_t>(static_cast<uint8_t>(rest[0])) << 8 | static_cast<uint8_t>(rest[1]);
    if (rest.size() < length) return false;
    visit(marker, rest.substr(0, length));
    rest.remove_prefix(length);
  }
}

}  // namespace cm
