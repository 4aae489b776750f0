#include "image_damage.h"

#include <zlib.h>

#include <cstdint>
#include <string_view>

namespace cm {
namespace {

using namespace std::string_view_literals;

constexpr auto kPng = "\x89PNG\r\n\x1a\n"sv;
constexpr auto kJpeg = "\xff\xd8\xff"sv;
constexpr auto kStartOfScan = "\xff\xda"sv;
constexpr auto kEndOfImage = "\xff\xd9"sv;

uint32_t big_endian(std::string_view bytes) {
  uint32_t value = 0;
  for (const char byte : bytes.substr(0, 4)) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

// A chunk is its data's length, its type, the data, and the checksum of type and data.
std::string damage_of_png(std::string_view rest) {
  constexpr size_t kAround = 12;
  for (rest.remove_prefix(kPng.size()); rest.size() >= kAround;) {
    const size_t length = big_endian(rest);
    if (rest.size() - kAround < length) break;
    const std::string_view checked = rest.substr(4, 4 + length);
    const auto checksum =
        crc32(0, reinterpret_cast<const Bytef*>(checked.data()), static_cast<uInt>(checked.size()));
    if (checksum != big_endian(rest.substr(8 + length))) return "a damaged PNG";
    if (checked.starts_with("IEND")) return "";
    rest.remove_prefix(kAround + length);
  }
  return "a truncated PNG";
}

std::string damage_of_jpeg(std::string_view bytes) {
  const size_t scan = bytes.rfind(kStartOfScan);
  const bool ends = scan != std::string_view::npos && bytes.find(kEndOfImage, scan) != std::string_view::npos;
  return ends ? "" : "a truncated JPEG";
}

}  // namespace

std::string damage_of_image(const std::string& bytes) {
  if (bytes.starts_with(kPng)) return damage_of_png(bytes);
  if (bytes.starts_with(kJpeg)) return damage_of_jpeg(bytes);
  return "";
}

}  // namespace cm
