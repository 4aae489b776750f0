#include "autoencoder_bench.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/io/image.h"

namespace cm {
namespace {

constexpr uint64_t kAutoencoderSeed = 1;

// So large that activations neither grow nor vanish; normalisations stay as they begin.
void randomize_autoencoder(const Autoencoder& autoencoder) {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(kAutoencoderSeed);
  for (const auto& parameter : autoencoder.parameters()) {
    if (parameter.dim() > 1) parameter.normal_(0, 1 / std::sqrt(parameter[0].numel()), generator);
  }
}

// The operations of layers one after another, of which the last left `side` × `side` positions.
class FlopWalk {
 public:
  explicit FlopWalk(int64_t side) : side_(side) {}

  void convolution(int64_t in, int64_t out, int64_t kernel = 3) {
    flops_ += 2 * positions() * static_cast<double>(in * out * kernel * kernel);
  }
  void block(int64_t in, int64_t out) {
    convolution(in, out);
    convolution(out, out);
    if (in != out) convolution(in, out, 1);
  }
  void middle(int64_t channels, bool attends) {
    block(channels, channels);
    block(channels, channels);
    if (!attends) return;
    for (int linear = 0; linear < 4; ++linear) convolution(channels, channels, 1);
    flops_ += 2 * 2 * positions() * positions() * static_cast<double>(channels);
  }
  void halve() { side_ /= 2; }
  void twice() { side_ *= 2; }
  double flops() const { return flops_; }

 private:
  double positions() const { return static_cast<double>(side_ * side_); }

  int64_t side_;
  double flops_ = 0;
};

double encoder_flops(const AutoencoderOptions& options, int64_t size) {
  FlopWalk walk(size);
  const auto& widths = options.block_channels;
  walk.convolution(options.channels, widths.front());
  for (size_t level = 0; level < widths.size(); ++level) {
    for (int64_t i = 0; i < options.blocks; ++i) {
      walk.block(i == 0 && level > 0 ? widths[level - 1] : widths[level], widths[level]);
    }
    if (level + 1 == widths.size()) break;
    walk.halve();
    walk.convolution(widths[level], widths[level]);
  }
  walk.middle(widths.back(), options.mid_attention);
  walk.convolution(widths.back(), 2 * options.latent_channels);
  if (options.quant_conv) walk.convolution(2 * options.latent_channels, 2 * options.latent_channels, 1);
  return walk.flops();
}

double decoder_flops(const AutoencoderOptions& options, int64_t size) {
  FlopWalk walk(size / downsampling(options));
  const auto& widths = options.block_channels;
  if (options.post_quant_conv) walk.convolution(options.latent_channels, options.latent_channels, 1);
  walk.convolution(options.latent_channels, widths.back());
  walk.middle(widths.back(), options.mid_attention);
  for (size_t level = widths.size(); level-- > 0;) {
    for (int64_t i = 0; i <= options.blocks; ++i) {
      walk.block(i == 0 && level + 1 < widths.size() ? widths[level + 1] : widths[level], widths[level]);
    }
    if (level == 0) break;
    walk.twice();
    walk.convolution(widths[level], widths[level]);
  }
  walk.convolution(widths.front(), options.channels);
  return walk.flops();
}

}  // namespace

AutoencoderOptions autoencoder_options_of(const BenchCase& bench_case) {
  if (bench_case.architecture != BenchArchitecture::autoencoder) {
    throw InputError(concat(bench_case.name,
                            ": only a case whose architecture is autoencoder encodes and decodes, got ",
                            to_string(bench_case.architecture)));
  }
  AutoencoderOptions options;
  options.channels = bench_case.in_channels;
  options.blocks = bench_case.res_blocks;
  options.block_channels.clear();
  for (const double factor : bench_case.channel_mult) {
    options.block_channels.push_back(std::llround(factor * static_cast<double>(bench_case.model_channels)));
  }
  if (bench_case.image_size % downsampling(options) != 0) {
    throw InputError(concat(bench_case.name, ": image_size must be a multiple of ", downsampling(options),
                            ", got ", bench_case.image_size));
  }
  return options;
}

AutoencoderFlops flops_of(const AutoencoderOptions& options, int64_t size) {
  return {.encode = encoder_flops(options, size), .decode = decoder_flops(options, size)};
}

AutoencoderBench::AutoencoderBench(const BenchCase& bench_case, const torch::Device& device)
    : device_(device), autoencoder_(std::make_unique<Autoencoder>(autoencoder_options_of(bench_case))) {
  const AutoencoderOptions& options = autoencoder_->options();
  const int64_t size = bench_case.image_size;
  flops_ = flops_of(options, size);
  randomize_autoencoder(*autoencoder_);
  autoencoder_->compute_in(bench_case.dtype);
  autoencoder_->to(device);
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(kAutoencoderSeed);
  const int64_t count = bench_case.sample_batch;
  pixels_ = torch::empty({count, size, size, options.channels}, torch::kUInt8).random_(0, 256, generator);
  const int64_t side = size / downsampling(options);
  latents_ = torch::empty({count, options.latent_channels, side, side}).normal_(0, 1, generator);
}

LatentMoments AutoencoderBench::encode() const {
  const torch::NoGradGuard guard;
  const Tensor x = pixels_.to(device_).permute({0, 3, 1, 2}).to(torch::kFloat32) / 127.5 - 1;
  const LatentMoments latents = autoencoder_->encode(x);
  return {.mean = latents.mean.cpu(), .std = latents.std.cpu()};
}

Tensor AutoencoderBench::decode() const {
  const torch::NoGradGuard guard;
  const Tensor images = autoencoder_->decode(latents_.to(device_));
  return to_uint8(images).permute({0, 2, 3, 1}).contiguous().cpu();
}

}  // namespace cm
