#include "cm/run/training_run.h"

#include <cmath>

#include "cm/base/error.h"
#include "cm/base/log.h"
#include "cm/base/random.h"
#include "cm/base/text.h"
#include "cm/data/latents.h"
#include "cm/data/pairs.h"
#include "cm/training/autoencoder_folder.h"
#include "cm/training/diffusers_folder.h"
#include "cm/training/guided_model.h"
#include "cm/training/lpips_file.h"

namespace cm {
namespace {

// Weights that come from elsewhere, and what their file says of them.
struct Source {
  std::string what;  // "teacher.checkpoint runs/edm"
  ResolvedWeights weights;
  ModelOptions options;
};

// nullopt where none are named. `key` is what names them.
std::optional<Source> open_source(const char* key, const WeightSource& named) {
  if (!named.checkpoint) return std::nullopt;
  try {
    const ResolvedWeights weights = resolve_weights(*named.checkpoint, named);
    return Source{concat(key, ' ', *named.checkpoint), weights, read_weight_header(weights).options};
  } catch (const InputError& mistake) {
    throw InputError(concat(key, ' ', mistake.what()));
  }
}

// For the summary.
std::string described(const char* what, const ResolvedWeights& weights) {
  return concat("\n", what, weights.file.string(), "\n            ", weights.why);
}

// Another run's network as this run's default: consistency models train without dropout.
NetworkOptions without_dropout(NetworkOptions network) {
  common_options(network).dropout = 0;
  return network;
}

// Of a U-Net that lies without its pipeline we read that it is a consistency function.
void take_as_denoiser(ModelOptions& teacher, const std::string& source) {
  log_warning(concat(
      "teacher.checkpoint ", source,
      ": diffusers' U-Net alone does not say whether it is a diffusion model's; it is taken as one (edm)"));
  teacher.parameterization = Parameterization::edm;
}

// `what` names the model and where it comes from.
void check_images(const std::string& what, const ImageSpec& theirs, const ImageSpec& image) {
  const bool same =
      theirs.channels == image.channels && theirs.size == image.size && theirs.classes == image.classes;
  if (same) return;
  throw InputError(concat(what, ": was trained on other images (", in_words(theirs), ") than data gives (",
                          in_words(image), ")"));
}

// What a student of this space starts from.
std::optional<Source> open_start(const char* key, const WeightSource& named,
                                 const std::optional<LatentSpace>& space) {
  auto source = open_source(key, named);
  if (!source) return source;
  const std::string other = difference(source->options.latents, space);
  if (!other.empty()) throw InputError(concat(source->what, ": is ", other, ", as data gives"));
  return source;
}

// Of the data and their VAE; none for pixels.
std::optional<LatentSpace> space_of(const Dataset& data, const ImageCodec& codec) {
  if (data.pairs()) return data.pairs()->set().latents;
  if (!data.latents()) return std::nullopt;
  LatentSpace space = data.latents()->space();
  if (codec.of_latents()) space.vae_hash = codec.hash();
  return space;
}

// By the VAE that the config names, if it does.
ImageCodec codec_for(const RunConfig& config, const Dataset& data, const torch::Device& device) {
  if (!data.latents() || !config.data.latents->vae) return {};
  const std::string& folder = *config.data.latents->vae;
  return {load_autoencoder(folder, {.device = device}), data.latents()->space(), data.channels(),
          concat("data.latents.vae ", folder)};
}

// Whether the latents are what the config says of them.
void check_latents(const RunConfig& config, const Dataset& data) {
  constexpr int64_t kLookedAt = 256;
  if (!data.latents()) return;
  check_statistics(data.latents()->statistics(kLookedAt), *config.data.latents, config.sigma.data,
                   config.data.path);
}

void check_teacher(const ModelOptions& teacher, const ImageSpec& image, const std::string& source) {
  const std::string what = concat("teacher.checkpoint ", source);
  if (!is_diffusion(teacher.parameterization)) {
    throw InputError(concat(what, ": is a consistency model (", to_string(teacher.parameterization),
                            "); a diffusion model is needed"));
  }
  check_images(what, teacher.image, image);
}

// `what` teaches the null class to a student that learns it.
void check_null_class(const RunConfig& config, const std::string& what, const ModelOptions& teacher) {
  if (config.train.label_dropout == 0 || teacher.label_dropout > 0) return;
  throw InputError(concat("train.label_dropout ", config.train.label_dropout, ": ", what,
                          " was trained without it and can't teach the null class; set it to 0"));
}

// A start that teaches as long as the student is trained, by its own scalings.
void check_kept_start(const RunConfig& config, const ModelOptions& start, const ImageSpec& image) {
  const std::string what = concat("init.checkpoint ", *config.init.checkpoint);
  if (start.parameterization != config.parameterization) {
    throw InputError(
        concat(what, ": is a ", is_diffusion(start.parameterization) ? "diffusion" : "consistency",
               " model (", to_string(start.parameterization), "); objective ", to_string(config.objective),
               " needs a consistency model (", to_string(*config.parameterization), "); train one by ect"));
  }
  check_images(what, start.image, image);
  check_null_class(config, what, start);
}

// A student of progressive distillation is a denoiser at its own levels only: the next student can halve its
// steps, nothing else can be learned from it.
void check_distilled_teacher(const RunConfig& config, const Method& method, int64_t steps) {
  const auto needed = method.teacher_steps;
  if (needed == steps) return;
  throw InputError(concat("teacher.checkpoint ", *config.teacher.checkpoint, ": was distilled to ", steps,
                          " sampling steps and is a denoiser at those levels only; ",
                          needed && steps > 1 ? concat(to_string(config.objective), ".start_steps must be ",
                                                       steps / 2, ", got ", *needed / 2)
                                              : "name the model that was distilled"));
}

// The teacher must know the null class, as must its guide, where it has one.
void check_label_dropout(const RunConfig& config, const ImageSpec& image,
                         const std::optional<Model>& teacher) {
  if (config.train.label_dropout == 0) return;
  if (image.classes == 0) {
    throw InputError(concat("train.label_dropout ", config.train.label_dropout, ": ", config.data.path,
                            " gives no classes that could be dropped; set it to 0"));
  }
  if (teacher) {
    check_null_class(config, concat("teacher.checkpoint ", *config.teacher.checkpoint), teacher->options());
  }
  const Model* guide = teacher ? teacher->guide() : nullptr;
  if (guide && guide->options().image.classes > 0 && guide->options().label_dropout == 0) {
    throw InputError(concat("teacher.guide ", *config.teacher.guide,
                            ": was trained without label dropout and does not know the null class, which "
                            "train.label_dropout ",
                            config.train.label_dropout, " asks it for; set that to 0"));
  }
}

// A student of pairs learns one step, from where they start.
void check_pairs(const RunConfig& config, const PairSet& pairs) {
  if (std::abs(pairs.sigma_max / config.sigma.max - 1) < 1e-6) return;
  throw InputError(concat("data.path ", config.data.path, ": its pairs start at sigma ", pairs.sigma_max,
                          ", but sigma.max is ", config.sigma.max, "; set sigma.max=", pairs.sigma_max));
}

// What the student will have learned: by its target's or its teacher's guidance, or of a teacher or pairs
// that had learned it.
std::optional<double> distilled_guidance(const RunConfig& config, const Method& method,
                                         const std::optional<Model>& teacher, const Dataset& data) {
  if (data.pairs()) return data.pairs()->set().guidance;
  if (method.target_guidance) return method.target_guidance;
  if (config.teacher.guidance.weight != 1) return config.teacher.guidance.weight;
  return teacher ? teacher->options().guidance : std::nullopt;
}

// Guidance in the target leads away from the null class.
void check_target_guidance(const RunConfig& config, const Method& method, const ImageSpec& image) {
  if (!method.target_guidance || config.train.label_dropout > 0) return;
  const std::string what = concat(to_string(config.objective), ".guidance: ");
  if (image.classes == 0) {
    throw InputError(concat(what, "leads towards a class, and ", config.data.path, " gives none; remove it"));
  }
  throw InputError(concat(what,
                          "leads away from the network's answer without a class, which it learns where "
                          "train.label_dropout hides classes; set that to 0.1, say, or remove this"));
}

// A network of two times, and one of one.
void check_times(const std::string& what, const NetworkOptions& theirs, const RunConfig& config) {
  const bool wanted = is_flow_map(*config.parameterization);
  if (!common_options(theirs).second_time || wanted) return;
  throw InputError(concat(what, ": is a flow map, whose network has two times; objective ",
                          to_string(config.objective), " trains a network of one"));
}

// "edm, skip or piecewise"
std::string starts_of(Parameterization student) {
  std::vector<std::string> names;
  for (const auto& [kind, name] : EnumNames<Parameterization>::names) {
    const bool fits = is_flow_map(student) || !is_flow_map(kind);
    if (fits && same_time(kind, student)) names.emplace_back(name);
  }
  return enumerate(names, "or");
}

// The weights that the student starts from, those of `source` (init, or else the teacher); nullopt for random
// ones. A network that takes its time as one path has it can't go on as one that takes it as another has, or
// as ¼ ln σ.
std::optional<ResolvedWeights> start_weights(const RunConfig& config, const std::optional<Source>& source) {
  if (!source) return std::nullopt;
  const Parameterization theirs = source->options.parameterization;
  if (same_time(theirs, *config.parameterization)) return source->weights;
  const auto other =
      concat(": its network takes time as ", to_string(theirs), " gives it, which a student of ",
             to_string(*config.parameterization), " can't start from");
  if (config.init.checkpoint) {
    throw InputError(concat("init.checkpoint ", *config.init.checkpoint, other, "; use one of ",
                            starts_of(*config.parameterization)));
  }
  log_info(
      concat("teacher.checkpoint ", *config.teacher.checkpoint, other, ": it starts from random weights"));
  return std::nullopt;
}

// The network of the objective's distance, if it is one.
std::shared_ptr<const Lpips> lpips_for(const RunConfig& config, const Method& method, const ImageSpec& image,
                                       bool latents, const torch::Device& device) {
  if (!method.distance || method.distance->kind != Distance::lpips) return nullptr;
  if (latents) {
    throw InputError(concat(to_string(config.objective), ".distance: lpips compares pixels, and ",
                            config.data.path, " has latents; choose another distance"));
  }
  if (image.channels != 3) {
    throw InputError(concat(to_string(config.objective), ".distance: lpips compares images of 3 channels, ",
                            config.data.path, " has ", image.channels, "; choose another distance"));
  }
  return load_lpips(*config.lpips.weights, device);
}

// A loss with a gradient through u differentiates the network twice, which recomputed blocks cannot be.
void check_twice_differentiable(const RunConfig& config, const Method& method) {
  const bool twice = method.derivative == Derivative::through_tangent;
  if (twice && common_options(*config.model).activation_checkpointing) {
    throw InputError(concat(to_string(config.objective),
                            ".stop_gradient: false does not go with model.activation_checkpointing; set that "
                            "to false, or stop_gradient to true"));
  }
}

// The objective's own section, and what the objective implies.
void fill_in(RunConfig& config) {
  with_section(config.sections, config.objective,
               []<class Options>(std::optional<Options>& section) { section = section.value_or(Options()); });
  if (config.data.kind == DatasetKind{"patches"})
    config.data.patches = config.data.patches.value_or(PatchOptions());
  config.parameterization = parameterization_of(config);
  if (!config.sampling.grid) config.sampling.grid = method_of(config).last_levels;
}

// Of the summary.
std::string latents_line(const ModelOptions& model, const RunConfig& config) {
  if (!model.latents) return "";
  const std::string& hash = model.latents->vae_hash;
  return concat("\nlatents     of ",
                hash.empty() ? "a VAE that nobody names" : concat("the VAE ", hash.substr(0, 12), "…"),
                "; sample pictures ",
                config.data.latents && config.data.latents->vae
                    ? concat("by ", *config.data.latents->vae)
                    : "show their first channels (data.latents.vae decodes them)");
}

std::string processes(const World& world) {
  return world.size() == 1 ? "" : concat(", shared by ", world.size(), " processes");
}

}  // namespace

TrainingRun::TrainingRun(const RunConfig& config, const torch::Device& device, const World& world)
    : config_(config) {
  refuse_mistakes("", [&](const Complain& complain) { validate(config, complain); });
  fill_in(config_);
  const Method method = method_of(config_);
  check_groups(config_.train, world, method.group);
  dataset_ = open_dataset(config_.data);
  const ImageSpec image{
      .channels = dataset_->channels(), .size = dataset_->image_size(), .classes = dataset_->classes()};
  if (const PairDataset* pairs = dataset_->pairs()) check_pairs(config_, pairs->set());
  check_latents(config_, *dataset_);
  codec_ = codec_for(config_, *dataset_, device);
  const auto space = space_of(*dataset_, codec_);
  lpips_ = lpips_for(config_, method, image, space.has_value(), device);
  const auto teacher = open_start("teacher.checkpoint", config_.teacher, space);
  if (teacher) load_teacher(teacher->weights, method, image, device);
  check_label_dropout(config_, image, teacher_);
  const auto init = open_start("init.checkpoint", config_.init, space);
  if (method.keeps_start) check_kept_start(config_, init.value().options, image);
  const auto& source = init ? init : teacher;
  if (source) check_times(source->what, source->options.network, config_);
  if (!config_.model) config_.model = without_dropout(source.value().options.network);
  common_options(*config_.model).second_time = is_flow_map(*config_.parameterization);
  check_target_guidance(config_, method, image);
  refuse_mistakes("model.", [&](const Complain& complain) { validate_for(*config_.model, image, complain); });
  check_twice_differentiable(config_, method);
  const ModelOptions options{.network = *config_.model,
                             .image = image,
                             .parameterization = *config_.parameterization,
                             .sigma = config_.sigma,
                             .sampling = config_.sampling,
                             .distilled_steps = std::nullopt,
                             .label_dropout = config_.train.label_dropout,
                             .guidance = distilled_guidance(config_, method, teacher_, *dataset_),
                             .latents = space};
  const auto start = start_weights(config_, source);
  student_.emplace(options, device,
                   start ? std::nullopt : std::optional(static_cast<uint64_t>(config_.train.seed)));
  if (start) {
    sources_ += described("start       ", *start);
    NamedTensors weights = load_weight_file(*start).weights;
    if (is_flow_map(options.parameterization) && !common_options(source->options.network).second_time)
      begin_second_time(weights, *config_.model, image, static_cast<uint64_t>(config_.train.seed));
    copy_weights(weights, student_->network(), start->file.string());
  }
  student_->compute_in(config_.train.dtype);
  if (method.has_target) target_ = student_->frozen_copy(options);
  if (method.keeps_start) {
    start_ = student_->frozen_copy(options);
    start_->hold_in(config_.train.dtype);
  }
  objective_ = objective_of(config_,
                            {.student = *student_,
                             .target = target_ ? &*target_ : nullptr,
                             .teacher = teacher_ ? &*teacher_ : nullptr,
                             .start = start_ ? &*start_ : nullptr},
                            lpips_);
  trainer_ = std::make_unique<Trainer>(config_.train, config_.optimizer, config_.ema, objective_, *student_,
                                       target_ ? &*target_ : nullptr, world);
}

void TrainingRun::load_teacher(const ResolvedWeights& chosen, const Method& method, const ImageSpec& image,
                               const torch::Device& device) {
  const auto& file = chosen.file;
  sources_ += described("teacher     ", chosen);
  WeightFile weights = load_weight_file(chosen);
  if (is_bare_unet(file)) take_as_denoiser(weights.options, *config_.teacher.checkpoint);
  check_teacher(weights.options, image, *config_.teacher.checkpoint);
  if (weights.options.distilled_steps)
    check_distilled_teacher(config_, method, *weights.options.distilled_steps);
  const Guidance& guidance = config_.teacher.guidance;
  check_guidance(weights.options, guidance, config_.teacher.guide.has_value(),
                 concat("teacher.guidance ", guidance.weight, " of ", *config_.teacher.checkpoint));
  // One that stages replace belongs to the checkpoints, with all that its weights tell.
  const auto held = method.has_stages ? std::nullopt : std::optional(config_.train.dtype);
  teacher_.emplace(make_model(weights, device, file.string(), held));
  teacher_->compute_in(config_.train.dtype);
  if (config_.teacher.guide) guide_teacher();
}

void TrainingRun::guide_teacher() {
  const Source guide = *open_source("teacher.guide", {{}, config_.teacher.guide});
  check_guide(teacher_->options(), guide.options, concat("teacher.guide ", *config_.teacher.guide));
  sources_ += described("guide       ", guide.weights);
  teacher_->guide_by(load_model(guide.weights.file, teacher_->device(), config_.train.dtype));
}

std::string TrainingRun::summary() const {
  const ImageSpec& image = student_->options().image;
  const auto parameters = static_cast<double>(parameter_count(student_->network()));
  const Shard shard = trainer_->shards().shard();
  const auto ranks = static_cast<double>(trainer_->world().size());
  // The student's weights, target, teacher, start; its gradient; its two moments and the averages. All are
  // fp32.
  const double whole = 1 + (target_ ? 1 : 0) + (teacher_ ? 1 : 0) + (start_ ? 1 : 0);
  const double gradient = 1 / (shard == Shard::gradients ? ranks : 1);
  const double others = static_cast<double>(2 + config_.ema.rates.size() + config_.ema.power_stds.size()) /
                        (shard == Shard::none ? 1 : ranks);
  const double copies = whole + gradient + others;
  const auto count = [](const torch::nn::Module& module) {
    return static_cast<double>(parameter_count(module));
  };
  const Model* guide = teacher_ ? teacher_->guide() : nullptr;
  const double numbers =
      parameters * copies + (lpips_ ? count(*lpips_) : 0) + (guide ? count(guide->network()) : 0);
  return concat("objective   ", to_string(config_.objective), ", ", config_.train.steps, " steps of ",
                config_.train.batch_size, " images", processes(trainer_->world()), "\ndata        ",
                dataset_->size(), " images, ", image.channels, " × ", image.size, " × ", image.size, ", ",
                image.classes, " classes", latents_line(student_->options(), config_), sources_,
                "\nnetwork     ", human_count(parameters), " parameters\nmemory      ",
                human_bytes(4 * numbers), shard == Shard::none ? "" : " a process",
                " for weights, gradients, optimizer, ", "averages", target_ ? ", target" : "",
                teacher_ ? ", teacher" : "", start_ ? ", start" : "", guide ? ", guide" : "",
                lpips_ ? ", LPIPS" : "", "; activations come on top");
}

}  // namespace cm
