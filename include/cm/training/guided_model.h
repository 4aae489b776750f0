// Guidance (cm/diffusion/guidance.h) of a model: from the one that it was given (Model::guide_by), or, where
// there is none, from its own answer without a class, that of the same network with kNullClass in place of
// the labels.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "cm/diffusion/guidance.h"
#include "cm/training/model.h"

namespace cm {

// InputError, with `what` in front ("--guidance 3", "teacher.guidance 3"), when the weight is none or the
// interval is empty, or the weight is not 1 and the model can't be guided: guidance was distilled into it
// already, or, without a guide, it has no classes or was never trained without them (label_dropout).
void check_guidance(const ModelOptions& model, const Guidance& guidance, bool has_guide,
                    const std::string& what);

// InputError, with `what` in front ("--guide FILE"), when this guide can't guide the model: its images or
// classes are others (one without classes guides any), or only one of the two is a consistency model, or a
// denoiser in so many steps.
void check_guide(const ModelOptions& model, const ModelOptions& guide, const std::string& what);

// What --guidance, --guidance-sigma-min, --guidance-sigma-max and --guide ask of a model: the weights of the
// guide, where resolve_weights finds one. InputError as above, and where they have no effect.
std::optional<std::filesystem::path> guide_for(const ModelOptions& model, const Guidance& guidance,
                                               const std::optional<std::string>& guide);

// D_w of the model's denoiser; w = 1 is Model::denoiser. `labels` int64 [B], undefined where there are no
// classes.
//
// By two calls: one of 2 B samples takes twice the memory, and saved 3 % of the time at B = 64 on the CPU
// (15 % at 8, 30 % at 1).
Denoiser guided_denoiser(const Model& model, const Tensor& labels, const Guidance& guidance,
                         Levels levels = Levels::any);

// The same of its flow map (Model::flow_map).
FlowMap guided_flow_map(const Model& model, const Tensor& labels, const Guidance& guidance,
                        Levels levels = Levels::any);

}  // namespace cm
