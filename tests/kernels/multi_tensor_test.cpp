#include "cm/kernels/multi_tensor.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>

#include <cmath>

#include "cm/base/random.h"
#include "support/closeness.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::largest_difference;
using test::relative_difference;
using testing::HasSubstr;
using Tensors = std::vector<Tensor>;

constexpr std::array kTypes = {torch::kFloat32, torch::kFloat64};

double rounding(torch::Dtype type) {
  return type == torch::kFloat32 ? 1e-6 : 1e-14;
}

// Fewer numbers than a vector, none, more than a piece, and a kernel in channels-last order.
Tensors some_tensors(uint64_t seed, torch::Dtype type) {
  const auto draw = [&](const std::vector<int64_t>& shape) {
    return normal({.seed = seed++}, {0}, shape)[0].to(type).clone();
  };
  return {draw({1}), draw({3, 7}), torch::empty({0}, type), draw({5000}),
          draw({8, 16, 3, 3}).contiguous(torch::MemoryFormat::ChannelsLast)};
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

AdamState some_state(torch::Dtype type) {
  AdamState state{some_tensors(10, type), some_tensors(20, type), some_tensors(30, type),
                  some_tensors(40, type)};
  for (Tensor& v : state.second) v.abs_();
  return state;
}

AdamUpdate some_update() {
  return {.beta1 = 0.9, .beta2 = 0.99, .step = 0.02, .root = 0.3, .eps = 1e-3};
}

// The header's formulas.
AdamState updated(const AdamState& before, const AdamUpdate& update) {
  AdamState after;
  for (size_t i = 0; i < before.theta.size(); ++i) {
    const Tensor theta = before.theta[i].to(torch::kFloat64);
    const Tensor g = before.gradient[i].to(torch::kFloat64) + update.added_decay * theta;
    const Tensor m = update.beta1 * before.first[i].to(torch::kFloat64) + (1 - update.beta1) * g;
    const Tensor v = update.beta2 * before.second[i].to(torch::kFloat64) + (1 - update.beta2) * g * g;
    const Tensor change = update.adaptive ? m / (v.sqrt() / update.root + update.eps) : m;
    after.theta.push_back(update.shrink * theta - update.step * change);
    after.first.push_back(m);
    after.second.push_back(v);
  }
  return after;
}

void expect_updated(const AdamState& state, const AdamUpdate& update, double tolerance) {
  const AdamState expected = updated(state, update);
  const Tensors gradient = in_double(state.gradient);
  adam_update(state, update);
  expect_close(state.theta, expected.theta, tolerance);
  expect_close(state.first, expected.first, tolerance);
  expect_close(state.second, expected.second, tolerance);
  expect_close(state.gradient, gradient, 1e-300);
}

TEST(MultiTensor, TheNormIsThatOfAllNumbers) {
  for (const auto type : kTypes) {
    const Tensors tensors = some_tensors(1, type);
    Tensors flat;
    for (const Tensor& tensor : in_double(tensors)) flat.push_back(tensor.flatten());
    const Tensor expected = torch::cat(flat).norm();
    for (const Tensors& list : {tensors, with_gaps(tensors)}) {
      const Tensor norm = norm_of(list);
      EXPECT_EQ(norm.dim(), 0);
      EXPECT_EQ(norm.scalar_type(), type);
      EXPECT_LT(relative_difference(norm, expected), rounding(type));
    }
  }
}

// The squares of fp32's large numbers are none of its.
TEST(MultiTensor, TheNormOfLargeNumbersIsFinite) {
  EXPECT_FLOAT_EQ(norm_of({torch::full({4}, 1e25F), torch::full({12}, -1e25F)}).item<float>(), 4e25F);
  EXPECT_TRUE(std::isnan(norm_of({torch::ones({4}), torch::full({1}, std::nanf(""))}).item<float>()));
}

TEST(MultiTensor, AdamFollowsItsFormulas) {
  AdamUpdate momentum = some_update();
  momentum.adaptive = false;
  AdamUpdate decayed = some_update();
  decayed.added_decay = 0.1;
  AdamUpdate shrunk = some_update();
  shrunk.shrink = 0.95;
  for (const auto type : kTypes) {
    for (const AdamUpdate& update : {some_update(), momentum, decayed, shrunk}) {
      expect_updated(some_state(type), update, rounding(type));
      AdamState gaps = some_state(type);
      for (Tensors* list : {&gaps.theta, &gaps.gradient, &gaps.first, &gaps.second}) *list = with_gaps(*list);
      expect_updated(gaps, update, rounding(type));
    }
  }
}

TEST(MultiTensor, AGradientInAnotherOrderBelongsToItsOwnNumbers) {
  AdamState state = some_state(torch::kFloat32);
  state.gradient[1] = state.gradient[1].t().contiguous().t();
  expect_updated(state, some_update(), 1e-6);
}

TEST(MultiTensor, EveryAverageHasItsRate) {
  const std::vector<double> rates = {0, 0.3, 0.5, 0.9999};
  for (const auto type : kTypes) {
    for (const bool gaps : {false, true}) {
      const Tensors parameters = some_tensors(1, type);
      std::vector<MovingAverage> averages;
      std::vector<Tensors> expected;
      for (size_t k = 0; k < rates.size(); ++k) {
        const Tensors values = some_tensors(100 * (k + 1), type);
        averages.push_back({gaps ? with_gaps(values) : values, rates[k]});
        auto& last = expected.emplace_back(in_double(values));
        for (size_t i = 0; i < last.size(); ++i)
          last[i].lerp_(parameters[i].to(torch::kFloat64), 1 - rates[k]);
      }
      update_averages(averages, parameters);
      for (size_t k = 0; k < rates.size(); ++k) expect_close(averages[k].values, expected[k], rounding(type));
      EXPECT_TRUE(torch::equal(averages[0].values[3], parameters[3]));
    }
  }
}

TEST(MultiTensor, AnAverageOfAConstantStaysIt) {
  const Tensors parameters = some_tensors(1, torch::kFloat32);
  for (const double rate : {0.1, 0.7, 0.9999}) {
    const Tensors average = some_tensors(1, torch::kFloat32);
    update_averages({{average, rate}}, parameters);
    EXPECT_TRUE(torch::equal(average[3], parameters[3]));
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
    adam_update(state, some_update());
    const MovingAverage average{{state.gradient[0].clone()}, 0.9};
    update_averages({average}, state.theta);
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
  adam_update({{theta}, zeros(), zeros(), zeros()}, some_update());
  EXPECT_THAT(test::message_of<c10::Error>([&] { y.backward(); }),
              HasSubstr("modified by an inplace operation"));
}

TEST(MultiTensor, ListsMustMatch) {
  const Tensors one = {torch::ones({1})};
  EXPECT_THAT(test::message_of<c10::Error>([&] {
                adam_update({one, {}, one, one}, some_update());
              }),
              HasSubstr("there are 1 parameters and 0 gradients"));
  EXPECT_THAT(test::message_of<c10::Error>([&] {
                update_averages({{{}, 0.5}}, one);
              }),
              HasSubstr("there are 1 parameters and 0 averages"));
  EXPECT_THAT(test::message_of<c10::Error>([&] { norm_of({}); }),
              HasSubstr("a list without tensors has no norm"));
}

}  // namespace
}  // namespace cm
