#include <cstring>

#include "cm/io/npy.h"
#include "cm/io/npz.h"
#include "fuzz/fuzz_target.h"
#include "src/io/npy_header.h"

namespace cm::fuzz {
namespace {

std::string npy_of(const Tensor& array, const std::string& order = "False") {
  std::string text = format_npy_header(array.scalar_type(), array.sizes().vec());
  text.replace(text.find("False"), 5, order);
  return text.append(static_cast<const char*>(array.data_ptr()), array.nbytes());
}

std::vector<std::string> npy_seeds() {
  return {npy_of(torch::arange(6, torch::kInt64).view({2, 3})), npy_of(torch::ones({1, 2, 2}), "True "),
          npy_of(torch::zeros({0, 5}, torch::kUInt8)), npy_of(torch::ones({3}, torch::kBool)),
          npy_of(torch::tensor(1.5, torch::kFloat64))};
}

void read_npy_bytes(const std::string& input) {
  std::string_view rest = input;
  const auto next = [&](void* to, size_t bytes) {
    if (bytes > rest.size()) throw InputError("the input ends");
    std::memcpy(to, rest.data(), bytes);
    rest.remove_prefix(bytes);
  };
  const Tensor array = read_npy(next, input.size(), "input");
  require(rest.empty(), "an array that is taken has all bytes");
  require(static_cast<size_t>(array.nbytes()) <= input.size(), "an array is no larger than its file");
}

const Listed kNpy({"npy", npy_seeds, read_npy_bytes});

}  // namespace
}  // namespace cm::fuzz
