// The multi-tensor kernels for GPUs, run on the host: what they compute, not how fast.
#include "kernels/cuda_on_host.h"
// Behind it:
#include <gmock/gmock.h>

#include "cm/base/random.h"
#include "cm/kernels/multi_tensor.h"
#include "cm/kernels/normal.h"
#include "kernels/adam_cases.h"
#include "kernels/guarded_array.h"
#include "src/kernels/multi_tensor_launches.cuh"
#include "support/closeness.h"

namespace cm {
namespace {

using cuda_on_host::HostLaunch;
using cuda_on_host::Order;
using multi_tensor_cuda::AdamScalars;
using multi_tensor_cuda::kChunk;
using multi_tensor_cuda::kMostTensors;
using multi_tensor_cuda::kThreads;
using multi_tensor_cuda::Lists;
using test::Guarded;
using test::largest_difference;

// Fewer numbers than a vector, none, whole chunks, a chunk and some; and more arrays than a launch takes.
std::vector<int64_t> some_counts() {
  std::vector<int64_t> counts = {1, 21, 0, 5000, kChunk, 2 * kChunk + 3, 4};
  for (int i = 0; i < kMostTensors; ++i) counts.push_back(1 + i % 5);
  return counts;
}

// A list in guarded memory; every third array lies beside a multiple of 16 bytes where `shifted`.
class List {
 public:
  List(const std::vector<int64_t>& counts, uint64_t seed, bool shifted) {
    for (size_t i = 0; i < counts.size(); ++i) {
      const Tensor numbers =
          counts[i] == 0 ? torch::empty({0}) : normal({.seed = seed + i}, {0}, {counts[i]})[0];
      arrays_.emplace_back(numbers, !(shifted && i % 3 == 0));
    }
  }
  void add_to(Lists& lists) const {
    auto& pointers = lists.arrays.emplace_back();
    for (const Guarded& array : arrays_) pointers.push_back(array.floats());
  }
  std::vector<Tensor> tensors() const {
    std::vector<Tensor> all;
    for (const Guarded& array : arrays_) all.push_back(array.inside());
    return all;
  }
  std::vector<Tensor> doubles() const {
    std::vector<Tensor> copies;
    for (const Tensor& tensor : tensors()) copies.push_back(tensor.to(torch::kFloat64));
    return copies;
  }
  void make_positive() const {
    for (const Tensor& tensor : tensors()) tensor.abs_();
  }
  void expect(const std::vector<Tensor>& expected, double tolerance) const {
    for (size_t i = 0; i < arrays_.size(); ++i) {
      EXPECT_TRUE(arrays_[i].margins_are_whole());
      if (expected[i].numel() == 0) continue;
      const double scale = std::max(1.0, test::largest(expected[i]));  // few numbers may nearly cancel
      EXPECT_LE(largest_difference(arrays_[i].inside(), expected[i]), tolerance * scale)
          << "array " << i << " of " << expected[i].numel();
    }
  }

 private:
  std::vector<Guarded> arrays_;
};

constexpr double kRounding = 1e-6;

float norm_on_host(const Lists& lists, Order order = Order::upwards) {
  const Guarded sums(multi_tensor_cuda::norm_workspace(lists), torch::kFloat64);
  const Guarded norm(1, torch::kFloat32);
  multi_tensor_cuda::launch_norm(HostLaunch<kThreads>{order}, lists, static_cast<double*>(sums.data()),
                                 norm.floats());
  EXPECT_TRUE(sums.margins_are_whole());
  return *norm.floats();
}

TEST(MultiTensorForGpus, TheNormIsThatOfAllNumbers) {
  for (const bool shifted : {false, true}) {
    const List x(some_counts(), 1, shifted);
    Lists lists{.counts = some_counts(), .arrays = {}};
    x.add_to(lists);
    const double expected = torch::cat(x.doubles()).norm().item<double>();
    EXPECT_NEAR(norm_on_host(lists), expected, 1e-7 * expected);
    EXPECT_EQ(norm_on_host(lists), norm_on_host(lists, Order::downwards));
    x.tensors()[5].fill_(1e25);
    EXPECT_FLOAT_EQ(norm_on_host(lists), 1e25F * std::sqrt(2.0F * kChunk + 3));
    x.tensors()[6][3] = std::nan("");
    EXPECT_TRUE(std::isnan(norm_on_host(lists)));
  }
  EXPECT_EQ(norm_on_host({.counts = {0}, .arrays = {{nullptr}}}), 0);
}

struct Adam {
  explicit Adam(bool shifted)
      : theta(some_counts(), 100, false),
        gradient(some_counts(), 200, shifted),
        first(some_counts(), 300, false),
        second(some_counts(), 400, false) {
    second.make_positive();
  }
  void step(const AdamRule& rule, bool usable, int64_t updates, double lr, double factor) const {
    Lists lists{.counts = some_counts(), .arrays = {}};
    for (const List* list : {&theta, &gradient, &first, &second}) list->add_to(lists);
    AdamScalars scalars = {};
    multi_tensor_cuda::launch_adam(HostLaunch<kThreads>{}, lists, rule, {&usable, &updates, &lr, &factor},
                                   &scalars);
  }
  AdamState in_double() const {
    return {theta.doubles(), gradient.doubles(), first.doubles(), second.doubles()};
  }
  void expect(const AdamState& expected, double tolerance) const {
    theta.expect(expected.theta, tolerance);
    gradient.expect(expected.gradient, 0);
    first.expect(expected.first, tolerance);
    second.expect(expected.second, tolerance);
  }

