// Each kernel of cm/kernels beside the same by LibTorch's operators: medians of wall time, on a GPU of the
// time between two events there, and of the time of the processors, which is what counts on a shared machine.
// Of kernels that are bound by memory also the bytes that must move over that time, and their share of what
// copying reaches. docs/performance.md shows its table. On a GPU, only what has kernels there, in fp32 and
// bf16.
//
//   build/bin/cm-time-kernels [--device cpu] [--threads 1] [--repeats 50]
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <functional>
#include <iomanip>
#include <iostream>

#include <ATen/Parallel.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/autograd.h>

#include "cm/base/limits.h"
#include "cm/base/random.h"
#include "cm/base/text.h"
#include "cm/bench/measurement.h"
#include "cm/bench/training_bench.h"
#include "cm/cli/command_line.h"
#include "cm/cli/number_option.h"
#include "cm/kernels/box_resample.h"
#include "cm/kernels/convolution.h"
#include "cm/kernels/dropout.h"
#include "cm/kernels/group_norm.h"
#include "cm/kernels/multi_tensor.h"
#include "cm/kernels/normal.h"
#include "cm/kernels/paths.h"
#include "cm/kernels/residual_sum.h"
#include "cm/kernels/unit_rows.h"

namespace {

using Clock = std::chrono::steady_clock;
using cm::Tensor;

struct TimeKernelsArguments {
  std::string device = "cpu";
  int64_t threads = 1;
  int64_t repeats = 50;
};

struct Times {
  double ms;
  double processors_ms;
};

// Where all of them are timed, of which numbers, and how often; what a copy reaches there, in bytes a second.
struct Place {
  torch::Device device;
  int64_t repeats;
  torch::Dtype images = torch::kFloat32;
  double copying = 0;

  Tensor randn(const std::vector<int64_t>& shape) const {
    return torch::randn(shape, torch::TensorOptions(device).dtype(images));
  }
};

// One call of `body` on a GPU, from its beginning to its end there.
Times time_between_events(const std::function<void()>& body, const torch::Device& device) {
  const c10::impl::VirtualGuardImpl guard(device.type());
  c10::Event begin(device.type(), c10::EventFlag::BACKEND_DEFAULT);
  c10::Event end(device.type(), c10::EventFlag::BACKEND_DEFAULT);
  cm::synchronize(device);
  const double processors = cm::process_cpu_seconds();
  begin.record(guard.getStream(device));
  body();
  end.record(guard.getStream(device));
  const double processors_ms = 1000 * (cm::process_cpu_seconds() - processors);
  cm::synchronize(device);
  return {begin.elapsedTime(end), processors_ms};
}

// One call of `body`.
Times time_once(const std::function<void()>& body, const torch::Device& device) {
  if (!device.is_cpu()) return time_between_events(body, device);
  const auto start = Clock::now();
  const double processors = cm::process_cpu_seconds();
  body();
  return {std::chrono::duration<double, std::milli>(Clock::now() - start).count(),
          1000 * (cm::process_cpu_seconds() - processors)};
}

constexpr int64_t kWarmUps = 3;

// Bytes a second that a copy reads and writes.
double copying_rate(const Place& place) {
  const int64_t numbers = place.device.is_cpu() ? int64_t{1} << 24 : int64_t{1} << 28;
  const Tensor from = place.randn({numbers});
  const Tensor to = torch::empty_like(from);
  std::vector<double> ms;
  for (int64_t i = -kWarmUps; i < 10; ++i) {
    const Times times = time_once([&] { to.copy_(from); }, place.device);
    if (i >= 0) ms.push_back(times.ms);
  }
  return 2 * static_cast<double>(from.nbytes()) / (cm::median(ms) / 1000);
}

// Medians of both, taken in turns, so that whatever else the machine does meets both alike.
class Comparison {
 public:
  Comparison(std::function<void()> plain, std::function<void()> fused, const Place& place) : place_(place) {
    for (const auto& [kernel, counts] : cm::kernel_calls_during(fused)) {
      if (!counts.by_operators.empty()) left_ = " (left the kernel)";
    }
    const std::array bodies = {std::move(plain), std::move(fused)};
    std::array<std::vector<double>, 2> all;
    std::array<std::vector<double>, 2> processors;
    for (int64_t i = -kWarmUps; i < place.repeats; ++i) {
      for (size_t k = 0; k < bodies.size(); ++k) {
        const Times times = time_once(bodies[k], place.device);
        if (i < 0) continue;  // warm-up
        all[k].push_back(times.ms);
        processors[k].push_back(times.processors_ms);
      }
    }
    for (size_t k = 0; k < bodies.size(); ++k) medians_[k] = {cm::median(all[k]), cm::median(processors[k])};
  }

