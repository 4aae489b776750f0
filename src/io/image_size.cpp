#include "image_size.h"

#include <algorithm>
#include <bit>
#include <cctype>

#include "jpeg_segments.h"

namespace cm {
namespace {

constexpr auto kBig = std::endian::big;
constexpr auto kLittle = std::endian::little;

// `count` bytes as a number; those beyond the end count as 0.
uint64_t number_at(std::string_view bytes, size_t at, size_t count, std::endian order) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t place = at + (order == kBig ? i : count - 1 - i);
    value = value << 8 | (place < bytes.size() ? static_cast<unsigned char>(bytes[place]) : 0);
  }
  return value;
}

uint64_t pixels_of_jpeg(std::string_view bytes) {
  uint64_t pixels = 0;
  for_each_jpeg_segment(bytes, [&](uint8_t marker, std::string_view segment) {
    // Of the frame headers C0 … CF, three are tables (ITU-T T.81, table B.1).
    const bool is_frame = (marker & 0xf0) == 0xc0 && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
    if (is_frame) pixels = std::max(pixels, number_at(segment, 3, 2, kBig) * number_at(segment, 5, 2, kBig));
  });
  return pixels;
}

// Of the extended format, which has a canvas of any size.
uint64_t pixels_of_webp(std::string_view bytes) {
  if (bytes.find("VP8X") != 12) return 0;
  return (number_at(bytes, 24, 3, kLittle) + 1) * (number_at(bytes, 27, 3, kLittle) + 1);
}

uint64_t pixels_of_bmp(std::string_view bytes) {
  constexpr uint64_t kOldestHeader = 12;  // bytes, OS/2's
  if (number_at(bytes, 14, 4, kLittle) == kOldestHeader) {
    return number_at(bytes, 18, 2, kLittle) * number_at(bytes, 20, 2, kLittle);
  }
  const uint64_t height = number_at(bytes, 22, 4, kLittle);  // negative from the top down
  return number_at(bytes, 18, 4, kLittle) * std::min(height, (uint64_t{1} << 32) - height);
}

// Of the first directory.
uint64_t pixels_of_tiff(std::string_view bytes, std::endian order) {
  constexpr uint64_t kWidthTag = 256, kHeightTag = 257, kShortType = 3;
  uint64_t width = 0;
  uint64_t height = 0;
  const size_t directory = number_at(bytes, 4, 4, order);
  const size_t entries = number_at(bytes, directory, 2, order);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + 12 * i;
    const uint64_t tag = number_at(bytes, entry, 2, order);
    const size_t value_bytes = number_at(bytes, entry + 2, 2, order) == kShortType ? 2 : 4;
    const uint64_t value = number_at(bytes, entry + 8, value_bytes, order);
    if (tag == kWidthTag) width = std::max(width, value);
    if (tag == kHeightTag) height = std::max(height, value);
  }
  return width * height;
}

// Two numbers behind the kind's digit, among spaces and comments.
uint64_t pixels_of_pnm(std::string_view bytes) {
  constexpr uint64_t kLargest = UINT32_MAX;
  bytes.remove_prefix(std::min<size_t>(1, bytes.size()));
  const auto next = [&] {
    while (!bytes.empty() && std::isdigit(static_cast<unsigned char>(bytes.front())) == 0) {
      bytes.remove_prefix(bytes.front() == '#' ? std::min(bytes.find('\n'), bytes.size()) : 1);
    }
    uint64_t value = 0;
    while (!bytes.empty() && std::isdigit(static_cast<unsigned char>(bytes.front())) != 0) {
      value = std::min(kLargest, 10 * value + static_cast<uint64_t>(bytes.front() - '0'));
      bytes.remove_prefix(1);
    }
    return value;
  };
  const uint64_t width = next();
  return width * next();
}

}  // namespace

uint64_t pixels_of_image(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG")) return number_at(bytes, 16, 4, kBig) * number_at(bytes, 20, 4, kBig);
  if (bytes.starts_with("\xff\xd8\xff")) return pixels_of_jpeg(bytes);
  if (bytes.starts_with("RIFF")) return pixels_of_webp(bytes);
  if (bytes.starts_with("BM")) return pixels_of_bmp(bytes);
  if (bytes.starts_with("II")) return pixels_of_tiff(bytes, kLittle);
  if (bytes.starts_with("MM")) return pixels_of_tiff(bytes, kBig);
  if (bytes.starts_with('P')) return pixels_of_pnm(bytes.substr(1));
  return 0;
}

}  // namespace cm
