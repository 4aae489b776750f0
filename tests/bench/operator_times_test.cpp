#include "src/bench/operator_times.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "cm/bench/measurement.h"

namespace cm {
namespace {

using testing::HasSubstr;

OperatorTime named(const std::vector<OperatorTime>& operators, const std::string& name) {
  const auto found = std::ranges::find(operators, name, &OperatorTime::name);
  if (found != operators.end()) return *found;
  ADD_FAILURE() << "no " << name;
  return {};
}

TEST(OperatorTimes, AProductOutweighsANegation) {
  const Tensor a = torch::ones({600, 600});
  const auto operators = operator_times([&] {
    for (int i = 0; i < 4; ++i) torch::mm(a, a).neg();
  });
  EXPECT_EQ(operators.front().name, "aten::mm");
  EXPECT_EQ(named(operators, "aten::mm").calls, 4);
  EXPECT_EQ(named(operators, "aten::neg").calls, 4);
  EXPECT_GT(named(operators, "aten::mm").self_ms, named(operators, "aten::neg").self_ms);
  EXPECT_EQ(operators.back().name, "outside operators");
}

TEST(OperatorTimes, AddUpToTheWhole) {
  const Tensor a = torch::ones({300, 300}, torch::requires_grad());
  double whole = 0;
  const auto operators = operator_times([&] {
    const double start = process_cpu_seconds();
    for (int i = 0; i < 5; ++i) torch::silu(torch::mm(a, a)).mean().backward();
    whole = 1e3 * (process_cpu_seconds() - start);
  });
  double sum = 0;
  for (const auto& entry : operators) {
    EXPECT_GE(entry.self_ms, -1e-3) << entry.name;
    sum += entry.self_ms;
  }
  EXPECT_GT(named(operators, "aten::silu_backward").calls, 0);
  EXPECT_LE(sum, 1.5 * whole + 5);
}

TEST(OperatorTimes, CanBeTakenByShape) {
  const Tensor a = torch::ones({5, 7});
  const auto operators = operator_times([&] { torch::mm(a, a.t()).add_(1); }, /*by_shape=*/true);
  EXPECT_EQ(named(operators, "aten::mm [5, 7] [7, 5]").calls, 1);
  EXPECT_EQ(named(operators, "aten::add_ [5, 5]").calls, 1);
}

TEST(OperatorTimes, ATableDividesBySteps) {
  const std::string table = operator_table(
      {{.name = "aten::mm", .self_ms = 30, .calls = 6}, {.name = "aten::tiny", .self_ms = 0.1, .calls = 1}},
      3);
  EXPECT_THAT(table, HasSubstr("10.000"));
  EXPECT_THAT(table, HasSubstr("2.0"));
  EXPECT_THAT(table, testing::Not(HasSubstr("tiny")));
}

}  // namespace
}  // namespace cm
