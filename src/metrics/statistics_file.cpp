#include "cm/metrics/statistics_file.h"

#include <algorithm>
#include <utility>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"

namespace cm {
namespace {

constexpr double kSymmetryTolerance = 1e-6;  // of the largest entry; files of fp32 sums have some

void check_moments(const std::string& path, const std::string& mean_name, const GaussianMoments& moments) {
  const auto refuse = [&](const std::string& what) {
    throw InputError(concat(path, ": ", what, "; statistics need a finite mean ", mean_name,
                            " [D] and its symmetric covariance [D, D]"));
  };
  const Tensor& covariance = moments.covariance;
  if (moments.mean.dim() != 1 || moments.mean.numel() == 0) {
    refuse(concat(mean_name, " has the shape ", moments.mean.sizes()));
  }
  const int64_t width = moments.mean.size(0);
  if (covariance.sizes() != torch::IntArrayRef({width, width})) {
    refuse(concat(mean_name, " is ", width, " wide, but its covariance ", covariance.sizes()));
  }
  if (!torch::isfinite(moments.mean).all().item<bool>() || !torch::isfinite(covariance).all().item<bool>()) {
    refuse(concat(mean_name, " or its covariance holds NaN or infinite values"));
  }
  const double asymmetry = (covariance - covariance.t()).abs().max().item<double>();
  if (asymmetry > kSymmetryTolerance * covariance.abs().max().item<double>()) {
    refuse(concat("the covariance of ", mean_name, " is not symmetric"));
  }
}

std::optional<GaussianMoments> moments_in(const NpzArrays& arrays, const std::string& path,
                                          const std::string& mean_name, const std::string& covariance_name) {
  const bool has_mean = arrays.contains(mean_name);
  if (has_mean != arrays.contains(covariance_name)) {
    const std::string& there = has_mean ? mean_name : covariance_name;
    const std::string& missing = has_mean ? covariance_name : mean_name;
    throw InputError(concat(path, ": has ", there, " but no ", missing, "; statistics need both"));
  }
  if (!has_mean) return std::nullopt;
  GaussianMoments moments{.mean = arrays.at(mean_name).to(torch::kFloat64),
                          .covariance = arrays.at(covariance_name).to(torch::kFloat64)};
  check_moments(path, mean_name, moments);
  return moments;
}

std::string text_in(const Tensor& bytes) {
  const Tensor stored = bytes.to(torch::kUInt8).contiguous();
  return {reinterpret_cast<const char*>(stored.data_ptr<uint8_t>()), static_cast<size_t>(stored.numel())};
}

Tensor bytes_of(const std::string& text) {
  Tensor bytes = torch::empty({static_cast<int64_t>(text.size())}, torch::kUInt8);
  std::copy(text.begin(), text.end(), bytes.data_ptr<uint8_t>());
  return bytes;
}

}  // namespace

std::optional<ReferenceStatistics> statistics_in(const NpzArrays& arrays, const std::string& path) {
  auto features = moments_in(arrays, path, "mu", "sigma");
  auto spatial = moments_in(arrays, path, "mu_s", "sigma_s");
  if (!features) return std::nullopt;
  std::string identity;
  if (const auto found = arrays.find("features"); found != arrays.end()) identity = text_in(found->second);
  return ReferenceStatistics{
      .features = std::move(*features), .spatial = std::move(spatial), .identity = std::move(identity)};
}

void save_statistics(const std::filesystem::path& path, const ReferenceStatistics& statistics) {
  const auto stored = [](const Tensor& tensor) {
    return tensor.to(torch::kCPU, torch::kFloat64).contiguous();
  };
  NpzArrays arrays = {{"mu", stored(statistics.features.mean)},
                      {"sigma", stored(statistics.features.covariance)}};
  if (statistics.spatial) {
    arrays["mu_s"] = stored(statistics.spatial->mean);
    arrays["sigma_s"] = stored(statistics.spatial->covariance);
  }
  if (!statistics.identity.empty()) arrays["features"] = bytes_of(statistics.identity);
  create_folder_of(path);
  save_npz(path, arrays);
}

}  // namespace cm
