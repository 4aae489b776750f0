// How fast convolution_3x3 is beside LibTorch's: processor milliseconds of one thread, the fewest of several
// rounds, in which both take turns.
//
//   build/bin/cm-time-convolution [rounds]
#include <torch/autograd.h>

#include <algorithm>
#include <ctime>
#include <functional>
#include <iomanip>
#include <iostream>
#include <string>

#include "cm/base/random.h"
#include "cm/kernels/convolution.h"

namespace {

using cm::Tensor;

double processor_milliseconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

struct Size {
  int64_t batch;
  int64_t in;
  int64_t out;
  int64_t side;
};

struct Layer {
  Tensor x;
  Tensor weight;
  Tensor bias;
};

Layer layer_of(const Size& size) {
  const auto draw = [](uint64_t seed, int64_t count, const std::vector<int64_t>& shape) {
    return cm::normal({.seed = seed}, cm::sample_range(0, count), shape);
  };
  return {draw(1, size.batch, {size.in, size.side, size.side}), draw(2, size.out, {size.in, 3, 3}),
          draw(3, 1, {size.out})[0]};
}

using Convolution = std::function<Tensor(const Layer&)>;

void forward(const Layer& layer, const Convolution& convolution) {
  const torch::NoGradGuard guard;
  convolution(layer);
}

void forward_and_backward(const Layer& layer, const Convolution& convolution) {
  const Tensor y = convolution(layer);
  torch::autograd::grad({y}, {layer.x, layer.weight, layer.bias}, {torch::ones_like(y)});
}

// The fewest milliseconds of a call, of `rounds` turns each.
std::pair<double, double> compare(int rounds, const std::function<void()>& a,
                                  const std::function<void()>& b) {
  const auto time = [](const std::function<void()>& call) {
    const double start = processor_milliseconds();
    call();
    return processor_milliseconds() - start;
  };
  a();
  b();
  std::pair<double, double> best = {1e9, 1e9};
  for (int i = 0; i < rounds; ++i) {
    best.first = std::min(best.first, time(a));
    best.second = std::min(best.second, time(b));
  }
  return best;
}

void print(const std::string& name, const std::pair<double, double>& times) {
  std::cout << std::left << std::setw(38) << name << std::right << std::fixed << std::setprecision(2)
            << std::setw(10) << times.first << std::setw(10) << times.second << std::setw(8)
            << times.first / times.second << '\n';
}

void measure(const Size& size, int rounds) {
  Layer layer = layer_of(size);
  const Convolution libtorch = [](const Layer& l) { return torch::conv2d(l.x, l.weight, l.bias, 1, 1); };
  const Convolution ours = [](const Layer& l) { return cm::convolution_3x3(l.x, l.weight, l.bias); };
  const std::string name = std::to_string(size.batch) + " x " + std::to_string(size.in) + " -> " +
                           std::to_string(size.out) + ", " + std::to_string(size.side);
  Layer last = layer;
  last.x = last.x.contiguous(at::MemoryFormat::ChannelsLast);
  print(name + ", forward", compare(
                                rounds, [&] { forward(layer, libtorch); }, [&] { forward(last, ours); }));
  for (Layer* one : {&layer, &last}) {
    for (Tensor* tensor : {&one->x, &one->weight, &one->bias}) tensor->requires_grad_(true);
  }
  print(name + ", forward and backward", compare(
                                             rounds, [&] { forward_and_backward(layer, libtorch); },
                                             [&] { forward_and_backward(last, ours); }));
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::stoi(argv[1]) : 20;
  at::set_num_threads(1);
  std::cout << std::left << std::setw(38) << "images x channels, side" << std::right << std::setw(10)
            << "LibTorch" << std::setw(10) << "ours" << std::setw(8) << "ratio" << '\n';
  for (const Size& size :
       {Size{64, 32, 32, 8}, Size{64, 64, 64, 8}, Size{64, 64, 64, 4}, Size{64, 128, 64, 4},
        Size{16, 64, 64, 32}, Size{16, 128, 128, 16}, Size{16, 256, 128, 16}, Size{16, 128, 128, 8},
        Size{16, 256, 128, 8}, Size{1, 192, 192, 64}}) {
    measure(size, rounds);
  }
  return 0;
}
