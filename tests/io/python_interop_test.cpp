// Our files in the formats' own Python packages, and theirs in our readers. python_interop.py is the other
// side.
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cstdlib>

#include "cm/base/text.h"
#include "cm/io/npz.h"
#include "cm/io/safetensors.h"
#include "cm/io/tensorboard.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::TemporaryFolder;

const Metadata kMetadata = {{"text", "σ ≤ 80"}, {"network", R"({"channels": 128})"}};

NamedTensors example_arrays() {
  return {
      {"float64_scalar", torch::tensor(2.25, torch::kFloat64)},
      {"float32", torch::arange(6, torch::kFloat32).reshape({2, 3}) / 2},
      {"float16", torch::tensor({0.5, -2.0}, torch::kFloat16)},
      {"int64", torch::tensor({int64_t{-1}, int64_t{1} << 40})},
      {"int32", torch::tensor({-1, 1 << 30}, torch::kInt32)},
      {"int16", torch::tensor({-300, 300}, torch::kInt16)},
      {"int8", torch::tensor({-128, 127}, torch::kInt8)},
      {"uint8", torch::tensor({0, 128, 255}, torch::kUInt8)},
      {"bool", torch::tensor({true, false, true})},
      {"empty", torch::zeros({0, 4})},
  };
}

void expect_equal(const NamedTensors& found, const NamedTensors& expected) {
  EXPECT_EQ(found.size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    ASSERT_TRUE(found.contains(name)) << name;
    EXPECT_EQ(found.at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(torch::equal(found.at(name), tensor)) << name;
  }
}

bool runs(const std::string& command) {
  return std::system(command.c_str()) == 0;
}

// The command that runs tests/io/`script` with the first Python that has these modules; empty when none has.
std::string command_for(const char* script, const char* modules) {
  for (const std::string python : {CM_SOURCE_DIR "/.venv/bin/python", "python3"}) {
    if (runs(concat("'", python, "' -c 'import ", modules, "' 2>/dev/null"))) {
      return concat("'", python, "' '", CM_SOURCE_DIR, "/tests/io/", script, "' ");
    }
  }
  return "";
}

class PythonInterop : public ::testing::Test {
 protected:
  void SetUp() override {
    if (script_.empty()) GTEST_SKIP() << "no Python with numpy and safetensors";
  }

  bool run_script(const char* mode) const {
    return runs(concat(script_, mode, " '", folder_.path().string(), "'"));
  }

  const TemporaryFolder folder_;
  const std::string script_ = command_for("python_interop.py", "numpy, safetensors");
};

TEST_F(PythonInterop, PythonReadsOurFiles) {
  NamedTensors tensors = example_arrays();
  tensors["bfloat16"] = torch::tensor({1.5, -3.0}, torch::kBFloat16);
  save_safetensors(folder_ / "cpp.safetensors", tensors, kMetadata);
  save_npz(folder_ / "cpp.npz", example_arrays());
  EXPECT_TRUE(run_script("check"));
}

TEST_F(PythonInterop, WeReadPythonsFiles) {
  ASSERT_TRUE(run_script("write"));
  const SafetensorsFile file = load_safetensors(folder_ / "python.safetensors");
  expect_equal(file.tensors, example_arrays());
  EXPECT_EQ(file.metadata, kMetadata);

  NpzArrays arrays = example_arrays();
  arrays["fortran"] = torch::arange(24).reshape({2, 3, 4});
  arrays["version2"] = arrays["version3"] = arrays["float32"];
  expect_equal(load_npz(folder_ / "python.npz"), arrays);
}

TEST(TensorBoardInterop, TensorBoardReadsOurEvents) {
  const std::string command = command_for("tensorboard_opens.py", "tensorboard");
  if (command.empty()) GTEST_SKIP() << "no Python with tensorboard";
  const TemporaryFolder folder;
  {
    TensorBoardWriter writer(folder.path());
    const Tensor pixels = torch::arange(60).to(torch::kUInt8).reshape({3, 4, 5});
    writer.scalar("train/loss", 0.5, 1);
    writer.image("samples", pixels, 7);
    writer.scalar("train/loss", 8, 8);
    writer.image("samples", pixels, 8);
  }
  // A run that died after step 8 goes on from its checkpoint of step 7.
  TensorBoardWriter(folder.path(), 7).scalar("train/loss", -0.25, int64_t{1} << 40);
  EXPECT_TRUE(runs(concat(command, "'", folder.path().string(), "' 2>/dev/null")));
}

}  // namespace
}  // namespace cm
