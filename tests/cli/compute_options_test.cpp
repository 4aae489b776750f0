#include "cm/cli/compute_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace cm {
namespace {

ComputeOptions parsed(std::vector<std::string> arguments) {
  CLI::App app;
  ComputeOptions options;
  add_compute_options(app, options);
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
  app.parse(arguments);
  return options;
}

TEST(ComputeOptions, TheCommandLineSetsThem) {
  EXPECT_EQ(parsed({}).dtype, ComputeType::fp32);
  EXPECT_FALSE(parsed({}).cuda_graph);
  EXPECT_EQ(parsed({"--dtype", "bf16"}).dtype, ComputeType::bf16);
  EXPECT_TRUE(parsed({"--cuda-graph"}).cuda_graph);
}

TEST(ComputeOptions, WithoutAGpuALineSaysThatNothingIsRecorded) {
  const test::TemporaryFolder folder;
  const Model model = test::tiny_model(test::tiny_options(), 1);
  save_weights(folder / "m.safetensors", model.options(), model.named_weights());
  testing::internal::CaptureStderr();
  open_model({folder / "m.safetensors", ""}, std::nullopt, torch::kCPU, {.cuda_graph = true});
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::HasSubstr("--cuda-graph: evaluations run as they are: device cpu"));
}

}  // namespace
}  // namespace cm
