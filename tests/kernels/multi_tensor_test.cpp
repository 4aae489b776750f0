#include "cm/kernels/multi_tensor.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>

#include <cmath>

#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "cm/kernels/paths.h"
#include "kernels/adam_cases.h"
#include "src/kernels/cuda_call.h"
#include "support/closeness.h"
#include "support/devices.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::largest_difference;
using test::relative_difference;
using test::rule_cases;
using test::RuleCase;
using testing::HasSubstr;
using Tensors = std::vector<Tensor>;

struct Kind {
  torch::Device device = torch::kCPU;
  torch::Dtype type = torch::kFloat32;
};

std::vector<Kind> kinds() {
  std::vector<Kind> all;
  for (const auto& device : test::devices()) {
    for (const auto type : {torch::kFloat32, torch::kFloat64}) all.push_back({device, type});
  }
  return all;
}

double rounding(const Kind& kind) {
  return kind.type == torch::kFloat32 ? 1e-6 : 1e-14;
}

// Fewer numbers than a vector, none, more than a piece, and a kernel in channels-last order.
Tensors some_tensors(uint64_t seed, const Kind& kind = {}) {
  const auto draw = [&](const std::vector<int64_t>& shape) {
    return normal({.seed = seed++}, {0}, shape)[0].to(kind.device, kind.type).clone();
  };
  return {draw({1}), draw({3, 7}), torch::empty({0}, torch::device(kind.device).dtype(kind.type)),
          draw({5000}), draw({8, 16, 3, 3}).contiguous(torch::MemoryFormat::ChannelsLast)};
}

Tensors in_double(const Tensors& tensors) {
  Tensors copies;
  for (const Tensor& tensor : tensors) copies.push_back(tensor.to(torch::kFloat64).clone());
  return copies;
}

// The same numbers with gaps between them, which the passes do not take.
Tensors with_gaps(const Tensors& tensors) {
  Tensors views;
  for (const Tensor& tensor : tensors) views.push_back(torch::stack({tensor, tensor}, -1).select(-1, 0));
  return views;
}

void expect_close(const Tensors& actual, const Tensors& expected, double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    if (actual[i].numel() == 0) continue;
    EXPECT_LT(relative_difference(actual[i], expected[i]), tolerance) << "tensor " << i;
  }
}

AdamState some_state(const Kind& kind) {
  AdamState state{some_tensors(10, kind), some_tensors(20, kind), some_tensors(30, kind),
                  some_tensors(40, kind)};
  for (Tensor& v : state.second) v.abs_();
  return state;
}

Tensor number(double value, torch::Dtype type = torch::kFloat64, const torch::Device& device = torch::kCPU) {
  return number_on(device, type, value);
}

AdamNumbers some_numbers(int64_t t, bool usable = true, const torch::Device& device = torch::kCPU) {
  return {.usable = number(usable, torch::kBool, device),
          .updates = number(static_cast<double>(t), torch::kInt64, device),
          .lr = number(0.02, torch::kFloat64, device),
          .factor = number(0.7, torch::kFloat64, device)};
}

// The papers' formulas: θ's change is lr · m̂ · l (Adam: l = 1/(√v̂ + eps); RAdam: r_t √(1 − β₂ᵗ)/(√v + eps) or
// 1).
Tensor direction(const AdamRule& rule, int64_t t, const Tensor& m, const Tensor& v) {
  const double power2 = std::pow(rule.beta2, t);
  const Tensor m_hat = m / (1 - std::pow(rule.beta1, t));
  if (!rule.rectified) return m_hat / ((v / (1 - power2)).sqrt() + rule.eps);
  const double rho_inf = 2 / (1 - rule.beta2) - 1;
  const double rho = rho_inf - 2 * static_cast<double>(t) * power2 / (1 - power2);
  if (rho <= 5) return m_hat;
  const double r = std::sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho));
  return m_hat * r * std::sqrt(1 - power2) / (v.sqrt() + rule.eps);
}

AdamState updated(const AdamState& before, const AdamRule& rule, const AdamNumbers& numbers) {
  const auto lr = numbers.lr.item<double>();
  AdamState after;
  for (size_t i = 0; i < before.theta.size(); ++i) {
    const Tensor theta = before.theta[i].to(torch::kFloat64);
    Tensor g = numbers.factor.item<double>() * before.gradient[i].to(torch::kFloat64);
    if (!rule.decoupled) g = g + rule.weight_decay * theta;
    const Tensor m = rule.beta1 * before.first[i].to(torch::kFloat64) + (1 - rule.beta1) * g;
    const Tensor v = rule.beta2 * before.second[i].to(torch::kFloat64) + (1 - rule.beta2) * g * g;
    const double kept = rule.decoupled ? 1 - lr * rule.weight_decay : 1;
    after.theta.push_back(kept * theta - lr * direction(rule, numbers.updates.item<int64_t>(), m, v));
    after.first.push_back(m);
    after.second.push_back(v);
  }
  return after;
}

