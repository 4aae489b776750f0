#include "cm/cli/search_command.h"

#include <cmath>
#include <filesystem>
#include <functional>
#include <iostream>
#include <utility>

#include "class_labels.h"
#include "cm/base/clock.h"
#include "cm/base/error.h"
#include "cm/base/log.h"
#include "cm/base/text.h"
#include "cm/cli/compute_options.h"
#include "cm/cli/sample_set.h"
#include "cm/distributed/launch.h"
#include "cm/distributed/spread.h"
#include "cm/io/image.h"
#include "cm/metrics/evaluate.h"
#include "cm/training/checkpoint.h"
#include "cm/training/interrupt.h"
#include "cm/training/shared_walk.h"
#include "search_folder.h"
#include "search_report.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

struct Interrupted {};

void check_model(const ModelOptions& model, const fs::path& file) {
  if (is_diffusion(model.parameterization)) {
    throw InputError(concat("--checkpoint ", file.string(),
                            ": is a diffusion model, which has no time points to search; distill it into a "
                            "consistency model first, with cm-train-cd"));
  }
}

void check_steps(int64_t steps, int64_t grid) {
  if (steps < 2) {
    throw InputError(
        concat("--steps ", steps,
               ": there is nothing to search in fewer than 2 steps, for the first is always at sigma_max"));
  }
  if (steps >= grid) {
    throw InputError(concat("--steps ", steps, ": needs a grid of at least ", steps + 1,
                            " levels, for sigma_min is no time point, and this one has ", grid,
                            "; give fewer steps or a larger --grid"));
  }
}

// σ by index; the first exactly as the model has it.
std::vector<double> levels_of(const SigmaOptions& sigma, int64_t grid) {
  std::vector<double> levels = sampler_sigmas(sigma, grid);
  levels.front() = sigma.max;
  return levels;
}

// What a command asks for, checked.
struct Plan {
  torch::Device device;
  SampleSetPlan samples;  // by the step that every walk begins with
  int64_t grid;
  ImageCodec codec;
};

Plan plan_of(const SearchCommand& command) {
  check_search_folder(command.out, command.resume, command.common.force);
  const torch::Device device = parse_device(command.common.device);
  const ResolvedWeights weights = resolve_weights(command.checkpoint, command.weights);
  const ModelOptions model = read_weight_header(weights).options;
  check_model(model, weights.file);
  const int64_t grid = command.grid.value_or(grid_levels(model));
  check_steps(command.steps, grid);
  const auto first_step = choose_sampler(
      {.kind = SamplerKind::onestep, .guidance = command.guidance, .guide = command.guide}, model);
  return {.device = device,
          .samples = {.weights = weights,
                      .model = model,
                      .sampler = first_step,
                      .labels = class_labels(command.classes, model.image.classes, command.count)},
          .grid = grid,
          .codec = CodecOpener(command.vae, device).open(weights, model)};
}

// Whatever the values depend on. Batch and device change them by rounding only.
Json settings_of(const SearchCommand& command, const Plan& plan) {
  const FeatureOptions& features = command.reference.features;
  const auto features_in = feature_file(features.source);
  const Json none = nullptr;
  const Json every_class = plan.samples.model.image.classes > 0 ? Json("all") : none;
  const Guidance& guidance = command.guidance;
  const auto& guide = plan.samples.sampler.guide;
  return {{"checkpoint", weights_setting(plan.samples.weights)},
          {"steps", command.steps},
          {"grid", plan.grid},
          {"metric", command.metric},
          {"features", file_setting(features_in ? features_in->string() : features.source)},
          {"resize", features.resize ? Json(to_string(*features.resize)) : none},
          {"reference", file_setting(command.reference.reference)},
          {"num", command.count},
          {"class", command.classes ? Json(*command.classes) : every_class},
          {"guidance", guidance.weight},
          {"guidance_sigma_min", guidance.sigma_min > 0 ? Json(guidance.sigma_min) : none},
          {"guidance_sigma_max", guidance.sigma_max ? Json(*guidance.sigma_max) : none},
          {"guide", guide ? file_setting(guide->string()) : none},
          {"dtype", to_string(command.compute.dtype)},
          {"vae", plan.codec.of_latents() ? Json(plan.codec.hash()) : none},
          {"seed", command.common.seed.value_or(0)}};
}

// How far a search is, in evaluations; it ends after fewer than the most where its brackets overlap.
class SearchProgress {
 public:
  SearchProgress(int64_t steps, int64_t grid) : steps_(steps), grid_(grid) {}

  // One evaluation is done: made just now, or (`seconds` empty) earlier.
  void add(const std::vector<int64_t>& points, std::optional<double> seconds) {
    const auto step = static_cast<int64_t>(points.size());
    if (step != step_) {
      step_ = step;
      most_ = done_ + (steps_ - step + 1) * most_trials(grid_ - 1 - points[points.size() - 2]);
    }
    ++done_;
    most_ = std::max(most_, done_);
    if (!seconds) return;
    ++made_;
    seconds_ += *seconds;
  }

  // After an evaluation that was made just now.
  std::string words() const {
    const double left = seconds_ / static_cast<double>(made_) * static_cast<double>(most_ - done_);
    return concat("step ", step_, " of ", steps_, ", evaluation ", done_, " of at most ", most_, ", ETA ",
                  human_duration(left));
  }