  // `bytes`: what the kernel must read and write, if that is what bounds it.
  void print(const std::string& name, double bytes = 0) const {
    const auto& [plain, fused] = medians_;
    const double ratio =
        place_.device.is_cpu() ? plain.processors_ms / fused.processors_ms : plain.ms / fused.ms;
    std::cout << "| " << name << left_ << " | " << plain.ms << " | " << fused.ms << " | "
              << plain.processors_ms << " | " << fused.processors_ms << " | " << ratio << " | ";
    if (bytes > 0) {
      const double rate = bytes / (fused.ms / 1000);
      std::cout << rate / 1e9 << " | " << std::lround(100 * rate / place_.copying) << " % |\n" << std::flush;
    } else {
      std::cout << "| |\n" << std::flush;
    }
  }

 private:
  Place place_;
  std::string left_;
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

std::string type_name(const Place& place) {
  return place.images == torch::kBFloat16 ? ", bf16" : "";
}

// Normalisation of an image and its bias, scale and shift, SiLU, as in every block.
void compare_norm(const NormCase& norm_case, const Place& place) {
  const int64_t channels = norm_case.shape[1];
  const auto leaf = [&](const Tensor& t) {
    return t.to(place.device).detach().requires_grad_(norm_case.backward);
  };
  const Tensor x = leaf(place.randn(norm_case.shape).contiguous(norm_case.format));
  const Tensor bias = leaf(torch::randn({channels}));
  const Tensor condition = leaf(torch::randn({x.size(0), 2 * channels}));
  const Tensor dy = torch::randn_like(x.detach());
  const cm::NormParameters norm = {std::min<int64_t>(32, channels), 1e-5, leaf(torch::ones({channels})),
                                   leaf(torch::zeros({channels}))};
  const auto run = [&](const auto& compute) {
    const Tensor y = compute({x, bias}, norm, condition, cm::Activation::silu);
    if (norm_case.backward) torch::autograd::grad({y}, {x, norm.weight, norm.bias, condition, bias}, {dy});
  };
  // Forward x and y; back x, dy and dx.
  const double arrays = norm_case.backward ? 5 : 2;
  Comparison([&] { run(cm::plain_group_norm); }, [&] { run(cm::group_norm); }, place)
      .print(norm_case.name() + type_name(place), arrays * static_cast<double>(x.nbytes()));
}

// The end of a residual block, and halving and doubling the side.
void compare_sums(const std::vector<int64_t>& shape, const Place& place) {
  const auto drawn = [&] { return place.randn(shape).contiguous(torch::MemoryFormat::ChannelsLast); };
  const Tensor kept = drawn();
  const cm::Biased branch(drawn(), torch::randn({shape[1]}, place.device));
  const auto bytes = static_cast<double>(kept.nbytes());
  const auto name = [&](const char* what) {
    std::ostringstream text;
    text << what << ", " << torch::IntArrayRef(shape) << type_name(place);
    return text.str();
  };
  Comparison([&] { cm::plain_residual_sum(kept, branch, 1); }, [&] { cm::residual_sum(kept, branch, 1); },
             place)
      .print(name("residual sum"), 3 * bytes);
  Comparison([&] { cm::plain_spread_2x2(kept, 1); }, [&] { cm::spread_2x2(kept, 1); }, place)
      .print(name("side doubled"), 5 * bytes);
  Comparison([&] { cm::plain_gather_2x2(kept, 0.25); }, [&] { cm::gather_2x2(kept, 0.25); }, place)
      .print(name("side halved"), 1.25 * bytes);
}

// Rows of one length: the weights of a convolution, or the pixels of 16 images.
void compare_rows(const std::vector<int64_t>& shape, const Place& place) {
  for (const bool backward : {false, true}) {
    const Tensor x = place.randn(shape).requires_grad_(backward);
    const Tensor dy = torch::randn_like(x.detach());
    const auto run = [&](const auto& scaled) {
      const Tensor y = scaled(x, cm::RowScale{.length = 1, .epsilon = 1e-4}, Tensor());
      if (backward) torch::autograd::grad({y}, {x}, {dy});
    };
    Comparison([&] { run(cm::plain_unit_rows); }, [&] { run(cm::unit_rows); }, place)
        .print(cm::concat("rows of one length, ", shape.front(), " of ", x.numel() / shape.front(),
                          backward ? ", forward and backward" : ", forward", type_name(place)),
               (backward ? 5 : 2) * static_cast<double>(x.nbytes()));
  }
}

struct ConvolutionCase {
  int64_t batch;
  int64_t in;
  int64_t out;
  int64_t side;
};

// A 3 × 3 convolution; LibTorch's of channels-first images, which is its faster.
void compare_convolution(const ConvolutionCase& sizes, const Place& place) {
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
        place)
        .print(cm::concat("convolution ", batch, " x ", in, " to ", out, ", ", side, " x ", side,
                          backward ? ", forward and backward" : ", forward"));
  }
}

