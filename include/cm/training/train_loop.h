// The one loop that trains every method: data, steps, logs, sample pictures, checkpoints, interruption.
#pragma once

#include <filesystem>

#include "cm/data/dataset.h"
#include "cm/training/image_codec.h"
#include "cm/training/trainer.h"

namespace cm {

enum class TrainOutcome { finished, interrupted };

// Trains from trainer.steps_done() to options.steps in the folder `run`, which exists. On SIGINT or SIGTERM
// the current step is finished and saved; of several ranks one more, which all do. Rank 0 writes. Error when
// a step is non-finite (its checkpoint is never written), the disk fails, or another rank is lost. `codec`
// makes the sample pictures.
TrainOutcome train(Trainer& trainer, const TrainOptions& options, const Dataset& dataset,
                   const DataOptions& data, const std::filesystem::path& run, const ImageCodec& codec = {});

// The picture that shows how far a run is: images from noise that depends on the seed alone, by the average
// that sampling would use, in one step (consistency models), 18 Heun steps (diffusion models) or the steps
// that progressive distillation has left. Made by all ranks together. uint8 [C, H, W], undefined on all but
// rank 0. Of latents that `codec` does not decode, three channels.
Tensor preview_picture(Trainer& trainer, const TrainOptions& options, const ImageCodec& codec = {});

}  // namespace cm
