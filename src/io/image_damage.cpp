#include "image_damage.h"

#include <zlib.h>

#include <cstdint>
#include <string_view>

#include "jpeg_segments.h"

namespace cm {
namespace {

using namespace std::string_view_literals;

constexpr auto kPng = "\x89PNG\r\n\x1a\n"sv;
constexpr auto kJpeg = "\xff\xd8\xff"sv;

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

std::string damage_of_jpeg(std::string_view bytes) {
  bool has_scan = false;
  const bool ends = for_each_jpeg_segment(
      bytes, [&](uint8_t marker, std::string_view) { has_scan = has_scan || marker == jpeg::kStartOfScan; });
  return ends && has_scan ? "" : "a truncated JPEG";
}

}  // namespace

std::string damage_of_image(const std::string& bytes) {
  if (bytes.starts_with(kPng)) return damage_of_png(bytes);
  if (bytes.starts_with(kJpeg)) return damage_of_jpeg(bytes);
  return "";
}

}  // namespace cm