// A training batch's noise and a layer's dropout: LibTorch's depend on the division into batches and ranks,
// ours do not.
void compare_draws(const Place& place) {
  const std::vector<int64_t> samples = cm::sample_range(0, 128);
  const auto options = torch::TensorOptions(place.device);
  // Noise is fp32 whatever the images are.
  if (place.images == torch::kFloat32) {
    Comparison(
        [&] {
          torch::randn({128, 3, 64, 64}, options);
        },
        [&] {
          cm::normal({}, samples, {3, 64, 64}, place.device);
        },
        place)
        .print("noise, 128 x 3 x 64 x 64");
  }
  const Tensor x = place.randn({16, 128, 32, 32}).requires_grad_(true);
  const Tensor dy = torch::randn_like(x.detach());
  const Tensor keys = torch::arange(16, options.dtype(torch::kInt64));
  const auto run = [&](const Tensor& y) { torch::autograd::grad({y}, {x}, {dy}); };
  Comparison([&] { run(torch::dropout(x, 0.1, /*train=*/true)); },
             [&] { run(cm::dropout(x, keys, 0.1, /*layer=*/0)); }, place)
      .print("dropout, 16 x 128 x 32 x 32, forward and backward" + type_name(place));
}

// Of the network that bench/cases/cifar32.json describes, as a training step leaves it: gradients have the
// strides that the backward pass gives them.
cm::AdamState state_of_a_network(const torch::Device& device) {
  cm::ModelOptions options;
  cm::AdmOptions network;
  network.head_channels = 32;
  options.network = network;
  const cm::Model model = cm::random_model(options, device, 1);
  const Tensor x = torch::randn({2, 3, 32, 32}).to(device);
  model.network().forward(x, {torch::ones({2}).to(device)}).sum().backward();
  cm::AdamState state{.theta = model.parameters(), .gradient = {}, .first = {}, .second = {}};
  for (const Tensor& theta : state.theta) {
    state.gradient.push_back(theta.grad());
    state.first.push_back(torch::randn_like(theta).detach());
    state.second.push_back(torch::rand_like(theta).detach());
  }
  return state;
}

std::vector<Tensor> copies_of(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> copies;
  for (const Tensor& tensor : tensors) copies.push_back(tensor.detach().clone());
  return copies;
}

