#include "npy_header.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "named_dtype.h"

namespace cm {
namespace {

constexpr std::string_view kVersion1("\x01\x00", 2);
constexpr size_t kAlignment = 64;

constexpr std::array kNpyDtypes = {
    NamedDtype{torch::kBool, "|b1"},    NamedDtype{torch::kUInt8, "|u1"},
    NamedDtype{torch::kInt8, "|i1"},    NamedDtype{torch::kInt16, "<i2"},
    NamedDtype{torch::kInt32, "<i4"},   NamedDtype{torch::kInt64, "<i8"},
    NamedDtype{torch::kUInt16, "<u2"},  NamedDtype{torch::kUInt32, "<u4"},
    NamedDtype{torch::kUInt64, "<u8"},  NamedDtype{torch::kFloat16, "<f2"},
    NamedDtype{torch::kFloat32, "<f4"}, NamedDtype{torch::kFloat64, "<f8"},
};

// What follows "'key':" in the dictionary.
std::string_view value_of(std::string_view dictionary, std::string_view key, const std::string& where) {
  const size_t at = dictionary.find(concat("'", key, "':"));
  if (at == std::string_view::npos) throw InputError(concat(where, ": its .npy header has no '", key, "'"));
  std::string_view value = dictionary.substr(at + key.size() + 3);
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  return value;
}

torch::ScalarType parse_dtype(std::string_view value, const std::string& where) {
  std::vector<std::string> names;
  for (const NamedDtype& dtype : kNpyDtypes) {
    if (value.starts_with(concat("'", dtype.name, "'"))) return dtype.type;
    names.emplace_back(dtype.name);
  }
  throw InputError(concat(where, ": has dtype ", value.substr(0, value.find(", 'fortran_order'")),
                          "; expected one of {", join(names), "}"));
}

std::vector<int64_t> parse_shape(std::string_view value, const std::string& where) {
  const auto malformed = [&] { return InputError(concat(where, ": its .npy header has a malformed shape")); };
  const size_t close = value.find(')');
  if (!value.starts_with('(') || close == std::string_view::npos) throw malformed();
  value = value.substr(1, close - 1);
  std::vector<int64_t> shape;
  const auto skip_separators = [&] {
    value.remove_prefix(std::min(value.find_first_not_of(", "), value.size()));
  };
  for (skip_separators(); !value.empty(); skip_separators()) {
    const auto [end, error] =
        std::from_chars(value.data(), value.data() + value.size(), shape.emplace_back());
    if (error != std::errc()) throw malformed();
    value.remove_prefix(static_cast<size_t>(end - value.data()));
  }
  return shape;
}

}  // namespace

std::string format_npy_header(torch::ScalarType dtype, const std::vector<int64_t>& shape) {
  const auto known = std::find_if(kNpyDtypes.begin(), kNpyDtypes.end(),
                                  [&](const NamedDtype& d) { return d.type == dtype; });
  if (known == kNpyDtypes.end())
    throw Error(concat("NumPy has no dtype for ", c10::toString(dtype), " tensors"));
  std::vector<std::string> sizes;
  for (const int64_t size : shape) sizes.push_back(std::to_string(size));
  const char* comma = sizes.size() == 1 ? "," : "";  // Python's tuple of one
  std::string dictionary =
      concat("{'descr': '", known->name, "', 'fortran_order': False, 'shape': (", join(sizes), comma, "), }");
  const size_t unpadded = kNpyMagicBytes + 2 + dictionary.size() + 1;
  dictionary.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ');
  dictionary += '\n';
  const std::array<char, 2> length = {static_cast<char>(dictionary.size() & 0xFF),
                                      static_cast<char>(dictionary.size() >> 8)};
  return concat(kNpyMagic, kVersion1, std::string_view(length.data(), length.size()), dictionary);
}

size_t npy_length_bytes(std::string_view magic, const std::string& where) {
  const int major = static_cast<unsigned char>(magic[kNpyMagic.size()]);
  if (!magic.starts_with(kNpyMagic) || major < 1 || major > 3) {
    throw InputError(concat(where, ": is not a .npy array of version 1, 2 or 3"));
  }
  return major == 1 ? 2 : 4;
}

NpyHeader parse_npy_header(std::string_view dictionary, const std::string& where) {
  const std::string_view order = value_of(dictionary, "fortran_order", where);
  if (!order.starts_with("True") && !order.starts_with("False")) {
    throw InputError(concat(where, ": its .npy header must have fortran_order True or False"));
  }
  return {.dtype = parse_dtype(value_of(dictionary, "descr", where), where),
          .fortran_order = order.starts_with("True"),
          .shape = parse_shape(value_of(dictionary, "shape", where), where)};
}

}  // namespace cm
