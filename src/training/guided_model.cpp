#include "cm/training/guided_model.h"

#include <cmath>

#include "cm/base/error.h"
#include "cm/base/text.h"

namespace cm {

void check_guidance(const ModelOptions& model, double w, const std::string& what) {
  if (!std::isfinite(w) || w < 0) throw InputError(concat(what, ": must be a number of at least 0"));
  if (w == 1) return;
  if (model.image.classes == 0) {
    throw InputError(
        concat(what, ": the model has no classes, and guidance leads towards one; leave it out"));
  }
  if (model.guidance) {
    throw InputError(concat(what, ": guidance of weight ", *model.guidance,
                            " was distilled into the model already; leave it out"));
  }
  if (model.label_dropout == 0) {
    throw InputError(
        concat(what,
               ": the model was trained without label dropout, so it doesn't know how to do without a class, "
               "which guidance needs; train one with train.label_dropout=0.1, say"));
  }
}

Denoiser guided_denoiser(const Model& model, const Tensor& labels, double w) {
  if (w == 1) return model.denoiser(labels);
  TORCH_CHECK(labels.defined(), "guidance needs labels");
  return guided(model.denoiser(labels), model.denoiser(torch::full_like(labels, kNullClass)), w);
}

}  // namespace cm