// The operators are the path that the same functions take where a number of the step has another type.
void compare_multi_tensor(const Place& place) {
  const cm::AdamState state = state_of_a_network(place.device);
  const cm::AdamRule rule{.rectified = true};
  const auto number = [&](double value, torch::Dtype type) {
    return cm::number_on(place.device, type, value);
  };
  const Tensor usable = number(1, torch::kBool);
  const auto update = [&](torch::Dtype type) {
    cm::adam_update(state, rule,
                    {.usable = usable,
                     .updates = number(1000, torch::kInt64),
                     .lr = number(1e-4, torch::kFloat64),
                     .factor = number(1, type)});
  };
  std::vector<std::vector<Tensor>> values;
  const std::vector<double> rates = {0.95, 0.999, 0.9999, 0.99994};
  for (size_t k = 0; k < rates.size(); ++k) values.push_back(copies_of(state.theta));
  const auto average = [&](torch::Dtype type) {
    std::vector<cm::MovingAverage> averages;
    for (size_t k = 0; k < rates.size(); ++k) averages.push_back({values[k], number(rates[k], type)});
    cm::update_averages(averages, state.theta, usable);
  };
  int64_t numbers = 0;
  for (const Tensor& theta : state.theta) numbers += theta.numel();
  const std::string size = cm::concat(", ", state.theta.size(), " tensors, ",
                                      cm::human_count(static_cast<double>(numbers)), " numbers");
  Comparison([&] { torch::stack(at::_foreach_norm(state.gradient, 2)).norm(); },
             [&] { cm::norm_of(state.gradient); }, place)
      .print("gradient norm" + size);
  Comparison([&] { update(torch::kFloat32); }, [&] { update(torch::kFloat64); }, place)
      .print("RAdam step" + size);
  Comparison([&] { average(torch::kFloat32); }, [&] { average(torch::kFloat64); }, place)
      .print("target and 3 evaluation averages" + size);
}

// What a network of this place does with its images; a GPU's are those of ImageNet 64 × 64.
void compare_images(Place place) {
  place.copying = copying_rate(place);
  const bool on_cpu = place.device.is_cpu();
  const std::vector<std::vector<int64_t>> shapes =
      on_cpu ? std::vector<std::vector<int64_t>>{{16, 64, 32, 32},
                                                 {16, 128, 16, 16},
                                                 {64, 32, 8, 8},
                                                 {64, 64, 8, 8}}
             : std::vector<std::vector<int64_t>>{
                   {64, 192, 64, 64}, {64, 384, 32, 32}, {64, 576, 16, 16}, {64, 768, 8, 8}};
  for (const auto& shape : shapes) {
    for (const auto format : {torch::MemoryFormat::Contiguous, torch::MemoryFormat::ChannelsLast}) {
      for (const bool backward : {false, true}) compare_norm({shape, format, backward}, place);
    }
  }
  for (const auto& shape : shapes) compare_sums(shape, place);
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{256, 256, 3, 3}, {768, 768, 3, 3}, {16 * 32 * 32, 64}}) {
    compare_rows(shape, place);
  }
  compare_draws(place);
}

int time_kernels(const TimeKernelsArguments& arguments) {
  at::set_num_threads(static_cast<int>(arguments.threads));
  const Place place{cm::parse_device(arguments.device), arguments.repeats};
  std::cout << std::fixed << std::setprecision(3)
            << "| kernel | plain ms | fused ms | plain processor ms | fused processor ms | ratio | GB/s | of "
               "copying |\n"
            << "|---|---|---|---|---|---|---|---|\n";
  compare_images(place);
  if (!place.device.is_cpu()) compare_images({place.device, place.repeats, torch::kBFloat16});
  compare_multi_tensor(place);
  if (!place.device.is_cpu()) return 0;
  for (const ConvolutionCase& sizes : {ConvolutionCase{64, 32, 32, 8},
                                       {64, 64, 64, 8},
                                       {64, 64, 64, 4},
                                       {16, 64, 64, 32},
                                       {16, 128, 128, 16},
                                       {16, 256, 128, 16},
                                       {16, 128, 128, 8},
                                       {1, 192, 192, 64},
                                       {2, 768, 768, 8}}) {
    compare_convolution(sizes, place);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Times each kernel beside LibTorch's operators; prints a Markdown table.", "cm-time-kernels");
  TimeKernelsArguments arguments;
  app.add_option("--device", arguments.device, "cpu, cuda or cuda:N")->capture_default_str();
  cm::add_number_option(app, "--threads", arguments.threads, "threads of the CPU",
                        cm::within(1, cm::kMostThreads))
      ->capture_default_str();
  cm::add_number_option(app, "--repeats", arguments.repeats, "calls of each whose median is taken",
                        cm::within(1, cm::kMostRepeats))
      ->capture_default_str();
  return cm::run_command(app, argc, argv, [&] { return time_kernels(arguments); });
}