void expect_updated(const AdamState& state, const RuleCase& rule_case, double tolerance) {
  const AdamNumbers numbers = some_numbers(rule_case.t, true, state.theta.front().device());
  const AdamState expected = updated(state, rule_case.rule, numbers);
  const Tensors gradient = in_double(state.gradient);
  adam_update(state, rule_case.rule, numbers);
  expect_close(state.theta, expected.theta, tolerance);
  expect_close(state.first, expected.first, tolerance);
  expect_close(state.second, expected.second, tolerance);
  expect_close(state.gradient, gradient, 1e-300);
}

TEST(MultiTensor, TheNormIsThatOfAllNumbers) {
  for (const Kind& kind : kinds()) {
    const Tensors tensors = some_tensors(1, kind);
    Tensors flat;
    for (const Tensor& tensor : in_double(tensors)) flat.push_back(tensor.flatten());
    const Tensor expected = torch::cat(flat).norm();
    for (const Tensors& list : {tensors, with_gaps(tensors)}) {
      const Tensor norm = norm_of(list);
      EXPECT_EQ(norm.dim(), 0);
      EXPECT_EQ(norm.scalar_type(), kind.type);
      EXPECT_LT(relative_difference(norm, expected), rounding(kind));
    }
  }
}

// The squares of fp32's large numbers are none of its.
TEST(MultiTensor, TheNormOfLargeNumbersIsFinite) {
  const auto full = [](int64_t count, float value, const torch::Device& device) {
    return torch::full({count}, value, device);
  };
  EXPECT_FLOAT_EQ(norm_of({full(4, 1e25F, torch::kCPU), full(12, -1e25F, torch::kCPU)}).item<float>(), 4e25F);
  for (const auto& device : test::devices()) {
    EXPECT_TRUE(std::isnan(norm_of({full(4, 1, device), full(1, std::nanf(""), device)}).item<float>()));
    if (!cuda::has_kernels_for(device)) continue;
    EXPECT_FLOAT_EQ(norm_of({full(4, 1e25F, device), full(12, -1e25F, device)}).item<float>(), 4e25F);
  }
}

TEST(MultiTensor, AdamFollowsItsFormulas) {
  for (const Kind& kind : kinds()) {
    for (const RuleCase& rule_case : rule_cases()) {
      expect_updated(some_state(kind), rule_case, rounding(kind));
      AdamState gaps = some_state(kind);
      for (Tensors* list : {&gaps.theta, &gaps.gradient, &gaps.first, &gaps.second}) *list = with_gaps(*list);
      expect_updated(gaps, rule_case, rounding(kind));
    }
  }
}

TEST(MultiTensor, AGradientInAnotherOrderBelongsToItsOwnNumbers) {
  for (const auto& device : test::devices()) {
    AdamState state = some_state({device});
    state.gradient[1] = state.gradient[1].t().contiguous().t();
    expect_updated(state, rule_cases()[0], 1e-6);
  }
}

// Gradients of 1×1 convolutions differ from their weights in them.
TEST(MultiTensor, StridesOfDimensionsOfSize1DoNotCount) {
  for (const auto& device : test::devices()) {
    if (device.is_cuda() && !cuda::has_kernels_for(device)) continue;
    AdamState state;
    for (Tensors* list : {&state.theta, &state.gradient, &state.first, &state.second}) {
      *list = {torch::rand({32, 16, 1, 1}, device)};
    }
    state.gradient[0] = state.gradient[0].as_strided({32, 16, 1, 1}, {16, 1, 16, 16});
    ASSERT_NE(state.gradient[0].strides(), state.theta[0].strides());
    const KernelCalls calls = kernel_calls_during([&] { expect_updated(state, rule_cases()[0], 1e-6); });
    EXPECT_THAT(lines_of(calls), testing::ElementsAre("adam_update: 1 by the kernel"));
  }
}

TEST(MultiTensor, NothingIsWrittenWhereTheStepIsNotUsable) {
  for (const auto& device : test::devices()) {
    for (const bool gaps : {false, true}) {
      AdamState state = some_state({device});
      if (gaps) state.theta = with_gaps(state.theta);
      state.gradient[1].fill_(std::nanf(""));
      const AdamState before{in_double(state.theta), {}, in_double(state.first), in_double(state.second)};
      const MovingAverage average{gaps ? with_gaps(state.first) : state.first,
                                  number(0.5, torch::kFloat64, device)};
      adam_update(state, rule_cases()[0].rule, some_numbers(1, /*usable=*/false, device));
      update_averages({average}, state.theta, number(0, torch::kBool, device));
      expect_close(state.theta, before.theta, 1e-300);
      expect_close(state.first, before.first, 1e-300);
      expect_close(state.second, before.second, 1e-300);
      expect_close(average.values, before.first, 1e-300);
    }
  }
}

