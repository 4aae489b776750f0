#include "cm/io/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "cm/base/error.h"
#include "src/io/npy_header.h"
#include "support/message_of.h"

namespace cm {
namespace {

using testing::HasSubstr;

Tensor npy_from(std::string_view bytes, std::vector<size_t>* reads = nullptr) {
  const auto next = [&](void* to, size_t count) {
    if (reads != nullptr) reads->push_back(count);
    ASSERT_LE(count, bytes.size());
    std::memcpy(to, bytes.data(), count);
    bytes.remove_prefix(count);
  };
  return read_npy(next, bytes.size(), "x.npy");
}

// There is no place to read to.
TEST(Npy, OfAnEmptyArrayNoDataAreAskedFor) {
  std::vector<size_t> reads;
  EXPECT_EQ(npy_from(format_npy_header(torch::kUInt8, {0, 4}), &reads).sizes(), (std::vector<int64_t>{0, 4}));
  EXPECT_THAT(reads, testing::Each(testing::Gt(0U)));
}

TEST(Npy, IsReadAsItWasWritten) {
  for (const Tensor& array : {torch::arange(24, torch::kFloat32).view({2, 3, 4}).transpose(0, 2),
                              torch::tensor(1.5, torch::kFloat64), torch::zeros({0, 4}, torch::kUInt8)}) {
    EXPECT_TRUE(torch::equal(parse_npy(npy_bytes(array), "x.npy"), array));
  }
  EXPECT_THAT(message_of<InputError>([] { parse_npy(npy_bytes(torch::ones({3})).substr(0, 40), "x.npy"); }),
              HasSubstr("x.npy: is a truncated .npy"));
}

}  // namespace
}  // namespace cm