  List theta;
  List gradient;
  List first;
  List second;
};

TEST(MultiTensorForGpus, AdamIsThatOfTheCpuInDouble) {
  for (const auto& [rule, updates] : test::rule_cases()) {
    for (const bool shifted : {false, true}) {
      const Adam adam(shifted);
      const AdamState expected = adam.in_double();
      adam_update(expected, rule,
                  {torch::scalar_tensor(true, torch::kBool), torch::scalar_tensor(updates, torch::kInt64),
                   torch::scalar_tensor(0.02, torch::kFloat64), torch::scalar_tensor(0.7, torch::kFloat64)});
      adam.step(rule, true, updates, 0.02, 0.7);
      adam.expect(expected, kRounding);
    }
  }
}

TEST(MultiTensorForGpus, AnUnusableStepWritesNothing) {
  const Adam adam(false);
  const AdamState before = adam.in_double();
  adam.step({}, false, 3, 0.1, std::nan(""));
  adam.expect(before, 0);
}

// More averages than a launch takes.
const std::vector<double> kRates = {0, 0.3, 0.5, 0.9999, 0.7, 0.1, 0.9, 0.2, 0.99, 0.4};

void expect_averages(bool usable, bool shifted) {
  const List theta(some_counts(), 1, false);
  Lists lists{.counts = some_counts(), .arrays = {}};
  theta.add_to(lists);
  std::vector<List> averages;
  std::vector<std::vector<Tensor>> expected;
  std::vector<const double*> rates;
  for (size_t k = 0; k < kRates.size(); ++k) {
    averages.emplace_back(some_counts(), 1000 * (k + 1), shifted);
    averages.back().add_to(lists);
    rates.push_back(&kRates[k]);
    expected.push_back(averages.back().doubles());
    const auto parameters = theta.doubles();
    for (size_t i = 0; usable && i < parameters.size(); ++i)
      expected[k][i].lerp_(parameters[i], 1 - kRates[k]);
  }
  multi_tensor_cuda::launch_averages(HostLaunch<kThreads>{}, lists, rates, &usable);
  for (size_t k = 0; k < kRates.size(); ++k) averages[k].expect(expected[k], usable ? kRounding : 0);
}

TEST(MultiTensorForGpus, EveryAverageHasItsRate) {
  expect_averages(true, false);
  expect_averages(true, true);
}

TEST(MultiTensorForGpus, AnUnusableStepChangesNoAverage) {
  expect_averages(false, false);
}

TEST(MultiTensorForGpus, ATableFitsIntoTheArgumentsOfALaunch) {
  int launches = 0;
  int64_t blocks = 0;
  const Lists lists{.counts = std::vector<int64_t>(500, kChunk + 1),
                    .arrays = std::vector(9, std::vector<float*>(500))};
  multi_tensor_cuda::for_each_table(lists, [&](const multi_tensor_cuda::Table& table, int64_t before) {
    EXPECT_EQ(before, blocks);
    EXPECT_LE(table.tensors * table.lists, multi_tensor_cuda::kMostPointers);
    blocks += table.first_block[table.tensors];
    ++launches;
  });
  EXPECT_EQ(blocks, 1000);
  EXPECT_EQ(launches, 15);  // of 35 arrays in each of nine lists
}

}  // namespace
}  // namespace cm