 private:
  int64_t steps_;
  int64_t grid_;
  int64_t step_ = 0;
  int64_t done_ = 0;
  int64_t most_ = 0;
  int64_t made_ = 0;
  double seconds_ = 0;
};

// What a walk makes as uint8 images.
using PixelsOf = std::function<Tensor(const Tensor& x)>;

PixelsOf pixels_by(const Plan& plan, int64_t batch) {
  return [&plan, batch](const Tensor& x) {
    const auto make = [&](int64_t first, int64_t n) {
      const Tensor images = plan.codec.decode(x.narrow(0, first, n).to(plan.device));
      return pixels_of(images, plan.samples.weights.file, Quantization::nearest);
    };
    return spread_batches(World(), x.size(0), batch, make);
  };
}

// The metric along lists of points: looked up in the folder, or computed and kept there.
class PointsMetric {
 public:
  PointsMetric(SharedWalk& walk, PixelsOf pixels, Evaluator& evaluator, SearchFolder& folder,
               SearchProgress progress, const SetHeader& samples, const std::vector<double>& levels)
      : walk_(walk),
        pixels_(std::move(pixels)),
        evaluator_(evaluator),
        folder_(folder),
        progress_(progress),
        samples_(samples),
        levels_(levels) {}

  double operator()(const std::vector<int64_t>& points) {
    if (const auto known = folder_.value_of(points)) {
      progress_.add(points, std::nullopt);
      return *known;
    }
    PointsEvaluation evaluation{.points = points, .sigmas = {}, .value = 0, .seconds = 0};
    for (const int64_t point : points) evaluation.sigmas.push_back(levels_.at(static_cast<size_t>(point)));
    const double start = seconds_now();
    evaluation.value = value_along(evaluation.sigmas);
    evaluation.seconds = seconds_now() - start;
    folder_.add(evaluation);
    progress_.add(points, evaluation.seconds);
    log_info(concat(evaluation.value, " at sigma ", evaluation.sigmas.back(), "  (", progress_.words(), ")"));
    return evaluation.value;
  }

 private:
  double value_along(const std::vector<double>& sigmas) {
    const Tensor pixels = pixels_(walk_.images(sigmas));
    return evaluator_.evaluate({samples_.path, pixels, samples_.labels}).front().value;
  }

  SharedWalk& walk_;
  PixelsOf pixels_;
  Evaluator& evaluator_;
  SearchFolder& folder_;
  SearchProgress progress_;
  SetHeader samples_;
  const std::vector<double>& levels_;
};

void finish(const SearchCommand& command, const SearchReport& report, SearchFolder& folder) {
  const std::vector<double> sigmas = found_sigmas(report);
  const SearchedPoint& last = report.searches.back();
  folder.finish({{"points", last.points()},
                 {"sigmas", sigmas},
                 {"value", last.score()},
                 {"evaluations", folder.evaluations()}},
                draw_chart(chart_of(report)));
  std::cout << table_of(report) << report.metric << " of " << report.basis << ": " << last.score()
            << " after " << folder.evaluations() << " evaluations, drawn in "
            << (fs::path(command.out) / "search.png").string()
            << "\ncm-sample takes these time points as in the last line; a model that is trained with\n"
            << "sampling.sigmas=[" << list_of(sigmas) << "] takes them for --steps " << sigmas.size()
            << "\n--sigmas " << list_of(sigmas) << '\n';
}

}  // namespace

int run_search_command(const SearchCommand& command) {
  check_alone(launch_of_this_process(), "cm-search");
  const Plan plan = plan_of(command);
  const SetHeader samples = header_of(plan.samples, plan.codec, command.count);
  const auto extractor = make_features(command.reference.features, samples.shape, plan.device);
  Evaluator evaluator(load_reference(command.reference.reference), *extractor,
                      {.metrics = {command.metric},
                       .batch_size = command.batch,
                       .resize_named = command.reference.features.resize.has_value()});
  evaluator.check(samples);
  const Model model =
      open_model(plan.samples.weights, plan.samples.sampler.guide, plan.device, command.compute);
  SearchFolder folder(command.out, settings_of(command, plan), command.resume);

  const InterruptGuard interrupt;
  SharedWalk walk(model, plan.samples.labels,
                  {.count = command.count,
                   .batch = command.batch,
                   .seed = command.common.seed.value_or(0),
                   .guidance = command.guidance,
                   .before_batch = [&] {
                     if (interrupt.requested()) throw Interrupted();
                   }});
  SearchReport report{.metric = command.metric,
                      .basis = concat(command.count, " samples, ", extractor->name()),
                      .levels = levels_of(plan.samples.model.sigma, plan.grid),
                      .searches = {}};
  PointsMetric value(walk, pixels_by(plan, command.batch), evaluator, folder, {command.steps, plan.grid},
                     samples, report.levels);
  const auto better = [&](double a, double b) { return is_better(command.metric, a, b); };
  try {
    report.searches = search_time_points(std::ref(value), better, command.steps, plan.grid);
  } catch (const Interrupted&) {
    std::cout << "stopped with " << folder.evaluations()
              << " evaluations kept; go on with the same command and --resume\n";
    return 0;
  }
  say_weights(plan.samples.weights);
  finish(command, report, folder);
  return 0;
}

}  // namespace cm
