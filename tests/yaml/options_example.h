// The option structs that the tests of this module read, write and describe.
#pragma once

#include "cm/base/fields.h"
#include "cm/base/text.h"

namespace cm::example {

enum class Distance { l1, l2, pseudo_huber };

struct Train {
  int64_t steps = 1000;
  int64_t batch_size = 64;
  bool deterministic = false;
};
template <class Visitor>
void fields(Visitor& visit, Train& o) {
  visit("steps", o.steps, "number of updates", at_least(1));
  visit("batch_size", o.batch_size, "images an update", at_least(1));
  visit("deterministic", o.deterministic, "bit-identical on CUDA");
}

struct Optimizer {
  double lr = 1e-4;
  std::vector<double> betas = {0.9, 0.999};
};
template <class Visitor>
void fields(Visitor& visit, Optimizer& o) {
  visit("lr", o.lr, "learning rate", above(0));
  visit("betas", o.betas, "decay of the two moments", from_below(0, 1));
}
inline void validate(const Optimizer& o, const Complain& complain) {
  if (o.betas.size() != 2) complain("betas", concat("must have 2 entries, got ", o.betas.size()));
}

}  // namespace cm::example

namespace cm {}  // namespace cm

namespace cm::example {

struct Distillation {
  Distance distance = Distance::l2;
  std::string teacher;
};
template <class Visitor>
void fields(Visitor& visit, Distillation& o) {
  visit("distance", o.distance, "between student and target");
  visit("teacher", o.teacher, "checkpoint to distil");
}

struct RunOptions {
  std::string name = "run";
  Train train;
  Optimizer optimizer;
  std::optional<Distillation> cd;
  std::optional<int64_t> image_size;
  std::vector<int64_t> channel_mult = {1, 2};
  std::vector<std::string> tags;
};
template <class Visitor>
void fields(Visitor& visit, RunOptions& o) {
  visit("name", o.name, "what the run is called");
  visit("train", o.train, "the loop");
  visit("optimizer", o.optimizer, "Adam");
  visit("cd", o.cd, "consistency distillation");
  visit("image_size", o.image_size, "side in pixels", at_least(1));
  visit("channel_mult", o.channel_mult, "width of each level", at_least(1));
  visit("tags", o.tags, "words to find the run by");
}
inline void validate(const RunOptions& o, const Complain& complain) {
  if (o.cd && o.cd->teacher.empty()) complain("cd.teacher", "must be given");
  if (o.train.steps > 5000 && o.tags.empty()) complain("", "a run of over 5000 steps needs tags");
}

}  // namespace cm::example
