// expect_parity and check_cases (support/parity.h): what fails a test, and what is recorded.
#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <limits>
#include <sstream>
#include <thread>

#include "support/parity.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::absolute;
using test::check_cases;
using test::elementwise;
using test::exact;
using test::expect_parity;
using test::Fixture;
using test::relative;

// The variable has the value for as long as this lives.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    ::setenv(name, value.c_str(), 1);
  }
  ~Environment() { old_ ? ::setenv(name_, old_->c_str(), 1) : ::unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
  std::optional<std::string> old_;
};

std::vector<Json> recorded_lines(const std::filesystem::path& table) {
  std::vector<Json> lines;
  std::istringstream stream(read_file(table));
  for (std::string line; std::getline(stream, line);) lines.push_back(Json::parse(line));
  return lines;
}

TEST(ExpectParity, MeasuresOnTheScaleAskedFor) {
  const Tensor theirs = torch::tensor({10.0, 0.1});
  const Tensor ours = torch::tensor({10.0, 0.2});
  EXPECT_NEAR(relative(ours, theirs).value, 0.01, 1e-6);
  EXPECT_NEAR(elementwise(ours, theirs).value, 1, 1e-6);
  EXPECT_NEAR(absolute(ours, theirs).value, 0.1, 1e-6);
  EXPECT_NEAR(exact(ours, theirs).value, 0.1, 1e-6);
  EXPECT_NEAR(elementwise(3.0, 2.0).value, 0.5, 1e-12);
}

TEST(ExpectParity, PassesUpToTheTolerance) {
  expect_parity({"case", "quantity"}, {test::ErrorKind::relative, 1e-5}, 1e-5);
  expect_parity({"case", "quantity"}, exact(torch::tensor({1, 2}), torch::tensor({1, 2})));
}

TEST(ExpectParity, FailsAboveTheTolerance) {
  EXPECT_NONFATAL_FAILURE(
      expect_parity({"losses ct", "gradients"}, {test::ErrorKind::relative, 2.5e-4}, 1e-4),
      "losses ct, gradients: the relative error is 0.00025, the tolerance 0.0001");
  EXPECT_NONFATAL_FAILURE(expect_parity({"case", "N"}, exact(3, 4)), "the exact error is 1, the tolerance 0");
}

TEST(ExpectParity, FailsWithoutANumber) {
  const Tensor one = torch::ones({2});
  const Tensor nan = torch::full({2}, std::numeric_limits<double>::quiet_NaN());
  EXPECT_NONFATAL_FAILURE(expect_parity({"case", "q"}, relative(nan, one), 1e9), "nan, the tolerance 1e+09");
  EXPECT_NONFATAL_FAILURE(expect_parity({"case", "q"}, elementwise(one, nan), 1e9),
                          "nan, the tolerance 1e+09");
  EXPECT_NONFATAL_FAILURE(expect_parity({"case", "q"}, absolute(torch::ones({3}), one), 1e9),
                          "inf, the tolerance 1e+09");
}

TEST(ExpectParity, RecordsEveryComparison) {
  const test::TemporaryFolder folder;
  const Environment table("CM_PARITY_TABLE", folder / "table");
  expect_parity({"unet_a", "output"}, {test::ErrorKind::elementwise, 1.5e-6}, 2e-5);
  EXPECT_NONFATAL_FAILURE(expect_parity({"unet_a", "μ"}, {test::ErrorKind::absolute, NAN}, 2e-5), "");
  const auto lines = recorded_lines(folder / "table");
  ASSERT_EQ(lines.size(), 2);
  EXPECT_EQ(lines[0], Json({{"topic", "expectParity"},
                            {"case", "unet_a"},
                            {"quantity", "output"},
                            {"kind", "elementwise"},
                            {"error", 1.5e-6},
                            {"tolerance", 2e-5},
                            {"computed_with", test::computed_with()}}));
  EXPECT_EQ(lines[1].at("quantity"), "μ");
  EXPECT_TRUE(lines[1].at("error").is_null());
}

TEST(ExpectParity, LinesWrittenAtOnceStayWhole) {
  constexpr int64_t kLines = 500;
  const test::TemporaryFolder folder;
  const Environment table("CM_PARITY_TABLE", folder / "table");
  const auto write = [] {
    for (int64_t i = 0; i < kLines; ++i)
      test::record_parity({"case", "quantity"}, {test::ErrorKind::exact, 0}, 0);
  };
  std::thread other(write);
  write();
  other.join();
  EXPECT_EQ(recorded_lines(folder / "table").size(), 2 * kLines);
}

// Cases x_1 and x_2, each with the tensor "value".
void write_cases(const test::TemporaryFolder& folder) {
  for (const std::string name : {"x_1", "x_2"}) {
    save_safetensors(folder / (name + ".safetensors"), {{"value", torch::ones({1})}}, {});
    write_file_atomically(folder / (name + ".json"), "{}");
  }
}

TEST(CheckCases, GoesOnAfterACaseThatCannotBeChecked) {
  const test::TemporaryFolder folder;
  const Environment fixtures("CM_FIXTURES", folder.path().string());
  write_cases(folder);
  int64_t checked = 0;
  EXPECT_NONFATAL_FAILURE(check_cases("x",
                                      [&](const Fixture& fixture) {
                                        ++checked;
                                        expect_parity({fixture.name, "value"}, exact(1, 1));
                                        if (fixture.name == "x_1") fixture["absent"];
                                      }),
                          "x_1.safetensors has no tensor absent");
  EXPECT_EQ(checked, 2);
}

TEST(CheckCases, FailsWhereNothingIsCompared) {
  const test::TemporaryFolder folder;
  const Environment fixtures("CM_FIXTURES", folder.path().string());
  EXPECT_THROW(check_cases("x", [](const Fixture&) {}), std::runtime_error);
  write_cases(folder);
  EXPECT_NONFATAL_FAILURE(check_cases("x", [](const Fixture&) {}), "nothing to compare in x*.safetensors");
}

}  // namespace
}  // namespace cm
