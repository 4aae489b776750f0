#include "cm/training/formula_model.h"

namespace cm {
namespace {

class FormulaNetwork : public Network {
 public:
  FormulaNetwork(Denoiser denoiser, const SigmaOptions& range)
      : denoiser_(std::move(denoiser)), range_(range) {}

  // In float64: at small σ the difference is small beside D.
  Tensor compute(const Tensor& x, const Conditioning& told, const Tensor& /*dropout_keys*/) override {
    const Tensor sigma = (4 * told.time.to(torch::kFloat64)).exp();
    const Scalings at = scalings(Parameterization::edm, range_, sigma);
    const Tensor image = x.to(torch::kFloat64) / per_sample(at.c_in, x);
    const Tensor denoised = denoiser_(image, sigma);
    return ((denoised - per_sample(at.c_skip, x) * image) / per_sample(at.c_out, x)).to(x.dtype());
  }

 private:
  Denoiser denoiser_;
  SigmaOptions range_;
};

}  // namespace

Model formula_model(const Denoiser& denoiser, const ModelOptions& options, const torch::Device& device) {
  TORCH_CHECK(options.parameterization == Parameterization::edm,
              "a formula for a denoiser needs parameterization edm, got ",
              to_string(options.parameterization));
  const NetworkMaker maker = [denoiser, range = options.sigma](std::optional<uint64_t>) {
    return std::make_shared<FormulaNetwork>(denoiser, range);
  };
  return {options, device, maker};
}

}  // namespace cm
