// How many images a second Inception's features take, and how much time of the processors: the whole way from
// bytes to the 2,048 numbers, resizing included. bench/inception_speed.py runs it beside the Python
// originals.
//
//   build/bin/cm-time-inception --weights weights/inception.safetensors [--images 32] [--size 32] [--threads
//   1]
#include <CLI/CLI.hpp>
#include <chrono>
#include <ctime>
#include <iostream>

#include <ATen/Parallel.h>

#include "cm/base/limits.h"
#include "cm/cli/command_line.h"
#include "cm/cli/number_option.h"
#include "cm/io/json.h"
#include "cm/metrics/inception_features.h"

namespace {

using Clock = std::chrono::steady_clock;

struct TimeInceptionArguments {
  std::string weights;
  std::string resize = "tensorflow";
  int64_t images = 32;
  int64_t size = 32;
  int64_t threads = 1;
  cm::CommonOptions common;
};

cm::Tensor some_images(int64_t count, int64_t size) {
  return (torch::arange(count * 3 * size * size) * 7919 % 256).to(torch::kUInt8).view({count, 3, size, size});
}

int time_inception(const TimeInceptionArguments& arguments) {
  at::set_num_threads(static_cast<int>(arguments.threads));
  const torch::Device device = cm::parse_device(arguments.common.device);
  const auto resize = cm::named_option<cm::InceptionResize>("--resize", arguments.resize);
  const cm::InceptionFeatures features(arguments.weights, resize, device);
  const auto pass = [&](const cm::Tensor& pixels) {
    const cm::Activations all = cm::activations_of(pixels, features, {}, pixels.size(0));
    return all.features.sum().item<double>();  // waits for the device
  };
  pass(some_images(std::min<int64_t>(arguments.images, 8), arguments.size));  // warm-up
  const cm::Tensor pixels = some_images(arguments.images, arguments.size);
  const auto start = Clock::now();
  const std::clock_t processors = std::clock();
  pass(pixels);
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  const double busy = static_cast<double>(std::clock() - processors) / CLOCKS_PER_SEC;
  const auto images = static_cast<double>(arguments.images);
  const cm::Json line = {{"images_per_second", images / seconds}, {"processor_ms", 1000 * busy / images}};
  std::cout << cm::json_text(line) << '\n';
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Times Inception's features; prints one JSON object.", "cm-time-inception");
  TimeInceptionArguments arguments;
  app.add_option("--weights", arguments.weights, "what scripts/export_inception.py made")->required();
  app.add_option("--resize", arguments.resize, "tensorflow, pytorch or clean")->capture_default_str();
  cm::add_number_option(app, "--images", arguments.images, "images in the batch that is timed",
                        cm::within(1, cm::kMostAtOnce))
      ->capture_default_str();
  cm::add_number_option(app, "--size", arguments.size, "side of the images in pixels",
                        cm::within(1, cm::kLargestSide))
      ->capture_default_str();
  cm::add_number_option(app, "--threads", arguments.threads, "threads of the CPU",
                        cm::within(1, cm::kMostThreads))
      ->capture_default_str();
  cm::add_common_options(app, arguments.common);
  return cm::run_command(app, argc, argv, [&] { return time_inception(arguments); });
}
