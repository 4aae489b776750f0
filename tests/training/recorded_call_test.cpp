#include "cm/training/recorded_call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/message_of.h"

namespace cm {
namespace {

using testing::HasSubstr;
using Tensors = std::vector<Tensor>;

// What a GPU does, on the CPU: a recording's outputs keep their place, and playing writes into them what the
// work makes of its inputs' place then.
class Recording {
 public:
  RecordedCall::Recorder recorder(const Tensors& outputs) {
    return [this, &outputs](const std::function<void()>& work) -> std::function<void()> {
      ++recordings;
      work();
      return [this, work, &outputs, places = outputs] {
        ++plays;
        work();
        for (size_t i = 0; i < places.size(); ++i) Tensor(places[i]).copy_(outputs[i]);
      };
    };
  }
  int64_t recordings = 0;
  int64_t plays = 0;
};

// x² and x + y, and where the recorder finds what they were last.
struct Example {
  Tensors latest;
  int64_t runs = 0;
  Recording recording;
  RecordedCall call{"the switch: the work",
                    [this](const Tensors& inputs) {
                      ++runs;
                      latest = {inputs[0].square(), inputs[0] + inputs[1]};
                      return latest;
                    },
                    recording.recorder(latest)};

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
  Example example;
  for (int k = 0; k < 8; ++k) expect_values(example.run(k, 1), k * k, k + 1);
  EXPECT_EQ(example.recording.recordings, 1);
  EXPECT_EQ(example.recording.plays, 5);
  EXPECT_EQ(example.call.played(), 5);
}

TEST(RecordedCall, WhatACallReturnedStaysAsItIs) {
  Example example;
  for (int k = 0; k < 4; ++k) example.run(k, 1);
  const Tensors kept = example.run(5, 1);
  example.run(6, 1);
  expect_values(kept, 25, 6);
}

TEST(RecordedCall, OtherShapesAndTypesRunAsTheyAre) {
  Example example;
  for (int k = 0; k < 6; ++k) example.run(k, 1);
  const int64_t played = example.call.played();
  expect_values(example.run(3, 4, /*size=*/5), 9, 7);
  const Tensors doubles =
      example.call.run({torch::full({2}, 3.0, torch::kFloat64), torch::full({2}, 4.0, torch::kFloat64)});
  EXPECT_EQ(doubles[0].scalar_type(), torch::kFloat64);
  expect_values(doubles, 9, 7);
  EXPECT_EQ(example.call.played(), played);
  expect_values(example.run(3, 4), 9, 7);
  EXPECT_EQ(example.call.played(), played + 1);
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
