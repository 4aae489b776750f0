// Each kernel of cm/kernels, and noise, beside the same by LibTorch's operators: medians of wall time, and
// the time of the processors, which is what counts on a shared machine. docs/performance.md shows its table.
//
//   build/bin/cm-time-kernels [--threads 1] [--repeats 50]
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <ctime>
#include <functional>
#include <iomanip>
#include <iostream>

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include "cm/base/limits.h"
#include "cm/base/random.h"
#include "cm/base/text.h"
#include "cm/config/command_line.h"
#include "cm/config/number_option.h"
#include "cm/kernels/convolution.h"
#include "cm/kernels/group_norm.h"
#include "cm/kernels/multi_tensor.h"

namespace {

using Clock = std::chrono::steady_clock;
using cm::Tensor;

struct Arguments {
  int64_t threads = 1;
  int64_t repeats = 50;
};

struct Times {
  double wall_ms;
  double processors_ms;
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values.at(values.size() / 2);
}

// One call of `body`.
Times time_once(const std::function<void()>& body) {
  const auto start = Clock::now();
  const std::clock_t processors = std::clock();
  body();
  return {std::chrono::duration<double, std::milli>(Clock::now() - start).count(),
          1000 * static_cast<double>(std::clock() - processors) / CLOCKS_PER_SEC};
}

// Medians of both, taken in turns, so that whatever else the machine does meets both alike.
class Comparison {
 public:
  Comparison(std::function<void()> plain, std::function<void()> fused, int64_t repeats) {
    const std::array bodies = {std::move(plain), std::move(fused)};
    std::array<std::vector<double>, 2> wall;
    std::array<std::vector<double>, 2> processors;
    for (int64_t i = -3; i < repeats; ++i) {
      for (size_t k = 0; k < bodies.size(); ++k) {
        const Times times = time_once(bodies[k]);
        if (i < 0) continue;  // warm-up
        wall[k].push_back(times.wall_ms);
        processors[k].push_back(times.processors_ms);
      }
    }
    for (size_t k = 0; k < bodies.size(); ++k) medians_[k] = {median(wall[k]), median(processors[k])};
  }

  void print(const std::string& name) const {
    const auto& [plain, fused] = medians_;
    std::cout << "| " << name << " | " << plain.wall_ms << " | " << fused.wall_ms << " | "
              << plain.processors_ms << " | " << fused.processors_ms << " | "
              << plain.processors_ms / fused.processors_ms << " |\n";
  }

 private:
  std::array<Times, 2> medians_;
};

struct NormCase {
  std::vector<int64_t> shape;
  torch::MemoryFormat format;
  bool backward;

