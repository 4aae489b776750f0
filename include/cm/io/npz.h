// NumPy's .npz archives (a zip of .npy arrays), as numpy.savez and the evaluators of this field write and
// read them.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "cm/base/tensor.h"

namespace cm {

// Array name ("arr_0", without ".npy") → CPU tensor. dtypes: |b1 |u1 |i1 <i2 <i4 <i8 <u2 <u4 <u8 <f2 <f4 <f8;
// C order in files that we write, C or Fortran order in files that we read, deflated or stored.
using NpzArrays = std::map<std::string, Tensor>;

// Writes the arrays atomically, stored without compression, as numpy.savez does.
void save_npz(const std::filesystem::path& path, const NpzArrays& arrays);

// InputError with the path (and the array's name) when the file is missing, no zip, truncated, or holds an
// array of another kind (objects, strings, big-endian).
NpzArrays load_npz(const std::filesystem::path& path);

// Of the arrays with these names those that are there. Others, which may be of any kind, are not read: a line
// of the log names them. The same errors.
NpzArrays load_npz(const std::filesystem::path& path, const std::vector<std::string>& names);

// True when the path ends in ".npz".
bool is_npz(const std::filesystem::path& path);

}  // namespace cm
