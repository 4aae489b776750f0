#include "truth_cases.h"

#include <cmath>

#include "cm/base/text.h"
#include "cm/run/run_config.h"

namespace cm::truths {
namespace {

// The published curricula end at 150 and 1280 levels after hundreds of thousands of steps. What is learned
// goes up the grid a level at a time, as fast as the target follows, so that a hundredth of the steps takes a
// coarser grid and a target of shorter memory.
constexpr int64_t kLastCtLevels = 32;
constexpr double kFirstCtDecay = 0.1;
constexpr int64_t kLastIctLevels = 160;
constexpr int64_t kEctStages = 8;
constexpr const char* kDiffusion = "edm";
// N = 16, 8 and 4 take one seventh of the steps each, N = 2 and N = 1 two.
constexpr int64_t kPdSevenths = 7;

template <class Options>
RunConfig trained_by(const Options& options, int64_t steps, int64_t seed) {
  RunConfig config;
  config.train_by(options);
  config.sigma.data = sigma_data(mixture());
  config.optimizer.lr = 1e-3;
  config.optimizer.decay = LearningRateDecay::cosine;
  config.optimizer.clip_norm = 1;
  config.ema.rates = {};
  config.train.steps = steps;
  config.train.batch_size = 256;
  config.train.seed = seed;
  return config;
}

// μ = 0, as the paper has it for CIFAR-10.
Case distillation(Solver solver, int64_t n, int64_t steps, int64_t seed) {
  return {.name = concat("cd-", to_string(solver), "-", n),
          .config = trained_by(CdOptions{.n = n, .solver = solver, .mu = 0}, steps, seed),
          .start = kDiffusion};
}

// Grids whose levels are among those of the next, so that all can be measured at the same ones.
void add_distillation(std::vector<Case>& cases, int64_t steps, int64_t seed) {
  for (const int64_t n : {5, 9, 17, 33}) cases.push_back(distillation(Solver::euler, n, steps, seed));
  for (const auto& [solver, name] : EnumNames<Solver>::names) {
    if (solver != Solver::euler) cases.push_back(distillation(solver, 17, steps, seed));
  }
  Case average = distillation(Solver::heun, 17, steps, seed);
  average.name += "-mu-0.95";
  average.config.section<CdOptions>()->mu = 0.95;
  cases.push_back(average);
}

// From random weights, those of a teacher too: its denoiser is a formula. With the plain square, whose
// minimum is the mean of its targets: that of L/(L + ε)^p is where most of them are, which in two coordinates
// is elsewhere.
void add_flow_maps(std::vector<Case>& cases, int64_t steps, int64_t seed) {
  const auto add = [&](const auto& options, std::string_view suffix = {},
                       Parameterization path = Parameterization::linear_map) {
    Case one{.name = concat(options.name.objective, suffix), .config = trained_by(options, steps, seed)};
    one.config.parameterization = path;
    cases.push_back(one);
  };
  const auto squared = []<class Options>(Options options) {
    options.norm.power = 0;
    return options;
  };
  add(squared(MeanFlowOptions()));
  add(squared(MeanFlowOptions()), "-trig", Parameterization::trig_map);
  add(squared(AlphaFlowOptions()));
  add(ShortcutOptions{.mu = 0.9});  // what is learned doubles its steps as fast as the target follows
  add(ImmOptions{});
  add(ImmOptions{}, "-trig", Parameterization::trig_map);
  add(squared(EulerianOptions()));
  add(squared(EulerianOptions()), "-trig", Parameterization::trig_map);
  add(squared(LagrangianOptions()));
  add(squared(LagrangianOptions()), "-trig", Parameterization::trig_map);
}

}  // namespace

GaussianMixture mixture() {
  return {.means = torch::tensor({{-0.7, -0.3}, {0.6, -0.5}, {0.2, 0.7}, {-0.5, 0.5}}, torch::kFloat64),
          .weights = torch::tensor({0.4, 0.3, 0.2, 0.1}, torch::kFloat64),
          .stds = torch::tensor({0.12, 0.2, 0.15, 0.1}, torch::kFloat64)};
}

double sigma_data(const GaussianMixture& data) {
  return std::sqrt(covariance_of(data, 0).diagonal().mean().item<double>());
}

std::vector<Case> cases(int64_t steps, int64_t seed) {
  std::vector<Case> all;
  const auto add = [&](const std::string& name, const auto& options, const std::string& start = {}) {
    all.push_back({.name = name, .config = trained_by(options, steps, seed), .start = start});
  };
  add(kDiffusion, EdmOptions{});
  add_distillation(all, steps, seed);
  ContinuousCdOptions continuous{{.weight = ContinuousWeight::limit}};
  add("continuous_cd", continuous, kDiffusion);
  all.back().config.optimizer.clip_norm.reset();
  continuous.stop_gradient = false;
  add("continuous_cd-through-tangent", continuous, kDiffusion);
  all.back().config.optimizer.clip_norm.reset();
  add("scd", ScdOptions{{.tangent_warmup_steps = steps / 4}});
  add("pd", PdOptions{.start_steps = 16, .steps_per_stage = std::max<int64_t>(1, steps / kPdSevenths)},
      kDiffusion);
  add("kd", KdOptions{}, kDiffusion);
  for (const int64_t n : {17, 65}) {
    add(concat("ct-", n),
        CtOptions{.levels = {.schedule = LevelSchedule::fixed, .s0 = n}, .target = {.mu = 0}});
  }
  add("ct", CtOptions{.levels = {.s1 = kLastCtLevels},
                      .target = {.schedule = DecaySchedule::adaptive, .mu = kFirstCtDecay}});
  IctOptions improved;
  improved.levels.s1 = kLastIctLevels;
  add("ict", improved);
  const int64_t ect_stage = std::max<int64_t>(1, steps / kEctStages);
  add("ect", EctOptions{.pairs = {.steps_per_stage = ect_stage}}, kDiffusion);
  // As on ImageNet 64 × 64: √(‖Δ‖² + c²) is smooth at 0, which two coordinates notice more than thousands.
  EctPairOptions smooth{
      .q = 4, .steps_per_stage = 2 * ect_stage, .weighting = EctWeighting::karras, .huber_c = 0.06};
  add("ect-imagenet", EctOptions{.p_mean = -0.8, .p_std = 1.6, .pairs = smooth}, kDiffusion);
  smooth.first_stage = kEctStages / 2 - 1;
  add("tcm", TcmOptions{.pairs = smooth}, "ect-imagenet");
  add("continuous_ct", ContinuousCtOptions{{.weight = ContinuousWeight::limit}});
  add("sct", SctOptions{{.tangent_warmup_steps = steps / 4}});
  add_flow_maps(all, steps, seed);
  return all;
}

Json settings_of(const Case& one) {
  const RunConfig& config = one.config;
  const Json whole = json_of(config);
  const GaussianMixture data = mixture();
  Json means = Json::array();
  for (int64_t k = 0; k < data.means.size(0); ++k) {
    means.push_back({data.means[k][0].item<double>(), data.means[k][1].item<double>()});
  }
  const auto list = [](const Tensor& values) {
    return std::vector<double>(values.data_ptr<double>(), values.data_ptr<double>() + values.numel());
  };
  return {{"objective", to_string(config.objective)},
          {"options", whole.at(to_string(config.objective))},
          {"parameterization", to_string(parameterization_of(config))},
          {"start", one.start.empty() ? "random" : one.start},
          {"teacher", method_of(config).needs_teacher ? Json("exact") : Json(nullptr)},
          {"steps", config.train.steps},
          {"batch_size", config.train.batch_size},
          {"seed", config.train.seed},
          {"optimizer", whole.at("optimizer")},
          {"sigma", whole.at("sigma")},
          {"mixture", {{"means", means}, {"weights", list(data.weights)}, {"stds", list(data.stds)}}}};
}

}  // namespace cm::truths
