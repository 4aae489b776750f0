#include "image_damage.h"

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace cm {
namespace {

using namespace std::string_view_literals;

constexpr auto kPng = "\x89PNG\r\n\x1a\n"sv;
constexpr auto kJpeg = "\xff\xd8\xff"sv;

// The second bytes of JPEG's markers; the first is FF.
constexpr uint8_t kStuffing = 0x00;  // no marker: an FF of the compressed data
constexpr uint8_t kTemporary = 0x01;
constexpr uint8_t kFirstRestart = 0xd0;
constexpr uint8_t kStartOfImage = 0xd8;  // D0 … D7 are restarts
constexpr uint8_t kEndOfImage = 0xd9;
constexpr uint8_t kStartOfScan = 0xda;

uint32_t big_endian(std::string_view bytes) {
  uint32_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

// A chunk is its data's length, its type, the data, and the checksum of type and data.
std::string damage_of_png(std::string_view rest) {
  constexpr size_t kAround = 12;
  for (rest.remove_prefix(kPng.size()); rest.size() >= kAround;) {
    const size_t length = big_endian(rest.substr(0, 4));
    if (rest.size() - kAround < length) break;
    const std::string_view checked = rest.substr(4, 4 + length);
    const auto checksum =
        crc32(0, reinterpret_cast<const Bytef*>(checked.data()), static_cast<uInt>(checked.size()));
    if (checksum != big_endian(rest.substr(8 + length, 4))) return "a damaged PNG";
    if (checked.starts_with("IEND")) return "";
    rest.remove_prefix(kAround + length);
  }
  return "a truncated PNG";
}

bool has_segment(uint8_t marker) {
  const bool alone =
      marker == kStuffing || marker == kTemporary || (kFirstRestart <= marker && marker <= kStartOfImage);
  return !alone;
}

// A marker is FF, perhaps several times, and its code. A segment that follows begins with its own length, so
// what lies in it (a thumbnail, which is a JPEG too) is passed over; so is what follows the image's end.
// Within a scan's compressed data the only markers are restarts (ITU-T T.81, B.1.1).
std::string damage_of_jpeg(std::string_view rest) {
  bool has_scan = false;
  while (true) {
    rest.remove_prefix(std::min(rest.find('\xff'), rest.size()));
    rest.remove_prefix(std::min(rest.find_first_not_of('\xff'), rest.size()));
    if (rest.empty()) return "a truncated JPEG";
    const auto marker = static_cast<uint8_t>(rest.front());
    rest.remove_prefix(1);
    if (marker == kEndOfImage) return has_scan ? "" : "a truncated JPEG";
    if (!has_segment(marker)) continue;
    const size_t length = big_endian(rest.substr(0, 2));
    if (rest.size() < 2 || rest.size() < length) return "a truncated JPEG";
    rest.remove_prefix(length);
    has_scan = has_scan || marker == kStartOfScan;
  }
}

}  // namespace

std::string damage_of_image(const std::string& bytes) {
  if (bytes.starts_with(kPng)) return damage_of_png(bytes);
  if (bytes.starts_with(kJpeg)) return damage_of_jpeg(bytes);
  return "";
}

}  // namespace cm
