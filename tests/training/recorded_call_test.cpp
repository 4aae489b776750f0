#include "cm/training/recorded_call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/message_of.h"

namespace cm {
namespace {

using testing::HasSubstr;
using Tensors = std::vector<Tensor>;

// x² and x + y, with what a GPU does on the CPU: a recording knows the places that the work read from and
// wrote to, and playing does the arithmetic there again.
struct Work {
  Tensors read;
  Tensors written;
  int64_t recordings = 0;
  RecordedCall call{"the switch: the work",
                    [this](const Tensors& inputs) {
                      read = inputs;
                      written = {inputs[0].square(), inputs[0] + inputs[1]};
                      return written;
                    },
                    [this](const std::function<void()>& work) -> std::function<void()> {
                      ++recordings;
                      work();
                      return [from = read, to = written] {
                        Tensor(to[0]).copy_(from[0].square());
                        Tensor(to[1]).copy_(from[0] + from[1]);
                      };
                    }};

  Tensors run(double x, double y, int64_t size = 2) {
    return call.run({torch::full({size}, x), torch::full({size}, y)});
  }
};

void expect_values(const Tensors& outputs, double square, double sum) {
  ASSERT_EQ(outputs.size(), 2U);
  EXPECT_TRUE(torch::equal(outputs[0], torch::full_like(outputs[0], square))) << outputs[0];
  EXPECT_TRUE(torch::equal(outputs[1], torch::full_like(outputs[1], sum))) << outputs[1];
}

TEST(RecordedCall, TheFirstCallsRunThenOneIsRecordedAndPlayed) {
  Work work;
  for (int k = 0; k < 8; ++k) expect_values(work.run(k, 1), k * k, k + 1);
  EXPECT_EQ(work.recordings, 1);
  EXPECT_EQ(work.call.played(), 5);
}

TEST(RecordedCall, WhatACallReturnedStaysAsItIs) {
  Work work;
  for (int k = 0; k < 4; ++k) work.run(k, 1);
  const Tensors kept = work.run(5, 1);
  work.run(6, 1);
  expect_values(kept, 25, 6);
}

TEST(RecordedCall, OtherShapesAndTypesRunAsTheyAre) {
  Work work;
  for (int k = 0; k < 6; ++k) work.run(k, 1);
  const int64_t played = work.call.played();
  expect_values(work.run(3, 4, /*size=*/5), 9, 7);
  const Tensors doubles =
      work.call.run({torch::full({2}, 3.0, torch::kFloat64), torch::full({2}, 4.0, torch::kFloat64)});
  EXPECT_EQ(doubles[0].scalar_type(), torch::kFloat64);
  expect_values(doubles, 9, 7);
  EXPECT_EQ(work.call.played(), played);
  expect_values(work.run(3, 4), 9, 7);
  EXPECT_EQ(work.call.played(), played + 1);
}

TEST(RecordedCall, WhatCannotBeRecordedRunsAsItIsAndOneLineSaysWhy) {
  RecordedCall call("the switch: the work", torch::kCPU, [](const Tensors& inputs) { return inputs; });
  testing::internal::CaptureStderr();
  for (int k = 0; k < 8; ++k) EXPECT_EQ(call.run({torch::full({1}, k)})[0].item<int>(), k);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(call.played(), 0);
  EXPECT_THAT(log, HasSubstr("the switch: the work cannot be recorded, and runs as it is: nothing can be "
                             "recorded on device cpu"));
  EXPECT_EQ(log.find("cannot"), log.rfind("cannot"));
}

// A mistake in the work itself is no reason to go on without a graph.
TEST(RecordedCall, OtherErrorsPass) {
  RecordedCall call(
      "the switch: the work", [](const Tensors& inputs) { return inputs; },
      [](const auto& /*work*/) -> std::function<void()> { throw std::runtime_error("something else"); });
  const auto calls = [&] {
    for (int k = 0; k < 4; ++k) call.run({torch::ones({1})});
  };
  EXPECT_EQ(test::message_of<std::runtime_error>(calls), "something else");
}

}  // namespace
}  // namespace cm
