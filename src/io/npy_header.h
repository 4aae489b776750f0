// The text in front of the data of a .npy array.
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cm/base/tensor.h"

namespace cm {

constexpr std::string_view kNpyMagic("\x93NUMPY", 6);
constexpr size_t kNpyMagicBytes = 8;  // with major and minor version

struct NpyHeader {
  torch::ScalarType dtype;
  bool fortran_order;
  std::vector<int64_t> shape;
};

// Magic, length and dictionary (version 1.0) of a C-ordered array, padded to 64 bytes. Error when NumPy has
// no such dtype.
std::string format_npy_header(torch::ScalarType dtype, const std::vector<int64_t>& shape);

// The size in bytes of the length field that follows these kNpyMagicBytes: 2 (version 1) or 4 (versions 2 and
// 3). InputError, with `where` in front, when they are not a .npy file's.
size_t npy_length_bytes(std::string_view magic, const std::string& where);

// Parses the dictionary "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }". InputError, with
// `where` in front, when it is malformed or the dtype is not one that cm/io/npz.h lists.
NpyHeader parse_npy_header(std::string_view dictionary, const std::string& where);

}  // namespace cm
