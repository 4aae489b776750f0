// Classifier-free guidance (cm/diffusion/guidance.h) of a class-conditional model, whose answer without a
// class comes from the same network with kNullClass in place of the labels.
#pragma once

#include <string>

#include "cm/diffusion/guidance.h"
#include "cm/training/model.h"

namespace cm {

// InputError, with `what` in front ("--guidance 3", "teacher.guidance 3"), when w is no weight, or is not 1
// and the model can't be guided: it has no classes, was never trained without them (label_dropout), or is
// guided already.
void check_guidance(const ModelOptions& model, double w, const std::string& what);

// D_w of the model's denoiser; w = 1 is Model::denoiser. `labels` int64 [B].
//
// By two calls of the network: one of 2 B samples takes twice the memory, and saved 3 % of the time at B = 64
// on the CPU (15 % at 8, 30 % at 1).
Denoiser guided_denoiser(const Model& model, const Tensor& labels, double w);

}  // namespace cm