  std::string name() const {
    std::ostringstream text;
    text << torch::IntArrayRef(shape)
         << (format == torch::MemoryFormat::ChannelsLast ? ", channels last" : ", channels first")
         << (backward ? ", forward and backward" : ", forward");
    return text.str();
  }
};

// Normalisation, scale and shift, SiLU, as in every block.
void compare_norm(const NormCase& norm_case, int64_t repeats) {
  const int64_t channels = norm_case.shape[1];
  const auto leaf = [&](const Tensor& t) { return t.detach().requires_grad_(norm_case.backward); };
  const Tensor x = leaf(torch::randn(norm_case.shape).contiguous(norm_case.format));
  const Tensor condition = leaf(torch::randn({x.size(0), 2 * channels}));
  const Tensor dy = torch::randn(norm_case.shape).contiguous(norm_case.format);
  const cm::NormParameters norm = {std::min<int64_t>(32, channels), 1e-5, leaf(torch::ones({channels})),
                                   leaf(torch::zeros({channels}))};
  const auto run = [&](const auto& compute) {
    const Tensor y = compute(x, norm, condition, cm::Activation::silu);
    if (norm_case.backward) torch::autograd::grad({y}, {x, norm.weight, norm.bias, condition}, {dy});
  };
  Comparison([&] { run(cm::plain_group_norm); }, [&] { run(cm::group_norm); }, repeats)
      .print(norm_case.name());
}

struct ConvolutionCase {
  int64_t batch;
  int64_t in;
  int64_t out;
  int64_t side;
};

// A 3 × 3 convolution; LibTorch's of channels-first images, which is its faster.
void compare_convolution(const ConvolutionCase& sizes, int64_t repeats) {
  const auto& [batch, in, out, side] = sizes;
  for (const bool backward : {false, true}) {
    const auto leaf = [&](const Tensor& t) { return t.detach().requires_grad_(backward); };
    const Tensor first = leaf(torch::randn({batch, in, side, side}));
    const Tensor last = leaf(first.detach().contiguous(torch::MemoryFormat::ChannelsLast));
    const Tensor weight = leaf(torch::randn({out, in, 3, 3}));
    const Tensor bias = leaf(torch::randn({out}));
    const Tensor dy = torch::randn({batch, out, side, side});
    const Tensor dy_last = dy.contiguous(torch::MemoryFormat::ChannelsLast);
    const auto run = [&](const Tensor& x, const Tensor& gradient, const auto& convolve) {
      const Tensor y = convolve(x);
      if (backward) torch::autograd::grad({y}, {x, weight, bias}, {gradient});
    };
    Comparison(
        [&] { run(first, dy, [&](const Tensor& x) { return torch::conv2d(x, weight, bias, 1, 1); }); },
        [&] { run(last, dy_last, [&](const Tensor& x) { return cm::convolution_3x3(x, weight, bias); }); },
        repeats)
        .print(cm::concat("convolution ", batch, " x ", in, " to ", out, ", ", side, " x ", side,
                          backward ? ", forward and backward" : ", forward"));
  }
}

// A training batch's noise: LibTorch's depends on the division into batches and ranks, ours does not.
void compare_noise(int64_t repeats) {
  const std::vector<int64_t> samples = cm::sample_range(0, 128);
  Comparison(
      [&] {
        torch::randn({128, 3, 64, 64});
      },
      [&] {
        cm::normal({}, samples, {3, 64, 64});
      },
      repeats)
      .print("noise, 128 x 3 x 64 x 64");
}

// A network's worth of tensors: 280 with 7.7 million numbers, of convolutions, their biases and norms.
std::vector<Tensor> network_sized() {
  std::vector<Tensor> tensors;
  for (int64_t i = 0; i < 70; ++i) {
    const int64_t width = 64 + 32 * (i % 3);
    tensors.push_back(torch::randn({width, 128, 3, 3}));
    for (int k = 0; k < 3; ++k) tensors.push_back(torch::randn({width}));
  }
  return tensors;
}

// RAdam by LibTorch's multi-tensor operators, one pass over memory each.
void adam_by_operators(const cm::AdamState& state, const cm::AdamRule& rule, double step) {
  at::_foreach_lerp_(state.first, state.gradient, 1 - rule.beta1);
  at::_foreach_mul_(state.second, rule.beta2);
  at::_foreach_addcmul_(state.second, state.gradient, state.gradient, 1 - rule.beta2);
  std::vector<Tensor> denominator = at::_foreach_sqrt(state.second);
  at::_foreach_add_(denominator, rule.eps);
  at::_foreach_addcdiv_(state.theta, state.first, denominator, -step);
}

void compare_multi_tensor(int64_t repeats) {
  const cm::AdamState state{network_sized(), network_sized(), network_sized(), network_sized()};
  for (const Tensor& v : state.second) v.abs_();
  const cm::AdamRule rule{.rectified = true};
  const auto number = [](double value, torch::Dtype type) { return cm::number_on(torch::kCPU, type, value); };
  const Tensor usable = number(1, torch::kBool);
  const cm::AdamNumbers numbers{.usable = usable,
                                .updates = number(1000, torch::kInt64),
                                .lr = number(1e-4, torch::kFloat64),
                                .factor = number(1, torch::kFloat64)};
  const std::vector<double> rates = {0.95, 0.999, 0.9999, 0.99994};
  std::vector<cm::MovingAverage> averages;
  for (const double rate : rates) averages.push_back({network_sized(), number(rate, torch::kFloat64)});
  Comparison([&] { torch::stack(at::_foreach_norm(state.gradient, 2)).norm(); },
             [&] { cm::norm_of(state.gradient); }, repeats)
      .print("gradient norm, 280 tensors, 7.7 M");
  Comparison([&] { adam_by_operators(state, rule, 1e-4); }, [&] { cm::adam_update(state, rule, numbers); },
             repeats)
      .print("RAdam step, 280 tensors, 7.7 M");
  const auto averages_by_operators = [&] {
    for (size_t k = 0; k < rates.size(); ++k) {
      at::_foreach_lerp_(averages[k].values, state.theta, 1 - rates[k]);
    }
  };
  Comparison(
      averages_by_operators, [&] { cm::update_averages(averages, state.theta, usable); }, repeats)
      .print("target and 3 evaluation averages, 280 tensors, 7.7 M");
}

int time_kernels(const Arguments& arguments) {
  at::set_num_threads(static_cast<int>(arguments.threads));
  std::cout << std::fixed << std::setprecision(3)
            << "| kernel | plain ms | fused ms | plain processor ms | fused processor ms | ratio |\n"
            << "|---|---|---|---|---|---|\n";
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{16, 64, 32, 32}, {16, 128, 16, 16}, {64, 32, 8, 8}, {64, 64, 8, 8}}) {
    for (const auto format : {torch::MemoryFormat::Contiguous, torch::MemoryFormat::ChannelsLast}) {
      for (const bool backward : {false, true}) compare_norm({shape, format, backward}, arguments.repeats);
    }
  }
  for (const ConvolutionCase& sizes : {ConvolutionCase{64, 32, 32, 8},
                                       {64, 64, 64, 8},
                                       {64, 64, 64, 4},
                                       {16, 64, 64, 32},
                                       {16, 128, 128, 16},
                                       {16, 256, 128, 16},
                                       {16, 128, 128, 8},
                                       {1, 192, 192, 64}}) {
    compare_convolution(sizes, arguments.repeats);
  }
  compare_noise(arguments.repeats);
  compare_multi_tensor(arguments.repeats);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Times each kernel beside LibTorch's operators; prints a Markdown table.", "cm-time-kernels");
  Arguments arguments;
  cm::add_number_option(app, "--threads", arguments.threads, "threads of the CPU",
                        cm::within(1, cm::kMostThreads))
      ->capture_default_str();
  cm::add_number_option(app, "--repeats", arguments.repeats, "calls of each whose median is taken",
                        cm::within(1, cm::kMostRepeats))
      ->capture_default_str();
  return cm::run_command(app, argc, argv, [&] { return time_kernels(arguments); });
}