TEST(MultiTensor, EveryAverageHasItsRate) {
  const std::vector<double> rates = {0, 0.3, 0.5, 0.9999};
  for (const Kind& kind : kinds()) {
    for (const bool gaps : {false, true}) {
      const Tensors parameters = some_tensors(1, kind);
      std::vector<MovingAverage> averages;
      std::vector<Tensors> expected;
      for (size_t k = 0; k < rates.size(); ++k) {
        const Tensors values = some_tensors(100 * (k + 1), kind);
        averages.push_back(
            {gaps ? with_gaps(values) : values, number(rates[k], torch::kFloat64, kind.device)});
        auto& last = expected.emplace_back(in_double(values));
        for (size_t i = 0; i < last.size(); ++i)
          last[i].lerp_(parameters[i].to(torch::kFloat64), 1 - rates[k]);
      }
      update_averages(averages, parameters, number(1, torch::kBool, kind.device));
      for (size_t k = 0; k < rates.size(); ++k) expect_close(averages[k].values, expected[k], rounding(kind));
      EXPECT_TRUE(torch::equal(averages[0].values[3], parameters[3]));
    }
  }
}

TEST(MultiTensor, AnAverageOfAConstantStaysIt) {
  for (const auto& device : test::devices()) {
    const Tensors parameters = some_tensors(1, {device});
    for (const double rate : {0.1, 0.7, 0.9999}) {
      const Tensors average = some_tensors(1, {device});
      update_averages({{average, number(rate, torch::kFloat64, device)}}, parameters,
                      number(1, torch::kBool, device));
      EXPECT_TRUE(torch::equal(average[3], parameters[3]));
    }
  }
}

// Those of a step that the host knows.
TEST(MultiTensor, NumbersOnTheHostServeEveryDevice) {
  for (const auto& device : test::devices()) {
    const AdamState state = some_state({device});
    const AdamState expected = updated(state, rule_cases()[0].rule, some_numbers(2));
    adam_update(state, rule_cases()[0].rule, some_numbers(2));
    expect_close(state.theta, expected.theta, 1e-6);
    const Tensors average = some_tensors(5, {device});
    update_averages({{average, number(0)}}, state.theta, number(1, torch::kBool));
    EXPECT_TRUE(torch::equal(average[3], state.theta[3]));
  }
}

TEST(MultiTensor, TheNumberOfThreadsChangesNothing) {
  const int threads = at::get_num_threads();
  const auto results = [](int count) {
    at::set_num_threads(count);
    // Many pieces, so that there is something to share.
    AdamState state;
    for (Tensors* list : {&state.theta, &state.gradient, &state.first, &state.second}) {
      *list = {normal({.seed = 3}, {0}, {100'001})[0].abs()};
    }
    adam_update(state, rule_cases()[0].rule, some_numbers(2));
    const MovingAverage average{{state.gradient[0].clone()}, number(0.9)};
    update_averages({average}, state.theta, number(1, torch::kBool));
    return Tensors{norm_of(state.theta), state.theta[0], state.second[0], average.values[0]};
  };
  const auto [one, three] = std::pair(results(1), results(3));
  at::set_num_threads(threads);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(torch::equal(one[i], three[i])) << i;
}

// A graph that saved a parameter must not be walked back with another value in it.
TEST(MultiTensor, AutogradNoticesWhatWasWritten) {
  const Tensor theta = torch::ones({4}).requires_grad_(true);
  const auto zeros = [] { return Tensors{torch::zeros({4})}; };
  const Tensor y = theta.square().sum();
  adam_update({{theta}, zeros(), zeros(), zeros()}, {}, some_numbers(1));
  EXPECT_THAT(test::message_of<c10::Error>([&] { y.backward(); }),
              HasSubstr("modified by an inplace operation"));
}

TEST(MultiTensor, ListsMustMatch) {
  const Tensors one = {torch::ones({1})};
  EXPECT_THAT(test::message_of<c10::Error>([&] {
                adam_update({one, {}, one, one}, {}, some_numbers(1));
              }),
              HasSubstr("there are 1 parameters and 0 gradients"));
  EXPECT_THAT(test::message_of<c10::Error>([&] {
                update_averages({{{}, number(0.5)}}, one, number(1, torch::kBool));
              }),
              HasSubstr("there are 1 parameters and 0 averages"));
  EXPECT_THAT(test::message_of<c10::Error>([&] { norm_of({}); }),
              HasSubstr("a list without tensors has no norm"));
}

}  // namespace
}  // namespace cm
